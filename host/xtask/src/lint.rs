//! Formatting and lints: no warning is let through.

use anyhow::Context;

use crate::cargo::{Workspace, is_installed, run};

/// Everything that judges code without running it.
pub(crate) fn lint(workspace: &Workspace) -> anyhow::Result<()> {
    run(workspace.cargo(&["fmt", "--all", "--check"])).context("`cargo fmt --all` puts this right")?;
    run(workspace.cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "--deny",
        "warnings",
    ]))?;
    if is_installed("cargo", &["deny", "--version"]) {
        run(workspace.cargo(&["deny", "check", "licenses", "bans", "sources"]))
    } else {
        println!(
            "cargo-deny is not installed: its rules on licences, bans and sources are held by tests/tests/tidy.rs"
        );
        Ok(())
    }
}
