//! Erasure: what is personal goes, the pseudonym stays.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use usher_lifecycle::ids::IdentityId;

use crate::{Context, StoreError};

/// What was erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Erased {
    /// The pseudonym that is left.
    pub id: IdentityId,
    /// Source records that are gone.
    pub records: u64,
    /// Accounts of which nothing is left but that there were some.
    pub accounts: u64,
    /// Operations that are gone.
    pub operations: u64,
    /// Audit rows that were written before rows were encrypted, and are empty now. All others became unreadable with their key.
    pub emptied: u64,
    /// Whether the database file holds nothing of it any more. `false` on SQLite while somebody still reads the old state, and always on
    /// PostgreSQL, where that is up to `VACUUM` and the server's log.
    pub scrubbed: bool,
}

/// Erasing identities.
#[async_trait]
pub trait Erasure: Send + Sync {
    /// Whom `key_or_id` means, after a look at whether they may be erased: departed, on no hold at `now`, no account in any target, no open
    /// operation, and listed by no source. `Stale` says what stands against it.
    async fn erasable(&self, key_or_id: &str, now: Timestamp) -> Result<IdentityId, StoreError>;
    /// Erases, after the same look at the moment of `context`. `reason` stays readable for ever: no personal data belongs into it.
    async fn erase(&self, id: IdentityId, reason: &str, context: &Context) -> Result<Erased, StoreError>;
}
