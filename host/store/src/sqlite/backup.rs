//! Online backup: the folder's database as of one moment in one file, taken beside the process that serves the folder.
//!
//! `VACUUM INTO` on a read-only connection: one read transaction that sees one moment, whoever writes meanwhile. SQLite's backup interface
//! was the other choice; it begins again whenever another process commits, so beside a busy host it might never end. The price is that the
//! write-ahead log cannot begin anew until the copy is made: it grows by what is written meanwhile. The backup watches it and gives up
//! before it takes too much of the disk; the host folds the log at its next write after the backup has ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use serde::Serialize;

use super::integrity::{self, Depth};
use super::peek::Look;
use super::private_file::{Partial, sha256};
use super::writing::{bytes_of, log_of};
use super::{folder, schema};
use crate::StoreError;
use crate::sql::cells::failed;

/// How much the write-ahead log may grow during a backup, in bytes: minutes at the full speed of a small machine.
const LOG_GROWTH_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Steps of SQLite's machine between two looks at size and progress: a few milliseconds.
const STEPS_BETWEEN_LOOKS: i32 = 20_000;

const DOING: &str = "writing the backup";

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Backup {
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// The version of its schema.
    pub schema_version: i64,
    /// The newest commit it holds.
    pub moment: Option<Timestamp>,
    /// Its SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

/// Told now and then how many bytes are written, of about how many.
pub type BackupProgress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Writes a backup of a folder's database to a file that only the owner may read. Takes no lock: the folder may be served meanwhile.
///
/// The file comes into being whole, checked and on the disk, or not at all. `NotFound`: the folder holds no database. `InUse`: the file
/// exists and `overwrite` is not set, or it would lie in the data folder. `Damaged`: the database is. `Disk`: no room.
pub async fn backup(
    folder: &Path,
    to: &Path,
    overwrite: bool,
    progress: BackupProgress,
) -> Result<Backup, StoreError> {
    folder::must_hold_database(folder)?;
    let to = std::path::absolute(to).map_err(|error| folder::io(DOING, to, &error))?;
    refuse_place(folder, &to, overwrite)?;
    let mut beside = to.clone().into_os_string();
    beside.push(".partial");
    let partial = Partial::new(beside.into(), DOING)?;
    copy(&folder::database(folder), &partial.path, progress).await?;
    partial.sync()?;
    integrity::whole(&partial.path, Depth::Full).await?;
    let mut look = Look::into(&partial.path).await?;
    let (schema_version, moment) = (look.version, look.high_water().await?);
    look.close().await?;
    let made = Backup {
        size_bytes: bytes_of(&partial.path),
        sha256: sha256(&partial.path, DOING)?,
        schema_version,
        moment,
        file: to.clone(),
    };
    refuse_place(folder, &to, overwrite)?;
    partial.keep(&to)?;
    Ok(made)
}

/// A backup beside the database would be lost with it, or take its place.
fn refuse_place(folder: &Path, to: &Path, overwrite: bool) -> Result<(), StoreError> {
    let above = to.parent().unwrap_or(Path::new("/"));
    let real = |path: &Path| {
        path.canonicalize()
            .map_err(|error| folder::io(DOING, path, &error))
    };
    if real(above)? == real(folder)? {
        return Err(StoreError::InUse(format!(
            "{} is the data folder itself; keep backups elsewhere, best on another disk",
            above.display()
        )));
    }
    if !overwrite && to.symlink_metadata().is_ok() {
        return Err(StoreError::InUse(format!(
            "{} exists; name another file, or say that it may be overwritten",
            to.display()
        )));
    }
    Ok(())
}

async fn copy(database: &Path, to: &Path, progress: BackupProgress) -> Result<(), StoreError> {
    let name = to.to_str().ok_or_else(|| {
        StoreError::NotFound(format!(
            "{} is not a name in UTF-8; name another file",
            to.display()
        ))
    })?;
    let mut look = Look::into(database).await?;
    if schema::recognise(&mut look.connection).await? == 0 {
        return Err(StoreError::NotFound(format!(
            "{} holds nothing yet: its making was cut short",
            database.display()
        )));
    }
    let pages = look.number("PRAGMA page_count").await? - look.number("PRAGMA freelist_count").await?;
    let bytes = pages * look.number("PRAGMA page_size").await?;
    let watch = Watch {
        to: to.to_owned(),
        bytes: u64::try_from(bytes).unwrap_or(0),
        log: log_of(database),
        log_bytes_max: bytes_of(&log_of(database)) + LOG_GROWTH_BYTES_MAX,
        progress,
        gave_up: Arc::default(),
    };
    let gave_up = Arc::clone(&watch.gave_up);
    look.connection
        .lock_handle()
        .await
        .map_err(failed(DOING))?
        .set_progress_handler(STEPS_BETWEEN_LOOKS, move || watch.goes_on());
    let copied = sqlx::query("VACUUM INTO $1")
        .bind(name)
        .execute(&mut look.connection)
        .await;
    let closed = look.close().await;
    if gave_up.load(Ordering::Relaxed) {
        return Err(StoreError::Unavailable {
            doing: DOING,
            message: "the host wrote more than 1 GiB meanwhile, all of which its write-ahead log had to keep; take the backup when less is \
                      written"
                .to_owned(),
        });
    }
    copied.map_err(failed(DOING))?;
    closed
}

/// What is looked at while SQLite copies.
struct Watch {
    to: PathBuf,
    bytes: u64,
    log: PathBuf,
    log_bytes_max: u64,
    progress: BackupProgress,
    gave_up: Arc<AtomicBool>,
}

impl Watch {
    fn goes_on(&self) -> bool {
        (self.progress)(bytes_of(&self.to), self.bytes);
        if bytes_of(&self.log) <= self.log_bytes_max {
            return true;
        }
        self.gave_up.store(true, Ordering::Relaxed);
        false
    }
}
