//! The audit: append-only rows written in the transaction of what they record.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use usher_lifecycle::cause::{Actor, Cause};

use crate::{IdentityRef, StoreError};

/// One audit row as read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditRow {
    /// Position over all writers, growing.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who or what.
    pub actor: Actor,
    /// What happened: `import.accepted`, `identity.created`, `identity.facts-changed`, `identity.state-changed`,
    /// `operation.planned`, `operation.superseded`, `operations.claimed`, `operation.done`, `operation.retry`, `operation.held`,
    /// `operation.failed`, `operation.recovered`, `account.linked`, `account.removed`, `document.activated`, `connector.added`, …
    pub event: String,
    /// Why, if there is more to say than the event.
    pub cause: Cause,
    /// Details: a JSON object.
    pub payload: Value,
}

/// Reading the audit.
#[async_trait]
pub trait Audit: Send + Sync {
    /// What happened to one identity, oldest first, at most `limit` of the newest.
    async fn timeline(&self, identity: IdentityRef, limit: u32) -> Result<Vec<AuditRow>, StoreError>;
    /// The newest rows of all, oldest first.
    async fn audit_tail(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError>;
    /// Recomputes every writer's hash chain. Returns how many rows were checked; the first break is an error of kind `Corrupt`.
    async fn audit_verify(&self) -> Result<u64, StoreError>;
}
