//! Connectors as components, for tests that need real ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The bytes of a connector of this workspace, by the name of its package.
///
/// Taken from the folder that `USHER_COMPONENTS_DIR` names, if set (`cargo xtask test` builds all at once); else built now, once for
/// each process, into the target folder in use.
///
/// # Panics
/// When it cannot be built or read: a test can do nothing sensible then.
pub fn component(package: &str) -> Vec<u8> {
    static BUILT: Mutex<Option<HashMap<String, Vec<u8>>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(bytes) = built.get(package) {
        return bytes.clone();
    }
    let file = format!("{}.wasm", package.replace('-', "_"));
    let path = match std::env::var_os("USHER_COMPONENTS_DIR") {
        Some(folder) => PathBuf::from(folder).join(file),
        None => build(package).join(file),
    };
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    built.insert(package.to_owned(), bytes.clone());
    bytes
}

/// The bytes of the connector in `tests/guests/javascript` or `tests/guests/python`. Nothing, and a line that says so, where `cargo xtask languages` has not been
/// run: it takes a minute, node and Python. `cargo xtask test` runs it, and then demands them by `USHER_LANGUAGES=required`.
#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests must see what was left out"
)]
pub fn language_component(language: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("USHER_COMPONENTS_DIR").map_or_else(built_folder, PathBuf::from);
    let path = folder.join(format!("usher_guest_{language}.wasm"));
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let required = std::env::var_os("USHER_LANGUAGES").is_some_and(|value| value == "required");
            assert!(!required, "{}: {error}", path.display());
            eprintln!(
                "SKIPPED: the connector in {language}: {} is not there; `cargo xtask languages` makes it",
                path.display()
            );
            None
        }
    }
}

fn built_folder() -> PathBuf {
    target_folder().join("wasm32-wasip2").join("connector")
}

fn target_folder() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}

/// Builds a package and tells the folder its component is in.
fn build(package: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--target",
            "wasm32-wasip2",
            "--profile",
            "connector",
            "--package",
            package,
        ])
        .arg("--target-dir")
        .arg(target_folder())
        .current_dir(&workspace)
        // Flags meant for the host's code (coverage, sanitizers) do not suit a guest.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap_or_else(|error| panic!("cargo does not start: {error}"));
    assert!(status.success(), "the connector {package} does not build");
    built_folder()
}
