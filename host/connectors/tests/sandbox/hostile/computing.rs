//! Guests that take time, memory, stack or the log.

use std::time::{Duration, Instant};

use serde_json::json;
use usher_connectors::Connector as _;
use usher_lifecycle::connector::{Effect, ErrorKind};
use usher_lifecycle::targets::Limits;

use super::{Ends, behaving, contained};
use crate::log_lines::LogLines;
use crate::support::{hostile, login, write};

#[tokio::test]
async fn loops_end_at_the_computing_time_with_host_calls_or_without() {
    for behaviour in [
        "endless-loop",
        "endless-log",
        "endless-clock",
        "endless-output",
        "endless-random",
    ] {
        let started = Instant::now();
        contained(&behaving(behaviour), Ends::Limit("cpu-ms = 100"), Effect::None).await;
        assert!(started.elapsed() < Duration::from_secs(10), "{behaviour}");
    }
}

#[tokio::test]
async fn a_loop_that_waits_a_little_each_time_ends_at_the_wall_time_at_the_latest() {
    let mut target = behaving("endless-poll");
    target.limits = Limits {
        cpu_ms: 10_000,
        wall_ms: 500,
        ..Limits::default()
    };
    contained(
        &target,
        Ends::With(ErrorKind::Timeout, "wall-ms = 500"),
        Effect::None,
    )
    .await;
    target.settings = json!({ "behaviour": "sleep" });
    contained(
        &target,
        Ends::With(ErrorKind::Timeout, "wall-ms = 500"),
        Effect::None,
    )
    .await;
}

#[tokio::test]
async fn memory_ends_at_its_limit_touched_or_not() {
    for behaviour in ["memory-bomb", "memory-growth"] {
        let mut target = behaving(behaviour);
        target.limits = Limits {
            memory_mib: 16,
            ..Limits::default()
        };
        contained(&target, Ends::Limit("memory-mib = 16"), Effect::None).await;
    }
}

#[tokio::test]
async fn handles_and_randomness_end_at_their_limits() {
    contained(&behaving("handles"), Ends::Limit("4096 handles"), Effect::None).await;
    let random = Ends::Limit("65536 random bytes at once");
    contained(&behaving("random-flood"), random, Effect::None).await;
}

#[tokio::test]
async fn both_stacks_end_before_the_host_s() {
    // The guest's own stack is in its memory: it runs into the end of that.
    contained(
        &behaving("stack-overflow"),
        Ends::Crashed("out of bounds"),
        Effect::None,
    )
    .await;
    contained(
        &behaving("stack-overflow-of-calls"),
        Ends::Limit("524288 bytes of stack"),
        Effect::None,
    )
    .await;
}

#[tokio::test]
async fn crashes_are_crashes() {
    for (behaviour, says) in [
        ("trap", "unreachable"),
        ("unreachable", "unreachable"),
        ("wild-pointer", "out of bounds"),
        ("exit", "exit"),
    ] {
        contained(&behaving(behaviour), Ends::Crashed(says), Effect::None).await;
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_escaped_and_counted() {
    let lines = LogLines::capture();
    let mut target = behaving("log-flood");
    target.limits = Limits {
        cpu_ms: 30_000,
        ..Limits::default()
    };
    let flooded = hostile(&target).await.create(&write(), &login("ada")).await;
    assert_eq!(flooded.unwrap().id, "flooded");
    let of_the_guest = lines.of_target("usher::connector");
    let flood: Vec<_> = of_the_guest
        .iter()
        .filter(|line| line.contains("flood"))
        .collect();
    assert_eq!(flood.len(), 100);
    for line in flood {
        assert!(line.len() < 5_000 && !line.contains(['\u{1b}', '\n']), "{line}");
    }
    let counted = of_the_guest.iter().filter(|line| line.contains("more lines"));
    assert_eq!(counted.count(), 1, "the rest is told in one line");
}

#[tokio::test]
async fn files_of_the_host_are_not_there() {
    for behaviour in ["read-file", "write-file"] {
        let generation = hostile(&behaving(behaviour)).await;
        let found = generation.create(&write(), &login("ada")).await.unwrap().id;
        assert!(found.starts_with("Err("), "{behaviour}: {found}");
    }
    assert!(!std::path::Path::new("/tmp/hostile").exists());
    contained(&behaving("socket"), Ends::Denied("wasi:sockets/"), Effect::None).await;
}
