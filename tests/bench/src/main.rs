//! The benches behind `cargo xtask bench [NAME]`: each runs in a process of its own, so that its peak memory is its own, and prints a
//! Markdown table with its baseline from the same run.

mod bare;
mod import;
mod measure;
mod noop;
mod operations;
mod people;
mod phases;
mod report;
mod sandbox;
mod world;

use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

/// Every bench, in the order they run.
const BENCHES: [&str; 4] = ["sandbox", "floor", "operations", "import"];

/// Set for the process that runs one bench.
const CHILD: &str = "USHER_BENCH_CHILD";

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("bench failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if std::env::var_os(CHILD).is_some() {
        return run(wanted.first().map_or("", String::as_str));
    }
    let names: Vec<&str> = if wanted.is_empty() {
        BENCHES.to_vec()
    } else {
        wanted.iter().map(String::as_str).collect()
    };
    for name in names {
        let program = std::env::current_exe().context("finding this program")?;
        let status = Command::new(program)
            .arg(name)
            .env(CHILD, "1")
            .status()
            .context("starting a bench")?;
        if !status.success() {
            bail!("{name} failed");
        }
    }
    Ok(())
}

fn run(name: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let table = runtime.block_on(async {
        match name {
            "sandbox" => sandbox::run().await,
            "floor" => operations::floor().await,
            "operations" => operations::end_to_end().await,
            "import" => import::run().await,
            other => bail!("there is no bench `{other}`; there are {}", BENCHES.join(", ")),
        }
    })?;
    report(&table.markdown());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
fn report(text: &str) {
    println!("{text}");
}
