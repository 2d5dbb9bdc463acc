//! The one connection that writes a folder's database. It is opened again when a failure left it unusable, and it keeps the write-ahead log
//! short.
//!
//! The log begins anew only when nobody reads from it any more. So that a long read cannot make it grow for ever, the writer looks at its size
//! before each transaction; above the limit it ends the reads of this process that have lasted long, and folds the log into the
//! database. Another process may read too (`usher backup`): that one watches the log itself and ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Row, Sqlite, SqliteConnection, Transaction};

use super::reads::Reads;
use crate::StoreError;
use crate::sql::cells::failed;
use crate::sql::db::Tx;

/// How large the log may get before long reads are ended, in bytes: sixteen times what it has in quiet times, and folded in less than a
/// second.
pub(super) const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How much it grows before another try, when somebody else held on.
const LOG_GROWTH_BYTES: u64 = 16 * 1024 * 1024;
/// What the file is cut to when the log begins anew, in bytes.
pub(super) const LOG_KEPT_BYTES: u64 = 16 * 1024 * 1024;
/// How long folding waits for short reads; the queue waits meanwhile.
const FOLD_TIMEOUT: Duration = Duration::from_millis(250);

/// The writing connection.
#[derive(Debug)]
pub(crate) struct Writing {
    connection: SqliteConnection,
    options: SqliteConnectOptions,
    log: PathBuf,
    /// The size at which the log is looked after next.
    fold_at_bytes: u64,
    reads: Arc<Reads>,
}

impl Writing {
    /// Opens it.
    pub(super) async fn open(
        database: &Path,
        options: SqliteConnectOptions,
        reads: Arc<Reads>,
    ) -> Result<Self, sqlx::Error> {
        Ok(Self {
            connection: SqliteConnection::connect_with(&options).await?,
            options,
            log: log_of(database),
            fold_at_bytes: LOG_BYTES_MAX,
            reads,
        })
    }

    /// Begins a write transaction.
    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
        if self.is_stuck().await {
            self.connection = SqliteConnection::connect_with(&self.options).await?;
        }
        if bytes_of(&self.log) >= self.fold_at_bytes {
            self.fold().await;
        }
        self.connection.begin_with("BEGIN IMMEDIATE").await
    }

    /// Begins a transaction that writes only if it comes to that.
    pub(super) async fn plain(&mut self, doing: &'static str) -> Result<Tx<'_>, StoreError> {
        self.connection
            .begin()
            .await
            .map(Tx::Sqlite)
            .map_err(failed(doing))
    }

    /// The connection, outside a transaction.
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Closes it.
    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }

    /// When the disk fails, SQLite rolls back by itself; the driver's own rollback then fails, and it believes for ever that a transaction
    /// is open.
    async fn is_stuck(&mut self) -> bool {
        // A dropped transaction's rollback may still be queued; it is done when the ping is answered.
        self.connection.is_in_transaction()
            && (self.connection.ping().await.is_err() || self.connection.is_in_transaction())
    }

    /// Makes the log begin anew, if nobody holds it. A failure is no harm: the write that waits for this does not depend on it.
    async fn fold(&mut self) {
        self.reads.end_long_ones().await;
        let folded = self.try_fold().await.unwrap_or(false);
        self.fold_at_bytes = if folded {
            LOG_BYTES_MAX
        } else {
            bytes_of(&self.log) + LOG_GROWTH_BYTES
        };
    }

    /// Folds the log into the database and cuts it to nothing, if nobody holds it.
    pub(crate) async fn fold_now(&mut self) -> bool {
        self.try_fold().await.unwrap_or(false)
    }

    async fn try_fold(&mut self) -> Result<bool, sqlx::Error> {
        // First without waiting for anybody: what a reader still needs stays in the log.
        let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
            .fetch_one(&mut self.connection)
            .await?;
        if row.try_get::<i64, _>(1)? != row.try_get::<i64, _>(2)? {
            return Ok(false);
        }
        busy_timeout(&mut self.connection, FOLD_TIMEOUT).await?;
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut self.connection)
            .await;
        busy_timeout(&mut self.connection, super::BUSY_TIMEOUT).await?;
        Ok(row?.try_get::<i64, _>(0)? == 0)
    }
}

/// The write-ahead log beside a database file.
pub(super) fn log_of(database: &Path) -> PathBuf {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// The size of a file; 0 when there is none.
pub(super) fn bytes_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

async fn busy_timeout(connection: &mut SqliteConnection, timeout: Duration) -> Result<(), sqlx::Error> {
    // A pragma takes no parameters; the value is our own.
    let sql = format!("PRAGMA busy_timeout = {}", timeout.as_millis());
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_optional(connection)
        .await?;
    Ok(())
}
