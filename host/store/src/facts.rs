//! Facts: what sources say. An import is staged in chunks, accepted by one small commit, then absorbed in chunks; what
//! is accepted is never lost and never half applied: planning waits until absorption is complete.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usher_lifecycle::attributes::{Attributes, Digest};
use usher_lifecycle::ids::{IdentityId, SnapshotId};
use usher_lifecycle::name::SourceName;

use crate::{Context, StoreError};

/// What the store holds of one source record, for comparison with a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Digest of its attributes.
    pub digest: Digest,
    /// In how many snapshots in a row it was missing; 0 when present.
    pub missing_snapshots: u32,
    /// Its absence is confirmed.
    pub absent: bool,
}

/// One staged change.
#[derive(Clone, Debug, PartialEq)]
pub struct StagedRecord {
    /// The source's key.
    pub key: String,
    /// What to do.
    pub change: Change,
}

/// What a snapshot changes about one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// New, changed or back again.
    Upsert {
        /// Its attributes.
        attributes: Attributes,
        /// Digest of them and of `join`.
        digest: Digest,
        /// What tells that a new record belongs to a person who is known already: another record, of any source, that has the same. `None`: nothing.
        join: Option<String>,
    },
    /// Not in this snapshot. `confirmed`: it has been missing long enough to count as gone.
    Missing {
        /// Whether its absence now counts.
        confirmed: bool,
    },
    /// In this snapshot, but what it says cannot be used: the record stays as it was, and absences counted so far are not in a row
    /// with later ones. A confirmed absence stays.
    Present,
}

/// A snapshot to stage.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    /// Which source.
    pub source: SourceName,
    /// For people: the file's name.
    pub origin: String,
    /// SHA-256 of the file.
    pub file_digest: [u8; 32],
    /// Rows read.
    pub rows: u64,
}

/// Where a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(i64)]
pub enum SnapshotState {
    /// Being staged; a crash leaves it here and it is thrown away.
    Staging = 0,
    /// Accepted: takes effect, whatever happens.
    Accepted = 1,
    /// All staged rows are facts now.
    Absorbed = 2,
    /// Refused as a whole; nothing of it took effect.
    Refused = 3,
}

/// A snapshot as remembered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Its source.
    pub source: SourceName,
    /// The file's name.
    pub origin: String,
    /// SHA-256 of the file: the same file again is not one more snapshot in which somebody was missing.
    #[serde(skip)]
    pub file_digest: [u8; 32],
    /// Rows read.
    pub rows: u64,
    /// Records it changes.
    pub changes: u64,
    /// Where it is.
    pub state: SnapshotState,
    /// When it was accepted or refused.
    pub at: Timestamp,
    /// Why it was refused.
    pub reason: Option<String>,
}

/// Facts.
#[async_trait]
pub trait FactsStore: Send + Sync {
    /// Every known record of a source by key. Memory: about 100 bytes a record. `Stale` while an accepted snapshot is not absorbed.
    async fn source_index(&self, source: &SourceName) -> Result<HashMap<String, IndexEntry>, StoreError>;
    /// Starts staging. Throws away what an earlier, unfinished staging of the same source left. `Stale` while an accepted snapshot
    /// is not absorbed.
    async fn begin_snapshot(
        &self,
        snapshot: NewSnapshot,
        context: &Context,
    ) -> Result<SnapshotId, StoreError>;
    /// Stages records: one bounded transaction, at most 2,000 records a call.
    async fn stage(&self, snapshot: SnapshotId, records: &[StagedRecord]) -> Result<(), StoreError>;
    /// The small commit by which the snapshot takes effect. `Stale` if another snapshot of the source was accepted since it began.
    async fn accept(&self, snapshot: SnapshotId, context: &Context) -> Result<(), StoreError>;
    /// Records that a snapshot was refused. Nothing of it takes effect.
    async fn refuse(
        &self,
        snapshot: NewSnapshot,
        reason: &str,
        context: &Context,
    ) -> Result<SnapshotId, StoreError>;
    /// Makes facts of up to `limit` staged rows of accepted snapshots (identities made, changed ones marked dirty, audit rows);
    /// returns how many rows are left. Call until 0. The actor of the rows is the snapshot's source.
    ///
    /// A new record joins the person who has a record with the same `join`. Where several people have, nobody can tell whose it is: it is a person
    /// of its own, on hold until somebody decides ([`FactsStore::move_record`], or ends the hold). A known record stays where it is.
    async fn absorb(&self, limit: u32) -> Result<u64, StoreError>;
    /// Moves a record to another person, because a person says it is theirs. Both are due for planning.
    ///
    /// `NotFound`: there is no such record or identity. `Stale`: the identity is erased, or has the record already; or whoever has it would be left
    /// without any record, but with accounts.
    async fn move_record(
        &self,
        source: &SourceName,
        key: &str,
        identity: IdentityId,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError>;
    /// The latest snapshots of all sources, newest first.
    async fn snapshots(&self, limit: u32) -> Result<Vec<Snapshot>, StoreError>;
}
