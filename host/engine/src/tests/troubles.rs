//! Targets that rest, conflicts that wait for a person, connectors that cannot be loaded, a person who asks to stop.

use serde_json::json;
use usher_lifecycle::connector::{CallError, Effect, ErrorKind};
use usher_lifecycle::operation::OperationState;

use super::*;
use crate::sim::Fault;

const TWO: &str = "1,Ana,,permanent,,,,,\n2,Bo,,permanent,,,,,\n";

fn error(kind: ErrorKind, retry_after_ms: Option<u64>) -> Fault {
    let (effect, existing_id) = (Effect::None, None);
    Fault::Error(CallError {
        kind,
        effect,
        retry_after_ms,
        existing_id,
        message: "simulated".to_owned(),
    })
}

#[tokio::test]
async fn a_refused_credential_rests_one_target_and_keeps_its_queue() {
    let world = World::new(1).await;
    let engine = world.engine().await;
    world.app.faults.ask(error(ErrorKind::AuthFailed, None));
    world.app.faults.ask(error(ErrorKind::AuthFailed, None));
    import(&engine, TWO).await;
    let report = apply(&engine, 0).await;
    assert_eq!(report.paused.len(), 1);
    assert_eq!(report.paused[0].target, name("app"));
    assert!(report.troubles.is_empty(), "nobody is asked about each operation");
    assert_eq!(
        world.directory.accounts().len(),
        2,
        "the other target is untouched"
    );
    assert!(world.app.accounts().is_empty());
    assert_eq!((report.left[0].open, report.left[0].held), (4, 0));

    let later = apply(&engine, 20 * 60 * 1_000).await;
    assert!(later.left.is_empty(), "{:?}", later.left);
    assert_eq!(world.app.accounts().len(), 2);
}

#[tokio::test]
async fn retry_after_is_obeyed_by_all_workers() {
    let world = World::new(2).await;
    let engine = world.engine().await;
    import(&engine, TWO).await;
    world.app.faults.ask(error(ErrorKind::RateLimited, Some(60_000)));
    world.app.faults.ask(error(ErrorKind::RateLimited, Some(60_000)));
    let start = time("2026-03-02T08:00:00Z");
    let report = apply(&engine, 59_000).await;
    assert!(world.app.accounts().is_empty(), "{report:?}");
    assert!(report.next_due.is_some_and(|due| due >= later_by(start, 60)));
    apply(&engine, 120_000).await;
    assert_eq!(world.app.accounts().len(), 2);
    assert!(crate::ports::Clock::now(&*world.clock) >= later_by(start, 60));
}

