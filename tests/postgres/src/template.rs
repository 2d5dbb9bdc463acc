//! A data folder made once and copied for each server: `initdb` takes most of a second, a copy a tenth.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use usher_test_server::{Watchdog, copy, feed};

use crate::programs::Programs;

/// Raised when what is in a template changes: older ones are not used any more.
const REVISION: u32 = 1;

/// The superuser, reached through the socket in the server's private folder only.
pub(crate) const SUPERUSER: &str = "postgres";
/// The role that owns the databases of tests; it has no rights beyond them.
pub(crate) const ROLE: &str = "usher";

/// Shell that stops the server of a folder, `$1`. Nothing in a test's server is worth an orderly end. 200 looks of 50 ms: 10 s for a server that
/// hangs. Its lock file goes before it does, and tells even where nobody reaps orphans.
pub(crate) const STOP: &str = r#"
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null; then
    looks=0
    while [ -e "$1/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null && [ "$looks" -lt 200 ]; do
        sleep 0.05
        looks=$((looks + 1))
    done
    [ "$looks" -eq 200 ] && kill -KILL "$pid" 2>/dev/null
fi
"#;

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
        let user = programs.user.as_ref().map_or_else(own_uid, |user| user.uid);
        let name = format!("postgres-template-{}-{user}-{REVISION}", programs.version);
        let folder = usher_test_server::template(&name, |folder| make(programs, folder))?;
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

/// Makes the data in a temporary folder, where the server's user can go, and moves the whole here in one step.
fn make(programs: &Programs, folder: &Path) -> anyhow::Result<()> {
    let work = private_folder(programs)?;
    let _watchdog = Watchdog::over(&work, STOP)?;
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
    let folder = usher_test_server::private_folder("usher-pg-")?;
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
