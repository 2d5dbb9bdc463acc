//! Running cargo and other programs.

use std::borrow::BorrowMut;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::setup;

/// The target connectors are compiled for.
pub(crate) const GUEST_TARGET: &str = "wasm32-wasip2";
/// The profile they are built with.
const GUEST_PROFILE: &str = "connector";

/// This workspace, as cargo sees it.
pub(crate) struct Workspace {
    /// Its root.
    pub(crate) root: PathBuf,
    /// Where cargo builds to.
    pub(crate) target: PathBuf,
    /// The packages that are components: connectors and the guests of the tests.
    guests: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let output = Command::new(cargo_program())
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .context("starting cargo")?;
        if !output.status.success() {
            bail!(
                "cargo metadata failed:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("reading cargo's metadata")?;
        let path = |name: &str| {
            metadata[name]
                .as_str()
                .map(PathBuf::from)
                .with_context(|| format!("no {name}"))
        };
        let packages = metadata["packages"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let names = packages.iter().filter(|package| is_component(package));
        Ok(Self {
            root: path("workspace_root")?,
            target: path("target_directory")?,
            guests: names
                .filter_map(|package| package["name"].as_str().map(str::to_owned))
                .collect(),
        })
    }

    /// A cargo command at the root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo_program());
        command
            .args(arguments)
            .current_dir(&self.root)
            .env("USHER_COMPONENTS_DIR", self.components());
        command
    }

    /// Where the components are.
    pub(crate) fn components(&self) -> PathBuf {
        self.target.join(GUEST_TARGET).join(GUEST_PROFILE)
    }

    /// Builds all components in one command, so that what they share is built once.
    pub(crate) fn build_guests(&self) -> anyhow::Result<()> {
        setup::guest_target()?;
        let mut command = self.cargo(&["build", "--target", GUEST_TARGET, "--profile", GUEST_PROFILE]);
        // Flags for the host's code (coverage, sanitizers) do not suit a guest.
        command
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        self.guests.iter().for_each(|guest| {
            command.args(["--package", guest]);
        });
        run(command)
    }
}

/// Packages whose only product is a C library are components here.
fn is_component(package: &Value) -> bool {
    let targets = package["targets"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    targets.iter().any(|target| {
        target["crate_types"]
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(|k| k == "cdylib"))
    })
}

fn cargo_program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Runs to the end; anything but success is an error that names the command.
pub(crate) fn run(mut command: impl BorrowMut<Command>) -> anyhow::Result<()> {
    let command = command.borrow_mut();
    let status = command
        .status()
        .with_context(|| format!("starting {}", shown(command)))?;
    if status.success() {
        Ok(())
    } else {
        bail!("{} ended with {status}", shown(command))
    }
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a program can be started: asked for its version, it answers.
pub(crate) fn is_installed(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}
