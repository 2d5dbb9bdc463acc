//! Connectors in other languages, made by the tools their authors would use: large components with an interpreter inside, for tests and benches.
//!
//! The tools come from npm and PyPI, in the versions written beside the sources, into the target folder; afterwards nothing is fetched any more.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cargo::{Workspace, is_installed, run};

/// Interfaces of WASI that Python's world needs, each after those it uses. jco brings their texts.
const WASI: [&str; 7] = [
    "wasi-io",
    "wasi-clocks",
    "wasi-random",
    "wasi-filesystem",
    "wasi-sockets",
    "wasi-cli",
    "wasi-http",
];
/// Where jco keeps them.
const WASI_FOLDER: &str = "node_modules/@bytecodealliance/jco/lib/wit/builtin/0.2.12";

/// Builds both, beside the connectors in Rust.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<()> {
    if !is_installed("node", &["--version"]) || !is_installed("npm", &["--version"]) {
        bail!(
            "a connector in JavaScript needs node and npm (and the one in Python the texts that npm brings); install them from https://nodejs.org"
        );
    }
    let components = workspace.components();
    std::fs::create_dir_all(&components).with_context(|| format!("making {}", components.display()))?;
    let javascript = workspace.target.join("languages/javascript");
    build_javascript(workspace, &javascript, &components)?;
    if !is_installed("python3", &["--version"]) {
        bail!("a connector in Python needs python3 with pip");
    }
    build_python(workspace, &javascript.join(WASI_FOLDER), &components)
}

fn build_javascript(workspace: &Workspace, folder: &Path, components: &Path) -> anyhow::Result<()> {
    let sources = workspace.root.join("tests/guests/javascript");
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    // Modules are looked for beside the file that names them, and those are not to be among the sources.
    for file in ["package.json", "build.mjs", "connector.mjs"] {
        std::fs::copy(sources.join(file), folder.join(file)).with_context(|| format!("copying {file}"))?;
    }
    if !folder
        .join("node_modules/@bytecodealliance/componentize-js")
        .is_dir()
    {
        run(Command::new("npm")
            .args(["install", "--no-audit", "--no-fund"])
            .current_dir(folder))?;
    }
    run(Command::new("node")
        .arg("build.mjs")
        .arg(workspace.root.join("wit"))
        .arg(components.join("usher_guest_javascript.wasm"))
        .current_dir(folder))
}

fn build_python(workspace: &Workspace, wasi: &Path, components: &Path) -> anyhow::Result<()> {
    let sources = workspace.root.join("tests/guests/python");
    let folder = workspace.target.join("languages/python");
    let tool = folder.join("bin/componentize-py");
    if !tool.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        run(Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--requirement"])
            .arg(sources.join("requirements.txt")))?;
    }
    let mut command = Command::new(tool);
    command.arg("--wit-path").arg(workspace.root.join("wit"));
    for interface in WASI {
        command.arg("--wit-path").arg(wasi.join(interface));
    }
    run(command
        .arg("--wit-path")
        .arg(sources.join("wit"))
        .args([
            "--world",
            "usher:guest-python/guest",
            "componentize",
            "connector",
            "--output",
        ])
        .arg(components.join("usher_guest_python.wasm"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&sources))
}
