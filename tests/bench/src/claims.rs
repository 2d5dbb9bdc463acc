//! What a claim costs while more and more operations are queued.

use std::time::Instant;

use usher_store::{Operations as _, Outcome};

use crate::database::{Bed, Database};
use crate::measure::{Samples, peak_memory_mib, stretch};
use crate::queue::{BATCH, TARGETS, claim, context, created, fill};
use crate::report::Table;

/// Operations queued.
const QUEUED: [usize; 3] = [1_000, 100_000, 1_000_000];
/// Batches measured of each; the smallest queue bears no more, and one is left over.
const BATCHES: usize = 14;
/// Batches before those that are measured.
const WARM: usize = 1;

/// Runs the bench and gives its table.
pub(crate) async fn run(database: Database) -> anyhow::Result<Table> {
    let mut table = Table::new(
        &format!(
            "claim: 64 claimed and 64 recorded in one commit, {}",
            database.title()
        ),
        &[
            "operations queued",
            "p50 ms",
            "worst ms",
            "CPU µs/operation",
            "p50 ÷ that of 1,000",
            "peak memory MiB so far",
        ],
    );
    let mut first = None;
    for queued in QUEUED {
        // Each queue in a database of its own: how full it is is the only difference.
        let bed = Bed::new(database).await?;
        fill(&bed.store, queued / TARGETS.len(), &TARGETS).await?;
        let claim = claim(&TARGETS)?;
        let mut done: Vec<Outcome> = Vec::new();
        let mut samples = Samples::new(BATCHES);
        let mut end = stretch();
        for batch in 0..WARM + BATCHES {
            if batch == WARM {
                samples.clear();
                end = stretch();
            }
            let began = Instant::now();
            let next = bed.store.record_and_claim(&[], &done, &claim, &context()).await?;
            samples.add(began);
            anyhow::ensure!(next.claimed.len() == BATCH as usize, "the queue is too short");
            done = next.claimed.into_iter().map(created).collect();
        }
        let cpu = end().cpu;
        let p50_us = samples.percentile_us(500);
        let base = *first.get_or_insert(p50_us);
        table.row(&[
            queued.to_string(),
            format!("{:.2}", p50_us / 1_000.0),
            format!("{:.2}", samples.percentile_us(1_000) / 1_000.0),
            format!(
                "{:.0}",
                cpu.as_secs_f64() * 1e6 / (BATCHES * BATCH as usize) as f64
            ),
            format!("{:.2}x", p50_us / base),
            format!("{:.0}", peak_memory_mib()),
        ]);
    }
    Ok(table)
}
