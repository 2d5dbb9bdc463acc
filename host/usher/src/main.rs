//! The `usher` command: command line, configuration, secrets, and the wiring of the engine's ports to the machine.
//!
//! `cli` says what can be asked, `commands/` does it, `render/` turns views into text, `wiring/` meets the machine,
//! `exit` and `failure` say how a command ends.

mod cli;
mod commands;
mod exit;
mod failure;
mod logging;
mod output;
mod render;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Threads of the runtime: one may wait for the disk while the other computes.
const RUNTIME_WORKERS: usize = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return Output::usage(&error).code().into(),
    };
    let output = Output::new(&cli.global);
    logging::start(cli.command.voice(), cli.global.verbose);
    let exit = run(cli, &output).unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit()
    });
    exit.code().into()
}

fn run(cli: Cli, output: &Output) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_WORKERS)
        .enable_all()
        .build()
        .map_err(|error| Failure::unexpected(&error))?;
    let Cli { global, command } = cli;
    let result = runtime.block_on(commands::run(command, &global, output));
    // A guest that computes on must not keep the process: its call has its outcome already.
    runtime.shutdown_background();
    result
}
