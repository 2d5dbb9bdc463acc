//! Where the operator's key comes from: a file, the environment, a command, or `usher.key` in the data folder.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use usher_store::{Fingerprint, OperatorKey, sqlite};
use zeroize::Zeroizing;

use super::place::Place;
use super::randomness::OsRandomness;
use super::secrets;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;

/// The key of a data folder, where none is given.
pub(crate) const KEY_FILE: &str = "usher.key";
/// The key that is about to take its place: there is one only while `usher key rotate` runs, or after it was cut short.
const NEXT_KEY_FILE: &str = "usher.key.next";
/// Only the owner may read a key.
const KEY_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

const KEY_VARIABLE: &str = "USHER_KEY";
const COMMAND_VARIABLE: &str = "USHER_KEY_COMMAND";
/// How long the command may take: a key vault answers within a second or two.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes read of its answer; a key is 64.
const COMMAND_BYTES_MAX: u64 = 1024;

/// Where the operator's key is.
#[derive(Debug)]
pub(crate) enum KeySource {
    /// A file that the operator named.
    File(PathBuf),
    /// The variable `USHER_KEY`.
    Variable(Zeroizing<String>),
    /// What a command prints.
    Command(String),
    /// `usher.key` in the data folder.
    Folder(PathBuf),
}

impl KeySource {
    /// As the options and the environment say.
    pub(crate) fn of(global: &Global, place: &Place) -> Result<Self, Failure> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let given = [
            global.key_file.clone().map(Self::File),
            variable(KEY_VARIABLE).map(|key| Self::Variable(Zeroizing::new(key))),
            variable(COMMAND_VARIABLE).map(Self::Command),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(source), None) => Ok(source),
            (Some(one), Some(other)) => {
                let message = format!("the key is given twice: by {} and by {}", one.name(), other.name());
                Err(Failure::new(Exit::Usage, message).advice("leave one of them out"))
            }
            (None, _) => match place {
                Place::Folder(path) => Ok(Self::Folder(path.clone())),
                Place::Database { .. } => Err(Failure::new(
                    Exit::Folder,
                    "a database is opened with a key, and none was given",
                )
                .advice(
                    "give it with --key-file (or USHER_KEY_FILE), USHER_KEY or USHER_KEY_COMMAND, the same on every host; \
                     `usher key new` prints a new one",
                )),
            },
        }
    }

    /// For people.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => format!("the file {}", path.display()),
            Self::Variable(_) => format!("the variable {KEY_VARIABLE}"),
            Self::Command(_) => format!("the command in {COMMAND_VARIABLE}"),
            Self::Folder(path) => format!("the file {}", path.join(KEY_FILE).display()),
        }
    }

    /// The key of a store that is there. A data folder of before there were keys gets one; `note` then says so.
    pub(crate) async fn find(&self, note: impl Fn(&str)) -> Result<OperatorKey, Failure> {
        match self {
            Self::File(path) => from_file(path),
            Self::Variable(text) => {
                OperatorKey::parse(text).map_err(|error| unreadable(KEY_VARIABLE, &error))
            }
            Self::Command(line) => from_command(line).await,
            Self::Folder(folder) => match sqlite::sealed_under(folder).await? {
                Some(fingerprint) => in_folder(folder, fingerprint),
                None => {
                    let key = made_in_folder(folder)?;
                    note(&format!(
                        "made the key of this folder: {}. What is secret here opens only with it; backups do not hold it, so keep a copy elsewhere",
                        folder.join(KEY_FILE).display()
                    ));
                    Ok(key)
                }
            },
        }
    }

    /// The key of a store that is about to be made: in a data folder a new one, unless one lies there.
    pub(crate) async fn make(&self) -> Result<OperatorKey, Failure> {
        match self {
            Self::Folder(folder) => made_in_folder(folder),
            Self::File(_) | Self::Variable(_) | Self::Command(_) => self.find(|_| {}).await,
        }
    }
}

/// Reads a key from a file.
pub(crate) fn from_file(path: &Path) -> Result<OperatorKey, Failure> {
    let shown = path.display().to_string();
    let text = secrets::from_file(path).map_err(|reason| Failure::new(Exit::Folder, reason))?;
    OperatorKey::parse(text.expose()).map_err(|error| unreadable(&shown, &error))
}

fn unreadable(place: &str, error: &str) -> Failure {
    Failure::new(Exit::Folder, format!("{place}: {error}"))
}

async fn from_command(line: &str) -> Result<OperatorKey, Failure> {
    let failed = |reason: String| {
        Failure::new(Exit::Folder, format!("{COMMAND_VARIABLE}: {reason}")).advice(
            "it is run without a shell, split at white space, and must print the key and nothing else; for anything more, name a script",
        )
    };
    let mut words = line.split_whitespace();
    let program = words.next().ok_or_else(|| failed("it is empty".to_owned()))?;
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot run `{program}`: {error}")))?;
    let mut text = Zeroizing::new(String::new());
    let stdout = child.stdout.take();
    let answer = async {
        if let Some(stdout) = stdout {
            stdout.take(COMMAND_BYTES_MAX).read_to_string(&mut text).await?;
        }
        child.wait().await
    };
    match tokio::time::timeout(COMMAND_TIMEOUT, answer).await {
        Err(_) => Err(failed(format!(
            "`{program}` did not answer within {} seconds",
            COMMAND_TIMEOUT.as_secs()
        ))),
        Ok(Err(error)) => Err(failed(format!("`{program}`: {error}"))),
        Ok(Ok(status)) if !status.success() => Err(failed(format!("`{program}` failed ({status})"))),
        Ok(Ok(_)) => {
            OperatorKey::parse(&text).map_err(|error| failed(format!("what `{program}` prints: {error}")))
        }
    }
}

