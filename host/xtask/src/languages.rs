//! Connectors in other languages, made by the tools their authors would use: large components with an interpreter inside, for tests and benches.
//!
//! The tools come from npm and PyPI, in the versions written beside the sources, into the target folder; afterwards nothing is fetched any more.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

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
/// How the components are called.
const JAVASCRIPT: &str = "usher_guest_javascript.wasm";
const PYTHON: &str = "usher_guest_python.wasm";
/// Where jco keeps them.
const WASI_FOLDER: &str = "node_modules/@bytecodealliance/jco/lib/wit/builtin/0.2.12";

/// Builds both, beside the connectors in Rust, unless they are there and newer than what they are made of.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<()> {
    let javascript = workspace.components().join(JAVASCRIPT);
    let python = workspace.components().join(PYTHON);
    let sources = ["wit", "tests/guests/javascript", "tests/guests/python"];
    let changed = sources
        .iter()
        .filter_map(|folder| newest(&workspace.root.join(folder)))
        .max();
    let is_current = |component: &Path| changed.is_some() && newest(component) > changed;
    if is_current(&javascript) && is_current(&python) {
        return Ok(());
    }
    if !is_installed("node", &["--version"]) || !is_installed("npm", &["--version"]) {
        bail!(
            "a connector in JavaScript needs node and npm (and the one in Python the texts that npm brings); install them from https://nodejs.org"
        );
    }
    let components = workspace.components();
    std::fs::create_dir_all(&components).with_context(|| format!("making {}", components.display()))?;
    let folder = workspace.target.join("languages/javascript");
    build_javascript(workspace, &folder, &javascript)?;
    if !is_installed("python3", &["--version"]) {
        bail!("a connector in Python needs python3 with pip");
    }
    build_python(workspace, &folder.join(WASI_FOLDER), &python)
}

/// When the newest file in a folder, or this file, was last written.
fn newest(path: &Path) -> Option<SystemTime> {
    let found = path.metadata().ok()?;
    if found.is_file() {
        return found.modified().ok();
    }
    let entries = std::fs::read_dir(path).ok()?;
    entries.filter_map(|entry| newest(&entry.ok()?.path())).max()
}

fn build_javascript(workspace: &Workspace, folder: &Path, component: &Path) -> anyhow::Result<()> {
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
        .arg(component)
        .current_dir(folder))
}

fn build_python(workspace: &Workspace, wasi: &Path, component: &Path) -> anyhow::Result<()> {
    let sources = workspace.root.join("tests/guests/python");
    let folder = workspace.target.join("languages/python");
    let tool = folder.join("bin/componentize-py");
    if !tool.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        run(Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--requirement"])
            .arg(sources.join("requirements.txt")))?;
    }
    // Python leaves compiled modules beside the sources, and those are not to be among ours.
    let own = folder.join("source");
    std::fs::create_dir_all(&own).with_context(|| format!("making {}", own.display()))?;
    std::fs::copy(sources.join("connector.py"), own.join("connector.py")).context("copying connector.py")?;
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
        .arg(component)
        .current_dir(&own))
}
