//! Folders of servers: their own, and data made once and copied for each.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::command::feed;

/// A socket's path has at most 107 bytes; its name needs 20 of them and the folder's own name 17.
const PARENT_BYTES_MAX: usize = 70;

/// A temporary folder that nobody else may enter.
pub fn private_folder(prefix: &str) -> anyhow::Result<PathBuf> {
    let mut parent = std::env::temp_dir();
    if parent.as_os_str().len() > PARENT_BYTES_MAX {
        parent = PathBuf::from("/tmp");
    }
    let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(&parent);
    let folder = folder.with_context(|| format!("making a folder in {}", parent.display()))?;
    Ok(folder.keep())
}

/// The folder cargo builds to, which is where this program is.
pub fn build_folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program")?;
    let folder = own.parent().context("this program is in no folder")?;
    let is_deps = folder.file_name().is_some_and(|name| name == "deps");
    let folder = if is_deps {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    Ok(folder.to_owned())
}

/// The template of this name in the build folder, made now if there is none. `make` must put it there in one step; only one process makes it.
pub fn template(name: &str, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
    let build = build_folder()?;
    let folder = build.join(name);
    if !folder.is_dir() {
        let lock = File::create(build.join(format!("{name}.lock"))).context("making the template's lock")?;
        lock.lock().context("locking the template")?;
        if !folder.is_dir() {
            make(&folder)?;
        }
    }
    Ok(folder)
}

/// With owners and permissions, sharing blocks where the file system can.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut cp = Command::new("cp");
    cp.args(["-R", "-p"]).arg(from).arg(to);
    feed(cp, "").map(drop)
}
