//! Durable operations from end to end with a connector that does nothing, beside the bare store loop on the same database.

use std::time::Duration;

use usher_engine::Phase;
use usher_engine::run::{ApplyRequest, Stop};
use usher_lifecycle::cause::Actor;
use usher_store::{Documents as _, Operations as _, Outcome};

use crate::database::{Bed, Database};
use crate::measure::{Stretch, peak_memory_mib, stretch};
use crate::phases::Phases;
use crate::queue::{TARGETS, claim, context, created, fill, import};
use crate::report::Table;
use crate::{noop, people, world};

/// Accounts to create, over all targets.
const ACCOUNTS: usize = 20_000;

/// Both ways on one database, over the first `targets` targets.
pub(crate) async fn run(database: Database, targets: usize) -> anyhow::Result<Table> {
    let targets = &TARGETS[..targets];
    let mut table = Table::new(
        &format!(
            "operations: {ACCOUNTS} creates, {} target{}, {}",
            targets.len(),
            if targets.len() == 1 { "" } else { "s" },
            database.title()
        ),
        &[
            "way",
            "operations/s",
            "÷ bare loop",
            "CPU µs/operation",
            "peak memory MiB so far",
        ],
    );
    let bare = floor(database, targets).await?;
    row(
        &mut table,
        "bare store loop: claim 64, record 64, one commit",
        &bare,
        &bare,
    );
    let (whole, running) = end_to_end(database, targets).await?;
    row(&mut table, "end to end, planning included", &whole, &bare);
    table.note(format!(
        "End to end: {:.2} s, of which running {:.2} s: {:.0} operations/s while running, {:.2}x of the bare loop.",
        whole.wall.as_secs_f64(),
        running.as_secs_f64(),
        per_second(running),
        bare.wall.as_secs_f64() / running.as_secs_f64(),
    ));
    Ok(table)
}

/// The bare loop: claim 64, do nothing, record 64, in one commit each time.
async fn floor(database: Database, targets: &[&str]) -> anyhow::Result<Stretch> {
    let bed = Bed::new(database).await?;
    fill(&bed.store, ACCOUNTS / targets.len(), targets).await?;
    let claim = claim(targets)?;
    let end = stretch();
    let mut done: Vec<Outcome> = Vec::new();
    let mut recorded = 0;
    loop {
        let next = bed.store.record_and_claim(&[], &done, &claim, &context()).await?;
        anyhow::ensure!(next.fenced.is_empty(), "an outcome was fenced off");
        recorded += done.len();
        if next.claimed.is_empty() {
            break;
        }
        done = next.claimed.into_iter().map(created).collect();
    }
    anyhow::ensure!(recorded == ACCOUNTS, "recorded {recorded} of {ACCOUNTS}");
    Ok(end())
}

/// The whole way: the engine, the sandbox, the store. Also how long it was running, planning left out.
async fn end_to_end(database: Database, targets: &[&str]) -> anyhow::Result<(Stretch, Duration)> {
    let bed = Bed::new(database).await?;
    bed.store
        .add_artifact("noop", "0.1.0", &noop::component(), &context())
        .await?;
    let engine = world::engine(bed.store.clone(), targets).await?;
    engine
        .activate_targets("targets.toml", &noop::targets_document(targets), Actor::Usher)
        .await?;
    engine
        .activate_policy("policy.toml", &people::policy(targets), Actor::Usher)
        .await?;
    import(&engine, ACCOUNTS / targets.len()).await?;
    let phases = Phases::default();
    let end = stretch();
    let request = ApplyRequest {
        expect: None,
        wait_ms: 0,
        stop: Stop::never(),
        actor: Actor::Usher,
    };
    let report = engine.apply(request, &phases).await?;
    let whole = end();
    anyhow::ensure!(
        report.done() == ACCOUNTS as u64,
        "not everything was done: {report:?}"
    );
    Ok((whole, phases.took(Phase::Running)))
}

fn row(table: &mut Table, name: &str, stretch: &Stretch, bare: &Stretch) {
    table.row(&[
        name.into(),
        format!("{:.0}", per_second(stretch.wall)),
        format!("{:.2}x", bare.wall.as_secs_f64() / stretch.wall.as_secs_f64()),
        format!("{:.0}", stretch.cpu.as_secs_f64() * 1e6 / ACCOUNTS as f64),
        format!("{:.0}", peak_memory_mib()),
    ]);
}

fn per_second(wall: Duration) -> f64 {
    ACCOUNTS as f64 / wall.as_secs_f64().max(1e-9)
}
