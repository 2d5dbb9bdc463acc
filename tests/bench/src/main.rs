//! The benches behind `cargo xtask bench [NAME]`: each runs in a process of its own, so that its peak memory is its own, and prints a
//! Markdown table with its baseline from the same run.

mod bare;
mod claims;
mod database;
mod deploy;
mod egress;
mod idle;
mod import;
mod measure;
mod neighbours;
mod noop;
mod operations;
mod people;
mod phases;
mod plan;
mod plan_world;
mod queue;
mod report;
mod sandbox;
mod world;

use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

use crate::database::Database::{Postgres, Sqlite};

/// Every bench, in the order they run.
const BENCHES: [&str; 15] = [
    "sandbox",
    "egress",
    "neighbours",
    "deploy",
    "idle",
    "operations-sqlite-1",
    "operations-sqlite-8",
    "operations-postgres-1",
    "operations-postgres-8",
    "claim-sqlite",
    "claim-postgres",
    "import-sqlite",
    "import-postgres",
    "plan-sqlite",
    "plan-postgres",
];

/// Set for the process that runs one bench.
const CHILD: &str = "USHER_BENCH_CHILD";

/// The argument that makes this program the one that compiles.
const COMPILE: &str = "compile-component";

/// What the sandboxes of the benches compile with: this program.
pub(crate) fn compiler() -> Result<usher_connectors::Compiler, usher_connectors::SandboxError> {
    usher_connectors::Compiler::this_program(COMPILE)
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == COMPILE) {
        return usher_connectors::compile_component(arguments);
    }
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
    // The beginning of a name stands for all that begin so.
    let names: Vec<&str> = BENCHES
        .into_iter()
        .filter(|name| wanted.is_empty() || wanted.iter().any(|wanted| name.starts_with(wanted.as_str())))
        .collect();
    if names.is_empty() {
        bail!("there is no such bench; there are {}", BENCHES.join(", "));
    }
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
            "egress" => egress::run().await,
            "neighbours" => neighbours::run().await,
            "deploy" => deploy::run().await,
            "idle" => idle::run().await,
            "operations-sqlite-1" => operations::run(Sqlite, 1).await,
            "operations-sqlite-8" => operations::run(Sqlite, 8).await,
            "operations-postgres-1" => operations::run(Postgres, 1).await,
            "operations-postgres-8" => operations::run(Postgres, 8).await,
            "claim-sqlite" => claims::run(Sqlite).await,
            "claim-postgres" => claims::run(Postgres).await,
            "import-sqlite" => import::run(Sqlite).await,
            "import-postgres" => import::run(Postgres).await,
            "plan-sqlite" => plan::run(Sqlite).await,
            "plan-postgres" => plan::run(Postgres).await,
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
