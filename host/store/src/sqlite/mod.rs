//! What is SQLite's own: the data folder and its lock, opening, the schema. WAL, FULL, one writer connection, a few readers, one process
//! per data folder.

pub(crate) mod folder;
mod peek;
mod schema;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};
use tokio::sync::{Mutex, watch};

pub use self::peek::rehearsal_moment;

use self::folder::Folder;
use crate::sql::cells::failed;
use crate::sql::db::Tx;
use crate::sql::write::{Connection, Writer};
use crate::sql::{Place, Readers, SqlStore, refuse_backward_clock};
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

/// Whether a folder holds a database.
pub fn exists(folder: &Path) -> bool {
    folder::holds_database(folder)
}

/// Makes the folder (0700) and an empty database (0600), and opens it. `InUse` when there is one already.
pub async fn create(
    folder: &Path,
    randomness: Arc<dyn Randomness>,
    context: &Context,
) -> Result<SqlStore, StoreError> {
    with(Folder::create(folder)?, randomness, context).await
}

/// Opens the database of a folder, brings its schema up to date and becomes its writer.
///
/// `NotFound`: there is none (see [`create`]). `InUse`: another process has it. `Version`: it belongs to a newer program. `Stale`: the clock
/// is more than five minutes before the last commit.
pub async fn open(
    folder: &Path,
    randomness: Arc<dyn Randomness>,
    context: &Context,
) -> Result<SqlStore, StoreError> {
    with(Folder::open(folder)?, randomness, context).await
}

async fn with(
    folder: Folder,
    randomness: Arc<dyn Randomness>,
    context: &Context,
) -> Result<SqlStore, StoreError> {
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
    let mut tx = Tx::Sqlite(connection.begin().await.map_err(failed(doing))?);
    refuse_backward_clock(&mut tx, context.at).await?;
    drop(tx);
    let writer = Writer::new(Connection::Sqlite(connection), process_name(), context.at).await?;
    let reading = options
        .pragma("cache_size", (-READER_CACHE_KIB).to_string())
        .pragma("query_only", "true");
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .test_before_acquire(false)
        .connect_lazy_with(reading);
    Ok(SqlStore {
        place: Place::Sqlite {
            wakes: watch::Sender::new(0),
            own: writer.id,
            _folder: folder,
        },
        writer: Mutex::new(writer),
        readers: Readers::Sqlite(readers),
        randomness,
    })
}

fn process_name() -> String {
    format!("process {}", std::process::id())
}
