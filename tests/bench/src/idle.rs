//! What a host at rest holds in memory: twenty targets, each called once, none at work.

use std::sync::Arc;

use anyhow::anyhow;
use usher_connectors::{Connector as _, FixedSecrets, Sandbox};

use crate::deploy::reading;
use crate::measure::resident_memory_mib;
use crate::noop;
use crate::report::Table;

/// Targets at rest.
const TARGETS: usize = 20;

/// Runs the bench and gives its table.
pub(crate) async fn run() -> anyhow::Result<Table> {
    let mut table = Table::new("idle: memory at rest", &["what", "resident, MiB"]);
    let mut row = |what: String| table.row(&[what, format!("{:.1}", resident_memory_mib())]);
    row("this program, nothing loaded".to_owned());
    let sandbox = Sandbox::new(crate::compiler()?, None)?;
    row("with the sandbox".to_owned());
    let mut held = Vec::new();
    for n in 0..TARGETS {
        let generation = sandbox
            .load(
                noop::component(),
                &noop::target(&format!("idle-{n}"))?,
                Arc::new(FixedSecrets::none()),
            )
            .await?;
        generation.get("1").await.map_err(|error| anyhow!(error))?;
        held.push(generation);
    }
    row(format!(
        "with {TARGETS} targets of one connector in Rust, each called once"
    ));
    for language in ["javascript", "python"] {
        let Some(component) = usher_tests::language_component(language) else {
            continue;
        };
        let generation = sandbox
            .load(component, &reading(language)?, Arc::new(FixedSecrets::none()))
            .await?;
        held.push(generation);
        row(format!("and a target of a connector in {language}"));
    }
    table.note("without store, engine and server: `usher serve` holds those besides".to_owned());
    Ok(table)
}
