//! Finding MariaDB's programs on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where servers are kept that are not in everybody's `PATH`.
const SYSTEM: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/mysql/bin"];

/// MariaDB's programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    pub(crate) server: PathBuf,
    pub(crate) install: PathBuf,
    pub(crate) client: PathBuf,
    pub(crate) version: String,
}

impl Programs {
    /// Looks for them; the error says what is missing and where it was looked for.
    pub fn find() -> Result<Self, String> {
        let find = |program: &str| {
            folders()
                .map(|folder| folder.join(program))
                .find(|file| file.is_file())
                .ok_or_else(|| {
                    format!(
                        "`{program}` is not installed (looked in PATH and {}). On Debian and Ubuntu: `apt-get install \
                         mariadb-server-core mariadb-client-core`",
                        SYSTEM.join(", ")
                    )
                })
        };
        let server = find("mariadbd")?;
        Ok(Self {
            version: version_of(&server)?,
            install: find("mariadb-install-db")?,
            client: find("mariadb")?,
            server,
        })
    }

    /// Its version, as it says it: `10.11.14-MariaDB`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

fn folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.into_iter().chain(SYSTEM.iter().map(PathBuf::from))
}

fn version_of(server: &Path) -> Result<String, String> {
    let output = Command::new(server).args(["--no-defaults", "--version"]).output();
    let output = output.map_err(|error| format!("{}: {error}", server.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().find(|word| word.contains("MariaDB"));
    version
        .map(str::to_owned)
        .ok_or_else(|| format!("{} does not say its version: {}", server.display(), text.trim()))
}
