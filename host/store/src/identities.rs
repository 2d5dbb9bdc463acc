//! Reading identities with everything planning and people need.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use usher_lifecycle::account::{AccountSlot, AccountState, ObservedAccount};
use usher_lifecycle::assignment::{Assignment, HeldRole, SeparationException};
use usher_lifecycle::cause::Cause;
use usher_lifecycle::facts::{Hold, SourceRecord};
use usher_lifecycle::ids::{IdentityId, OperationId};
use usher_lifecycle::name::TargetName;
use usher_lifecycle::operation::{OperationState, Priority, Work};
use usher_lifecycle::reservation::Reservation;
use usher_lifecycle::state::IdentityState;

use crate::StoreError;

/// The store's own small number for an identity. Never shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityRef(pub i64);

/// One identity with its records, accounts and open operations.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityRow {
    /// The store's number.
    pub reference: IdentityRef,
    /// The public id.
    pub id: IdentityId,
    /// Grows with every change of its facts, its accounts or its queue; guards the plan commit.
    pub facts_version: i64,
    /// The state last recorded; `None` before the first plan.
    pub state: Option<IdentityState>,
    /// When the state changes next by itself.
    pub next_change_at: Option<Timestamp>,
    /// What the sources say.
    pub records: Vec<SourceRecord>,
    /// Roles by hand and by request: all that are not ended; when read for planning, without those whose time was over long ago.
    pub assignments: Vec<Assignment>,
    /// Holds, likewise.
    pub holds: Vec<Hold>,
    /// Exceptions from separations of duties, likewise.
    pub exceptions: Vec<SeparationException>,
    /// What the last plan recorded: [`Planned::held`](crate::Planned::held).
    pub held: Vec<HeldRole>,
    /// Names that are reserved.
    pub reservations: Vec<Reservation>,
    /// Its accounts, also those now absent.
    pub accounts: Vec<StoredAccount>,
}

/// One account with its open operations.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAccount {
    /// Which.
    pub slot: AccountSlot,
    /// What the target last told us.
    pub observed: ObservedAccount,
    /// When it told us.
    pub observed_at: Option<Timestamp>,
    /// Since when it is missing: the target has it no more, though nobody here deleted it.
    pub missing_since: Option<Timestamp>,
    /// Operations not at an end, in order.
    pub open: Vec<OpenOperation>,
}

/// An operation not at an end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenOperation {
    /// Its id.
    pub id: OperationId,
    /// What it does.
    pub work: Work,
    /// Where it is: waiting, ready, claimed or held.
    pub state: OperationState,
    /// Its priority.
    pub priority: Priority,
    /// Attempts begun.
    pub attempts: u32,
    /// The outcome of an attempt is unknown: it reads back before it writes.
    pub settle: bool,
    /// When it may run.
    pub due_at: Timestamp,
    /// The last error or why it is held.
    pub message: Option<String>,
    /// Why it exists.
    pub cause: Cause,
}

/// What a plan is made from. Each number grows with every commit of its kind; a saved plan names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoreVersions {
    /// Facts commits.
    pub facts: i64,
    /// Active policy version, 0 when none.
    pub policy: i64,
    /// Active targets version, 0 when none.
    pub targets: i64,
    /// Outcome commits and plan commits that changed accounts or the queue.
    pub observed: i64,
}

/// Reading identities.
#[async_trait]
pub trait Identities: Send + Sync {
    /// By public id, or by the key of any of its source records. More than one record with that key: `Stale` naming them.
    async fn identity(&self, key_or_id: &str) -> Result<IdentityRow, StoreError>;
    /// All identities in the order of their numbers, after `after`, at most `limit`.
    async fn identities_page(
        &self,
        after: Option<IdentityRef>,
        limit: u32,
    ) -> Result<Vec<IdentityRow>, StoreError>;
    /// The versions now.
    async fn versions(&self) -> Result<StoreVersions, StoreError>;
    /// How many identities are in each recorded state.
    async fn identity_totals(&self) -> Result<Vec<(Option<IdentityState>, u64)>, StoreError>;
    /// How many accounts of each target are in each state.
    async fn account_totals(&self) -> Result<Vec<(TargetName, AccountState, u64)>, StoreError>;
    /// The next moment at which the state of an identity changes by itself, if any.
    async fn next_change(&self) -> Result<Option<Timestamp>, StoreError>;
}
