//! A data folder made once and copied for each server: `initdb` takes most of a second, a copy a tenth.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::programs::Programs;
use crate::watchdog::Watchdog;

/// Raised when what is in a template changes: older ones are not used any more.
const REVISION: u32 = 1;

/// The superuser, reached through the socket in the server's private folder only.
pub(crate) const SUPERUSER: &str = "postgres";
/// The role that owns the databases of tests; it has no rights beyond them.
pub(crate) const ROLE: &str = "usher";

/// Through the socket everybody who can enter the folder, over TCP with a password.
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// A data folder ready to be copied, and the password of `ROLE` in it.
pub(crate) struct Template {
    folder: PathBuf,
    pub(crate) password: String,
}

impl Template {
    /// The one of this build folder, made now if there is none.
    pub(crate) fn get(programs: &Programs) -> anyhow::Result<Self> {
        let build = build_folder()?;
        let user = programs.user.as_ref().map_or_else(own_uid, |user| user.uid);
        let name = format!("postgres-template-{}-{user}-{REVISION}", programs.version);
        let folder = build.join(&name);
        if !folder.is_dir() {
            let lock =
                File::create(build.join(format!("{name}.lock"))).context("making the template's lock")?;
            lock.lock().context("locking the template")?;
            if !folder.is_dir() {
                make(programs, &folder)?;
            }
        }
        let password =
            std::fs::read_to_string(folder.join("password")).context("reading the template's password")?;
        Ok(Self { folder, password })
    }

    /// Copies the data to `folder/data`.
    pub(crate) fn copy_to(&self, folder: &Path) -> anyhow::Result<()> {
        copy(&self.folder.join("data"), &folder.join("data"))
    }
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
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

/// Makes the data in a temporary folder, where the server's user can go, and moves the whole here in one step.
fn make(programs: &Programs, folder: &Path) -> anyhow::Result<()> {
    let work = private_folder(programs)?;
    let _watchdog = Watchdog::over(&work)?;
    let data = work.join("data");
    let mut random = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .context("reading /dev/urandom")?;
    let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();

    let mut initdb = as_owner(programs, "initdb");
    let options =
        format!("--username={SUPERUSER} --encoding=UTF8 --locale=C --auth=trust --no-sync --no-instructions");
    initdb.args(options.split(' ')).arg("--pgdata").arg(&data);
    feed(initdb, "")?;
    let mut single = as_owner(programs, "postgres");
    single
        .args(["--single", "-c", "fsync=off", "-D"])
        .arg(&data)
        .arg("postgres");
    feed(
        single,
        &format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'\n"),
    )?;
    std::fs::write(data.join("pg_hba.conf"), HBA).context("writing pg_hba.conf")?;

    let new = folder.with_file_name("postgres-template.new");
    if new.exists() {
        std::fs::remove_dir_all(&new).context("removing half a template")?;
    }
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&new)
        .context("making the template")?;
    copy(&data, &new.join("data"))?;
    std::fs::write(new.join("password"), password).context("writing the template's password")?;
    std::fs::rename(&new, folder).context("putting the template in place")
}

/// A folder that only the server's user may enter.
pub(crate) fn private_folder(programs: &Programs) -> anyhow::Result<PathBuf> {
    /// A socket's path has at most 107 bytes; its name needs 20 of them and the folder's own name 12.
    const PARENT_BYTES_MAX: usize = 70;
    let mut parent = std::env::temp_dir();
    if parent.as_os_str().len() > PARENT_BYTES_MAX {
        parent = PathBuf::from("/tmp");
    }
    let folder = tempfile::Builder::new().prefix("usher-pg-").tempdir_in(&parent);
    let folder = folder
        .with_context(|| format!("making a folder in {}", parent.display()))?
        .keep();
    if let Some(user) = &programs.user {
        std::os::unix::fs::chown(&folder, Some(user.uid), Some(user.gid))
            .with_context(|| format!("giving {} to the server's user", folder.display()))?;
    }
    Ok(folder)
}

/// A command that the server's user runs.
pub(crate) fn as_owner(programs: &Programs, program: &str) -> Command {
    let mut command = programs.command(program);
    if let Some(user) = &programs.user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// With owners and permissions, sharing blocks where the file system can.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let output = Command::new("cp")
        .args(["-R", "-p"])
        .arg(from)
        .arg(to)
        .output()
        .context("starting cp")?;
    if !output.status.success() {
        bail!(
            "copying {}: {}",
            from.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Runs a command with this as its input.
pub(crate) fn feed(mut command: Command, input: &str) -> anyhow::Result<String> {
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
