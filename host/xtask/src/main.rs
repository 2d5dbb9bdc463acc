//! Developer chores: `cargo xtask demo | test | bench | guests | languages | lint`. Each does all its own set-up; the machine needs
//! rustup and a C compiler, nothing else.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool talks to its terminal"
)]

mod cargo;
mod fuzz;
mod languages;
mod lint;
mod setup;
mod test;

use std::process::ExitCode;

use anyhow::bail;

use crate::cargo::{Workspace, run};

const HELP: &str = "\
cargo xtask demo      builds Usher and plays three days of an HR file against two targets, with a kill in the middle
cargo xtask test      everything: formatting, lints, guests, all tests, doc tests
cargo xtask bench     the figures of host/BENCHMARKS.md, in release; arguments are passed on
cargo xtask fuzz      coverage-guided runs of tests/fuzz: [TARGET] [--seconds N]
cargo xtask guests    the connectors as components, into target/wasm32-wasip2/connector
cargo xtask languages a connector in JavaScript and one in Python beside them; needs node with npm, and python3 with pip
cargo xtask lint      formatting, clippy, and cargo-deny where it is installed";

fn main() -> ExitCode {
    if let Some(code) = fuzz::stand_before_rustc() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match chore(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn chore(arguments: &[String]) -> anyhow::Result<()> {
    let (name, rest) = arguments
        .split_first()
        .map_or(("help", &[][..]), |(name, rest)| (name.as_str(), rest));
    if !rest.is_empty() && !["bench", "fuzz"].contains(&name) {
        bail!("`{name}` takes no arguments\n{HELP}");
    }
    match name {
        "demo" => demo(),
        "test" => test::test(&Workspace::find()?),
        "bench" => bench(rest),
        "fuzz" => fuzz::fuzz(&Workspace::find()?, rest),
        "guests" => Workspace::find()?.build_guests(),
        "languages" => languages::build(&Workspace::find()?),
        "lint" => lint::lint(&Workspace::find()?),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => bail!("there is no chore `{other}`\n{HELP}"),
    }
}

/// Builds what the demo uses and hands over to it.
fn demo() -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    println!("building (the first time takes some minutes)");
    workspace.build_guests()?;
    run(workspace.cargo(&["build", "--workspace", "--bins"]))?;
    let folder = workspace.target.join("demo");
    run(std::process::Command::new(workspace.target.join("debug/usher-demo")).arg(folder))
}

fn bench(arguments: &[String]) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    workspace.build_guests()?;
    let mut command = workspace.cargo(&["run", "--release", "--package", "usher-bench", "--"]);
    run(command.args(arguments))
}
