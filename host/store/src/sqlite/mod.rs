//! What is SQLite's own: the data folder and its lock, opening, the schema. WAL, FULL, one writer connection, a few readers, one process
//! per data folder.

mod backup;
pub(crate) mod folder;
mod integrity;
#[cfg(test)]
mod keeping_tests;
mod peek;
mod private_file;
pub(crate) mod reads;
mod restore;
mod schema;
#[cfg(test)]
mod tests;
pub(crate) mod writing;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};
use tokio::sync::{Mutex, watch};

pub use self::backup::{Backup, BackupProgress, backup};
pub use self::folder::is_left_behind;
pub use self::peek::{rehearsal_moment, rehearsal_moment_of_file, sealed_under};
pub use self::restore::{Restored, restore};

use self::folder::Folder;
use self::reads::Reads;
use self::writing::{LOG_KEPT_BYTES, Writing};
use crate::keys::ring::Keys;
use crate::sql::cells::failed;
use crate::sql::keys;
use crate::sql::write::{Connection, Writer};
use crate::sql::{Place, Readers, SqlStore, refuse_backward_clock};
use crate::{Context, OperatorKey, Randomness, StoreError};

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

/// Whether a folder holds a database.
pub fn exists(folder: &Path) -> bool {
    folder::holds_database(folder)
}

/// Makes the folder (0700) and an empty database (0600), and opens it. `InUse` when there is one already.
pub async fn create(
    folder: &Path,
    key: &OperatorKey,
    randomness: Arc<dyn Randomness>,
    context: &Context,
) -> Result<SqlStore, StoreError> {
    with(Folder::create(folder)?, key, randomness, context).await
}

/// Opens the database of a folder, brings its schema up to date and becomes its writer.
///
/// `NotFound`: there is none (see [`create`]). `InUse`: another process has it. `Version`: it belongs to a newer program. `Stale`: the clock
/// is more than five minutes before the last commit. `Key`: the key does not open it. A folder of before version 3 gets its first data key,
/// sealed under this one. `Damaged`: the file is broken; it is looked through when its last writer did not leave in order.
pub async fn open(
    folder: &Path,
    key: &OperatorKey,
    randomness: Arc<dyn Randomness>,
    context: &Context,
) -> Result<SqlStore, StoreError> {
    with(Folder::open(folder)?, key, randomness, context).await
}

async fn with(
    folder: Folder,
    key: &OperatorKey,
    randomness: Arc<dyn Randomness>,
    context: &Context,
) -> Result<SqlStore, StoreError> {
    integrity::before_use(&folder.database).await?;
    let under_way = Arc::new(Reads::default());
    let (writer, keys) =
        become_writer(&folder.database, Arc::clone(&under_way), key, randomness, context).await?;
    let reading = options(&folder.database)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("cache_size", (-READER_CACHE_KIB).to_string())
        .pragma("query_only", "true");
    let pool = SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(is_free(connection)))
        .connect_lazy_with(reading);
    Ok(SqlStore {
        place: Place::Sqlite {
            wakes: watch::Sender::new(0),
            own: writer.id,
            _folder: folder,
        },
        writer: Mutex::new(writer),
        readers: Readers::Sqlite { pool, under_way },
        keys,
    })
}

/// Opens the one connection that writes, brings the schema up to date, and registers as the writer.
async fn become_writer(
    database: &Path,
    under_way: Arc<Reads>,
    key: &OperatorKey,
    randomness: Arc<dyn Randomness>,
    context: &Context,
) -> Result<(Writer, Arc<Keys>), StoreError> {
    let doing = "opening the database";
    let writing = options(database)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("cache_size", (-WRITER_CACHE_KIB).to_string())
        .pragma("journal_size_limit", LOG_KEPT_BYTES.to_string());
    let mut writing = Writing::open(database, writing, under_way)
        .await
        .map_err(failed(doing))?;
    keys::check(&mut writing.plain(doing).await?, Some(key)).await?;
    schema::migrate(writing.connection()).await?;
    refuse_backward_clock(&mut writing.plain(doing).await?, context.at).await?;
    let keys = keys::open(writing.plain(doing).await?, key, randomness, context.at).await?;
    let connection = Connection::Sqlite(writing);
    let writer = Writer::new(
        connection,
        process_name(),
        Duration::ZERO,
        Arc::clone(&keys),
        context.at,
    )
    .await?;
    Ok((writer, keys))
}

/// What every connection has.
fn options(database: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(database)
        .create_if_missing(false)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(ROWS_AHEAD)
        .pragma("temp_store", "memory")
        // What is deleted is overwritten: an erased person must not be found in the file.
        .pragma("secure_delete", "on")
        .disable_statement_logging()
}

/// Whether a reader's connection may be used again: one that a failure left in a transaction would show the past for ever.
async fn is_free(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // The rollback of the read that has ended is queued; it is done when the ping is answered.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

fn process_name() -> String {
    format!("process {}", std::process::id())
}
