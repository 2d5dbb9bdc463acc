//! Stopping access now: what a security hold asks of the queue.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_lifecycle::ids::{IdentityId, OperationId};

use crate::{IdentityRow, StoreError};

/// An operation under way that keeps a security hold waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InTheWay {
    /// Which.
    pub operation: OperationId,
    /// The moment from which its attempt is cut short, on whatever host it is.
    pub until: Timestamp,
}

/// An attempt of this writer that a security hold waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The store's number of the operation.
    pub number: i64,
    /// Which attempt.
    pub attempt: u32,
    /// It is cut short then.
    pub at: Timestamp,
}

/// Stopping.
#[async_trait]
pub trait Stopping: Send + Sync {
    /// Up to `limit` identities (and 256) that are dirty and have a security hold: they are planned first, also while a snapshot is not
    /// absorbed; then only what the hold asks for may be planned.
    async fn due_at_once(&self, now: Timestamp, limit: u32) -> Result<Vec<IdentityRow>, StoreError>;
    /// Whether an accepted snapshot is not absorbed: facts are half new.
    async fn is_absorbing(&self) -> Result<bool, StoreError>;
    /// What this writer has claimed and a security hold waits for.
    async fn cuts(&self) -> Result<Vec<Cut>, StoreError>;
    /// The first moment later than `after` at which an operation of a security hold falls due, at any target, if any.
    async fn next_urgent_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError>;
    /// Identities under a security hold at `now` that have an account which can be used, whose state is not known, or which is being
    /// made or enabled; in the order of their numbers, at most `limit` (and 1,000).
    async fn not_stopped(&self, now: Timestamp, limit: u32) -> Result<Vec<IdentityId>, StoreError>;
}
