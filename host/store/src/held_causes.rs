//! What budgets hold: the operations of one cause, until they fit, a person releases them, or the plan overtakes them.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use usher_lifecycle::budget::{Counted, Thresholds};
use usher_lifecycle::cause::Actor;
use usher_lifecycle::ids::{HeldCauseId, IdentityId, OperationId};
use usher_lifecycle::name::TargetName;

use crate::{Context, OperationRow, StoreError, StoreVersions};

/// Most held causes listed at once.
pub const HELD_CAUSES_MAX: u32 = 1_000;
/// Most operations on one page of a held cause.
pub const HELD_OPERATIONS_MAX: u32 = 1_000;
/// Examples shown of each held cause.
pub const EXAMPLES_MAX: u32 = 3;

/// Where a held cause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(i64)]
pub enum HeldState {
    /// Planning has not come to rest: more of the same cause may come. Judged then.
    Gathering = 0,
    /// Beyond the budget: a person decides.
    Held = 1,
    /// Let go; its operations are being made ready.
    LetGo = 2,
    /// A person said no. It stays so until the plan overtakes the operations.
    Rejected = 3,
}

impl HeldState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Gathering, Self::Held, Self::LetGo, Self::Rejected];
}

impl std::fmt::Display for HeldState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Gathering => "gathering",
            Self::Held => "held",
            Self::LetGo => "let go",
            Self::Rejected => "rejected",
        })
    }
}

/// What one cause would do to one target beyond a budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HeldCause {
    /// Its id.
    pub id: HeldCauseId,
    /// Which target.
    pub target: TargetName,
    /// What would be done to its accounts.
    pub counted: Counted,
    /// What caused it, for people: `import of people.csv by source hr`.
    pub cause: String,
    /// Where it is.
    pub state: HeldState,
    /// How many operations.
    pub operations: u64,
    /// Why they do not run.
    pub why: String,
    /// Since when: its first operation.
    pub since: Timestamp,
    /// Who rejected it.
    pub decided_by: Option<Actor>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// Some of its operations.
    pub examples: Vec<HeldExample>,
}

/// One operation of a held cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HeldExample {
    /// Which.
    pub operation: OperationId,
    /// Whose account.
    pub identity: IdentityId,
    /// The key of their first source record.
    pub key: String,
}

/// What judging did, in operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Let go: within their budgets.
    pub let_go: u64,
    /// Held now that were not before.
    pub held: u64,
}

/// Budgets and what they hold.
#[async_trait]
pub trait HeldCauses: Send + Sync {
    /// Judges what was gathered, oldest cause first, when nothing is due for planning and `versions` names the active documents: a cause fits what
    /// is left of its budget and is let go, or is held with all that was gathered. Also what is held is judged again where its budget is another
    /// now. Two writers never
    /// judge at once. Then makes ready what is let go, also what an earlier call left. Does nothing when planning is not at rest.
    async fn judge_causes(
        &self,
        thresholds: &Thresholds,
        versions: StoreVersions,
        context: &Context,
    ) -> Result<Judged, StoreError>;
    /// Held and rejected causes, oldest first, at most `limit`; also those being gathered.
    async fn held_causes(&self, limit: u32) -> Result<Vec<HeldCause>, StoreError>;
    /// One of them.
    async fn held_cause(&self, id: HeldCauseId) -> Result<HeldCause, StoreError>;
    /// Its operations, oldest first, after `after`, at most `limit`.
    async fn held_operations(
        &self,
        id: HeldCauseId,
        after: Option<OperationId>,
        limit: u32,
    ) -> Result<Vec<OperationRow>, StoreError>;
    /// A person lets all of it run, beyond the budget: it does not count there. Returns how many operations. Again: nothing more.
    /// `Stale` while it is gathered, was added to another or is being added to, or when it has not exactly `expected` operations;
    /// `NotFound` when nothing of it is left.
    async fn release_cause(
        &self,
        id: HeldCauseId,
        expected: Option<u64>,
        reason: &str,
        context: &Context,
    ) -> Result<u64, StoreError>;
    /// A person says no: its operations stay held until the plan overtakes them. Again: nothing more. `Stale` when it was released, is gathered,
    /// was added to another or is being added to, or has not exactly `expected` operations; `NotFound` when nothing of it is left.
    async fn reject_cause(
        &self,
        id: HeldCauseId,
        expected: Option<u64>,
        reason: &str,
        context: &Context,
    ) -> Result<u64, StoreError>;
    /// The same for one operation of a held cause. `Stale` when no budget holds it.
    async fn release_operation(
        &self,
        id: OperationId,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError>;
    /// One operation stays held, whatever becomes of the others. `Stale` when no budget holds it.
    async fn reject_operation(
        &self,
        id: OperationId,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError>;
}
