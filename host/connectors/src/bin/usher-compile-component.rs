//! Compiles a component in a process of its own: for this crate's tests. The `usher` program does the same as a hidden command.

use std::process::ExitCode;

fn main() -> ExitCode {
    usher_connectors::compile_component(std::env::args_os().skip(1))
}
