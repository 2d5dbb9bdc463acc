//! The steps that bring one account from what is observed to what is wanted, in the order they must be done.
//!
//! Taking access away: disable, revoke, delete. Giving it: revoke what is too much, create or enable, update, grant.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{AttributeDiff, Note, SecurityHold, Step, TargetFacts};
use crate::account::{
    AccountSlot, AccountState, DesiredAccount, Entitlements, ObservedAccount, entitlement_matches,
};
use crate::attributes::Attributes;
use crate::cause::Cause;
use crate::diff::{Managed, diff, shown_creation};
use crate::operation::{Priority, Work};
use crate::schema::Mutability;
use crate::table::{DesiredKind, TableStep, next_step, state_after};

/// Longest name of an entitlement in a cause, in characters: the whole id is in the work.
const CAUSE_NAME_CHARS_MAX: usize = 80;
/// Most attributes named in a cause; the diff has them all.
const CAUSE_ATTRIBUTES_MAX: usize = 5;

/// One account.
pub(super) struct AccountInput<'a> {
    pub(super) slot: &'a AccountSlot,
    pub(super) desired: &'a DesiredAccount,
    /// All attributes that have a mapping, and when each is written.
    pub(super) managed: &'a Managed,
    pub(super) observed: &'a ObservedAccount,
    pub(super) facts: &'a TargetFacts,
    /// From the fact to the role.
    pub(super) cause: &'a Cause,
    /// What makes it urgent to disable the account.
    pub(super) security_hold: Option<&'a SecurityHold>,
    /// The same for each wanted entitlement.
    pub(super) entitlement_causes: &'a BTreeMap<String, Cause>,
}

/// What was worked out.
#[derive(Debug, Default)]
pub(super) struct AccountSteps {
    pub(super) steps: Vec<Step>,
    pub(super) diff: Vec<AttributeDiff>,
    pub(super) notes: Vec<Note>,
}

impl AccountSteps {
    fn push(&mut self, input: &AccountInput<'_>, why: &Cause, priority: Priority, work: Work) {
        let cause = why.then(format!("{}: {}", input.slot, deed(&work)));
        self.steps.push(Step {
            work,
            priority,
            cause,
        });
    }

    /// A step that takes access away at once: before everything else where a security hold is in force.
    fn push_urgent(&mut self, input: &AccountInput<'_>, work: Work) {
        match input.security_hold {
            None => self.push(input, input.cause, Priority::Deprovision, work),
            Some(hold) if hold.decides => self.push(input, input.cause, Priority::SecurityHold, work),
            Some(hold) => {
                let why = input.cause.then(hold.phrase.clone());
                self.push(input, &why, Priority::SecurityHold, work);
            }
        }
    }

    fn blocked(&mut self, reason: impl Into<String>) {
        self.notes.push(Note::Blocked {
            reason: reason.into(),
        });
    }
}

/// The steps of one account.
pub(super) fn account_steps(input: &AccountInput<'_>) -> AccountSteps {
    let mut out = AccountSteps::default();
    let kind = input.desired.kind();
    let state = observed_state(input.observed);
    if next_step(state, kind, input.facts.capabilities) == TableStep::Read {
        match kind {
            DesiredKind::Enabled => out.push(input, input.cause, Priority::Change, Work::Read),
            // It may have to be disabled, and what comes before that is as urgent.
            DesiredKind::Suspended | DesiredKind::Retained | DesiredKind::Absent => {
                out.push_urgent(input, Work::Read);
            }
        }
        return out;
    }
    match input.desired {
        DesiredAccount::Enabled {
            attributes,
            entitlements,
        } => give(input, state, attributes, entitlements, &mut out),
        DesiredAccount::Suspended => take(input, state, false, &mut out),
        DesiredAccount::Retained | DesiredAccount::Absent => take(input, state, true, &mut out),
    }
    out
}

/// An unknown account that was never linked cannot be read: there is none we know of.
fn observed_state(observed: &ObservedAccount) -> AccountState {
    match (observed.state, &observed.external_id) {
        (AccountState::Unknown, None) => AccountState::Absent,
        (state, _) => state,
    }
}

/// Takes access away.
fn take(input: &AccountInput<'_>, mut state: AccountState, strip: bool, out: &mut AccountSteps) {
    let (kind, capabilities) = (input.desired.kind(), input.facts.capabilities);
    let mut step = next_step(state, kind, capabilities);
    if step == TableStep::Disable {
        out.push_urgent(input, Work::Disable);
        state = state_after(state, step);
        step = next_step(state, kind, capabilities);
    }
    if strip && state != AccountState::Absent {
        revoke_others(input, &Entitlements::new(), input.cause, out);
    }
    match step {
        TableStep::Delete => out.push(input, input.cause, Priority::Deprovision, Work::Delete),
        TableStep::Blocked(reason) => out.blocked(reason),
        TableStep::Nothing | TableStep::Create | TableStep::Enable | TableStep::Disable | TableStep::Read => {
        }
    }
}

