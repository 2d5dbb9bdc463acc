//! Outcomes that are not known while the facts change: nothing that is not wanted any more is written.

use serde_json::json;
use usher_lifecycle::connector::{CallError, Effect, ErrorKind};

use super::*;
use crate::sim::Fault;

const WAIT_MS: u64 = 600_000;
const LEFT: &str = "1,Ana,,permanent,2026-01-01,2026-03-01,,,\n";
const HERE: &str = "1,Ana,,permanent,2026-01-01,,,,\n";

fn unknown_for(retry_after_ms: u64) -> Fault {
    Fault::Error(CallError {
        kind: ErrorKind::Unavailable,
        effect: Effect::Unknown,
        retry_after_ms: Some(retry_after_ms),
        existing_id: None,
        message: "simulated".to_owned(),
    })
}

fn written(target: &SimTarget, verb: &str) -> usize {
    target.journal().iter().filter(|call| call.verb == verb).count()
}

/// Ana left, and her retention is over; what her deletion did is not known. Then she is back.
async fn back_after_a_deletion(seed: u64, fault: Fault, crash: bool) -> World {
    let world = World::new(seed).await;
    let engine = world.engine().await;
    import(&engine, HERE).await;
    apply(&engine, 0).await;
    import(&engine, LEFT).await;
    apply(&engine, 0).await;
    world.clock.set(time("2026-04-05T08:00:00Z"));
    if crash {
        world.probes.crash_at(crate::ports::Point::BeforeCall, 1);
        assert!(survive(apply(&engine, 0)).await.is_none(), "it crashes");
    } else {
        world.app.faults.ask(fault);
        apply(&engine, 0).await;
    }
    drop(engine);
    let engine = world.engine().await;
    import(&engine, HERE).await;
    let report = apply(&engine, WAIT_MS).await;
    assert!(report.troubles.is_empty(), "{:?}", report.troubles);
    assert_eq!(engine.preview().await.unwrap().operations(), 0);
    world
}

#[tokio::test]
async fn somebody_who_is_back_is_not_deleted_by_what_was_left_unknown() {
    for (crash, fault) in [
        (false, Fault::LostCall),
        (false, unknown_for(7_200_000)),
        (true, Fault::LostCall),
    ] {
        let world = back_after_a_deletion(1, fault, crash).await;
        assert_eq!(written(&world.app, "delete"), 0);
        assert!(world.app.accounts()["1"].enabled);
        assert_eq!(written(&world.app, "create"), 1);
    }
}

#[tokio::test]
async fn somebody_who_is_back_after_an_unknown_deletion_that_took_place_gets_a_new_account() {
    let world = back_after_a_deletion(2, Fault::LostAnswer, false).await;
    assert_eq!(written(&world.app, "delete"), 1);
    assert!(world.app.accounts()["1"].enabled);
}

#[tokio::test]
async fn an_unknown_change_in_back_off_does_not_keep_a_leavers_access_alive() {
    let world = World::new(3).await;
    let engine = world.engine().await;
    import(&engine, HERE).await;
    apply(&engine, 0).await;
    world.app.faults.ask(unknown_for(7_200_000));
    import(&engine, "1,Anna,,permanent,2026-01-01,,,,\n").await;
    apply(&engine, 0).await;
    import(&engine, "1,Anna,,permanent,2026-01-01,2026-03-01,,,\n").await;
    let report = apply(&engine, 0).await;
    assert!(report.troubles.is_empty(), "{:?}", report.troubles);
    let account = &world.app.accounts()["1"];
    assert!(!account.enabled && account.entitlements.is_empty());
}

#[tokio::test]
async fn a_creation_that_did_not_happen_is_not_done_again_for_somebody_who_left() {
    for (fault, creations) in [(Fault::LostCall, 0), (Fault::LostAnswer, 1)] {
        let world = World::new(4).await;
        let engine = world.engine().await;
        world.app.faults.ask(fault.clone());
        world.directory.faults.ask(fault);
        import(&engine, HERE).await;
        apply(&engine, 0).await;
        import(&engine, LEFT).await;
        let report = apply(&engine, WAIT_MS).await;
        assert!(report.troubles.is_empty(), "{:?}", report.troubles);
        assert!(report.left.is_empty(), "{:?}", report.left);
        for target in [&world.app, &world.directory] {
            assert_eq!(written(target, "create"), creations);
            assert!(target.accounts().values().all(|account| !account.enabled));
        }
        import(&engine, HERE).await;
        apply(&engine, WAIT_MS).await;
        assert!(world.app.accounts()["1"].enabled, "and made when they are back");
    }
}

#[tokio::test]
async fn letting_a_conflict_run_again_does_not_adopt_somebody_elses_account() {
    let world = World::new(5).await;
    let engine = world.engine().await;
    // Between the look and the write somebody else takes the name.
    world.app.faults.ask(Fault::Error(CallError::harmless(
        ErrorKind::Conflict,
        "there is an account 1",
    )));
    import(&engine, HERE).await;
    let report = apply(&engine, 0).await;
    let foreign = json!({ "username": "1", "mail": "boss@example.org" });
    let foreign = foreign.as_object().unwrap().clone();
    world.app.put(foreign.clone());
    let held = report.troubles[0].operation;
    let context = engine.context(person());
    engine.ports.store.retry(held, &context).await.unwrap();
    let report = apply(&engine, WAIT_MS).await;
    assert_eq!(report.troubles.len(), 1);
    assert_eq!(world.app.accounts()["1"].attributes, foreign);
}

#[tokio::test]
async fn a_look_that_is_old_is_no_evidence() {
    let world = World::new(6).await;
    let engine = world.engine().await;
    world.app.faults.ask(Fault::Error(CallError {
        retry_after_ms: Some(3_600_000),
        ..CallError::harmless(ErrorKind::Unavailable, "simulated")
    }));
    import(&engine, HERE).await;
    apply(&engine, 0).await;
    let foreign = json!({ "username": "1", "mail": "boss@example.org" });
    let foreign = foreign.as_object().unwrap().clone();
    world.app.put(foreign.clone());
    // Were the next write sent, its answer would be lost, and the account found taken for the one it made.
    world.app.faults.ask(Fault::LostAnswer);
    let report = apply(&engine, 2 * 3_600_000).await;
    assert_eq!(report.troubles.len(), 1);
    assert_eq!(world.app.accounts()["1"].attributes, foreign);
}
