//! What is only announced: what full scope would do for people outside a pilot, and what roles in observe would give or change.
//!
//! Of an account outside the pilot of its target, or given by nothing but roles that give nothing yet, nothing is done but what a security hold asks
//! for. But Usher takes back what it gave: where it has written to the account, taking away from who does not work any more goes on outside a pilot, and so
//! does taking away what neither roles in force nor those give. What full scope would do beyond what is done is said, and is exactly what is done once the pilot is over.

use super::{AccountPlan, AttributeDiff, Note, PlanInput, Step};
use crate::account::AccountSlot;
use crate::operation::Priority;
use crate::state::IdentityState;
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

/// What is still done to an account of which most is only announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confined {
    /// What a security hold asks for.
    ToSecurityHolds,
    /// That, and taking away.
    ToTakingAway,
}

/// How far an account is only announced. What Usher wrote to, it takes access away from, too.
pub(super) fn confined(
    slot: &AccountSlot,
    outside: bool,
    announced: bool,
    state: IdentityState,
    input: &PlanInput<'_>,
) -> Option<Confined> {
    let mut known = input.accounts.iter();
    let ours = known.any(|(known, observed)| known == slot && observed.written.is_some());
    let works = match state {
        IdentityState::Staged | IdentityState::Active => true,
        IdentityState::Suspended
        | IdentityState::Leaving
        | IdentityState::Departed
        | IdentityState::Erased => false,
    };
    match (outside, announced) {
        (false, false) => None,
        (true, _) if ours && !works => Some(Confined::ToTakingAway),
        (false, true) if ours => Some(Confined::ToTakingAway),
        (true, _) | (false, true) => Some(Confined::ToSecurityHolds),
    }
}

/// Takes out of a plan what is only announced. `full` is the plan of the same account in full scope, if that may be another.
pub(super) fn announce(
    mut plan: AccountPlan,
    full: Option<AccountPlan>,
    confined: Option<Confined>,
    because: Vec<String>,
) -> AccountPlan {
    let full = match (full, confined) {
        (Some(full), _) => full,
        (None, Some(_)) => plan.clone(),
        (None, None) => return plan,
    };
    if let Some(confined) = confined {
        plan.steps.retain(|step| match step.priority {
            Priority::SecurityHold => true,
            Priority::Deprovision => confined == Confined::ToTakingAway,
            Priority::Change | Priority::Onboarding | Priority::Reconcile => false,
        });
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
