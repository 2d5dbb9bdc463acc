//! What a document would change, for people and machines.

use jiff::Timestamp;
use serde::Serialize;
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::name::{RoleName, TargetName};
use usher_lifecycle::state::IdentityState;
use usher_lifecycle::table::DesiredKind;
use usher_lifecycle::targets::ApplyMode;
use usher_store::{DocumentKind, StoreVersions};

use super::report::{PlanDiff, PlanStep};

/// Most people told at once: a few MiB.
pub const DIFFERENCE_PEOPLE_MAX: usize = 1_000;

/// Which people are told.
#[derive(Clone, Copy, Debug)]
pub struct DifferencePage {
    /// Only who comes after this person; then nothing is counted beyond the page.
    pub after: Option<IdentityId>,
    /// How many, at most [`DIFFERENCE_PEOPLE_MAX`].
    pub people_max: usize,
}

/// What a document would change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// Which document.
    pub kind: DocumentKind,
    /// When it was worked out.
    pub made_at: Timestamp,
    /// What it was compared with.
    pub versions: StoreVersions,
    /// Equal exactly when the document and all it changes are: what `activate --expect` takes. `None` on a later page.
    pub digest: Option<String>,
    /// Identities looked at.
    pub identities: u64,
    /// Those for whom something changes.
    pub concerned: u64,
    /// Operations by target and verb.
    pub totals: Vec<DifferenceTotal>,
    /// People by role.
    pub roles: Vec<RoleDifference>,
    /// The people of this page.
    pub people: Vec<PersonDifference>,
    /// There are more: ask for those after this one.
    pub next: Option<IdentityId>,
}

/// Operations of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DifferenceTotal {
    /// Of which target.
    pub target: TargetName,
    /// Of which verb.
    pub verb: String,
    /// Would be done that are not to be done now.
    pub added: u64,
    /// Would not be done any more.
    pub removed: u64,
    /// Would be done otherwise.
    pub changed: u64,
    /// Whether they would run.
    pub apply: ApplyMode,
}

/// How many people gain and lose a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RoleDifference {
    /// Which.
    pub role: RoleName,
    /// People who would have it and have it not.
    pub gained: u64,
    /// People who have it and would not.
    pub lost: u64,
}

/// What changes for a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PersonDifference {
    /// Who.
    pub identity: IdentityId,
    /// The key of their first source record.
    pub key: String,
    /// What people call them, if the attributes tell.
    pub name: Option<String>,
    /// Their state under the active documents; `None` when no policy is active.
    pub state: Option<IdentityState>,
    /// Their state under the proposed ones.
    pub state_after: IdentityState,
    /// Roles they would have.
    pub roles_gained: Vec<RoleName>,
    /// Roles they would lose.
    pub roles_lost: Vec<RoleName>,
    /// Their accounts for which something changes.
    pub accounts: Vec<AccountDifference>,
    /// What could not be worked out any more.
    pub problems: Vec<String>,
}

/// What changes for an account.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AccountDifference {
    /// Which.
    pub slot: AccountSlot,
    /// What is wanted of it now; `None` when that cannot be said, or there is no such plan.
    pub desired: Option<DesiredKind>,
    /// What would be wanted.
    pub desired_after: Option<DesiredKind>,
    /// Why that would be wanted.
    pub cause: Vec<String>,
    /// Whether the steps would run.
    pub apply: ApplyMode,
    /// Steps that differ, in order; those that fall away last.
    pub steps: Vec<StepDifference>,
    /// Attributes as they would be, where steps write them.
    pub diff: Vec<PlanDiff>,
    /// What people should know, and need not know now.
    pub notes: Vec<String>,
}

/// How a step differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepChange {
    /// It is to be done only under the proposed document.
    Added,
    /// It is to be done only under the active one.
    Removed,
    /// The same deed with other content.
    Changed,
    /// It is only observed now, and would be done.
    Runs,
    /// It is to be done now, and would only be observed.
    Observed,
}

/// A step that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepDifference {
    /// How.
    pub change: StepChange,
    /// The step: as it would be, or as it is where it falls away.
    pub step: PlanStep,
}
