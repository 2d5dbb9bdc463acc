//! What Usher remembers, as traits by need, and SQLite behind them. All of Usher's own SQL lives here.
//!
//! Invariants:
//! - Four kinds of write, each one transaction with its audit rows: facts, plan, claim, outcome. Grouping joins whole units.
//! - An outcome is recorded only by the writer that claimed the attempt (fencing).
//! - A row that makes no sense is an error that names table, column and row; it is never guessed at.
//!
//! Never imports: connectors, the engine, wasmtime, axum.

mod audit;
mod documents;
mod error;
mod facts;
mod identities;
mod operations;
mod planning;
mod sqlite;

pub use audit::{Audit, AuditRow};
pub use documents::{Artifact, ArtifactInfo, Document, DocumentKind, Documents, NewDocument};
pub use error::StoreError;
pub use facts::{Change, FactsStore, IndexEntry, NewSnapshot, Snapshot, SnapshotState, StagedRecord};
pub use identities::{Identities, IdentityRef, IdentityRow, OpenOperation, StoreVersions, StoredAccount};
pub use operations::{
    Claim, ClaimedOperation, Decision, OperationFilter, OperationRow, Operations, Outcome, TargetClaim,
    Totals,
};
pub use planning::{NewOperation, PlanCommit, Planned, Planning};
pub use sqlite::SqliteStore;

use jiff::Timestamp;
use usher_lifecycle::cause::Actor;

/// Everything a store does. SQLite implements it; PostgreSQL will.
pub trait Store: Documents + FactsStore + Identities + Planning + Operations + Audit {}

impl<T: Documents + FactsStore + Identities + Planning + Operations + Audit> Store for T {}

/// Who changes something, and when. Goes into the audit rows of the transaction.
#[derive(Clone, Debug)]
pub struct Context {
    /// Who or what.
    pub actor: Actor,
    /// When: the engine's clock, never the database's.
    pub at: Timestamp,
}

/// Random bytes, for ids. A port: the real one asks the operating system, the simulated one is seeded.
pub trait Randomness: Send + Sync {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}
