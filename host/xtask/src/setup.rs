//! What a fresh machine lacks.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use crate::cargo::{GUEST_TARGET, is_installed, run};

/// Sees to it that connectors can be compiled.
pub(crate) fn guest_target() -> anyhow::Result<()> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("starting rustc")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if sysroot.join("lib/rustlib").join(GUEST_TARGET).is_dir() {
        return Ok(());
    }
    if !is_installed("rustup", &["--version"]) {
        bail!(
            "this Rust has no {GUEST_TARGET} and there is no rustup to add it; install rustup from https://rustup.rs"
        );
    }
    run(Command::new("rustup").args(["target", "add", GUEST_TARGET])).with_context(|| {
        format!("connectors need the Rust target {GUEST_TARGET}; `rustup target add {GUEST_TARGET}` failed")
    })
}
