//! What Usher remembers, as traits by need, with SQLite and PostgreSQL behind them. All of Usher's own SQL lives here.
//!
//! `sql` holds the one logic for both databases, `sqlite` and `postgres` what is only theirs: opening, schema, and who owns what
//! (a folder lock there, leases here).
//!
//! Invariants:
//! - Four kinds of write, each one transaction with its audit rows: facts, plan, claim, outcome. Grouping joins whole units.
//! - An outcome is recorded only by the writer that claimed the attempt, and only while that writer's lease is not taken (fencing).
//! - A row that makes no sense is an error that names table, column and row; it is never guessed at.
//!
//! Never imports: connectors, the engine, wasmtime, axum.

mod audit;
mod checkpoint;
mod documents;
mod erase;
mod error;
mod facts;
mod found;
mod freeze;
mod held_causes;
mod identities;
pub(crate) mod keys;
mod operations;
mod personal_facts;
mod planning;
pub mod postgres;
mod reconciles;
mod replicas;
mod reservations;
mod running;
mod schema;
mod secrets;
mod sql;
pub mod sqlite;
mod stopping;

pub use audit::{Audit, AuditPage, AuditQuery, AuditRecord, AuditRow, Checkpoints, Evidence, Verified};
pub use checkpoint::{CHECKPOINT_BYTES_MAX, Checkpoint, CheckpointBody};
pub use documents::{Artifact, ArtifactInfo, Document, DocumentKind, Documents, NewDocument, VERSIONS_MAX};
pub use erase::{Erased, Erasure};
pub use error::{DiskTrouble, StoreError};
pub use facts::{Change, FactsStore, IndexEntry, NewSnapshot, Snapshot, SnapshotState, StagedRecord};
pub use found::{
    FoundAccount, FoundAccounts, FoundCandidate, FoundDecision, FoundFilter, FoundOwner, FoundTotal,
};
pub use freeze::{Freeze, Freezing};
pub use held_causes::{
    EXAMPLES_MAX, HELD_CAUSES_MAX, HELD_OPERATIONS_MAX, HeldCause, HeldCauses, HeldExample, HeldState, Judged,
};
pub use identities::{Identities, IdentityRef, IdentityRow, OpenOperation, StoreVersions, StoredAccount};
pub use keys::{Fingerprint, KeyChanges, KeyStatus, OperatorKey, PublicKey, Resealed};
pub use operations::{
    Claim, ClaimedOperation, Decision, OperationFilter, OperationRow, Operations, Outcome, Recorded, Rest,
    TargetClaim, Totals,
};
pub use personal_facts::{
    ASSIGNMENTS_MAX, EXCEPTIONS_MAX, Ended, FactId, FactPage, HOLDS_MAX, NewFact, PersonalFact,
    PersonalFacts, REASON_BYTES_MAX, StoredFact,
};
pub use planning::{DocumentVersions, NewOperation, Outdated, PlanCommit, Planned, Planning};
pub use reconciles::{
    AccountChange, AccountRef, Known, KnownFound, KnownKind, KnownOwner, KnownPerson, Matched,
    MatchedIdentity, ReconcileRef, ReconcileRow, ReconcileState, Reconciles, Sighting, StagedAccount,
    Unlisted,
};
pub use replicas::{Duty, Membership, Replicas, Wakes};
pub use reservations::{
    BAR_MAX, CANDIDATES_MAX, NameRequest, NamesTaken, RESERVED_BYTES_MAX, Reservations, StoredReservation,
};
pub use running::Running;
pub use schema::SCHEMA_VERSION;
pub use secrets::{SECRET_BYTES_MAX, SecretInfo, SecretStore};
pub use sql::SqlStore;
pub use sql::restored::Marked;
pub use stopping::{Cut, InTheWay, Stopping};

use jiff::Timestamp;
use usher_lifecycle::cause::Actor;

/// Everything a store does.
pub trait Store:
    Documents
    + FactsStore
    + PersonalFacts
    + Reservations
    + Identities
    + Planning
    + Reconciles
    + FoundAccounts
    + Operations
    + HeldCauses
    + Running
    + Audit
    + Checkpoints
    + SecretStore
    + KeyChanges
    + Erasure
    + Replicas
    + Freezing
    + Stopping
{
}

impl<T> Store for T where
    T: Documents
        + FactsStore
        + PersonalFacts
        + Reservations
        + Identities
        + Planning
        + Reconciles
        + FoundAccounts
        + Operations
        + HeldCauses
        + Running
        + Audit
        + Checkpoints
        + SecretStore
        + KeyChanges
        + Erasure
        + Replicas
        + Freezing
        + Stopping
{
}

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
