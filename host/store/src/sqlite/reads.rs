//! Read transactions under way. Each keeps the write-ahead log from beginning anew, so the writer may end one that lasts too long.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::{Sqlite, SqlitePool, Transaction};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

/// How long a read is never ended: far longer than any page takes.
const UNDISTURBED: Duration = Duration::from_secs(2);
/// How long to wait for the statement under way of a read that is to be ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a read is told that was ended.
pub(crate) const ENDED: &str = "the read took long while much was written, and was ended so that the write-ahead log stays small; nothing \
                                was changed; try again";

/// All reads of one store.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    under_way: Mutex<Vec<Weak<Read>>>,
}

/// One read transaction.
#[derive(Debug)]
pub(crate) struct Read {
    begun: Instant,
    /// `None` once it was ended from outside.
    transaction: AsyncMutex<Option<Transaction<'static, Sqlite>>>,
}

impl Reads {
    /// Begins a read.
    pub(crate) async fn begin(&self, pool: &SqlitePool) -> Result<Arc<Read>, sqlx::Error> {
        let read = Arc::new(Read {
            transaction: AsyncMutex::new(Some(pool.begin().await?)),
            begun: Instant::now(),
        });
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|read| read.strong_count() > 0);
        under_way.push(Arc::downgrade(&read));
        Ok(read)
    }

    /// Ends the reads that have lasted long. Their next statement fails.
    pub(super) async fn end_long_ones(&self) {
        let under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for read in under_way.iter().filter_map(Weak::upgrade) {
            if read.begun.elapsed() < UNDISTURBED {
                continue;
            }
            // A caller that stopped taking rows in the middle of a statement holds on: then the next look tries again.
            let Ok(mut slot) = tokio::time::timeout(PATIENCE, read.transaction.lock()).await else {
                continue;
            };
            if let Some(transaction) = slot.take() {
                // Its connection goes back to the pool, or is closed there.
                let _ = transaction.rollback().await;
            }
        }
    }
}

impl Read {
    /// The transaction, or `None` when it was ended.
    pub(crate) async fn transaction(&self) -> MutexGuard<'_, Option<Transaction<'static, Sqlite>>> {
        self.transaction.lock().await
    }
}
