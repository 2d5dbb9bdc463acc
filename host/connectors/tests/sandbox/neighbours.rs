//! Hostile connectors in a loop, as many at a time as their targets may run, and a good one beside them: it never fails, keeps making
//! progress, and no thread of the host is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use usher_connectors::{Connector as _, Generation};
use usher_lifecycle::connector::ErrorKind;
use usher_lifecycle::targets::{Limits, Target};

use crate::support::{Serve, Server, granting_http, hostile, login, noop, target, write};

/// Targets that run the same hostile connector at a time.
const HOSTILE_TARGETS: usize = 2;
/// Good calls beside each behaviour.
const GOOD_CALLS: usize = 40;
/// Longest one good call may take. A debug build on a busy machine is slow; a starved call waits for seconds.
const GOOD_CALL_MAX: Duration = Duration::from_secs(4);

/// Behaviours, each with what else its settings say.
fn behaviours(port: u16) -> Vec<(&'static str, Value)> {
    let request =
        json!({ "method": "POST", "scheme": "http", "authority": format!("127.0.0.1:{port}"), "path": "/" });
    vec![
        ("endless-loop", json!({})),
        ("endless-log", json!({})),
        ("endless-clock", json!({})),
        ("endless-poll", json!({})),
        ("endless-random", json!({})),
        ("memory-bomb", json!({})),
        ("memory-growth", json!({})),
        ("handles", json!({})),
        ("stack-overflow", json!({})),
        ("stack-overflow-of-calls", json!({})),
        ("trap", json!({})),
        ("wild-pointer", json!({})),
        ("giant-return", json!({})),
        ("many-values", json!({})),
        ("no-utf-8", json!({})),
        ("log-flood", json!({})),
        ("sleep", json!({})),
        ("http", request.clone()),
        ("http-hoard", and(request.clone(), &json!({ "count": 100 }))),
        (
            "http-leave-open",
            and(request, &json!({ "wait-ms": 20, "then": "trap" })),
        ),
    ]
}

fn and(mut settings: Value, more: &Value) -> Value {
    let settings_object = settings.as_object_mut().unwrap();
    settings_object.extend(more.as_object().unwrap().clone());
    settings
}

fn hostile_target(behaviour: &str, settings: Value, port: u16) -> Target {
    let mut target = granting_http(target(and(settings, &json!({ "behaviour": behaviour }))), port);
    target.limits = Limits {
        cpu_ms: 100,
        wall_ms: 500,
        memory_mib: 32,
        requests: 10,
        ..Limits::default()
    };
    target
}

/// Runs a connector over and over, as many calls at a time as its target may have, until told to stop.
fn run_in_a_loop(
    generation: &Arc<Generation>,
    concurrency: u32,
    stop: &Arc<AtomicBool>,
    ended: &Arc<AtomicUsize>,
) -> Vec<JoinHandle<()>> {
    let one = || {
        let (generation, stop, ended) = (Arc::clone(generation), Arc::clone(stop), Arc::clone(ended));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let _ = generation.create(&write(), &login("ada")).await;
                ended.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    (0..concurrency).map(|_| one()).collect()
}

/// Threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_connector_keeps_working_beside_each_hostile_one() {
    let silent = Server::start(Serve::Silence).await;
    let good = noop().await;
    good.create(&write(), &login("ada")).await.unwrap();
    for (behaviour, settings) in behaviours(silent.port) {
        let target = hostile_target(behaviour, settings, silent.port);
        let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut loops = Vec::new();
        for _ in 0..HOSTILE_TARGETS {
            let generation = hostile(&target).await;
            loops.extend(run_in_a_loop(
                &generation,
                target.limits.concurrency,
                &stop,
                &ended,
            ));
        }
        for _ in 0..GOOD_CALLS {
            let started = Instant::now();
            let made = good.create(&write(), &login("ada")).await;
            assert_eq!(made.expect(behaviour).id, "op_1");
            assert!(
                started.elapsed() < GOOD_CALL_MAX,
                "{behaviour}: {:?}",
                started.elapsed()
            );
        }
        until(behaviour, || ended.load(Ordering::Relaxed) >= HOSTILE_TARGETS).await;
        stop.store(true, Ordering::Relaxed);
        for one in loops {
            one.await.expect(behaviour);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_thread_is_lost_and_the_clock_of_the_guests_still_ticks() {
    let silent = Server::start(Serve::Silence).await;
    let behaviours = behaviours(silent.port);
    // Once each, so that every thread that is made at first need is there.
    let run_all = async |times: usize| {
        for (behaviour, settings) in &behaviours {
            let target = hostile_target(behaviour, settings.clone(), silent.port);
            let generation = hostile(&target).await;
            for _ in 0..times {
                let _ = generation.create(&write(), &login("ada")).await;
            }
        }
    };
    run_all(1).await;
    let before = threads();
    run_all(3).await;
    // Threads for blocking work come and go; those that are stuck stay.
    until("threads were left behind", || threads() <= before + 2).await;
    // A computing guest is still interrupted: the epoch thread is alive.
    let generation = hostile(&hostile_target("endless-loop", json!({}), silent.port)).await;
    let started = Instant::now();
    let error = generation.create(&write(), &login("ada")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded("cpu-ms = 100".to_owned()));
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    // And both workers of the runtime still take work at the same time.
    let one = Arc::new(Barrier::new(2));
    let meeting = Arc::clone(&one);
    let both = (
        tokio::spawn(async move { meeting.wait() }),
        tokio::spawn(async move { one.wait() }),
    );
    let met = tokio::time::timeout(Duration::from_secs(10), async { (both.0.await, both.1.await) });
    let (one, other) = met.await.expect("a worker is gone");
    assert!(one.unwrap().is_leader() != other.unwrap().is_leader());
}