#[tokio::test]
async fn a_target_that_bears_few_calls_is_not_hammered() {
    let world = World::new(10).await;
    let engine = world.engine().await;
    let wide = TARGETS.replacen(
        "apply = \"auto\"",
        "apply = \"auto\"\nlimits = { concurrency = 20 }",
        1,
    );
    engine
        .activate_targets("targets.toml", &wide, person())
        .await
        .unwrap();
    world.app.limit_rate(2);
    let rows: String = (0..20).map(|n| format!("{n},P{n},,permanent,,,,,\n")).collect();
    import(&engine, &rows).await;
    let report = apply(&engine, 60 * 60 * 1_000).await;
    assert!(report.left.is_empty() && report.troubles.is_empty(), "{report:?}");
    // Looking, creating and granting: 60 calls. At full width each pair of them cost 18 that are refused.
    let calls = world.app.calls();
    assert!((60..=200).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn a_dead_target_is_not_tried_once_for_each_operation() {
    let world = World::new(10).await;
    let engine = world.engine().await;
    for _ in 0..1_000 {
        world.app.faults.ask(error(ErrorKind::Unavailable, None));
    }
    let rows: String = (0..200).map(|n| format!("{n},P{n},,permanent,,,,,\n")).collect();
    import(&engine, &rows).await;
    let report = apply(&engine, 60 * 1_000).await;
    assert!(!report.left.is_empty(), "{report:?}");
    // At most 200 looks before a creation, which are answered; then eight creations until it rests, those that were under way, and a few
    // probes in the minute it is waited for. Each operation tried once would already be 400.
    let calls = world.app.calls();
    assert!((8..=260).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn the_report_says_why_operations_are_tried_again_until_they_are_done() {
    let world = World::new(9).await;
    let engine = world.engine().await;
    import(&engine, TWO).await;
    world.app.faults.ask(error(ErrorKind::Unavailable, Some(60_000)));
    world.app.faults.ask(error(ErrorKind::Unavailable, Some(60_000)));
    let report = apply(&engine, 0).await;
    insta::assert_json_snapshot!(report.retries, @r#"
    [
      {
        "target": "app",
        "message": "unavailable: simulated",
        "operations": 2
      }
    ]
    "#);
    let later = apply(&engine, 120_000).await;
    assert!(later.retries.is_empty(), "{:?}", later.retries);
}

fn later_by(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap()
}

#[tokio::test]
async fn somebody_elses_account_is_never_adopted_and_a_person_can_let_it_run_again() {
    let world = World::new(3).await;
    let engine = world.engine().await;
    let foreign = json!({ "username": "1", "mail": "boss@example.org" })
        .as_object()
        .unwrap()
        .clone();
    world.app.put(foreign.clone());
    import(&engine, TWO).await;
    let report = apply(&engine, 60_000).await;
    assert_eq!(world.app.accounts()["1"].attributes, foreign);
    assert_eq!(report.troubles.len(), 1);
    insta::assert_snapshot!(report.troubles[0].message, @"conflict: account 1 already has what the new account would have; take that one away, or change what makes the new one unique");
    let status = engine.status().await.unwrap();
    assert_eq!(status.held.len(), 1);
    assert_eq!(status.targets[0].operations[&OperationState::Held], 1);
    assert!(world.app.accounts()["2"].enabled, "others go on");

    world.app.remove("1");
    let held = report.troubles[0].operation;
    engine
        .ports
        .store
        .retry(held, &engine.context(person()))
        .await
        .unwrap();
    apply(&engine, 60_000).await;
    assert_eq!(
        world.app.accounts()["1"].attributes["mail"],
        json!("ana@example.org")
    );
    assert_eq!(engine.preview().await.unwrap().operations(), 0);
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_looking() {
    for fault in [Fault::LostAnswer, Fault::LostCall] {
        let world = World::new(4).await;
        let engine = world.engine().await;
        import(&engine, TWO).await;
        world.app.faults.ask(fault.clone());
        world.directory.faults.ask(fault);
        let report = apply(&engine, 600_000).await;
        assert!(report.troubles.is_empty(), "{:?}", report.troubles);
        assert_eq!(world.creations_max(), 1);
        assert_eq!(
            (world.app.accounts().len(), world.directory.accounts().len()),
            (2, 2)
        );
        assert_eq!(engine.preview().await.unwrap().operations(), 0);
    }
}

#[tokio::test]
async fn a_connector_that_cannot_be_loaded_rests_its_target_only() {
    let world = World::new(5).await;
    let engine = world.engine().await;
    world
        .connectors
        .break_loading(&name("app"), "the component is not in the store");
    import(&engine, TWO).await;
    let report = apply(&engine, 600_000).await;
    assert_eq!(report.paused[0].reason, "the component is not in the store");
    assert_eq!(report.paused[0].until, None);
    assert_eq!(world.directory.accounts().len(), 2);
    world.connectors.mend_loading(&name("app"));
    apply(&engine, 0).await;
    assert_eq!(world.app.accounts().len(), 2);
}

#[tokio::test]
async fn drift_is_read_and_an_account_taken_away_is_made_again() {
    let world = World::new(6).await;
    let engine = world.engine().await;
    import(&engine, TWO).await;
    apply(&engine, 0).await;
    world.app.remove("1");
    import(&engine, "1,Anna,,permanent,,,,,\n2,Bo,,permanent,,,,,\n").await;
    let report = apply(&engine, 600_000).await;
    assert!(report.troubles.is_empty(), "{:?}", report.troubles);
    assert_eq!(
        world.app.accounts()["1"].attributes["mail"],
        json!("anna@example.org")
    );
    assert_eq!(engine.preview().await.unwrap().operations(), 0);
}

#[tokio::test]
async fn asked_to_stop_it_stops_and_leaves_the_rest_queued() {
    let world = World::new(7).await;
    let engine = world.engine().await;
    import(&engine, TWO).await;
    let (stopper, stop) = Stop::pair();
    stopper.stop();
    let request = ApplyRequest {
        expect: None,
        wait_ms: 60_000,
        stop,
        actor: person(),
    };
    let report = engine.apply(request, &NoProgress).await.unwrap();
    assert_eq!(report.done(), 0);
    assert!(world.app.journal().is_empty());
    apply(&engine, 0).await;
    assert_eq!(world.app.accounts().len(), 2);
}

#[tokio::test]
async fn ten_times_more_people_than_workers_are_all_served() {
    let world = World::new(8).await;
    let engine = world.engine().await;
    let rows: String = (0..300).map(|n| format!("{n},P{n},,permanent,,,,,\n")).collect();
    import(&engine, &rows).await;
    let report = apply(&engine, 0).await;
    assert_eq!(report.done(), 1_200);
    assert_eq!(
        (world.app.accounts().len(), world.directory.accounts().len()),
        (300, 300)
    );
}
