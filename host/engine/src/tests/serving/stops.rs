//! Security holds while the loop serves: calls in their way, targets that run nothing else.

use usher_lifecycle::operation::{Priority, Work};

use super::*;
use crate::ports::Clock as _;
use crate::run::IN_FLIGHT_WAIT_MS;
use crate::sim::Fault;
use crate::tests::stops::hold;

/// For as long as the test lasts.
const FOR_EVER_MS: u32 = 86_400_000;

const ZOE: &str = "1,Zoë,Muster,permanent,2026-03-01,,,,\n";

async fn zoe(seed: u64) -> (World, Engine) {
    let world = World::new(seed).await;
    let engine = world.engine().await;
    engine
        .activate_targets("targets.toml", BOTH_AUTO, person())
        .await
        .unwrap();
    import(&engine, ZOE).await;
    apply(&engine, 0).await;
    (world, engine)
}

fn waited_ms(world: &World, since: Timestamp) -> i128 {
    world.clock.now().duration_since(since).as_millis()
}

#[tokio::test]
async fn a_call_that_hangs_is_cut_short_and_read_back() {
    let (world, engine) = zoe(1).await;
    import(&engine, "1,Zoë,Master,permanent,2026-03-01,,,,\n").await;
    world.app.faults.ask(Fault::Slow(FOR_EVER_MS));
    let began = world.clock.now();
    serve(&world, &engine, async |script| {
        script
            .at_once("the update hangs", async || world.clock.sleepers() == 3)
            .await;
        hold(&engine).await;
        script
            .at_once(
                "the directory's account is disabled while the app hangs",
                async || !world.directory.accounts()["1"].enabled,
            )
            .await;
        assert_eq!(world.clock.now(), began, "no time has passed");
        assert!(world.app.accounts()["1"].enabled);
        script
            .in_time(3, "the app's too", async || !world.app.accounts()["1"].enabled)
            .await;
    })
    .await;
    assert_eq!(
        waited_ms(&world, began),
        i128::from(IN_FLIGHT_WAIT_MS),
        "no longer than that"
    );
    let verbs: Vec<&str> = world.app.journal().iter().map(|call| call.verb).collect();
    assert_eq!(
        verbs,
        ["create", "grant", "disable"],
        "the update was never written again"
    );
    let told = engine.ports.store.audit_tail(1_000).await.unwrap();
    assert!(told.iter().any(|row| row.event == "operation.hastened"));
}

#[tokio::test]
async fn a_call_that_ends_in_time_is_not_cut_short() {
    let (world, engine) = zoe(2).await;
    import(&engine, "1,Zoë,Master,permanent,2026-03-01,,,,\n").await;
    world.app.faults.ask(Fault::Slow(2_000));
    let began = world.clock.now();
    serve(&world, &engine, async |script| {
        script
            .at_once("the update takes its time", async || world.clock.sleepers() == 3)
            .await;
        hold(&engine).await;
        script
            .in_time(3, "access ends", async || {
                !world.app.accounts()["1"].enabled && script.all_is_done().await
            })
            .await;
    })
    .await;
    assert_eq!(waited_ms(&world, began), 2_000);
    let verbs: Vec<&str> = world.app.journal().iter().map(|call| call.verb).collect();
    assert_eq!(verbs, ["create", "grant", "update", "disable"]);
}

/// Whether or not the account was made before the creation was cut short.
#[tokio::test]
async fn an_account_that_is_being_made_is_settled_and_taken_away() {
    for (fault, made) in [
        (Fault::Slow(FOR_EVER_MS), false),
        (Fault::SlowAnswer(FOR_EVER_MS), true),
    ] {
        let world = World::new(3).await;
        let engine = world.engine().await;
        import(&engine, ZOE).await;
        world.app.faults.ask(fault);
        serve(&world, &engine, async |script| {
            script
                .at_once("the creation hangs", async || world.clock.sleepers() == 3)
                .await;
            hold(&engine).await;
            script
                .in_time(3, "it is settled", async || {
                    let stop = engine.stop_of("1").await.unwrap();
                    stop.is_some_and(|stop| {
                        let mut app = stop
                            .accounts
                            .iter()
                            .filter(|account| account.slot.to_string() == "app");
                        app.all(|account| account.progress.has_ended())
                    })
                })
                .await;
        })
        .await;
        let accounts = world.app.accounts();
        assert_eq!(
            accounts.get("1").map(|account| account.enabled),
            made.then_some(false)
        );
        assert_eq!(world.creations_max(), usize::from(made));
    }
}

