//! Rests of targets are on record: whoever comes next honours them, until somebody ends them.

use usher_lifecycle::connector::{CallError, ErrorKind};

use super::*;
use crate::sim::Fault;

const ONE: &str = "1,Ana,,permanent,,,,,\n";

/// A first process has met a target that wants to be left alone.
async fn after(seed: u64, kind: ErrorKind, retry_after_ms: Option<u64>) -> World {
    let world = World::new(seed).await;
    let engine = world.engine().await;
    world.app.faults.ask(Fault::Error(CallError {
        retry_after_ms,
        ..CallError::harmless(kind, "simulated")
    }));
    import(&engine, ONE).await;
    let report = apply(&engine, 0).await;
    assert_eq!(report.paused.len(), 1, "{report:?}");
    world
}

#[tokio::test]
async fn a_rest_asked_for_in_one_process_is_honoured_by_the_next() {
    let world = after(1, ErrorKind::RateLimited, Some(3_600_000)).await;
    let calls = world.app.calls();
    let engine = world.engine().await;
    import(&engine, "1,Ana,,permanent,,,,,\n2,Bo,,permanent,,,,,\n").await;
    world.clock.advance(jiff::SignedDuration::from_mins(59));
    let report = apply(&engine, 0).await;
    assert_eq!(world.app.calls(), calls, "nobody new is tried either");
    insta::assert_json_snapshot!(report.paused[0].reason, @r#""rate limited: simulated""#);
    assert_eq!(report.left[0].open, 4);
    apply(&engine, 2 * 3_600_000).await;
    assert_eq!(world.app.accounts().len(), 2);
}

#[tokio::test]
async fn a_refused_credential_rests_until_somebody_has_seen_it_accepted() {
    let world = after(2, ErrorKind::AuthFailed, None).await;
    let engine = world.engine().await;
    assert!(apply(&engine, 0).await.done() == 0);
    assert!(engine.end_rest(&name("app"), person()).await.unwrap());
    assert!(
        !engine.end_rest(&name("app"), person()).await.unwrap(),
        "it does not rest any more"
    );
    let report = apply(&engine, 0).await;
    assert!(report.left.is_empty(), "{:?}", report.left);
    assert!(world.app.accounts()["1"].enabled);
    let tail = engine.ports.store.audit_tail(100).await.unwrap();
    assert!(tail.iter().any(|row| row.event == "target.rest-ended"));
}

#[tokio::test]
async fn a_new_targets_document_ends_it_too() {
    let world = after(3, ErrorKind::AuthFailed, None).await;
    let engine = world.engine().await;
    engine
        .activate_targets("targets.toml", TARGETS, person())
        .await
        .unwrap();
    assert_eq!(
        apply(&engine, 0).await.done(),
        0,
        "the same document again says nothing new"
    );
    let other = format!("{TARGETS}# the other secret\n");
    engine
        .activate_targets("targets.toml", &other, person())
        .await
        .unwrap();
    apply(&engine, 0).await;
    assert!(world.app.accounts()["1"].enabled);
}

#[tokio::test]
async fn who_serves_goes_on_at_once_when_a_rest_is_ended() {
    let world = after(4, ErrorKind::AuthFailed, None).await;
    let engine = world.engine().await;
    let now = crate::ports::Clock::now(&*world.clock);
    super::serving::serve(&world, &engine, async |script| {
        script
            .at_once("it rests", async || {
                script
                    .recorder
                    .has(|seen| matches!(seen, crate::Seen::Rest { .. }))
            })
            .await;
        engine.end_rest(&name("app"), person()).await.unwrap();
        script
            .at_once("Ana is made", async || world.app.accounts().contains_key("1"))
            .await;
        assert_eq!(crate::ports::Clock::now(&*world.clock), now, "no time has passed");
    })
    .await;
}
