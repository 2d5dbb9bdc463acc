//! Asked to stop while calls are under way.

use usher_lifecycle::operation::OperationState;

use super::*;
use crate::sim::Fault;

async fn in_state(engine: &Engine, state: OperationState) -> usize {
    let filter = OperationFilter {
        states: vec![state],
        limit: 1_000,
        ..OperationFilter::default()
    };
    engine.ports.store.operations(&filter).await.unwrap().len()
}

async fn stopped_during_a_call(world: &World, slow_ms: u32) -> Engine {
    let engine = world.engine().await;
    let rows: String = (0..40).map(|n| format!("{n},P{n},,external,,,,,\n")).collect();
    import(&engine, &rows).await;
    world.app.faults.ask(Fault::Slow(slow_ms));
    let targets = TARGETS.replacen(
        "apply = \"auto\"",
        "apply = \"auto\"\nlimits = { concurrency = 1 }",
        1,
    );
    engine
        .activate_targets("targets.toml", &targets, person())
        .await
        .unwrap();
    serve(world, &engine, async |script| {
        script
            .at_once("a call is under way", async || world.clock.sleepers() == 3)
            .await;
    })
    .await;
    engine
}

#[tokio::test]
async fn calls_under_way_end_and_are_recorded_and_the_rest_is_given_back() {
    let world = World::new(1).await;
    let engine = stopped_during_a_call(&world, 10_000).await;
    assert_eq!(world.app.accounts().len(), 1);
    assert_eq!(in_state(&engine, OperationState::Claimed).await, 0);
    assert_eq!(in_state(&engine, OperationState::Done).await, 1);
    assert_eq!(
        in_state(&engine, OperationState::Ready).await,
        40,
        "39 creations and a group"
    );
}

#[tokio::test]
async fn a_call_that_does_not_end_is_left_to_be_read_back() {
    let world = World::new(2).await;
    let engine = stopped_during_a_call(&world, 86_400_000).await;
    assert_eq!(
        crate::ports::Clock::now(&*world.clock),
        time("2026-03-02T08:00:25Z"),
        "the grace"
    );
    assert_eq!(in_state(&engine, OperationState::Claimed).await, 1);
    drop(engine);
    let engine = world.engine().await;
    serve(&world, &engine, async |script| {
        script
            .in_time(2, "all are made", async || script.all_is_done().await)
            .await;
    })
    .await;
    assert_eq!((world.app.accounts().len(), world.creations_max()), (40, 1));
}
