//! Running a program to its end.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// Runs a command with this as its input; returns what it printed. An error holds what it complained of.
pub fn feed(mut command: Command, input: &str) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let stdin = child.stdin.take();
    let text = input.to_owned();
    // From a thread: a program that answers while it reads must not wait for us, nor we for it.
    let writer =
        std::thread::spawn(move || stdin.map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes())));
    let output = child
        .wait_with_output()
        .with_context(|| format!("waiting for {name}"))?;
    let written = writer
        .join()
        .map_err(|_| anyhow::anyhow!("writing to {name} failed"))?;
    if !output.status.success() {
        bail!(
            "{name} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    written.with_context(|| format!("writing to {name}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
