//! `cargo xtask test`: what CI runs.

use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};

use crate::cargo::{Workspace, is_installed, shown};
use crate::{cargo, languages, lint, setup};

/// Lints, builds everything once, runs every test.
pub(crate) fn test(workspace: &Workspace) -> anyhow::Result<()> {
    let start = Instant::now();
    setup::database_servers()?;
    lint::lint(workspace)?;
    workspace.build_guests()?;
    // Their registries are not ours to demand, as a database server is: a run without them says so and goes on.
    let has_languages = match languages::build(workspace) {
        Ok(()) => true,
        Err(error) => {
            println!("every test with a connector in JavaScript or Python will be SKIPPED: {error:#}");
            false
        }
    };
    // Programs and tests in one command: end-to-end tests start the programs, and dependencies are built once, with the same
    // features, for both.
    cargo::run(workspace.cargo(&["build", "--workspace", "--bins", "--tests"]))?;
    let has_nextest = is_installed("cargo", &["nextest", "--version"]);
    let mut run = if has_nextest {
        workspace.cargo(&["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        let kinds = ["--lib", "--bins", "--tests", "--no-fail-fast"];
        workspace.cargo(&[&["test", "--workspace"], &kinds[..]].concat())
    };
    if has_languages {
        run.env("USHER_LANGUAGES", "required");
    }
    let tests = counted(run)?;
    let doc_tests = counted(workspace.cargo(&["test", "--workspace", "--doc"]))?;
    let seconds = start.elapsed().as_secs();
    println!(
        "cargo xtask test: {tests} tests and {doc_tests} doc tests passed, lints clean, in {} min {} s",
        seconds / 60,
        seconds % 60
    );
    Ok(())
}

/// Runs tests, shows what they print, and counts those that passed.
fn counted(mut command: Command) -> anyhow::Result<u64> {
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    // cargo test counts on standard output, nextest on standard error; both are passed on as they come.
    let name = shown(&command);
    let mut process = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let stdout = process.stdout.take().context("standard output was asked for")?;
    let stderr = process.stderr.take().context("standard error was asked for")?;
    let passed = std::thread::scope(|scope| {
        let from_stdout = scope.spawn(|| pass_on(stdout, |line| println!("{line}")));
        let from_stderr = pass_on(stderr, |line| eprintln!("{line}"));
        from_stdout.join().map(|passed| passed + from_stderr)
    });
    let status = process.wait()?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    passed.map_err(|_| anyhow::anyhow!("reading what {name} printed failed"))
}

fn pass_on(stream: impl std::io::Read, print: impl Fn(&str)) -> u64 {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines
        .map(|line| {
            print(&line);
            passed_in(&line).unwrap_or(0)
        })
        .sum()
}

/// How many tests a summary line says have passed.
///
/// nextest: `Summary [ 1.2s] 25 tests run: 25 passed, 0 skipped`; cargo test: `test result: ok. 25 passed; 0 failed; …`.
fn passed_in(line: &str) -> Option<u64> {
    let line = without_colours(line);
    let is_summary = line.trim_start().starts_with("Summary [") || line.starts_with("test result:");
    let before = line.split_once(" passed").map(|(before, _)| before)?;
    let count = before.rsplit([' ', '\t']).next()?;
    if is_summary { count.parse().ok() } else { None }
}

/// The text without ANSI colour sequences.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::passed_in;

    #[test]
    fn counts_are_read_from_both_kinds_of_summary() {
        let coloured = "\u{1b}[32m     Summary\u{1b}[0m [   0.184s] \u{1b}[1m25\u{1b}[0m tests run: \u{1b}[1m24\u{1b}[0m \u{1b}[32mpassed\u{1b}[0m, 1 skipped";
        assert_eq!(passed_in(coloured), Some(24));
        assert_eq!(
            passed_in("     Summary [  10.1s] 2 tests run: 2 passed (1 slow), 0 skipped"),
            Some(2)
        );
        assert_eq!(
            passed_in("test result: ok. 7 passed; 0 failed; 0 ignored"),
            Some(7)
        );
        assert_eq!(passed_in("test a_file_is_passed ... ok"), None);
        assert_eq!(passed_in("3 passed"), None);
    }
}
