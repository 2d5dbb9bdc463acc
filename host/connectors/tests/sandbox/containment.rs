//! A connector that loops, hoards, crashes or floods is stopped at its limit, tells nothing but that, and disturbs nobody.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use usher_connectors::Connector as _;
use usher_lifecycle::connector::{CallError, Effect, ErrorKind, Find};
use usher_lifecycle::targets::Limits;

use crate::support::{hostile, login, target, write};

async fn misbehave_under(settings: Value, limits: Limits) -> CallError {
    let mut target = target(settings);
    target.limits = limits;
    let generation = hostile(&target).await;
    let failed = generation.create(&write(), &login("ada")).await;
    failed.expect_err("it should not have worked")
}

fn limit(error: &CallError) -> &str {
    match &error.kind {
        ErrorKind::LimitExceeded(limit) => limit,
        other => panic!("{other:?}: {}", error.message),
    }
}

#[tokio::test]
async fn computing_is_stopped_at_its_limit() {
    let limits = Limits {
        cpu_ms: 50,
        ..Limits::default()
    };
    let mut target = target(json!({ "behaviour": "endless-loop" }));
    target.limits = limits;
    let generation = hostile(&target).await;
    let started = Instant::now();
    let error = generation.create(&write(), &login("ada")).await.unwrap_err();
    assert_eq!(limit(&error), "cpu-ms = 50");
    assert_eq!(error.effect, Effect::None);
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn waiting_is_stopped_at_the_wall_time() {
    let error = misbehave_under(
        json!({ "behaviour": "sleep" }),
        Limits {
            wall_ms: 200,
            ..Limits::default()
        },
    )
    .await;
    assert_eq!((error.kind, error.effect), (ErrorKind::Timeout, Effect::None));
    assert!(error.message.contains("wall-ms = 200"), "{}", error.message);
}

#[tokio::test]
async fn pages_and_finds_keep_to_their_limits() {
    let generation = hostile(&target(json!({ "more": 1 }))).await;
    let error = generation.list(None, 5).await.unwrap_err();
    assert!(error.message.contains("a page of 6 items"), "{}", error.message);
    let error = generation.find(&Find::Marker("x".repeat(11))).await.unwrap_err();
    assert!(
        error.message.contains("11 accounts from `find`"),
        "{}",
        error.message
    );
    assert_eq!(
        generation
            .find(&Find::Marker("xx".to_owned()))
            .await
            .unwrap()
            .len(),
        2
    );
    let strange = hostile(&target(json!({ "parameters": "[]" }))).await;
    let error = strange.members("staff", None, 5).await.unwrap_err();
    assert!(error.message.contains("parameters"), "{}", error.message);
    assert_eq!(
        generation.held("1").await.unwrap()[0].parameters,
        json!({"level": 2})
    );
    let generation = hostile(&target(json!({ "cursor-bytes": 5_000 }))).await;
    assert!(
        generation
            .list(None, 5)
            .await
            .unwrap_err()
            .message
            .contains("cursor of 5000 bytes")
    );
    let generation = hostile(&target(json!({ "cursor-bytes": 5 }))).await;
    assert_eq!(
        generation.list(Some("a"), 5).await.unwrap().next.as_deref(),
        Some("ccccc")
    );
}

#[tokio::test]
async fn the_surroundings_are_empty() {
    let generation = hostile(&target(json!({ "behaviour": "surroundings" }))).await;
    let found = generation.create(&write(), &login("ada")).await.unwrap().id;
    assert_eq!(found, "arguments 0 variables 0 folders 0");
}

#[tokio::test]
async fn calls_beyond_the_concurrency_wait_for_their_turn() {
    let mut target = target(json!({ "behaviour": "sleep" }));
    target.limits = Limits {
        wall_ms: 300,
        concurrency: 1,
        ..Limits::default()
    };
    let generation = hostile(&target).await;
    let started = Instant::now();
    let (write, login) = (write(), login("ada"));
    let (first, second) = tokio::join!(
        generation.create(&write, &login),
        generation.create(&write, &login)
    );
    assert_eq!(
        (first.unwrap_err().kind, second.unwrap_err().kind),
        (ErrorKind::Timeout, ErrorKind::Timeout)
    );
    assert!(
        started.elapsed() >= Duration::from_millis(600),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_call_that_finds_no_slot_says_so_and_did_nothing() {
    let mut target = target(json!({ "behaviour": "sleep" }));
    target.limits = Limits {
        wall_ms: 20_000,
        concurrency: 1,
        ..Limits::default()
    };
    let generation = hostile(&target).await;
    let (write, login) = (write(), login("ada"));
    // Whichever gets the slot sleeps on; the other one gives up first.
    let (first, second) = (
        generation.create(&write, &login),
        generation.create(&write, &login),
    );
    let error = tokio::select!(result = first => result, result = second => result).unwrap_err();
    assert_eq!((error.kind, error.effect), (ErrorKind::Busy, Effect::None));
}
