//! From facts to steps, for one person: state → wanted accounts → what is to be done, each step with its chain of causes.
//!
//! Pure: the same input always gives the same plan. A step exists only where observed differs from wanted, so planning again after the
//! steps have succeeded gives nothing.

mod desired;
mod names;
mod roles;
mod separation;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::Serialize;

use crate::account::{AccountSlot, AccountState, DesiredAccount, ObservedAccount};
use crate::assignment::{Assignment, HeldRole, SeparationException};
use crate::attributes::Attributes;
use crate::cause::Cause;
use crate::connector::Capabilities;
use crate::diff::Managed;
use crate::expr::{ExpressionError, Scope};
use crate::facts::{Employment, SourceRecord};
use crate::name::{RoleName, TargetName};
use crate::operation::{Priority, Work};
use crate::policy::Policy;
use crate::reservation::{NameWanted, Reservation};
use crate::schema::AccountSchema;
use crate::state::{IdentityState, StateAt, earliest, state_at};
use crate::targets::ApplyMode;

pub use crate::diff::{AttributeDiff, Note};

/// What a plan for one person is made from.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanInput<'a> {
    /// What the sources say.
    pub records: &'a [SourceRecord],
    /// Their accounts as last observed, also those now absent.
    pub accounts: &'a [(AccountSlot, ObservedAccount)],
    /// The state last recorded; `None` before the first plan.
    pub recorded: Option<IdentityState>,
    /// Roles they have by hand and by request, also those that do not count yet or any more; in any order.
    pub assignments: &'a [Assignment],
    /// [`IdentityPlan::held`] of the last plan.
    pub held: &'a [HeldRole],
    /// Separations of duties that do not count for them.
    pub exceptions: &'a [SeparationException],
    /// The names that are reserved for them.
    pub reservations: &'a [Reservation],
}

/// What planning must know of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetFacts {
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its account attributes.
    pub schema: AccountSchema,
    /// What may be done without a person. Planning is the same for all; the engine obeys it.
    pub apply: ApplyMode,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// What.
    pub work: Work,
    /// How urgent.
    pub priority: Priority,
    /// Why.
    pub cause: Cause,
}

/// The plan for one account.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountPlan {
    /// Which account.
    pub slot: AccountSlot,
    /// What policy wants. `None` when that cannot be said (a note and mostly a problem say why): the account and its open operations are
    /// left exactly as they are, so its queue must not be reconciled.
    pub desired: Option<DesiredAccount>,
    /// Why policy wants it: from the fact to the role, without the deed.
    pub cause: Cause,
    /// What was observed.
    pub observed_state: AccountState,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// Attributes that will change, for people.
    pub diff: Vec<AttributeDiff>,
    /// What else people should know.
    pub notes: Vec<Note>,
}

/// The plan for one person.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityPlan {
    /// Their state now.
    pub state: StateAt,
    /// From the fact to the state: what is recorded when the state changes.
    pub state_cause: Cause,
    /// Their merged attributes.
    pub attributes: Attributes,
    /// The roles they have.
    pub roles: Vec<RoleName>,
    /// Every account they have, had or should have.
    pub accounts: Vec<AccountPlan>,
    /// To be kept for the next plan, in place of what was kept before. Mostly empty.
    pub held: Vec<HeldRole>,
    /// Names to reserve: their accounts are left alone until then (but for a name that is only to be followed).
    pub wanted_names: Vec<NameWanted>,
    /// When this plan changes next if no fact changes: the earliest of their state, assignments, overlaps and exceptions.
    pub next_change: Option<Timestamp>,
    /// What could not be worked out, and what a separation of duties forbids.
    pub problems: Vec<ExpressionError>,
}

