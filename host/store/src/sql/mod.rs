//! The store's logic, once for both databases.
//!
//! The hot paths (stage, absorb, commit a plan, record and claim) send one statement per batch, never one per row: through
//! the driver a statement costs 20–35 µs of CPU whatever it does. A write transaction should stay around 20 ms; the
//! constants that bound each are beside the code that uses them.
//!
//! Where several writers share a database, each transaction locks identities first (in the order of their numbers), then operations, then
//! accounts: who holds an identity holds its accounts and its queue. Only the claim takes operations without their identity, and it never
//! waits for one.

pub(crate) mod absorb;
mod artifacts;
pub(crate) mod attempts;
mod audit;
pub(crate) mod audit_rows;
mod budgets;
pub(crate) mod cells;
mod checkpoints;
pub(crate) mod claim;
pub(crate) mod db;
mod documents;
mod erase;
mod facts;
mod found;
pub(crate) mod free_names;
mod freezing;
pub(crate) mod identities;
mod joining;
mod key_changes;
pub(crate) mod keys;
mod linking;
mod linking_by_hand;
mod name_key;
pub(crate) mod open_operations;
pub(crate) mod operations;
pub(crate) mod outcome_batch;
pub(crate) mod outcomes;
pub(crate) mod outdated;
pub(crate) mod personal_facts;
mod personal_words;
pub(crate) mod plan_queue;
pub(crate) mod planning;
mod reconcile_changes;
mod reconcile_effect;
pub(crate) mod reconcile_known;
mod reconcile_staging;
mod reconciles;
pub(crate) mod recovery;
pub(crate) mod replicas;
pub(crate) mod reservations;
mod reserving;
pub(crate) mod restored;
mod secrets;
mod setting_facts;
mod settings;
mod snapshots;
pub(crate) mod stopping;
mod verify;
pub(crate) mod write;

use std::sync::Arc;

use sqlx::{PgPool, SqlitePool};
use tokio::sync::Mutex;

use self::cells::failed;
use self::db::Tx;
pub(crate) use self::replicas::Place;
pub(crate) use self::settings::{high_water, refuse_backward_clock};
use self::write::Writer;
use crate::StoreError;
use crate::keys::ring::Keys;
use crate::sqlite::reads::Reads;

/// The store, on either database.
pub struct SqlStore {
    pub(crate) writer: Mutex<Writer>,
    pub(crate) readers: Readers,
    pub(crate) keys: Arc<Keys>,
    /// Dropped last: the folder is ours until the connections are gone, the lease kept until the writer is.
    pub(crate) place: Place,
}

/// Connections that read.
pub(crate) enum Readers {
    Sqlite { pool: SqlitePool, under_way: Arc<Reads> },
    Postgres(PgPool),
}

/// What is read in one transaction is of one moment, on PostgreSQL too.
const READ_POSTGRES: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl Readers {
    async fn close(&self) {
        match self {
            Self::Sqlite { pool, .. } => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl std::fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlStore").finish_non_exhaustive()
    }
}

impl SqlStore {
    /// Leaves in order: what this writer claimed and did not record is free for others at once. Dropping the store is safe too, only
    /// slower for the others.
    pub async fn close(self) -> Result<(), StoreError> {
        let left = self.writer.lock().await.leave().await;
        self.readers.close().await;
        let closed = self.writer.into_inner().close().await;
        left.and(closed)
    }

    /// A read transaction: several statements see one moment.
    pub(crate) async fn read(&self, doing: &'static str) -> Result<Tx<'static>, StoreError> {
        match &self.readers {
            Readers::Sqlite { pool, under_way } => under_way.begin(pool).await.map(Tx::Reading),
            Readers::Postgres(pool) => pool.begin_with(READ_POSTGRES).await.map(Tx::Postgres),
        }
        .map_err(failed(doing))
    }

    /// Ten random bytes for an id.
    pub(crate) fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        self.keys.randomness.fill(&mut bytes);
        bytes
    }
}
