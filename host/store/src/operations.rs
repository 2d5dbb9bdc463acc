//! Claims and outcomes. One call records the outcomes of finished attempts and claims the next batch, in one commit.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use usher_lifecycle::account::{AccountSlot, ObservedAccount};
use usher_lifecycle::cause::Cause;
use usher_lifecycle::ids::{IdentityId, OperationId};
use usher_lifecycle::name::TargetName;
use usher_lifecycle::operation::{OperationState, Priority, Work};
use usher_lifecycle::state::IdentityState;

use crate::{Context, Freeze, IdentityRef, StoreError};

/// What to claim: for each target with free slots, how many.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// Targets that may be claimed from. While one rests, or the store is frozen, only what a security hold asks for is claimed of it.
    pub targets: Vec<TargetClaim>,
    /// Targets of which only that is claimed in any case: those that rest, observe, or wait for a person.
    pub urgent: Vec<TargetClaim>,
    /// Targets that must rest from now on; recorded with the claim, before it.
    pub rests: Vec<Rest>,
}

/// A target that must be left alone for a while, by every writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rest {
    /// Which.
    pub target: TargetName,
    /// Until when. A later moment on record stays.
    pub until: Timestamp,
    /// Why, for people.
    pub reason: String,
}

/// What one commit of outcomes and claims did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// What was claimed.
    pub claimed: Vec<ClaimedOperation>,
    /// Numbers of operations whose outcome or absence was refused: the attempt is not this writer's any more.
    pub fenced: Vec<i64>,
    /// Targets asked for that rest: of them only what a security hold asks for was claimed.
    pub resting: Vec<Rest>,
    /// Why nothing else was claimed at all.
    pub frozen: Option<Freeze>,
}

/// How many operations of one target.
#[derive(Clone, Debug)]
pub struct TargetClaim {
    /// Which.
    pub target: TargetName,
    /// At most this many.
    pub limit: u32,
}

/// A claimed operation with what is needed to carry it out.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedOperation {
    /// The store's number of the operation.
    pub number: i64,
    /// Its id.
    pub id: OperationId,
    /// Whose account.
    pub identity: IdentityRef,
    /// Whose account, the public id.
    pub identity_id: IdentityId,
    /// Which account.
    pub slot: AccountSlot,
    /// What to do.
    pub work: Work,
    /// How urgent it is.
    pub priority: Priority,
    /// This attempt's number, from 1: the fence.
    pub attempt: u32,
    /// Read back first: an earlier attempt's outcome is unknown.
    pub settle: bool,
    /// When the attempt began whose outcome is unknown.
    pub unknown_since: Option<Timestamp>,
    /// When `find` was last known to see nothing, recorded before the first create.
    pub absence_seen_at: Option<Timestamp>,
    /// What the target last told us.
    pub observed: ObservedAccount,
    /// The state of the identity, as last planned.
    pub identity_state: Option<IdentityState>,
    /// Why.
    pub cause: Cause,
}

/// How an attempt ended, and what that means for its operation.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which operation.
    pub number: i64,
    /// Which attempt: refused when it is not the current one of this writer.
    pub attempt: u32,
    /// What becomes of the operation.
    pub decision: Decision,
    /// What is now known of the account; `None` when nothing new.
    pub observed: Option<ObservedAccount>,
    /// Plan the identity again.
    pub dirty: bool,
    /// For the timeline: what happened, in one line.
    pub message: String,
}

/// What becomes of an operation after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Done; the next operation of the account becomes ready.
    Done,
    /// Not needed any more: reading back showed it applied or overtaken. The next becomes ready.
    Settled,
    /// Try again then. `settle`: read back first.
    Retry {
        /// When.
        at: Timestamp,
        /// Whether to read back first.
        settle: bool,
        /// Whether the attempt counts (a wait for a paused target does not).
        counts: bool,
    },
    /// A person must decide. Operations waiting behind it stay where they are.
    Held {
        /// The outcome of this attempt, or of an earlier one, is not known: whatever comes next reads back first.
        settle: bool,
    },
    /// Given up; operations waiting behind it are superseded and the identity becomes dirty.
    Failed,
}

/// Which operations to list.
#[derive(Clone, Debug, Default)]
pub struct OperationFilter {
    /// Only in these states; all when empty.
    pub states: Vec<OperationState>,
    /// Only this target.
    pub target: Option<TargetName>,
    /// Only this identity.
    pub identity: Option<IdentityRef>,
    /// Not what budgets hold.
    pub without_budgets: bool,
    /// At most this many, newest first.
    pub limit: u32,
}

/// An operation as listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperationRow {
    /// Its id.
    pub id: OperationId,
    /// Whose account.
    pub identity: IdentityId,
    /// The key of the identity's first source record, for people.
    pub key: String,
    /// Which account.
    pub slot: AccountSlot,
    /// What it does.
    pub work: Work,
    /// Where it is.
    pub state: OperationState,
    /// Its priority.
    pub priority: Priority,
    /// Attempts begun.
    pub attempts: u32,
    /// When it may run (open) or ended.
    pub at: Timestamp,
    /// The last message.
    pub message: Option<String>,
    /// Why it exists.
    pub cause: Cause,
}

/// How many operations of a target are in a state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Totals {
    /// Which target.
    pub target: TargetName,
    /// Which state.
    pub state: OperationState,
    /// How many.
    pub operations: u64,
}

/// Operations.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Operations claimed by writers that are gone (closed, or their lease is over) become ready with `settle`; such a writer can record
    /// nothing any more. Returns how many. At start, and from time to time where there are several writers.
    async fn recover(&self, context: &Context) -> Result<u64, StoreError>;
    /// One commit: records that `find` saw nothing for these (number, attempt); records outcomes; claims what is due by `context.at`,
    /// per target, by priority, then due time, then age, never two of one account. An outcome that is fenced off is
    /// returned in `fenced` and changes nothing. An outcome that links an account which another identity owns is
    /// recorded as held, with a message that names the owner. Nothing to record and nothing to claim writes nothing.
    async fn record_and_claim(
        &self,
        absences: &[(i64, u32)],
        outcomes: &[Outcome],
        claim: &Claim,
        context: &Context,
    ) -> Result<Recorded, StoreError>;
    /// Targets that rest at `now`.
    async fn resting(&self, now: Timestamp) -> Result<Vec<Rest>, StoreError>;
    /// The next moment at which a ready operation falls due, if any.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;
    /// Lists operations.
    async fn operations(&self, filter: &OperationFilter) -> Result<Vec<OperationRow>, StoreError>;
    /// Totals by target and state. `Done`, `Failed` and `Superseded` may be left out beyond 100,000 rows.
    async fn operation_totals(&self) -> Result<Vec<Totals>, StoreError>;
    /// A person lets a held or failed operation run again: ready now, attempts from 0, `settle` when an attempt may have left.
    /// `Stale` when it is neither, or when a failed one has newer operations of its account behind it.
    async fn retry(&self, id: OperationId, context: &Context) -> Result<(), StoreError>;
}
