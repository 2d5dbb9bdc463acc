//! The store on SQLite: WAL, FULL, one writer connection, a few readers, one process per data folder.
//!
//! The hot paths (stage, absorb, commit a plan, record and claim) send one statement per batch, never one per row: through
//! the driver a statement costs 20–35 µs of CPU whatever it does. A write transaction should stay around 20 ms; the
//! constants that bound each are beside the code that uses them.

mod absorb;
mod artifacts;
mod attempts;
mod audit;
mod claim;
mod documents;
mod facts;
mod folder;
mod identities;
mod operations;
mod outcome_batch;
mod outcomes;
mod peek;
mod plan_queue;
mod planning;
mod rows;
mod schema;
mod snapshots;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::Mutex;

use self::folder::Folder;
use self::rows::failed;
use self::write::Writer;
use crate::{Context, Randomness, StoreError};

/// How long a statement waits for another connection's lock. Only ours exist, and writers queue before they begin; it covers a
/// checkpoint and a backup tool.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Readers at the same time: planning, a status request and one to spare on a small machine.
const READERS_MAX: u32 = 3;
/// Page cache of the writer, in KiB: the hot indexes of 100,000 people.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// Page cache of each reader, in KiB.
const READER_CACHE_KIB: i64 = 4 * 1024;
/// Rows the database thread reads ahead of us: a whole batch, so that the two threads do not wake each other row by row.
const ROWS_AHEAD: usize = 1_024;
/// How far the clock may have gone back since the last commit: more than clock corrections do, less than a time-zone mistake.
const CLOCK_BACKWARD_MAX: SignedDuration = SignedDuration::from_mins(5);

/// The store on SQLite.
pub struct SqliteStore {
    writer: Mutex<Writer>,
    readers: SqlitePool,
    randomness: Arc<dyn Randomness>,
    /// Dropped last: the folder is ours until the connections are gone.
    _folder: Folder,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Whether a folder holds a database.
    pub fn exists(folder: &Path) -> bool {
        folder::holds_database(folder)
    }

    /// Makes the folder (0700) and an empty database (0600), and opens it. `InUse` when there is one already.
    pub async fn create(
        folder: &Path,
        randomness: Arc<dyn Randomness>,
        context: &Context,
    ) -> Result<Self, StoreError> {
        Self::with(Folder::create(folder)?, randomness, context).await
    }

    /// Opens the database of a folder, brings its schema up to date and becomes its writer.
    ///
    /// `NotFound`: there is none (see [`SqliteStore::create`]). `InUse`: another process has it. `Version`: it belongs to a newer
    /// program. `Stale`: the clock is more than five minutes before the last commit.
    pub async fn open(
        folder: &Path,
        randomness: Arc<dyn Randomness>,
        context: &Context,
    ) -> Result<Self, StoreError> {
        Self::with(Folder::open(folder)?, randomness, context).await
    }

    async fn with(
        folder: Folder,
        randomness: Arc<dyn Randomness>,
        context: &Context,
    ) -> Result<Self, StoreError> {
        let doing = "opening the database";
        let options = SqliteConnectOptions::new()
            .filename(&folder.database)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .row_buffer_size(ROWS_AHEAD)
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        let writing = options
            .clone()
            .pragma("cache_size", (-WRITER_CACHE_KIB).to_string());
        let mut connection = SqliteConnection::connect_with(&writing)
            .await
            .map_err(failed(doing))?;
        schema::migrate(&mut connection).await?;
        refuse_backward_clock(&mut connection, context.at).await?;
        let writer = Writer::register(connection, rows::micros(context.at)).await?;
        let reading = options
            .pragma("cache_size", (-READER_CACHE_KIB).to_string())
            .pragma("query_only", "true");
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .test_before_acquire(false)
            .connect_lazy_with(reading);
        Ok(Self {
            writer: Mutex::new(writer),
            readers,
            randomness,
            _folder: folder,
        })
    }

    /// Marks the folder as a rehearsal: its clock may be set by hand. There is no way back.
    pub async fn set_rehearsal(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        sqlx::query("UPDATE meta SET rehearsal = 1 WHERE id = 1")
            .execute(&mut writer.connection)
            .await
            .map_err(failed("marking the folder as a rehearsal"))?;
        Ok(())
    }

    /// Whether the folder is a rehearsal.
    pub async fn is_rehearsal(&self) -> Result<bool, StoreError> {
        let doing = "reading whether the folder is a rehearsal";
        let row = sqlx::query("SELECT rehearsal FROM meta WHERE id = 1")
            .fetch_one(&self.readers)
            .await
            .map_err(failed(doing))?;
        row.try_get::<i64, _>(0)
            .map(|rehearsal| rehearsal == 1)
            .map_err(failed(doing))
    }

    /// The time of the newest commit: the clock of a rehearsal goes on from here.
    pub async fn high_water(&self) -> Result<Timestamp, StoreError> {
        let row = sqlx::query(r#"SELECT id AS "meta.id", high_water_us AS "meta.high_water_us" FROM meta"#)
            .fetch_one(&self.readers)
            .await
            .map_err(failed("reading the high-water time"))?;
        rows::Cells::new(&row, "meta.id")?.time("meta.high_water_us")
    }

    /// A small setting of the folder, if set.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let doing = "reading a setting";
        let row = sqlx::query("SELECT value FROM setting WHERE name = ?1")
            .bind(name)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed(doing))?;
        row.map(|row| row.try_get(0).map_err(failed(doing))).transpose()
    }

    /// Sets a small setting of the folder.
    pub async fn set_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        sqlx::query(
            "INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
        )
        .bind(name)
        .bind(value)
        .execute(&mut writer.connection)
        .await
        .map_err(failed("writing a setting"))?;
        Ok(())
    }

    /// Closes the connections in order; the last one folds the write-ahead log into the database file. Dropping the store is
    /// safe too, only less tidy.
    pub async fn close(self) -> Result<(), StoreError> {
        self.readers.close().await;
        self.writer
            .into_inner()
            .connection
            .close()
            .await
            .map_err(failed("closing the database"))
    }

    /// A read transaction: several statements see one moment.
    async fn read(&self, doing: &'static str) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.readers.begin().await.map_err(failed(doing))
    }

    /// Ten random bytes for an id.
    fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        self.randomness.fill(&mut bytes);
        bytes
    }
}

/// A clock that went back, or a folder from the future, would let yesterday's decisions run again.
async fn refuse_backward_clock(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), StoreError> {
    let row = sqlx::query(r#"SELECT id AS "meta.id", high_water_us AS "meta.high_water_us" FROM meta"#)
        .fetch_optional(connection)
        .await
        .map_err(failed("reading the high-water time"))?;
    let Some(row) = row else { return Ok(()) };
    let high_water = rows::Cells::new(&row, "meta.id")?.time("meta.high_water_us")?;
    if high_water.duration_since(now) > CLOCK_BACKWARD_MAX {
        return Err(StoreError::Stale(format!(
            "the clock says {now}, but the store was last written at {high_water}; set the clock right, then try again"
        )));
    }
    Ok(())
}
