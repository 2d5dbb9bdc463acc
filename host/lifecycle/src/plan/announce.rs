//! What is only announced: what full scope would do for people outside a pilot, and what roles in observe would give or change.
//!
//! Of an account outside the pilot of its target, or given by nothing but roles that give nothing yet, nothing is done but what a security hold asks
//! for. What full scope would do beyond what is done is said, and is exactly what is done once the pilot is over.

use super::{AccountPlan, AttributeDiff, Note, Step};
use crate::operation::Priority;
use crate::table::DesiredKind;

/// What full scope would do to an account that is not done now.
#[derive(Clone, Debug, PartialEq)]
pub struct Announced {
    /// Why it is not done, one phrase each: `outside the pilot of target app`, `role vpn is in observe`.
    pub because: Vec<String>,
    /// What would be wanted of the account; `None` when that cannot be said.
    pub desired: Option<DesiredKind>,
    /// What would be done, in order.
    pub steps: Vec<Step>,
    /// Attributes that would change.
    pub diff: Vec<AttributeDiff>,
    /// What else people should know of it.
    pub notes: Vec<Note>,
}

/// Takes out of a plan what is only announced. `full` is the plan of the same account in full scope, if that may be another. `confined`: nothing
/// is done to the account but what a security hold asks for.
pub(super) fn announce(
    mut plan: AccountPlan,
    full: Option<AccountPlan>,
    confined: bool,
    because: Vec<String>,
) -> AccountPlan {
    let full = match full {
        Some(full) => full,
        None if confined => plan.clone(),
        None => return plan,
    };
    if confined {
        plan.steps.retain(|step| step.priority == Priority::SecurityHold);
        plan.diff.clear();
    }
    let is_done = |step: &Step| plan.steps.iter().any(|done| done.work == step.work);
    let steps: Vec<Step> = full.steps.into_iter().filter(|step| !is_done(step)).collect();
    let is_said = |note: &Note| plan.notes.contains(note);
    let notes: Vec<Note> = full.notes.into_iter().filter(|note| !is_said(note)).collect();
    if !(steps.is_empty() && notes.is_empty()) {
        plan.announced = Some(Announced {
            because,
            desired: full.desired.as_ref().map(|desired| desired.kind()),
            diff: full
                .diff
                .into_iter()
                .filter(|one| !plan.diff.contains(one))
                .collect(),
            steps,
            notes,
        });
    }
    plan
}

#[cfg(test)]
mod tests;
