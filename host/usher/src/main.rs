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

use crate::cli::{COMPILE_COMPONENT, Cli};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Threads of the runtime: one may wait for the disk while the other computes.
const RUNTIME_WORKERS: usize = 2;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == COMPILE_COMPONENT) {
        close_inherited();
        return usher_connectors::compile_component(arguments);
    }
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

/// Files that whoever started Usher left open for it would be open in the process that reads untrusted components too.
fn close_inherited() {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers: Vec<i32> = open
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    // The folder just read is among them, and closed already: closing it again does nothing.
    for number in numbers.into_iter().filter(|number| *number > 2) {
        let _ = nix::unistd::close(number);
    }
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
