//! How long it takes until a new connector can be called: compiled by the compiling process, or taken from the native-code cache, beside wasmtime's compiler
//! alone in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use usher_connectors::{CodeFolder, CodeKey, FixedSecrets, Sandbox};
use usher_lifecycle::targets::{self, Target};

use crate::bare;
use crate::measure::peak_memory_mib;
use crate::noop;
use crate::report::Table;

/// Loads from the cache, of which the middle one counts.
const CACHED_LOADS: usize = 9;

/// Runs the bench and gives its table.
pub(crate) async fn run() -> anyhow::Result<Table> {
    let mut table = Table::new(
        "deploy: until a connector can be called",
        &[
            "connector",
            "KB",
            "wasmtime's compiler alone, ms",
            "cold, ms",
            "cold ÷ compiler",
            "from the cache, ms",
            "the same for a second target, ms",
        ],
    );
    let mut missing = Vec::new();
    let connectors = [
        ("Rust", Some(noop::component()), noop::target("noop")?),
        (
            "JavaScript",
            usher_tests::language_component("javascript"),
            reading("javascript")?,
        ),
        (
            "Python",
            usher_tests::language_component("python"),
            reading("python")?,
        ),
    ];
    for (language, component, target) in connectors {
        match component {
            Some(component) => table.row(&deploy(language, component, &target).await?),
            None => missing.push(language),
        }
    }
    if !missing.is_empty() {
        table.note(format!(
            "without {}: `cargo xtask languages` builds them",
            missing.join(", ")
        ));
    }
    table.note(format!(
        "cold: an empty cache, one compiling process; peak memory of this process {:.0} MiB",
        peak_memory_mib()
    ));
    Ok(table)
}

async fn deploy(language: &str, component: Vec<u8>, target: &Target) -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let sandbox = || -> anyhow::Result<Sandbox> {
        let kept = CodeFolder {
            folder: folder.path().join("native"),
            key: CodeKey::new(&[1; 32]),
        };
        Ok(Sandbox::new(crate::compiler()?, Some(kept))?)
    };
    let load = async |sandbox: &Sandbox| -> anyhow::Result<Duration> {
        let since = Instant::now();
        let generation = sandbox
            .load(component.clone(), target, Arc::new(FixedSecrets::none()))
            .await?;
        let took = since.elapsed();
        drop(generation);
        Ok(took)
    };
    let since = Instant::now();
    bare::compile(&component)?;
    let compiler = since.elapsed();
    let cold = load(&sandbox()?).await?;
    let mut cached = Vec::new();
    for _ in 0..CACHED_LOADS {
        // A sandbox that has loaded nothing yet, as after a restart.
        cached.push(load(&sandbox()?).await?);
    }
    cached.sort_unstable();
    let one = sandbox()?;
    let held = one
        .load(component.clone(), target, Arc::new(FixedSecrets::none()))
        .await?;
    let second = load(&one).await?;
    drop(held);
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1_000.0);
    Ok(vec![
        language.to_owned(),
        (component.len() / 1_000).to_string(),
        ms(compiler),
        ms(cold),
        format!("{:.2}x", cold.as_secs_f64() / compiler.as_secs_f64()),
        ms(cached[CACHED_LOADS / 2]),
        ms(second),
    ])
}

/// A target for the connectors in other languages: they want to know where to read, and are not called here.
pub(crate) fn reading(language: &str) -> anyhow::Result<Target> {
    let document = format!(
        "[targets.reading]\nconnector = \"{language}\"\n[targets.reading.settings]\nurl = \"http://127.0.0.1:1\"\n\
                    [[targets.reading.grants.http]]\nscheme = \"http\"\nhost = \"127.0.0.1\"\nport = 1\nprivate-addresses = true\n"
    );
    let parsed = targets::parse("targets.toml", &document)?;
    parsed.targets.into_values().next().context("one target")
}