/// What a hold found under way passes a freeze to be looked for, not to be made, also when the hold turns out to be a false alarm.
#[tokio::test]
async fn a_creation_that_a_hold_cut_short_is_not_made_under_a_freeze_when_the_hold_has_ended() {
    let world = World::new(8).await;
    let engine = world.engine().await;
    import(&engine, ZOE).await;
    world.app.faults.ask(Fault::Slow(FOR_EVER_MS));
    let store = &engine.ports.store;
    let events = async || {
        let row = store.identity("1").await.unwrap();
        let rows = store.timeline(row.reference, 1_000).await.unwrap();
        rows.into_iter().map(|row| row.event).collect::<Vec<_>>()
    };
    let creations = async || {
        let row = store.identity("1").await.unwrap();
        let open = row.accounts.into_iter().flat_map(|account| account.open);
        open.filter(|one| matches!(one.work, Work::Create { .. }))
            .map(|one| one.priority)
            .collect::<Vec<_>>()
    };
    serve(&world, &engine, async |script| {
        script
            .at_once("the creation hangs", async || world.clock.sleepers() == 3)
            .await;
        hold(&engine).await;
        script
            .at_once("it is in the way", async || {
                events().await.contains(&"operation.hastened".to_owned())
            })
            .await;
        let set = engine.show("1").await.unwrap().set;
        engine
            .end_fact(set[0].id, "a false alarm", person())
            .await
            .unwrap();
        store
            .freeze("looked at", &engine.context(person()))
            .await
            .unwrap();
        script
            .in_time(3, "what was hastened has ended", async || {
                let left = creations().await;
                !left.is_empty() && !left.contains(&Priority::SecurityHold)
            })
            .await;
    })
    .await;
    assert_eq!(
        world.app.accounts().get("1").map(|_| ()),
        None,
        "nothing is made while frozen"
    );
}

#[tokio::test]
async fn what_waits_in_hand_for_a_worker_makes_way() {
    let (world, engine) = zoe(4).await;
    let one_at_a_time = BOTH_AUTO.replacen(
        "apply = \"auto\"",
        "apply = \"auto\"\nlimits = { concurrency = 1 }",
        1,
    );
    engine
        .activate_targets("targets.toml", &one_at_a_time, person())
        .await
        .unwrap();
    import(&engine, &format!("{ZOE}2,Bo,,external,2026-03-01,,,,\n")).await;
    world.app.faults.ask(Fault::Slow(3_000));
    let began = world.clock.now();
    serve(&world, &engine, async |script| {
        script
            .at_once("another's creation takes its time", async || {
                world.clock.sleepers() == 3
            })
            .await;
        // Claimed, and waiting for the worker.
        import(
            &engine,
            &format!(
                "{}2,Bo,,external,2026-03-01,,,,\n",
                ZOE.replace("Muster", "Master")
            ),
        )
        .await;
        script
            .at_once("the update is claimed", async || {
                let shown = engine.show("1").await.unwrap();
                let mut open = shown.accounts.iter().flat_map(|account| &account.open);
                open.any(|one| one.verb == "update" && one.state == OperationState::Claimed)
            })
            .await;
        hold(&engine).await;
        script
            .in_time(3, "access ends", async || !world.app.accounts()["1"].enabled)
            .await;
    })
    .await;
    assert_eq!(waited_ms(&world, began), 3_000, "as soon as there is a worker");
    assert!(world.app.journal().iter().all(|call| call.verb != "update"));
}

#[tokio::test]
async fn a_host_ends_access_in_targets_where_it_does_nothing_else() {
    let (world, engine) = zoe(5).await;
    let idle = BOTH_AUTO
        .replacen("auto", "observe", 1)
        .replacen("apply = \"auto\"", "apply = \"manual\"", 1);
    engine
        .activate_targets("targets.toml", &idle, person())
        .await
        .unwrap();
    let began = world.clock.now();
    serve(&world, &engine, async |script| {
        script
            .at_once("both sleep", async || world.clock.sleepers() == 2)
            .await;
        engine
            .ports
            .store
            .freeze("HR sent nonsense", &engine.context(person()))
            .await
            .unwrap();
        hold(&engine).await;
        script
            .at_once("access ends", async || {
                !world.app.accounts()["1"].enabled && !world.directory.accounts()["1"].enabled
            })
            .await;
    })
    .await;
    assert_eq!(world.clock.now(), began);
}
