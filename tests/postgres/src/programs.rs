//! Finding PostgreSQL's programs on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{User, geteuid};

/// The oldest PostgreSQL that Usher supports.
pub const MAJOR_MIN: u32 = 15;
/// Where Debian and its relatives keep each version's programs; only wrappers of some of them are in `PATH`.
const DEBIAN: &str = "/usr/lib/postgresql";
/// What a test needs of PostgreSQL, all in one folder.
const NEEDED: [&str; 3] = ["postgres", "initdb", "psql"];

/// PostgreSQL's programs, of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    pub(crate) folder: PathBuf,
    pub(crate) version: String,
    pub(crate) user: Option<Owner>,
}

/// Who runs the server when tests run as root, which PostgreSQL refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Programs {
    /// Looks for them; the error says what is missing and where it was looked for.
    pub fn find() -> Result<Self, String> {
        let mut refused = Vec::new();
        for folder in folders() {
            match version_in(&folder) {
                Ok(version) => {
                    let user = owner()?;
                    return Ok(Self {
                        folder,
                        version,
                        user,
                    });
                }
                Err(reason) => refused.push(reason),
            }
        }
        let found = if refused.is_empty() {
            String::new()
        } else {
            format!(" Found but of no use: {}.", refused.join("; "))
        };
        Err(format!(
            "the server of PostgreSQL {MAJOR_MIN} or later is not installed (looked for {} in PATH, beside pg_config and in \
             {DEBIAN}/*/bin).{found} On Debian and Ubuntu: `apt-get install postgresql`",
            NEEDED.join(", ")
        ))
    }

    /// Its version, as it says it: `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A command of one of the programs, free of settings that the environment makes for clients.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        let settings = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG"));
        settings.for_each(|(name, _)| {
            command.env_remove(name);
        });
        command.env("LC_ALL", "C").current_dir("/");
        command
    }
}

/// Folders that may hold the programs, best first: what is in `PATH`, then the newest.
fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let asked = Command::new("pg_config").arg("--bindir").output();
    folders.extend(
        asked
            .ok()
            .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())),
    );
    let mut versions: Vec<PathBuf> = std::fs::read_dir(DEBIAN)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    versions.sort_by_key(|path| std::cmp::Reverse(number_at_end(path)));
    folders.extend(versions.iter().map(|version| version.join("bin")));
    // The server knows where its own files are by where it really is.
    let real = folders
        .iter()
        .filter_map(|folder| folder.join("postgres").canonicalize().ok());
    let mut real: Vec<PathBuf> = real
        .filter_map(|server| server.parent().map(Path::to_owned))
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    real.retain(|folder| seen.insert(folder.clone()));
    real
}

fn number_at_end(path: &Path) -> u32 {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.parse().unwrap_or(0)
}

/// The version in a folder that has all that is needed, or what is wrong with it.
fn version_in(folder: &Path) -> Result<String, String> {
    let mut version = String::new();
    for program in NEEDED {
        let file = folder.join(program);
        let output = Command::new(&file).arg("--version").output();
        let output = output.map_err(|error| format!("{}: {error}", file.display()))?;
        if !output.status.success() {
            return Err(format!("{} does not run", file.display()));
        }
        version = version_of(&String::from_utf8_lossy(&output.stdout));
    }
    let major = version.split(['.', 'b', 'r', 'd']).next().unwrap_or_default();
    match major.parse::<u32>() {
        Ok(major) if major >= MAJOR_MIN => Ok(version),
        Ok(_) | Err(_) => Err(format!("{} is version {version:?}", folder.display())),
    }
}

/// `15.18` of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version_of(line: &str) -> String {
    let after = line.split_once("(PostgreSQL)").map_or("", |(_, after)| after);
    after.split_whitespace().next().unwrap_or_default().to_owned()
}

fn owner() -> Result<Option<Owner>, String> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let known = ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten());
    match known {
        Some(user) => Ok(Some(Owner {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        })),
        None => Err(
            "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(
            version_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            "15.18"
        );
        assert_eq!(version_of("postgres (PostgreSQL) 18beta1"), "18beta1");
        assert_eq!(
            version_of("Error: You must install at least one postgresql-client package"),
            ""
        );
    }

    #[test]
    fn a_folder_without_the_programs_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let refused = version_in(folder.path()).unwrap_err();
        assert!(
            refused.contains("postgres") && refused.contains("No such file"),
            "{refused}"
        );
    }

    #[test]
    fn an_old_version_and_a_wrapper_that_does_not_work_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        for (says, expected) in [
            ("echo 'postgres (PostgreSQL) 14.2'", "is version \"14.2\""),
            ("echo 'nothing installed' >&2; exit 1", "does not run"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for program in NEEDED {
                let file = folder.path().join(program);
                std::fs::write(&file, format!("#!/bin/sh\n{says}\n")).unwrap();
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
            let refused = version_in(folder.path()).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
