//! A good connector beside hostile ones that run in a loop: how much of its throughput it keeps.
//!
//! A guest that computes takes processor time, as anything that computes would; so each ratio stands beside that of a plain thread that
//! computes, from the same run. What is below that line is what being hostile adds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;
use usher_connectors::{Connector as _, FixedSecrets, Generation, Sandbox};
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::connector::WriteContext;
use usher_lifecycle::name::Name;
use usher_lifecycle::targets::{self, Target};

use crate::measure::Samples;
use crate::noop;
use crate::report::Table;

/// Calls of the good connector in one stretch.
const CALLS: usize = 2_000;
/// Hostile targets at a time, each as many calls at once as targets have by default.
const HOSTILE_TARGETS: usize = 2;
/// Longest stretch: a starved one must end too.
const STRETCH_MAX: Duration = Duration::from_secs(20);
/// What the hostile ones do.
const BEHAVIOURS: [&str; 15] = [
    "endless-loop",
    "endless-log",
    "endless-clock",
    "endless-poll",
    "endless-random",
    "memory-bomb",
    "memory-growth",
    "handles",
    "stack-overflow",
    "stack-overflow-of-calls",
    "trap",
    "giant-return",
    "many-values",
    "log-flood",
    "sleep",
];

/// Calls a second of the good connector, and its slowest percent.
struct Pace {
    calls_per_second: f64,
    p99_us: f64,
}

/// Runs the bench and gives its table.
pub(crate) async fn run() -> anyhow::Result<Table> {
    let sandbox = Sandbox::new(crate::compiler()?, None)?;
    let good = load(&sandbox, noop::component(), &noop::target("good")?).await?;
    let hostile = usher_tests::component("usher-guest-hostile");
    pace(&good).await?;
    let mut table = Table::new(
        "neighbours: a good connector beside hostile ones in a loop",
        &[
            "beside",
            "good calls/s",
            "p99 µs",
            "÷ alone",
            "÷ beside busy threads",
            "hostile calls ended",
        ],
    );
    let alone = pace(&good).await?;
    row(&mut table, "nobody", &alone, &alone, &alone, 0);
    let busy = beside_busy_threads(&good).await?;
    row(&mut table, "two busy threads", &busy, &alone, &busy, 0);
    for behaviour in BEHAVIOURS {
        // Measured anew each time, right before: the machine is not the same all along.
        let alone = pace(&good).await?;
        let mut loops = Loops::default();
        for number in 0..HOSTILE_TARGETS {
            let target = hostile_target(number, behaviour)?;
            loops.start(
                &load(&sandbox, hostile.clone(), &target).await?,
                target.limits.concurrency,
            );
        }
        let beside = pace(&good).await?;
        let ended = loops.stop().await?;
        row(&mut table, behaviour, &beside, &alone, &busy, ended);
    }
    table.note(format!(
        "{CALLS} calls of the good connector, one at a time, in each row; {HOSTILE_TARGETS} hostile targets at their default concurrency, \
         cpu-ms 100, wall-ms 500, memory-mib 32; every good call succeeded"
    ));
    Ok(table)
}

fn row(table: &mut Table, name: &str, pace: &Pace, alone: &Pace, busy: &Pace, ended: u64) {
    table.row(&[
        name.into(),
        format!("{:.0}", pace.calls_per_second),
        format!("{:.0}", pace.p99_us),
        format!("{:.2}", pace.calls_per_second / alone.calls_per_second),
        format!("{:.2}", pace.calls_per_second / busy.calls_per_second),
        ended.to_string(),
    ]);
}

async fn load(sandbox: &Sandbox, component: Vec<u8>, target: &Target) -> anyhow::Result<Arc<Generation>> {
    let secrets = Arc::new(FixedSecrets::none());
    Ok(sandbox.load(component, target, secrets).await?)
}

/// A target of the hostile connector, which grants what it imports and leads nowhere.
fn hostile_target(number: usize, behaviour: &str) -> anyhow::Result<Target> {
    let name = format!("hostile{number}");
    let document = format!(
        "[targets.{name}]\nconnector = \"hostile\"\napply = \"auto\"\n[targets.{name}.settings]\nbehaviour = \"{behaviour}\"\n\
         [[targets.{name}.grants.http]]\nscheme = \"https\"\nhost = \"nowhere.invalid\"\n\
         [[targets.{name}.grants.sql]]\nendpoint = \"app\"\nsqlite = \"/nonexistent/app.db\"\n\
         [targets.{name}.limits]\ncpu-ms = 100\nwall-ms = 500\nmemory-mib = 32\n"
    );
    let parsed = targets::parse("targets.toml", &document)?;
    let name: Name = name.parse()?;
    parsed.targets.get(&name).cloned().context("the target is there")
}

fn login() -> Attributes {
    Map::from_iter([("login".to_owned(), Value::from("ada"))])
}

fn write() -> WriteContext {
    WriteContext {
        intent_id: "op_bench".into(),
        attempt: 1,
        reason: "bench".into(),
    }
}

/// The good connector, one call after the other; a failed call ends the bench.
async fn pace(good: &Generation) -> anyhow::Result<Pace> {
    let attributes = json!({ "userName": "mei.tanaka", "projects": ["atlas", "borealis"] });
    let attributes = attributes.as_object().cloned().unwrap_or_default();
    let (write, mut samples, started) = (write(), Samples::new(CALLS), Instant::now());
    let mut calls = 0_u32;
    while (calls as usize) < CALLS && started.elapsed() < STRETCH_MAX {
        // As after each answer of a target: back at the end of the runtime's queue, behind whoever computes.
        let since = Instant::now();
        tokio::task::yield_now().await;
        good.create(&write, &attributes)
            .await
            .map_err(|error| anyhow!("the good connector failed: {error}"))?;
        samples.add(since);
        calls += 1;
    }
    Ok(Pace {
        calls_per_second: f64::from(calls) / started.elapsed().as_secs_f64(),
        p99_us: samples.percentile_us(990),
    })
}

/// The baseline: as many plain threads that compute as the runtime has workers.
async fn beside_busy_threads(good: &Generation) -> anyhow::Result<Pace> {
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut counter = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    counter = std::hint::black_box(counter.wrapping_add(1));
                }
            })
        })
        .collect();
    let paced = pace(good).await;
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().map_err(|_| anyhow!("a busy thread failed"))?;
    }
    paced
}

/// Hostile calls over and over.
#[derive(Default)]
struct Loops {
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Loops {
    fn start(&mut self, hostile: &Arc<Generation>, concurrency: u32) {
        for _ in 0..concurrency {
            let (hostile, stop, ended) = (
                Arc::clone(hostile),
                Arc::clone(&self.stop),
                Arc::clone(&self.ended),
            );
            self.tasks.push(tokio::spawn(async move {
                let (write, login) = (write(), login());
                while !stop.load(Ordering::Relaxed) {
                    let _ = hostile.create(&write, &login).await;
                    ended.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
    }

    /// Ends them, and tells how many calls came to their end: none would mean that nothing was measured.
    async fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.context("a hostile loop")?;
        }
        Ok(self.ended.load(Ordering::Relaxed))
    }
}
