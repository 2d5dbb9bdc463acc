//! Import of many people without targets, durable, and the same file again with one row changed.

use usher_engine::NoProgress;
use usher_engine::import::ImportRequest;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::name::Name;

use crate::database::{Bed, Database};
use crate::measure::{Stretch, peak_memory_mib, stretch};
use crate::people;
use crate::report::Table;
use crate::world;

/// People in the file.
const PEOPLE: usize = 100_000;

/// Runs the bench and gives its table.
pub(crate) async fn run(database: Database) -> anyhow::Result<Table> {
    let bed = Bed::new(database).await?;
    let engine = world::engine(bed.store.clone(), &[]).await?;
    engine
        .activate_policy("policy.toml", &people::policy(&[]), Actor::Usher)
        .await?;
    let source: Name = "hr".parse()?;

    let mut table = Table::new(
        &format!("import: {PEOPLE} people, no targets, {}", database.title()),
        &[
            "file",
            "seconds",
            "people/s",
            "CPU µs/person",
            "first time ÷ this",
            "peak memory MiB so far",
        ],
    );
    let mut first: Option<f64> = None;
    let files = [
        ("first time", people::csv(PEOPLE, None)),
        ("one row changed", people::csv(PEOPLE, Some(PEOPLE / 2))),
    ];
    for (name, file) in files {
        let end = stretch();
        let request = ImportRequest {
            source: &source,
            origin: "people.csv",
            bytes: file.as_bytes(),
            override_guards: false,
            actor: Actor::Usher,
        };
        let report = engine.import(request, &NoProgress).await?;
        let Stretch { wall, cpu } = end();
        anyhow::ensure!(
            report.refused.is_none() && report.set_aside == 0,
            "the file was not taken: {report:?}"
        );
        let expected = if first.is_none() {
            (PEOPLE as u64, 0)
        } else {
            (0, 1)
        };
        anyhow::ensure!(
            (report.new, report.changed) == expected,
            "unexpected changes: {report:?}"
        );
        let seconds = wall.as_secs_f64();
        let first_seconds = *first.get_or_insert(seconds);
        table.row(&[
            name.into(),
            format!("{seconds:.2}"),
            format!("{:.0}", PEOPLE as f64 / seconds),
            format!("{:.1}", cpu.as_secs_f64() * 1e6 / PEOPLE as f64),
            format!("{:.1}x", first_seconds / seconds),
            format!("{:.0}", peak_memory_mib()),
        ]);
    }
    Ok(table)
}
