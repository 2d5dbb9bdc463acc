//! Where the built programs and the shipped data are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("/"))
}

/// The data that ships with the tests: the HR files, the policy, the application's schema.
pub fn data() -> PathBuf {
    workspace().join("tests/data")
}

/// A program of this workspace, beside the one that runs now: built by the same command, with the same profile.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let program = profile_folder()?.join(name);
    if !program.is_file() {
        bail!(
            "{} is not built; run `cargo xtask test`, or `cargo build --workspace --bins` first",
            program.display()
        );
    }
    Ok(program)
}

/// A connector of this workspace, as `cargo xtask guests` leaves it.
pub fn connector(name: &str) -> anyhow::Result<PathBuf> {
    let file = format!("usher_connector_{name}.wasm");
    let folder = profile_folder()?.parent().map(Path::to_owned).unwrap_or_default();
    let component = folder.join("wasm32-wasip2/connector").join(file);
    if !component.is_file() {
        bail!(
            "{} is not built; run `cargo xtask guests` first",
            component.display()
        );
    }
    Ok(component)
}

/// `target/debug` or wherever the running program was built.
fn profile_folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("asking where this program is")?;
    let folder = own.parent().context("a program stands in a folder")?;
    let is_test = folder.file_name() == Some(OsStr::new("deps"));
    Ok(if is_test {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    }
    .to_owned())
}
