//! One account of a person: what is wanted of it, the steps there, and whether anything may be done to it at all.

use std::collections::BTreeMap;

use super::{AccountPlan, Note, PlanInput, SecurityHold, TargetFacts, desired, steps};
use crate::account::{AccountSlot, AccountState, DesiredAccount, ObservedAccount};
use crate::diff::Managed;
use crate::name::TargetName;
use crate::operation::Work;
use crate::policy::{MissingReaction, Policy};
use crate::table::DesiredKind;
use crate::targets::Protection;

/// Why a missing account is not made again.
const MISSING: &str =
    "the target has it no more, and nobody here deleted it; `usher account unlink` lets it be made again";

pub(super) fn plan_account(
    slot: &AccountSlot,
    wanted: &desired::Wanted,
    security_hold: Option<&SecurityHold>,
    input: &PlanInput<'_>,
    policy: &Policy,
    targets: &BTreeMap<TargetName, TargetFacts>,
) -> AccountPlan {
    let absent = ObservedAccount::absent();
    let observed = input
        .accounts
        .iter()
        .find(|(known, _)| known == slot)
        .map_or(&absent, |(_, observed)| observed);
    let account = wanted.account(slot);
    let mut plan = AccountPlan {
        slot: slot.clone(),
        desired: None,
        cause: account.cause.clone(),
        observed_state: observed.state,
        steps: Vec::new(),
        urgent: false,
        diff: Vec::new(),
        notes: Vec::new(),
        announced: None,
    };
    let left_alone = |reason: &str| {
        vec![Note::LeftAlone {
            reason: reason.to_owned(),
        }]
    };
    let Some(facts) = targets.get(&slot.target) else {
        plan.notes = left_alone("its target is not in the targets document");
        return plan;
    };
    let desired = match &account.desired {
        Ok(desired) => desired,
        Err(reason) => {
            plan.notes = left_alone(reason);
            return plan;
        }
    };
    let made_again = policy.reactions(&slot.target).missing == MissingReaction::Create;
    if input.missing.contains(slot) && desired.kind() == DesiredKind::Enabled && !made_again {
        plan.notes = left_alone(MISSING);
        return plan;
    }
    let protected = protected(observed, desired, &facts.protection);
    let unmanaged = Managed::new();
    let mapping = policy.mappings.get(slot);
    let worked_out = steps::account_steps(&steps::AccountInput {
        slot,
        desired,
        managed: mapping.map_or(&unmanaged, |mapping| &mapping.managed),
        observed,
        facts,
        cause: &account.cause,
        security_hold,
        entitlement_causes: &account.entitlement_causes,
    });
    let plan = AccountPlan {
        desired: Some(desired.clone()),
        steps: worked_out.steps,
        ..plan
    };
    match protected {
        Some(reason) => AccountPlan {
            // Reading touches nothing, and what is read may show that it is not protected at all.
            steps: plan
                .steps
                .into_iter()
                .filter(|step| step.work == Work::Read)
                .collect(),
            notes: vec![Note::Protected { reason }],
            ..plan
        },
        None => AccountPlan {
            urgent: security_hold.is_some(),
            diff: worked_out.diff,
            notes: worked_out.notes,
            ..plan
        },
    }
}

/// Why nothing may be done to an account: one that is there and protected, or one that would be as soon as it was made.
fn protected(
    observed: &ObservedAccount,
    desired: &DesiredAccount,
    protection: &Protection,
) -> Option<String> {
    match (observed.state, &observed.external_id, desired) {
        (AccountState::Enabled | AccountState::Disabled | AccountState::Unknown, Some(id), _) => {
            protection.of(id, &observed.attributes)
        }
        (_, _, DesiredAccount::Enabled { attributes, .. }) => protection
            .of_new(attributes)
            .map(|reason| format!("the account to be made would be protected at once: {reason}")),
        (_, _, DesiredAccount::Suspended | DesiredAccount::Retained | DesiredAccount::Absent) => None,
    }
}
