//! The brake: a frozen store records and plans, but nothing is claimed; only what a security hold asks for still runs, unless that is
//! forbidden too.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use crate::{Context, StoreError};

/// Why and since when nothing runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Freeze {
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Security holds wait as well.
    pub all: bool,
}

/// Stopping everything, and letting it go on.
#[async_trait]
pub trait Freezing: Send + Sync {
    /// Whether the store is frozen.
    async fn frozen(&self) -> Result<Option<Freeze>, StoreError>;
    /// Freezes it: from the next claim on nothing runs on any host but what a security hold asks for. Frozen already: the first reason
    /// stays.
    async fn freeze(&self, reason: &str, context: &Context) -> Result<(), StoreError>;
    /// The same, and security holds wait too. Frozen already: the first reason stays.
    async fn freeze_all(&self, reason: &str, context: &Context) -> Result<(), StoreError>;
    /// Lets it go on. `reason` says why that is safe.
    async fn thaw(&self, reason: &str, context: &Context) -> Result<(), StoreError>;
}
