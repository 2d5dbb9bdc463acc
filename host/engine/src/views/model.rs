//! The views as data.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use usher_lifecycle::account::{AccountSlot, AccountState, Entitlements};
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::ids::{IdentityId, OperationId};
use usher_lifecycle::name::{RoleName, SourceName, TargetName};
use usher_lifecycle::operation::OperationState;
use usher_lifecycle::state::IdentityState;
use usher_lifecycle::table::DesiredKind;
use usher_lifecycle::targets::ApplyMode;
use usher_store::{HeldCause, Snapshot, StoredFact, StoredReservation};

use super::stops::StopView;
use crate::plan::{PlanDiff, PlanProblem, PlanStep};

/// One person: facts, state, accounts, timeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IdentityView {
    /// The public id.
    pub id: IdentityId,
    /// What people call them, if the attributes tell.
    pub name: Option<String>,
    /// The moment this view is of.
    pub at: Timestamp,
    /// What each source says.
    pub records: Vec<RecordView>,
    /// Merged by authority.
    pub attributes: Attributes,
    /// The state now.
    pub state: IdentityState,
    /// The state last recorded, if it is another (planning is due).
    pub recorded_state: Option<IdentityState>,
    /// Since when, if a date says so.
    pub since: Option<Timestamp>,
    /// The fact that decides it.
    pub state_cause: String,
    /// When it changes next if no fact changes.
    pub next_change: Option<Timestamp>,
    /// Roles they have.
    pub roles: Vec<RoleView>,
    /// What people set about them, oldest first, also what was ended: assignments, holds, exceptions.
    pub set: Vec<StoredFact>,
    /// Names that are theirs alone, with those that are released and still barred.
    pub names: Vec<StoredReservation>,
    /// How far the end of their access is, while a security hold is in force.
    pub stop: Option<StopView>,
    /// Accounts, those wanted and those known.
    pub accounts: Vec<AccountView>,
    /// What could not be evaluated.
    pub problems: Vec<PlanProblem>,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineEntry>,
}

/// What one source says about a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordView {
    /// The source.
    pub source: SourceName,
    /// The source's own key.
    pub key: String,
    /// Its attributes.
    pub attributes: Attributes,
    /// Since when the record is gone from the source, once confirmed.
    pub absent_since: Option<Timestamp>,
}

/// A role a person holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RoleView {
    /// Its name.
    pub name: RoleName,
    /// Its rule, if it has one; it may also be assigned, or come with another role.
    pub rule: Option<String>,
    /// Accounts it gives.
    pub accounts: Vec<AccountSlot>,
}

/// One account: observed and desired.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AccountView {
    /// Which.
    pub slot: AccountSlot,
    /// Whether its operations run.
    pub apply: Option<ApplyMode>,
    /// What is known of it.
    pub state: AccountState,
    /// The target's own id.
    pub external_id: Option<String>,
    /// When the target last told us.
    pub observed_at: Option<Timestamp>,
    /// What is wanted of it; `None` when that cannot be said (a note says why).
    pub desired: Option<DesiredKind>,
    /// What the target holds. Secret attributes are left out.
    pub attributes: Attributes,
    /// What it may do there.
    pub entitlements: Entitlements,
    /// Attributes that differ from what is wanted.
    pub diff: Vec<PlanDiff>,
    /// What would be done next.
    pub steps: Vec<PlanStep>,
    /// Operations not at an end.
    pub open: Vec<OperationView>,
    /// What people should know.
    pub notes: Vec<String>,
}

/// An operation not at an end.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OperationView {
    /// Its id.
    pub id: OperationId,
    /// What it does.
    pub verb: String,
    /// What is granted or revoked.
    pub entitlement: Option<String>,
    /// Where it is.
    pub state: OperationState,
    /// Attempts begun.
    pub attempts: u32,
    /// The outcome of an attempt is not known: it reads back before it writes.
    pub settle: bool,
    /// When it may run.
    pub due_at: Timestamp,
    /// The last error, or why it is held.
    pub message: Option<String>,
    /// Why it exists.
    pub cause: Vec<String>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// Who or what: `person ada`, `source hr`, `clock`.
    pub actor: String,
    /// What: `identity.created`, `operation.done` …
    pub event: String,
    /// Why.
    pub cause: Vec<String>,
    /// Details.
    pub detail: Value,
}