/// Plans one person.
///
/// A date, rule or mapping that cannot be evaluated is a problem, and the accounts it concerns are left as they are, except that
/// a person who is on leave, leaving or departed still loses access: that needs no mapping.
pub fn plan_identity(
    input: &PlanInput<'_>,
    policy: &Policy,
    targets: &BTreeMap<TargetName, TargetFacts>,
    zones: &TimeZoneDatabase,
    now: Timestamp,
) -> IdentityPlan {
    let known: Vec<&SourceRecord> = input
        .records
        .iter()
        .filter(|record| policy.source(&record.source).is_some())
        .collect();
    let attributes = policy.merge(input.records);
    let mut problems = Vec::new();
    let (state, undecided) = current_state(input, &known, policy, zones, now, &mut problems);
    let state_cause = state_cause(&known, input.recorded, &state);

    let mut wanted = desired::wanted(
        &desired::Wish {
            policy,
            input,
            scope: &Scope::new(&attributes, state.state),
            state: state.state,
            cause: &state_cause,
            now,
        },
        &mut problems,
    );
    if let Some(reason) = &undecided {
        wanted.undecide(reason, input.held);
    }
    let slots: BTreeSet<&AccountSlot> = match state.state {
        // What is left of an erased person is not ours to touch.
        IdentityState::Erased => BTreeSet::new(),
        IdentityState::Staged
        | IdentityState::Active
        | IdentityState::Suspended
        | IdentityState::Leaving
        | IdentityState::Departed => wanted
            .slots()
            .chain(input.accounts.iter().map(|(slot, _)| slot))
            .collect(),
    };
    let accounts = slots
        .into_iter()
        .map(|slot| plan_account(slot, &wanted, input, policy, targets))
        .collect();
    IdentityPlan {
        next_change: earliest(state.next_change, wanted.next_change),
        state,
        state_cause,
        attributes,
        roles: wanted.roles,
        accounts,
        held: wanted.held,
        wanted_names: wanted.wanted_names,
        problems,
    }
}

fn plan_account(
    slot: &AccountSlot,
    wanted: &desired::Wanted,
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
        diff: Vec::new(),
        notes: Vec::new(),
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
    let unmanaged = Managed::new();
    let mapping = policy.mappings.get(slot);
    let worked_out = steps::account_steps(&steps::AccountInput {
        slot,
        desired,
        managed: mapping.map_or(&unmanaged, |mapping| &mapping.managed),
        observed,
        facts,
        cause: &account.cause,
        entitlement_causes: &account.entitlement_causes,
    });
    AccountPlan {
        desired: Some(desired.clone()),
        steps: worked_out.steps,
        diff: worked_out.diff,
        notes: worked_out.notes,
        ..plan
    }
}

/// The state, and why nothing may be concluded from it about accounts, if so.
fn current_state(
    input: &PlanInput<'_>,
    known: &[&SourceRecord],
    policy: &Policy,
    zones: &TimeZoneDatabase,
    now: Timestamp,
    problems: &mut Vec<ExpressionError>,
) -> (StateAt, Option<String>) {
    if input.recorded == Some(IdentityState::Erased) {
        return (unchanged(IdentityState::Erased, "erased"), None);
    }
    if known.is_empty() {
        return undecided(input.recorded, "no source of the policy knows this person");
    }
    match policy.employment(input.records, zones) {
        Ok(employment) => (state_at(&employment, policy.retention_days, now), None),
        Err(errors) => {
            problems.extend(errors);
            match gone(known) {
                Some(employment) => (state_at(&employment, policy.retention_days, now), None),
                None => undecided(input.recorded, "their dates cannot be read"),
            }
        }
    }
}

/// A person whom no source has any more ends, whatever their dates say.
fn gone(records: &[&SourceRecord]) -> Option<Employment> {
    let absent_since = records
        .iter()
        .map(|record| record.absent_since)
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .max();
    Some(Employment {
        start: None,
        end: None,
        leave: None,
        zone: TimeZone::UTC,
        absent_since,
    })
}

/// Keeps the recorded state. One that takes access away stays in force; otherwise accounts are left as they are.
fn undecided(recorded: Option<IdentityState>, reason: &str) -> (StateAt, Option<String>) {
    let state = recorded.unwrap_or(IdentityState::Staged);
    let left_alone = match state {
        IdentityState::Staged | IdentityState::Active => Some(reason.to_owned()),
        IdentityState::Suspended
        | IdentityState::Leaving
        | IdentityState::Departed
        | IdentityState::Erased => None,
    };
    (unchanged(state, reason), left_alone)
}

fn unchanged(state: IdentityState, cause: &str) -> StateAt {
    StateAt {
        state,
        since: None,
        cause: cause.to_owned(),
        next_change: None,
    }
}

/// `hr: end 2026-03-02 is over → active → leaving`.
fn state_cause(records: &[&SourceRecord], recorded: Option<IdentityState>, state: &StateAt) -> Cause {
    let sources: BTreeSet<&str> = records.iter().map(|record| record.source.as_str()).collect();
    let sources: Vec<&str> = sources.into_iter().collect();
    let first = if sources.is_empty() {
        state.cause.clone()
    } else {
        format!("{}: {}", sources.join(", "), state.cause)
    };
    let cause = Cause::new(first);
    let cause = match recorded {
        Some(before) if before != state.state => cause.then(before.to_string()),
        Some(_) | None => cause,
    };
    cause.then(state.state.to_string())
}

#[cfg(test)]
mod scenarios;
