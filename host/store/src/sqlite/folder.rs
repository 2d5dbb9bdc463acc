//! The data folder: private to its owner, and owned by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// Only the owner may enter: it holds personal data.
const FOLDER_MODE: u32 = 0o700;
/// Only the owner may read and write. SQLite gives its `-wal` and `-shm` files the mode of the database file.
const FILE_MODE: u32 = 0o600;
/// Longest process number read from a lock file, in bytes.
const PID_BYTES_MAX: u64 = 20;

const DATABASE_FILE: &str = "usher.db";
const LOCK_FILE: &str = "usher.lock";

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

impl Folder {
    /// Makes the folder and an empty database file. An existing database is refused.
    pub(crate) fn create(folder: &Path) -> Result<Self, StoreError> {
        let doing = "creating the data folder";
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(folder)
            .map_err(|error| io(doing, folder, &error))?;
        let owned = Self::lock(folder)?;
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

    /// Takes a folder that holds a database.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        if !holds_database(folder) {
            return Err(StoreError::NotFound(format!(
                "there is no database in {}; create one with `usher init`",
                folder.display()
            )));
        }
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

fn io(doing: &'static str, path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable {
        doing,
        message: format!("{}: {error}", path.display()),
    }
}
