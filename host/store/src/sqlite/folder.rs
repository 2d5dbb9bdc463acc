//! The data folder: private to its owner, and owned by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{DiskTrouble, StoreError};

/// Only the owner may enter: it holds personal data.
const FOLDER_MODE: u32 = 0o700;
/// Only the owner may read and write. SQLite gives its `-wal` and `-shm` files the mode of the database file.
pub(super) const FILE_MODE: u32 = 0o600;
/// Longest process number read from a lock file, in bytes.
const PID_BYTES_MAX: u64 = 20;

const DATABASE_FILE: &str = "usher.db";
const LOCK_FILE: &str = "usher.lock";
/// The operator's key, which may be put there beforehand.
const KEY_FILE: &str = "usher.key";
/// The database file while it is restored; with what SQLite keeps beside it.
const RESTORING_FILE: &str = "usher.db.restoring";

/// A data folder this process owns until it is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    /// The database file.
    pub(crate) database: PathBuf,
    /// The lock lasts as long as the file is open.
    _lock: File,
}

/// The database file of a folder.
pub(crate) fn database(folder: &Path) -> PathBuf {
    folder.join(DATABASE_FILE)
}

/// Whether a folder holds a database.
pub(crate) fn holds_database(folder: &Path) -> bool {
    folder.join(DATABASE_FILE).is_file()
}

/// Whether a file of this name in a folder without a database is what an `init` or a restore has left that came to nothing.
pub fn is_left_behind(name: &str) -> bool {
    name == LOCK_FILE || name.starts_with(RESTORING_FILE)
}

/// Refuses a folder without a database.
pub(crate) fn must_hold_database(folder: &Path) -> Result<(), StoreError> {
    if holds_database(folder) {
        return Ok(());
    }
    Err(StoreError::NotFound(format!(
        "there is no database in {}; create one with `usher init`",
        folder.display()
    )))
}

impl Folder {
    /// Makes the folder and an empty database file. An existing database is refused.
    pub(crate) fn create(folder: &Path) -> Result<Self, StoreError> {
        let doing = "creating the data folder";
        let owned = Self::make(folder)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&owned.database)
            .map_err(|error| {
                if error.kind() == std::io::ErrorKind::AlreadyExists {
                    StoreError::InUse(format!(
                        "{} already holds a database; use it, or name another folder",
                        folder.display()
                    ))
                } else {
                    io(doing, &owned.database, &error)
                }
            })?;
        Ok(owned)
    }

    /// Makes the folder, or takes an empty one. What a restore left that was cut short is removed.
    pub(crate) fn create_empty(folder: &Path) -> Result<Self, StoreError> {
        let doing = "looking into the data folder";
        let owned = Self::make(folder)?;
        let entries = std::fs::read_dir(folder).map_err(|error| io(doing, folder, &error))?;
        let mut left = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| io(doing, folder, &error))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name == LOCK_FILE || name == KEY_FILE {
                continue;
            }
            if is_left_behind(&name) {
                left.push(entry.path());
            } else {
                return Err(StoreError::InUse(format!(
                    "{} is not empty (there is {}); name another folder",
                    folder.display(),
                    name.escape_debug()
                )));
            }
        }
        for path in left {
            std::fs::remove_file(&path).map_err(|error| io(doing, &path, &error))?;
        }
        Ok(owned)
    }

    /// Where a backup is put while it is not a database of this folder yet.
    pub(crate) fn restoring(&self) -> PathBuf {
        self.database.with_file_name(RESTORING_FILE)
    }

    fn make(folder: &Path) -> Result<Self, StoreError> {
        let doing = "creating the data folder";
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(folder)
            .map_err(|error| io(doing, folder, &error))?;
        Self::lock(folder)
    }

    /// Takes a folder that holds a database.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        must_hold_database(folder)?;
        Self::lock(folder)
    }

    fn lock(folder: &Path) -> Result<Self, StoreError> {
        let doing = "locking the data folder";
        let path = folder.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(|error| io(doing, &path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(folder, &mut file)),
            Err(TryLockError::Error(error)) => return Err(io(doing, &path, &error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(|error| io(doing, &path, &error))?;
        Ok(Self {
            database: folder.join(DATABASE_FILE),
            _lock: file,
        })
    }
}

fn in_use(folder: &Path, file: &mut File) -> StoreError {
    let mut pid = String::new();
    let read = file.take(PID_BYTES_MAX).read_to_string(&mut pid);
    let owner = match read {
        Ok(_) if !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()) => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    StoreError::InUse(format!(
        "{} is in use by {owner}; wait for it or stop it",
        folder.display()
    ))
}

/// An error of the file system, in its words.
pub(super) fn io(doing: &'static str, path: &Path, error: &std::io::Error) -> StoreError {
    let message = format!("{}: {error}", path.display());
    let trouble = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DiskTrouble::Full,
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => DiskTrouble::ReadOnly,
        ErrorKind::FileTooLarge => DiskTrouble::Refuses,
        _ => return StoreError::Unavailable { doing, message },
    };
    StoreError::Disk {
        doing,
        trouble,
        message,
    }
}
