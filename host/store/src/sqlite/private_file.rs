//! A file that comes into being whole or not at all: written beside its place under another name, only the owner may read it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::folder::{FILE_MODE, io};
use crate::StoreError;
use crate::sql::cells::hex;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// The file under its other name. Dropped before it is kept, it is removed.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) path: PathBuf,
    /// Locked as long as it is open: a second one to the same place is refused.
    file: File,
    doing: &'static str,
    kept: bool,
}

impl Partial {
    /// Makes an empty file. What a killed process left under this name is removed.
    pub(super) fn new(path: PathBuf, doing: &'static str) -> Result<Self, StoreError> {
        let failed = |error: &std::io::Error| io(doing, &path, error);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => {
                lock(
                    &OpenOptions::new()
                        .write(true)
                        .open(&path)
                        .map_err(|e| failed(&e))?,
                    &path,
                    doing,
                )?;
                fs::remove_file(&path).map_err(|e| failed(&e))?;
            }
            Ok(_) => return Err(failed(&std::io::Error::from(ErrorKind::AlreadyExists))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&error)),
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(|e| failed(&e))?;
        lock(&file, &path, doing)?;
        Ok(Self {
            path,
            file,
            doing,
            kept: false,
        })
    }

    /// Copies a file into it; the SHA-256 of what was copied.
    pub(super) fn copy_from(&mut self, from: &Path) -> Result<String, StoreError> {
        let mut source = File::open(from).map_err(|error| io(self.doing, from, &error))?;
        let doing = self.doing;
        let path = self.path.clone();
        let digest = each_chunk(&mut source, from, doing, |chunk| {
            self.file
                .write_all(chunk)
                .map_err(|error| io(doing, &path, &error))
        })?;
        self.sync()?;
        Ok(digest)
    }

    /// Waits until it is on the disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file
            .sync_all()
            .map_err(|error| io(self.doing, &self.path, &error))
    }

    /// Gives it its name, on the disk too.
    pub(super) fn keep(mut self, to: &Path) -> Result<(), StoreError> {
        let doing = self.doing;
        self.sync()?;
        fs::rename(&self.path, to).map_err(|error| io(doing, to, &error))?;
        self.kept = true;
        let folder = to.parent().filter(|path| !path.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| io(doing, folder, &error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is removed by the next one. SQLite may have put two files beside it.
            for beside in ["", "-wal", "-shm"] {
                let mut path = self.path.clone().into_os_string();
                path.push(beside);
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// SHA-256 of a file, in lower-case hexadecimal.
pub(super) fn sha256(path: &Path, doing: &'static str) -> Result<String, StoreError> {
    let mut file = File::open(path).map_err(|error| io(doing, path, &error))?;
    each_chunk(&mut file, path, doing, |_| Ok(()))
}

fn each_chunk(
    file: &mut File,
    path: &Path,
    doing: &'static str,
    mut take: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<String, StoreError> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(length) => {
                hasher.update(&chunk[..length]);
                take(&chunk[..length])?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(io(doing, path, &error)),
        }
    }
}

fn lock(file: &File, path: &Path, doing: &'static str) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(format!(
            "{} is being written by another process; wait for it or stop it",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(io(doing, path, &error)),
    }
}