/// Why a person has an account, or why not.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WhyView {
    /// The public id.
    pub identity: IdentityId,
    /// The key of their first source record.
    pub key: String,
    /// What people call them.
    pub name: Option<String>,
    /// Which account.
    pub slot: AccountSlot,
    /// Their state.
    pub identity_state: IdentityState,
    /// What is known of the account.
    pub state: AccountState,
    /// What is wanted of it; `None` when that cannot be said (a note says why).
    pub desired: Option<DesiredKind>,
    /// The answer in one sentence.
    pub answer: String,
    /// From the first fact to the account as it should be.
    pub chain: Vec<String>,
    /// Every role that gives this account, and whether the person has it.
    pub roles: Vec<WhyRole>,
    /// What is still to be done.
    pub steps: Vec<PlanStep>,
    /// Operations not at an end.
    pub open: Vec<OperationView>,
    /// What people should know.
    pub notes: Vec<String>,
    /// What happened to this account, oldest first.
    pub timeline: Vec<TimelineEntry>,
}

/// A role that gives the account.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WhyRole {
    /// Its name.
    pub name: RoleName,
    /// Its rule, if it has one.
    pub rule: Option<String>,
    /// Whether the person has it, by rule, assignment or another role; `None` when the rule could not be evaluated.
    pub holds: Option<bool>,
    /// The attributes the rule reads, as they are for this person; `null` when they have none.
    pub reads: BTreeMap<String, Value>,
    /// They would have it, but it is in observe, or in a pilot without them.
    pub announced: bool,
    /// Why it could not be evaluated.
    pub error: Option<String>,
}

/// How everything is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StatusView {
    /// The moment this view is of.
    pub at: Timestamp,
    /// Identities by recorded state; `new` for those not planned yet.
    pub identities: BTreeMap<String, u64>,
    /// Targets, by name.
    pub targets: Vec<TargetStatus>,
    /// People under a security hold who still have access; at most 50.
    pub revoking: Vec<StopView>,
    /// Operations that wait for a person, newest first; at most 50; without what budgets hold.
    pub held: Vec<HeldView>,
    /// What budgets hold, oldest first; at most 50.
    pub held_causes: Vec<HeldCause>,
    /// The latest imports, newest first.
    pub imports: Vec<Snapshot>,
    /// The active policy.
    pub policy: Option<DocumentVersion>,
    /// The active targets document.
    pub targets_document: Option<DocumentVersion>,
    /// When the next operation falls due.
    pub next_due: Option<Timestamp>,
    /// When the state of a person changes next by itself.
    pub next_change: Option<Timestamp>,
}

/// How a target is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TargetStatus {
    /// Its name.
    pub name: TargetName,
    /// The connector's name and version: `sql 0.1.0`.
    pub connector: String,
    /// SHA-256 of the connector.
    pub digest: String,
    /// Whether its operations run; `None` when it is no longer in the targets document.
    pub apply: Option<ApplyMode>,
    /// Accounts by state.
    pub accounts: BTreeMap<AccountState, u64>,
    /// Operations by state.
    pub operations: BTreeMap<OperationState, u64>,
}

/// An operation that waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HeldView {
    /// Which.
    pub operation: OperationId,
    /// Whose account.
    pub key: String,
    /// Which account.
    pub slot: AccountSlot,
    /// What it does.
    pub verb: String,
    /// Why it is held.
    pub reason: String,
}

/// An active document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DocumentVersion {
    /// Its version.
    pub version: i64,
    /// Since when it is active.
    pub activated_at: Timestamp,
}
