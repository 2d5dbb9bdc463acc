//! From facts to steps, for one person: state → wanted accounts → what is to be done, each step with its chain of causes.
//!
//! Pure: the same input always gives the same plan. A step exists only where observed differs from wanted, so planning again after the
//! steps have succeeded gives nothing.

mod account;
mod announce;
mod current_state;
mod dependencies;
mod desired;
mod names;
mod planner;
mod roles;
mod separation;
mod steps;
mod work_table;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use serde::Serialize;

use crate::account::{AccountSlot, AccountState, DesiredAccount, ObservedAccount};
use crate::assignment::{Assignment, HeldRole, SeparationException};
use crate::attributes::Attributes;
use crate::cause::Cause;
use crate::connector::Capabilities;
use crate::expr::{ExpressionError, Rule, Scope, Tables};
use crate::facts::{Hold, HoldKind, SourceRecord};
use crate::name::{RoleName, TargetName};
use crate::operation::{Priority, Work};
use crate::policy::{Policy, with_flows};
use crate::reservation::{NameWanted, Reservation};
use crate::schema::AccountSchema;
use crate::state::{IdentityState, StateAt, earliest, hold_at, hold_phrase, next_hold_change, next_standing};
use crate::targets::{ApplyMode, Protection};

pub use crate::diff::{AttributeDiff, Note};
pub use announce::Announced;
pub use planner::Planner;
pub use work_table::work_markdown;

use account::plan_account;
use current_state::{CurrentState, current_state};

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
    /// Holds on them, also past and future ones.
    pub holds: &'a [Hold],
    /// Accounts that their targets were found not to have any more, though nobody here deleted them.
    pub missing: &'a [AccountSlot],
}

/// What planning must know of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetFacts {
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its account attributes.
    pub schema: AccountSchema,
    /// What may be done without a person. Planning is the same for all (but that nothing waits for what only observes); the engine obeys it.
    pub apply: ApplyMode,
    /// Targets whose primary accounts must be there before an account is made here.
    pub depends_on: Vec<TargetName>,
    /// For whom anything is done there; for everybody when nothing is said.
    pub pilot: Option<Rule>,
    /// Which of its accounts are never touched.
    pub protection: Protection,
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
    /// A security hold takes this account away: what is under way on it must not keep that waiting for long.
    pub urgent: bool,
    /// Attributes that will change, for people.
    pub diff: Vec<AttributeDiff>,
    /// What else people should know.
    pub notes: Vec<Note>,
    /// What full scope would do, where a target or a role is in its pilot and this person is not.
    pub announced: Option<Announced>,
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
    /// Roles they would have, were those not in observe or in a pilot without them.
    pub announced_roles: Vec<RoleName>,
    /// Every account they have, had or should have; those too that are only announced.
    pub accounts: Vec<AccountPlan>,
    /// To be kept for the next plan, in place of what was kept before. Mostly empty.
    pub held: Vec<HeldRole>,
    /// Names to reserve. An account that is not there yet is made only then; one that is there keeps its name until then.
    pub wanted_names: Vec<NameWanted>,
    /// When this plan changes next if no fact changes: the earliest of their state, contracts (another's attributes begin to count), holds,
    /// assignments, overlaps and exceptions.
    pub next_change: Option<Timestamp>,
    /// Once operations of this plan are done, more can be: an account depends on another one that they change. Plan again then.
    pub replan: bool,
    /// What could not be worked out, and what a separation of duties forbids.
    pub problems: Vec<ExpressionError>,
}

/// Plans one person.
///
/// A date, rule or mapping that cannot be evaluated is a problem, and the accounts it concerns are left as they are, except that
/// a person who is on leave, on hold, leaving or departed still loses access: that needs no mapping.
pub fn plan_identity(
    input: &PlanInput<'_>,
    policy: &Policy,
    targets: &BTreeMap<TargetName, TargetFacts>,
    zones: &TimeZoneDatabase,
    now: Timestamp,
) -> IdentityPlan {
    plan_with(input, policy, None, targets, zones, now)
}

