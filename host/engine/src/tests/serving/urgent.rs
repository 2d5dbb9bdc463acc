//! Urgent work goes before what is in hand already.

use usher_lifecycle::operation::{OperationState, Work};

use super::*;
use crate::sim::Fault;

const ONE_AT_A_TIME: &str = r#"
[targets.app]
connector = "sim"
apply = "auto"
limits = { concurrency = 1 }
[targets.directory]
connector = "sim"
apply = "observe"
"#;

/// Somebody who leaves while hundreds join, at a target that does one thing at a time.
async fn leaver_among_joiners(seed: u64) -> (World, String) {
    let world = World::new(seed).await;
    let engine = world.engine().await;
    engine
        .activate_targets("targets.toml", ONE_AT_A_TIME, person())
        .await
        .unwrap();
    import(&engine, "0,Lea,,permanent,,,,,\n").await;
    apply(&engine, 0).await;
    let joiners: String = (1..=300).map(|n| format!("{n},P{n},,permanent,,,,,\n")).collect();
    import(&engine, &format!("0,Lea,,permanent,,,,,\n{joiners}")).await;
    (world, joiners)
}

#[tokio::test]
async fn a_leaver_goes_before_hundreds_of_joiners_in_hand() {
    let (world, joiners) = leaver_among_joiners(1).await;
    let engine = world.engine().await;
    for _ in 0..1_000 {
        world.app.faults.ask(Fault::Slow(1_000));
    }
    let created = || {
        world
            .app
            .journal()
            .iter()
            .filter(|call| call.verb == "create")
            .count()
    };
    serve(&world, &engine, async |script| {
        script.in_time(3, "a few are made", async || created() >= 4).await;
        import(&engine, &format!("0,Lea,,permanent,,2026-03-01,,,\n{joiners}")).await;
        let before = created();
        script
            .in_time(3, "the leaver's access ends", async || {
                !world.app.accounts()["0"].enabled
            })
            .await;
        assert!(
            created() <= before + 5,
            "{before} joiners before, {} after",
            created()
        );
    })
    .await;
}

#[tokio::test]
async fn it_is_claimed_while_the_hand_is_full_and_the_worker_busy() {
    let (world, joiners) = leaver_among_joiners(2).await;
    let engine = world.engine().await;
    world.app.faults.ask(Fault::Slow(600_000));
    serve(&world, &engine, async |script| {
        script
            .at_once("the worker is busy", async || world.clock.sleepers() == 3)
            .await;
        import(&engine, &format!("0,Lea,,permanent,,2026-03-01,,,\n{joiners}")).await;
        let claimed = OperationFilter {
            states: vec![OperationState::Claimed],
            limit: 1_000,
            ..OperationFilter::default()
        };
        script
            .at_once("the disable is claimed", async || {
                let claimed = engine.ports.store.operations(&claimed).await.unwrap();
                claimed.iter().any(|operation| operation.work == Work::Disable)
            })
            .await;
    })
    .await;
}
