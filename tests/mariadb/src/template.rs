//! A data folder made once and copied for each server: installing one takes a second, a copy a tenth.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::programs::Programs;

/// Raised when what is in a template changes: older ones are not used any more.
const REVISION: u32 = 1;
/// MariaDB's own default is 96 MiB for each server.
pub(crate) const LOG_FILE_SIZE: &str = "--innodb-log-file-size=8M";

/// Copies a fresh data folder to `folder/data`. Its `root` has no password and is reached through the socket alone.
pub(crate) fn copy_to(programs: &Programs, folder: &Path) -> anyhow::Result<()> {
    let build = build_folder()?;
    let uid = nix::unistd::geteuid().as_raw();
    let name = format!("mariadb-template-{}-{uid}-{REVISION}", programs.version);
    let template = build.join(&name);
    if !template.is_dir() {
        let lock = File::create(build.join(format!("{name}.lock"))).context("making the template's lock")?;
        lock.lock().context("locking the template")?;
        if !template.is_dir() {
            make(programs, &template)?;
        }
    }
    succeed(
        Command::new("cp")
            .args(["-R", "-p"])
            .arg(&template)
            .arg(folder.join("data")),
    )
}

/// Makes it beside its place and moves it there in one step.
fn make(programs: &Programs, template: &Path) -> anyhow::Result<()> {
    let new = template.with_extension("new");
    if new.exists() {
        std::fs::remove_dir_all(&new).context("removing half a template")?;
    }
    let mut install = Command::new(&programs.install);
    install
        .args([
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            LOG_FILE_SIZE,
        ])
        .arg(format!("--datadir={}", new.display()))
        .args(as_root());
    succeed(&mut install)?;
    std::fs::rename(&new, template).context("putting the template in place")
}

/// MariaDB runs as root only when it is told to.
pub(crate) fn as_root() -> Option<&'static str> {
    nix::unistd::geteuid().is_root().then_some("--user=root")
}

/// The folder cargo builds to, which is where this program is.
fn build_folder() -> anyhow::Result<PathBuf> {
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

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("starting {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} ended with {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