/// The key in a data folder whose database is sealed under `fingerprint`.
fn in_folder(folder: &Path, fingerprint: Fingerprint) -> Result<OperatorKey, Failure> {
    let (path, next) = (folder.join(KEY_FILE), folder.join(NEXT_KEY_FILE));
    if next.is_file() {
        let key = from_file(&next)?;
        if key.fingerprint() == fingerprint {
            // A rotation was cut short after the store had taken the new key.
            take_place(folder)?;
            return Ok(key);
        }
    }
    if !path.is_file() {
        let message = format!(
            "{} is sealed under the key {fingerprint}, but there is no key: {} is missing and none was given",
            folder.display(),
            path.display()
        );
        return Err(Failure::new(Exit::Folder, message).advice(
            "backups do not hold the key: put the file back from where you keep it, or give the key with --key-file, USHER_KEY or USHER_KEY_COMMAND",
        ));
    }
    from_file(&path)
}

/// The key of a folder that has no sealed database yet: the one that lies there, or a new one.
fn made_in_folder(folder: &Path) -> Result<OperatorKey, Failure> {
    let path = folder.join(KEY_FILE);
    if path.is_file() {
        return from_file(&path);
    }
    let failed = |error: std::io::Error| Failure::file("make", &path, &error);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)
        .map_err(failed)?;
    let key = OperatorKey::generate(&OsRandomness);
    match write_new(&path, &key) {
        Ok(()) => Ok(key),
        // Another command was at the same point.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => from_file(&path),
        Err(error) => Err(failed(error)),
    }
}

/// Writes a key into a file that must not be there, and waits until it is on the disk.
pub(crate) fn write_new(path: &Path, key: &OperatorKey) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(KEY_MODE)
        .open(path)?;
    file.write_all(key.to_text().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::File::open(folder)?.sync_all(),
        _ => fs::File::open(".")?.sync_all(),
    }
}

/// A new key beside the folder's, not yet in force.
pub(crate) fn prepare_next(folder: &Path) -> Result<OperatorKey, Failure> {
    let next = folder.join(NEXT_KEY_FILE);
    if next.is_file() {
        return from_file(&next);
    }
    let key = OperatorKey::generate(&OsRandomness);
    write_new(&next, &key).map_err(|error| Failure::file("make", &next, &error))?;
    Ok(key)
}

/// Lets the prepared key take the place of the folder's. The old one is kept under its name: older backups open with it.
pub(crate) fn take_place(folder: &Path) -> Result<Option<PathBuf>, Failure> {
    let kept = put_aside(folder)?;
    let (next, path) = (folder.join(NEXT_KEY_FILE), folder.join(KEY_FILE));
    fs::rename(&next, &path)
        .and_then(|()| sync_folder(&path))
        .map_err(|error| Failure::file("rename", &next, &error))?;
    Ok(kept)
}

/// Puts the folder's key aside, under a name that tells which it is.
pub(crate) fn put_aside(folder: &Path) -> Result<Option<PathBuf>, Failure> {
    let path = folder.join(KEY_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let fingerprint = from_file(&path)?.fingerprint().to_string();
    let kept = folder.join(format!("{KEY_FILE}.{}", &fingerprint[..8]));
    fs::rename(&path, &kept)
        .and_then(|()| sync_folder(&kept))
        .map_err(|error| Failure::file("rename", &path, &error))?;
    Ok(Some(kept))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";

    #[test]
    fn a_folder_keeps_the_key_it_was_made_with() {
        let folder = tempfile::tempdir().unwrap();
        let key = made_in_folder(folder.path()).unwrap();
        let path = folder.path().join(KEY_FILE);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            KEY_MODE
        );
        let again = made_in_folder(folder.path()).unwrap();
        assert_eq!(again.fingerprint(), key.fingerprint());
        assert_eq!(
            in_folder(folder.path(), key.fingerprint()).unwrap().fingerprint(),
            key.fingerprint()
        );
        fs::remove_file(&path).unwrap();
        let missing = in_folder(folder.path(), key.fingerprint()).unwrap_err();
        assert_eq!(missing.exit(), Exit::Folder);
    }

    #[test]
    fn a_rotation_that_was_cut_short_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let old = made_in_folder(folder.path()).unwrap();
        let new = prepare_next(folder.path()).unwrap();
        assert_eq!(
            prepare_next(folder.path()).unwrap().fingerprint(),
            new.fingerprint()
        );
        // Before the store took the new one the old one is in force.
        assert_eq!(
            in_folder(folder.path(), old.fingerprint()).unwrap().fingerprint(),
            old.fingerprint()
        );
        assert_eq!(
            in_folder(folder.path(), new.fingerprint()).unwrap().fingerprint(),
            new.fingerprint()
        );
        assert_eq!(
            from_file(&folder.path().join(KEY_FILE)).unwrap().fingerprint(),
            new.fingerprint()
        );
        let kept = format!("{KEY_FILE}.{}", &old.fingerprint().to_string()[..8]);
        assert_eq!(
            from_file(&folder.path().join(kept)).unwrap().fingerprint(),
            old.fingerprint()
        );
    }

    #[tokio::test]
    async fn a_command_prints_the_key() {
        let key = from_command(&format!("echo {HEX}")).await.unwrap();
        assert_eq!(key.fingerprint(), OperatorKey::parse(HEX).unwrap().fingerprint());
        for line in ["false", "/nowhere/vault read", "echo hunter2", "yes", ""] {
            let error = from_command(line).await.unwrap_err();
            assert_eq!(error.exit(), Exit::Folder, "{line}");
        }
    }
}
