//! The audit: append-only rows written in the transaction of what they record.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use usher_lifecycle::cause::{Actor, Cause};
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::name::TargetName;

use crate::{Checkpoint, Context, IdentityRef, PublicKey, StoreError};

/// One audit row as read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditRow {
    /// Position over all writers, growing.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who or what.
    pub actor: Actor,
    /// What happened: `import.accepted`, `identity.created`, `identity.facts-changed`, `identity.state-changed`, `identity.erased`,
    /// `operation.planned`, `operation.superseded`, `operations.claimed`, `operation.done`, `operation.retry`, `operation.held`,
    /// `operation.failed`, `operation.recovered`, `account.linked`, `account.removed`, `document.activated`, `connector.added`,
    /// `secret.set`, `secret.removed`, `key.changed`, `assignment.added`, `assignment.ended`, `hold.added`, `hold.ended`, `exception.added`,
    /// `exception.ended`, `name.reserved`, `name.released`, …
    pub event: String,
    /// Why, if there is more to say than the event.
    pub cause: Cause,
    /// Details: a JSON object. `{"erased": true}` where the identity it was about is erased.
    pub payload: Value,
}

/// One audit row with everything its hash covers, so that an export can be checked: SHA-256 over the hash before it in the same writer's
/// chain, then `writer`, `n` and the time in microseconds (8 bytes each, big-endian), 1 and the identity's 16 bytes or 0, then actor, event,
/// cause, payload, each after its length in 8 bytes; of a sealed row cause and payload count as empty, and what is sealed follows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditRecord {
    /// The row, readable.
    #[serde(flatten)]
    pub row: AuditRow,
    /// Whose chain it is in.
    pub writer: i64,
    /// Its number there, from 1.
    pub n: i64,
    /// The identity it is about.
    pub identity: Option<IdentityId>,
    /// Cause and payload as they are stored, in hexadecimal, where they are encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// Its hash, in hexadecimal.
    pub hash: String,
}

/// What to look for. What is not said matches everything.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// About this identity.
    pub identity: Option<IdentityRef>,
    /// This event, or all that begin with it up to a dot: `operation` finds `operation.done`.
    pub event: Option<String>,
    /// Whose actor, as it is shown, contains this.
    pub actor: Option<String>,
    /// About an account of this target.
    pub target: Option<TargetName>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Whose cause or details contain this, whatever the case.
    pub text: Option<String>,
    /// Where to go on: [`AuditPage::next`] of the page before.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// What was found, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuditPage {
    /// The rows. Fewer than asked for, even none, does not mean that there are no more: see `next`.
    pub rows: Vec<AuditRow>,
    /// Where to go on; `None` at the end.
    pub next: Option<i64>,
}

/// What the audit is verified against, from outside the store.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Checkpoints that were exported.
    pub checkpoints: Vec<Checkpoint>,
    /// The key that must have signed all of them.
    pub public_key: Option<PublicKey>,
}

/// What was verified.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verified {
    /// Audit rows whose hash was computed anew.
    pub rows: u64,
    /// Rows of before there were keys that were emptied because their identity is erased; their hashes link, but say nothing of their content.
    pub emptied: u64,
    /// Signed checkpoints in the store.
    pub checkpoints: u64,
    /// Exported checkpoints that were found again.
    pub exported: u64,
    /// When the newest checkpoint was made: up to there nothing can be cut off unseen, if it was exported.
    pub sealed_at: Option<Timestamp>,
}

/// Reading and verifying the audit.
#[async_trait]
pub trait Audit: Send + Sync {
    /// What happened to one identity, oldest first, at most `limit` of the newest.
    async fn timeline(&self, identity: IdentityRef, limit: u32) -> Result<Vec<AuditRow>, StoreError>;
    /// The newest rows of all, oldest first.
    async fn audit_tail(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError>;
    /// Looks for rows, newest first. One call looks at a bounded number of rows.
    async fn audit_search(&self, query: &AuditQuery) -> Result<AuditPage, StoreError>;
    /// The rows after a position, oldest first, not before `since`; empty at the end.
    async fn audit_export(
        &self,
        after: i64,
        since: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError>;
    /// Recomputes every writer's hash chain, checks every checkpoint, and compares both with what was exported. The first break is an error of
    /// kind `Corrupt`.
    async fn audit_verify_against(&self, evidence: &Evidence) -> Result<Verified, StoreError>;
    /// The same with no evidence from outside. Returns how many rows were checked.
    async fn audit_verify(&self) -> Result<u64, StoreError> {
        let verified = self.audit_verify_against(&Evidence::default()).await?;
        Ok(verified.rows)
    }
}

/// Sealing the audit.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Signs the heads of all chains that grew since the last checkpoint; `None` when none did.
    async fn seal(&self, context: &Context) -> Result<Option<Checkpoint>, StoreError>;
    /// The checkpoints after a number, oldest first.
    async fn checkpoints(&self, after: i64, limit: u32) -> Result<Vec<Checkpoint>, StoreError>;
    /// The newest checkpoint.
    async fn newest_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError>;
}