/// The same, with tables of this very policy if there are some.
fn plan_with(
    input: &PlanInput<'_>,
    policy: &Policy,
    tables: Option<&RefCell<Tables>>,
    targets: &BTreeMap<TargetName, TargetFacts>,
    zones: &TimeZoneDatabase,
    now: Timestamp,
) -> IdentityPlan {
    let known: Vec<&SourceRecord> = input
        .records
        .iter()
        .filter(|record| policy.source(&record.source).is_some())
        .collect();
    let mut problems = Vec::new();
    let CurrentState {
        state,
        in_force,
        undecided,
        employment,
    } = current_state(input, &known, policy, zones, now, &mut problems);
    let attributes = policy.merge(input.records, employment.as_ref(), now);
    let state_cause = state_cause(&known, input.recorded, &state);
    let security_hold = hold_at(input.holds, now)
        .filter(|hold| hold.kind == HoldKind::Security)
        .map(|hold| SecurityHold {
            phrase: hold_phrase(hold),
            decides: state.hold.is_some(),
        });

    let access_cause = if in_force == state.state {
        state_cause.clone()
    } else {
        state_cause.then(in_force.to_string())
    };
    let flowing = (!policy.flows.is_empty() && in_force == IdentityState::Active)
        .then(|| with_flows(&policy.flows, &attributes, input.accounts));
    let scope = Scope::with_tables(&attributes, in_force, tables);
    let mapping_scope = flowing
        .as_ref()
        .map(|flowing| Scope::with_tables(flowing, in_force, tables));
    let wish = desired::Wish {
        policy,
        input,
        scope: &scope,
        mapping_scope: mapping_scope.as_ref().unwrap_or(&scope),
        targets,
        state: in_force,
        cause: &access_cause,
        now,
        full: false,
    };
    let mut wanted = desired::wanted(&wish, &mut problems);
    if let Some(reason) = &undecided {
        wanted.undecide(reason, input.held);
    }
    let full = wanted.in_full_scope(&wish);
    let slots: BTreeSet<&AccountSlot> = match state.state {
        // What is left of an erased person is not ours to touch.
        IdentityState::Erased => BTreeSet::new(),
        IdentityState::Staged
        | IdentityState::Active
        | IdentityState::Suspended
        | IdentityState::Leaving
        | IdentityState::Departed => wanted
            .slots()
            .chain(full.iter().flat_map(desired::Wanted::slots))
            .chain(input.accounts.iter().map(|(slot, _)| slot))
            .collect(),
    };
    let mut accounts: Vec<AccountPlan> = slots
        .into_iter()
        .map(|slot| {
            let plan = |wanted| plan_account(slot, wanted, security_hold.as_ref(), input, policy, targets);
            let outside = is_outside(slot, targets, &scope, &mut problems);
            let mut because = wanted.announced_by(slot, policy);
            if outside {
                because.insert(0, format!("outside the pilot of target {}", slot.target));
            }
            let confined = announce::confined(slot, outside, wanted.account(slot).announced, in_force, input);
            announce::announce(plan(&wanted), full.as_ref().map(plan), confined, because)
        })
        .collect();
    drop((scope, mapping_scope));
    let replan = dependencies::order(&mut accounts, policy, targets);
    let erased = state.state == IdentityState::Erased;
    let dates = [
        state.next_change,
        wanted.next_change,
        employment
            .as_ref()
            .and_then(|employment| next_standing(employment, now)),
        next_hold_change(input.holds, now).filter(|_| !erased),
    ];
    IdentityPlan {
        next_change: dates.into_iter().fold(None, earliest),
        state,
        state_cause,
        attributes,
        roles: wanted.roles,
        announced_roles: wanted
            .announced
            .iter()
            .map(|place| policy.roles[*place].name.clone())
            .collect(),
        accounts,
        held: wanted.held,
        wanted_names: wanted.wanted_names,
        replan,
        problems,
    }
}

/// Whether a person is outside the pilot of the target of an account. A pilot that cannot be evaluated has nobody in it.
fn is_outside(
    slot: &AccountSlot,
    targets: &BTreeMap<TargetName, TargetFacts>,
    scope: &Scope<'_>,
    problems: &mut Vec<ExpressionError>,
) -> bool {
    let pilot = targets.get(&slot.target).and_then(|facts| facts.pilot.as_ref());
    pilot.is_some_and(|pilot| {
        !pilot.holds(scope).unwrap_or_else(|error| {
            if !problems.contains(&error) {
                problems.push(error);
            }
            false
        })
    })
}

/// A security hold in force.
pub(crate) struct SecurityHold {
    /// As causes say it.
    phrase: String,
    /// The state comes from it, so causes name it already.
    decides: bool,
}

/// `hr: end 2026-03-02 is over → active → leaving`.
fn state_cause(records: &[&SourceRecord], recorded: Option<IdentityState>, state: &StateAt) -> Cause {
    let sources: BTreeSet<&str> = records.iter().map(|record| record.source.as_str()).collect();
    let sources: Vec<&str> = sources.into_iter().collect();
    // What a hold says, no source did.
    let first = if sources.is_empty() || state.hold.is_some() {
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
