//! Plans as people see and save them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_lifecycle::account::{AccountSlot, AccountState};
use usher_lifecycle::ids::{HeldCauseId, IdentityId};
use usher_lifecycle::name::TargetName;
use usher_lifecycle::operation::Priority;
use usher_lifecycle::state::IdentityState;
use usher_lifecycle::table::DesiredKind;
use usher_lifecycle::targets::ApplyMode;
use usher_store::StoreVersions;

/// The form of a saved plan. Another form is refused.
pub const PLAN_FORMAT: &str = "usher-plan/1";

/// What would make every account as it should be, at one moment. Making it writes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// When it was made.
    pub made_at: Timestamp,
    /// What it was made from.
    pub versions: StoreVersions,
    /// Digest of all operations, lower-case hexadecimal: equal plans have equal digests.
    pub digest: String,
    /// Identities looked at.
    pub identities: u64,
    /// Accounts with something to do or to say, in the order of their identities.
    pub accounts: Vec<PlanEntry>,
    /// Operations by target and verb.
    pub totals: Vec<PlanTotal>,
    /// The same of what is only announced: what full scope would do beyond that.
    #[serde(default)]
    pub announced: Vec<PlanTotal>,
    /// What budgets hold, at most [`usher_store::HELD_CAUSES_MAX`].
    #[serde(default)]
    pub held: Vec<PlanHeld>,
    /// Rules, mappings and dates that could not be evaluated for a person. Their accounts are left as they are.
    pub problems: Vec<PlanProblem>,
}

impl Plan {
    /// Operations in all.
    pub fn operations(&self) -> u64 {
        self.totals.iter().map(|total| total.operations).sum()
    }
}

/// What is planned for one account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlanEntry {
    /// Whose.
    pub identity: IdentityId,
    /// The key of their first source record.
    pub key: String,
    /// What people call them, if the attributes tell.
    pub name: Option<String>,
    /// Their state now.
    pub identity_state: IdentityState,
    /// Which account.
    pub slot: AccountSlot,
    /// What is known of it.
    pub state: AccountState,
    /// What is wanted of it; `None` when that cannot be said (a note says why), and nothing is done.
    pub desired: Option<DesiredKind>,
    /// Whether the operations would run: never in `observe`.
    pub apply: ApplyMode,
    /// What would be done, in order.
    pub steps: Vec<PlanStep>,
    /// Attributes that differ. Secret ones are never shown.
    pub diff: Vec<PlanDiff>,
    /// Operations of this account already in the queue.
    pub queued: u64,
    /// Of the steps, those that are held or stand behind one that is: they wait for a person.
    #[serde(default)]
    pub held: u64,
    /// Of the steps, those that are in the queue but not due yet, or stand behind one that is not.
    #[serde(default)]
    pub later: u64,
    /// What people should know: blocked steps, a held operation.
    pub notes: Vec<String>,
    /// What full scope would do that is not done: a target or a role is in its pilot, and this person is not.
    #[serde(default)]
    pub announced: Vec<PlanStep>,
    /// Why it is not done.
    #[serde(default)]
    pub announced_because: Vec<String>,
}

/// What a budget holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlanHeld {
    /// The id of the held cause.
    pub id: HeldCauseId,
    /// Which target.
    pub target: TargetName,
    /// What would be done to its accounts.
    pub verb: String,
    /// How many operations.
    pub operations: u64,
    /// Why they do not run.
    pub why: String,
}

/// One operation of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlanStep {
    /// `create`, `update`, `disable`, `enable`, `delete`, `grant`, `revoke` or `read`.
    pub verb: String,
    /// What is granted or revoked.
    pub entitlement: Option<String>,
    /// Its priority.
    pub priority: Priority,
    /// Why, from the first fact to the deed.
    pub cause: Vec<String>,
}

/// One attribute that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlanDiff {
    /// The attribute.
    pub name: String,
    /// What the target holds; `None` when it holds none.
    pub from: Option<Value>,
    /// What it should hold; `None` clears it.
    pub to: Option<Value>,
}

/// How many operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlanTotal {
    /// Of which target.
    pub target: TargetName,
    /// Of which verb.
    pub verb: String,
    /// How many.
    pub operations: u64,
    /// Whether they would run.
    pub apply: ApplyMode,
}

/// Something that could not be evaluated for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlanProblem {
    /// Whose.
    pub identity: IdentityId,
    /// The key of their first source record.
    pub key: String,
    /// Which item of the policy.
    pub path: String,
    /// The expression or value at fault.
    pub expression: String,
    /// What is wrong.
    pub message: String,
}

/// A plan as kept in a file. [`crate::Engine::apply`] refuses it when it is out of date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SavedPlan {
    /// [`PLAN_FORMAT`].
    pub format: String,
    /// The plan.
    pub plan: Plan,
}

/// A file that is not a saved plan.
#[derive(Debug, thiserror::Error)]
#[error("not a plan file: {0}. Make one with `usher plan --out`")]
pub struct PlanFileError(String);

/// Most bytes of a plan file: a million accounts with a few changes each.
pub const PLAN_FILE_BYTES_MAX: usize = 1 << 30;

impl SavedPlan {
    /// Keeps a plan.
    pub fn new(plan: Plan) -> Self {
        Self {
            format: PLAN_FORMAT.to_owned(),
            plan,
        }
    }

    /// The content of the file.
    pub fn to_json(&self) -> String {
        // Every key is a string and every value was JSON before: this cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// It is not a plan, or one of another form.
    pub fn parse(text: &str) -> Result<Self, PlanFileError> {
        if text.len() > PLAN_FILE_BYTES_MAX {
            return Err(PlanFileError(format!("more than {PLAN_FILE_BYTES_MAX} bytes")));
        }
        let saved: Self = serde_json::from_str(text).map_err(|error| PlanFileError(error.to_string()))?;
        if saved.format != PLAN_FORMAT {
            return Err(PlanFileError(format!(
                "its form is `{}`, this program reads `{PLAN_FORMAT}`",
                saved.format
            )));
        }
        Ok(saved)
    }
}
