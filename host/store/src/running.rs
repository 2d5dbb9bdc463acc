//! What a running loop asks of the queue beside recording and claiming.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::operation::Priority;

use crate::{Context, Recorded, StoreError, TargetClaim};

/// Running.
#[async_trait]
pub trait Running: Send + Sync {
    /// Claims as [`crate::Operations::record_and_claim`] does, but only what is more urgent than `than`: for a worker whose hand is full
    /// of less urgent work.
    async fn claim_more_urgent(
        &self,
        claim: &TargetClaim,
        than: Priority,
        context: &Context,
    ) -> Result<Recorded, StoreError>;
    /// The first moment later than `after` at which a ready operation of one of these targets falls due, if any.
    async fn next_due_of(
        &self,
        targets: &[TargetName],
        after: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError>;
    /// Ends the rests of these targets, all of them when empty, and makes due what was put off until their end. Returns how many rested.
    async fn end_rests(&self, targets: &[TargetName], context: &Context) -> Result<u64, StoreError>;
    /// What this writer has claimed and does not hold (the answer to a claim was lost on its way) becomes ready again, as it was. Never
    /// begun, so there is nothing to read back. Returns how many.
    async fn release_strays(&self, held: &[i64]) -> Result<u64, StoreError>;
}
