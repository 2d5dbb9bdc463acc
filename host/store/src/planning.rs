//! The plan transaction: clear dirty, guarded by the facts version; record the state; put operations into the queue.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::assignment::HeldRole;
use usher_lifecycle::cause::Cause;
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::operation::{Priority, Work};
use usher_lifecycle::state::IdentityState;

use crate::{Context, IdentityRef, IdentityRow, InTheWay, StoreError, StoreVersions};

/// An operation to put into the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct NewOperation {
    /// Its public id; doubles as the intent id of its attempts.
    pub id: OperationId,
    /// Which account.
    pub slot: AccountSlot,
    /// What it does.
    pub work: Work,
    /// Its priority.
    pub priority: Priority,
    /// When it may run at the earliest.
    pub due_at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// It counts under a budget: it is held until everything of the same cause is planned, and then judged with it.
    pub budgeted: bool,
}

/// What was decided for one identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Which.
    pub reference: IdentityRef,
    /// The facts it was decided from.
    pub facts_version: i64,
    /// Its state now.
    pub state: IdentityState,
    /// Why it is in that state; written to the audit when the state changed.
    pub state_cause: Cause,
    /// When that changes by itself.
    pub next_change_at: Option<Timestamp>,
    /// The roles the next plan must know, as the plan gave them; written when they differ from what was recorded.
    pub held: Vec<HeldRole>,
    /// Open operations overtaken by this plan (only such as have not started).
    pub superseded: Vec<OperationId>,
    /// Some steps wait for an operation under way: its outcome makes the identity due again.
    pub replan: bool,
    /// Operations under way that keep a security hold waiting: their hosts cut them short when the moment has come.
    pub in_the_way: Vec<InTheWay>,
    /// New operations, in order. The first of each account is ready unless an open operation stands before it.
    pub operations: Vec<NewOperation>,
}

/// The result of a plan commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanCommit {
    /// Identities recorded.
    pub planned: u64,
    /// Identities whose facts or accounts changed meanwhile: nothing was recorded, they stay due.
    pub stale: u64,
    /// Operations added.
    pub operations: u64,
}

/// Versions of the two documents; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentVersions {
    /// Of the policy.
    pub policy: i64,
    /// Of the targets.
    pub targets: i64,
}

impl DocumentVersions {
    /// Those of a moment.
    pub const fn of(versions: StoreVersions) -> Self {
        Self {
            policy: versions.policy,
            targets: versions.targets,
        }
    }
}

/// People whom a new document may concern.
#[derive(Clone, Debug, PartialEq)]
pub struct Outdated {
    /// At the beginning of a look: the documents as which everybody is, if that is known. If the active ones plan no differently, there is
    /// nobody to look for.
    pub base: Option<DocumentVersions>,
    /// The next of them.
    pub rows: Vec<IdentityRow>,
}

/// Planning.
#[async_trait]
pub trait Planning: Send + Sync {
    /// Up to `limit` identities that are dirty, or whose state changes by `now`.
    /// `Stale` while an accepted snapshot is not absorbed: half-new facts are never planned from.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<IdentityRow>, StoreError>;
    /// Up to `limit` identities, in order, that were not looked through yet since one of the active documents became active, and were not
    /// planned since; an empty page when none is left, `None` once [`Self::looked_through`] said so. `Stale` as [`Self::due`], and when `versions` does not
    /// name the active documents.
    async fn outdated(
        &self,
        now: Timestamp,
        versions: StoreVersions,
        limit: u32,
    ) -> Result<Option<Outdated>, StoreError>;
    /// Everybody up to this identity is as the documents of `versions` want them, or everybody is (`None`). Changes nothing when others are
    /// active meanwhile, and never goes back.
    async fn looked_through(
        &self,
        versions: StoreVersions,
        up_to: Option<IdentityRef>,
    ) -> Result<(), StoreError>;
    /// Records decisions, at most 512 identities a call. An identity is skipped as stale when its facts version differs or any of its
    /// superseded operations has been claimed meanwhile.
    /// `Stale` for the whole call when `versions` does not name the active documents any more.
    async fn commit_plan(
        &self,
        planned: &[Planned],
        versions: StoreVersions,
        context: &Context,
    ) -> Result<PlanCommit, StoreError>;
}