/// Gives access.
fn give(
    input: &AccountInput<'_>,
    state: AccountState,
    attributes: &Attributes,
    entitlements: &Entitlements,
    out: &mut AccountSteps,
) {
    if state != AccountState::Absent {
        let why = input.cause.then("no role gives this entitlement");
        revoke_others(input, entitlements, &why, out);
    }
    match next_step(state, DesiredKind::Enabled, input.facts.capabilities) {
        TableStep::Create => {
            create(input, attributes, out);
            grant_missing(
                input,
                entitlements,
                &Entitlements::new(),
                Priority::Onboarding,
                out,
            );
        }
        TableStep::Enable => {
            out.push(input, input.cause, Priority::Change, Work::Enable);
            update(input, attributes, out);
            grant_missing(
                input,
                entitlements,
                &input.observed.entitlements,
                Priority::Change,
                out,
            );
        }
        TableStep::Nothing => {
            update(input, attributes, out);
            grant_missing(
                input,
                entitlements,
                &input.observed.entitlements,
                Priority::Change,
                out,
            );
        }
        // Nothing is given to an account that cannot be used.
        TableStep::Blocked(reason) => out.blocked(reason),
        TableStep::Disable | TableStep::Delete | TableStep::Read => {}
    }
}

fn create(input: &AccountInput<'_>, attributes: &Attributes, out: &mut AccountSteps) {
    let schema = &input.facts.schema;
    for name in attributes.keys() {
        let mutability = schema.attribute(name).mutability;
        if mutability == Mutability::ReadOnly {
            out.notes.push(Note::NotChangeable {
                attribute: name.clone(),
                mutability: mutability.as_str(),
            });
        }
    }
    let attributes = schema.creatable(attributes);
    out.diff = shown_creation(&attributes, schema);
    out.push(
        input,
        input.cause,
        Priority::Onboarding,
        Work::Create { attributes },
    );
}

fn update(input: &AccountInput<'_>, attributes: &Attributes, out: &mut AccountSteps) {
    let found = diff(attributes, input.managed, input.observed, &input.facts.schema);
    out.diff = found.shown;
    out.notes.extend(found.notes);
    if !found.changes.is_empty() {
        let work = Work::Update {
            changes: found.changes,
            desired: found.desired,
        };
        out.push(input, input.cause, Priority::Change, work);
    }
}

fn revoke_others(input: &AccountInput<'_>, wanted: &Entitlements, why: &Cause, out: &mut AccountSteps) {
    for entitlement in input
        .observed
        .entitlements
        .keys()
        .filter(|id| !wanted.contains_key(*id))
    {
        if !input.facts.capabilities.entitlements {
            // It had them when the account was read; another version of its connector may not.
            out.blocked(format!(
                "the target has no entitlements: {} cannot be revoked",
                short(entitlement)
            ));
            continue;
        }
        out.push(
            input,
            why,
            Priority::Deprovision,
            Work::Revoke {
                entitlement: entitlement.clone(),
            },
        );
    }
}

fn grant_missing(
    input: &AccountInput<'_>,
    wanted: &Entitlements,
    held: &Entitlements,
    priority: Priority,
    out: &mut AccountSteps,
) {
    let missing = wanted.iter().filter(|(id, parameters)| {
        !held
            .get(*id)
            .is_some_and(|has| entitlement_matches(parameters, has))
    });
    for (entitlement, parameters) in missing {
        if input.facts.capabilities.entitlements {
            let why = input.entitlement_causes.get(entitlement).unwrap_or(input.cause);
            let work = Work::Grant {
                entitlement: entitlement.clone(),
                parameters: parameters.clone(),
            };
            out.push(input, why, priority, work);
        } else {
            out.blocked(format!(
                "the target has no entitlements: {} cannot be granted",
                short(entitlement)
            ));
        }
    }
}

/// The last link of a cause.
fn deed(work: &Work) -> String {
    match work {
        Work::Create { .. } | Work::Disable | Work::Enable | Work::Delete | Work::Read => {
            work.verb().to_owned()
        }
        Work::Update { changes, .. } => {
            let mut names: Vec<String> = changes
                .iter()
                .take(CAUSE_ATTRIBUTES_MAX)
                .map(|change| short(change.name()))
                .collect();
            if changes.len() > CAUSE_ATTRIBUTES_MAX {
                names.push(format!("{} more", changes.len() - CAUSE_ATTRIBUTES_MAX));
            }
            format!("update {}", names.join(", "))
        }
        Work::Grant {
            entitlement,
            parameters: Value::Null,
        } => format!("grant {}", short(entitlement)),
        Work::Grant { entitlement, .. } => format!("grant {} with parameters", short(entitlement)),
        Work::Revoke { entitlement } => format!("revoke {}", short(entitlement)),
    }
}

fn short(name: &str) -> String {
    if name.chars().count() <= CAUSE_NAME_CHARS_MAX {
        return name.to_owned();
    }
    name.chars().take(CAUSE_NAME_CHARS_MAX).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
