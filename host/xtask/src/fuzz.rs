//! `cargo xtask fuzz`: coverage-guided runs of the targets in `tests/fuzz`, on the stable toolchain.
//!
//! libFuzzer needs counters in the code under test. `-Zsanitizer` would need a nightly toolchain, but the pass that puts them in is part of
//! LLVM, and stable rustc runs passes by name. Cargo lets this program stand before rustc for the crates of this workspace only
//! (`RUSTC_WORKSPACE_WRAPPER`), so what they depend on is neither instrumented nor built again.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::cargo::{Workspace, run};

/// Set for this program when it stands before rustc.
const WRAPPING: &str = "USHER_FUZZ_WRAPPING";
/// Seconds for each target, unless said.
const SECONDS: u64 = 600;
/// Longest input libFuzzer makes, in bytes.
const BYTES_MAX: u32 = 8_192;
/// Longest one input may take, in seconds: far above what the limits of the parsers allow.
const INPUT_SECONDS_MAX: u32 = 20;
/// Most memory one run may take, in MiB.
const MEMORY_MIB_MAX: u32 = 2_048;
/// The pass, and what libFuzzer wants of it: counters for each edge, a table of their places, and the operands of comparisons.
const COUNTERS: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Stands before rustc, if that is what this program was started for: the arguments are rustc and its own.
pub(crate) fn stand_before_rustc() -> Option<ExitCode> {
    std::env::var_os(WRAPPING)?;
    let mut arguments = std::env::args_os().skip(1);
    let rustc = arguments.next()?;
    let arguments: Vec<OsString> = arguments.collect();
    let mut command = Command::new(rustc);
    command.args(&arguments);
    if is_under_test(&arguments) {
        command.args(COUNTERS);
    }
    let code = command.status().ok().and_then(|status| status.code());
    Some(
        code.and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from),
    )
}

/// Whether this is code of the targets: not a question about rustc, nor a program that only runs while building.
fn is_under_test(arguments: &[OsString]) -> bool {
    let names = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    names("--crate-name") && !names("build_script_build") && !names("proc-macro") && !names("___")
}

/// Runs one target or all.
pub(crate) fn fuzz(workspace: &Workspace, arguments: &[String]) -> anyhow::Result<()> {
    let (wanted, seconds) = read(arguments)?;
    let names = targets(workspace)?;
    if let Some(wanted) = &wanted
        && !names.contains(wanted)
    {
        bail!("there is no target `{wanted}`; there are {}", names.join(", "));
    }
    let program = build(workspace)?;
    let folder = workspace.target.join("fuzz");
    for name in names
        .iter()
        .filter(|name| wanted.as_ref().is_none_or(|wanted| wanted == *name))
    {
        println!("fuzzing {name} for {seconds} s");
        fuzz_one(workspace, &program, &folder, name, seconds)?;
    }
    Ok(())
}

/// The target, if one is named, and the seconds.
fn read(arguments: &[String]) -> anyhow::Result<(Option<String>, u64)> {
    let (mut target, mut seconds) = (None, SECONDS);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                let number = words.next().and_then(|word| word.parse().ok());
                seconds = number.context("`--seconds` needs a number")?;
            }
            name if target.is_none() && !name.starts_with('-') => target = Some(name.to_owned()),
            other => bail!("`{other}` is not understood: cargo xtask fuzz [TARGET] [--seconds N]"),
        }
    }
    Ok((target, seconds))
}

/// The folders of the corpus are the targets; a test of `tests/fuzz` holds that.
fn targets(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let corpus = workspace.root.join("tests/fuzz/corpus");
    let entries = std::fs::read_dir(&corpus).with_context(|| format!("reading {}", corpus.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn build(workspace: &Workspace) -> anyhow::Result<std::path::PathBuf> {
    let own = std::env::current_exe().context("finding this program")?;
    let arguments = [
        "build",
        "--package",
        "usher-fuzz",
        "--bin",
        "usher-fuzz",
        "--features",
        "libfuzzer",
    ];
    run(workspace
        .cargo(&arguments)
        .env("RUSTC_WORKSPACE_WRAPPER", own)
        .env(WRAPPING, "1")
        // Of this workspace only: dependencies have a level of their own in Cargo.toml.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "2"))?;
    Ok(workspace.target.join("debug/usher-fuzz"))
}

fn fuzz_one(
    workspace: &Workspace,
    program: &Path,
    folder: &Path,
    name: &str,
    seconds: u64,
) -> anyhow::Result<()> {
    let (found, findings) = (folder.join(name), folder.join("findings"));
    for folder in [&found, &findings] {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut command = Command::new(program);
    command
        .env("USHER_FUZZ_TARGET", name)
        .arg(&found)
        .arg(workspace.root.join("tests/fuzz/corpus").join(name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={BYTES_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg(format!("-artifact_prefix={}/{name}-", findings.display()))
        .arg("-print_final_stats=1");
    run(command)
}
