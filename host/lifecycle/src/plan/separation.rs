//! Separation of duties for one person: what may not be given to them, because of what they have or would have.
//!
//! What is held already stays and is reported. Of what would be new nothing is given, so it does not matter what came first. What is only kept for an
//! overlap gives way. All separations are judged by what would be given without any of them: the answer depends on no order.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::PlanInput;
use super::roles::{Givers, Roles};
use crate::account::{AccountSlot, AccountState, ObservedAccount};
use crate::expr::ExpressionError;
use crate::name::RoleName;
use crate::policy::{Duty, Role, Separation};
use crate::state::IdentityState;

/// What a person may not have, but for what is there already.
#[derive(Debug, Default)]
pub(super) struct Withheld<'a> {
    /// By the place of the role; empty when none is.
    pub(super) roles: Vec<bool>,
    /// Single entitlements.
    pub(super) entitlements: BTreeSet<(&'a AccountSlot, &'a str)>,
}

/// Which roles are let go, that are only kept for an overlap: those that are part of a conflict.
pub(super) fn yielding(roles: &Roles<'_>, input: &PlanInput<'_>, now: Timestamp) -> Vec<bool> {
    let mut yielding = vec![false; roles.given.len()];
    if roles.givers.iter().all(|givers| givers.kept.is_none()) {
        return yielding;
    }
    let only_kept =
        |givers: &Givers<'_>| givers.kept.is_some() && !givers.rule && givers.assignments.is_empty();
    for conflict in conflicts(roles, input, now) {
        for duty in conflict.duties {
            for (place, givers) in roles.givers.iter().enumerate() {
                if !only_kept(givers) || yielding[place] {
                    continue;
                }
                let mut reached = vec![false; roles.given.len()];
                roles.policy.reach(&[place], &mut reached);
                let brings = roles
                    .policy
                    .roles
                    .iter()
                    .enumerate()
                    .filter(|(place, _)| reached[*place]);
                yielding[place] = brings.into_iter().any(|(place, role)| is_duty(duty, place, role));
            }
        }
    }
    yielding
}

/// What is withheld; each conflict is a problem.
pub(super) fn withheld<'a>(
    roles: &Roles<'a>,
    input: &PlanInput<'_>,
    state: IdentityState,
    now: Timestamp,
    problems: &mut Vec<ExpressionError>,
) -> Withheld<'a> {
    let mut withheld = Withheld {
        roles: vec![false; roles.given.len()],
        entitlements: BTreeSet::new(),
    };
    for Conflict { separation, duties } in conflicts(roles, input, now) {
        let (held, new): (Vec<&Duty>, Vec<&Duty>) = duties
            .iter()
            .copied()
            .partition(|duty| is_held(duty, roles, input, state));
        for duty in &new {
            match duty {
                Duty::Role(place, _) => withheld.roles[*place] = true,
                Duty::Entitlement(slot, id) => drop(withheld.entitlements.insert((slot, id))),
            }
        }
        problems.push(ExpressionError {
            path: format!("separation.{}", separation.name),
            expression: String::new(),
            message: message(&held, &new),
        });
    }
    withheld
}

fn message(held: &[&Duty], new: &[&Duty]) -> String {
    let list = |duties: &[&Duty]| {
        let shown: Vec<String> = duties.iter().map(|duty| format!("`{duty}`")).collect();
        shown.join(", ")
    };
    match (held, new) {
        (held, []) => format!(
            "{} exclude each other and are held already: nothing is taken away",
            list(held)
        ),
        ([], new) => format!("{} exclude each other: none of them is given", list(new)),
        (held, new) => format!("{} held already exclude {}: not given", list(held), list(new)),
    }
}

/// Duties of a separation that a person would have at once.
struct Conflict<'a> {
    separation: &'a Separation,
    duties: Vec<&'a Duty>,
}

fn conflicts<'a>(roles: &Roles<'a>, input: &PlanInput<'_>, now: Timestamp) -> Vec<Conflict<'a>> {
    let excepted = |separation: &Separation| {
        let counts = input.exceptions.iter().filter(|exception| now < exception.until);
        counts
            .into_iter()
            .any(|exception| exception.separation == separation.name)
    };
    let has = |slot: &AccountSlot| roles.having().any(|role| role.accounts.contains(slot));
    // What a role gave before it was put in observe is still there, and excludes as much as before.
    let left = |slot: &AccountSlot, id: &str| {
        let mut announced = roles.announced().into_iter();
        announced.any(|place| gives(&roles.policy.roles[place], slot, id)) && has_entitlement(input, slot, id)
    };
    let present = |duty: &Duty| match duty {
        Duty::Role(place, name) => {
            roles.given[*place] || (roles.is_announced(*place) && was_given(input, name))
        }
        Duty::Entitlement(slot, id) => {
            (has(slot) && roles.having().any(|role| gives(role, slot, id))) || left(slot, id)
        }
    };
    let conflict = |separation: &'a Separation| Conflict {
        separation,
        duties: separation.of.iter().filter(|duty| present(duty)).collect(),
    };
    let conflicts = roles.policy.separations.iter().map(conflict);
    conflicts
        .filter(|conflict| conflict.duties.len() > 1 && !excepted(conflict.separation))
        .collect()
}

/// The last plan gave the role, or a plan before it and no separation has kept it from them since.
pub(super) fn was_given(input: &PlanInput<'_>, role: &RoleName) -> bool {
    let mut held = input.held.iter();
    held.any(|held| held.role == *role && held.since_lost.is_none() && !held.withheld)
}

fn gives(role: &Role, slot: &AccountSlot, id: &str) -> bool {
    role.entitlements
        .get(slot)
        .is_some_and(|given| given.contains_key(id))
}

fn is_duty(duty: &Duty, place: usize, role: &Role) -> bool {
    match duty {
        Duty::Role(of, _) => *of == place,
        Duty::Entitlement(slot, id) => gives(role, slot, id),
    }
}

/// An entitlement is held when the account has it. A role is held when the last plan gave it, or, where the last plan did not judge it, when
/// all it gives is there: a separation that is new in the policy takes nothing away.
fn is_held(duty: &Duty, roles: &Roles<'_>, input: &PlanInput<'_>, state: IdentityState) -> bool {
    match duty {
        Duty::Entitlement(slot, id) => has_entitlement(input, slot, id),
        Duty::Role(place, name) => {
            let recorded = input
                .held
                .iter()
                .find(|held| held.role == *name && held.since_lost.is_none());
            match recorded {
                Some(held) => !held.withheld,
                None => is_in_place(*place, roles, input, state),
            }
        }
    }
}

/// All it gives is there, and not only because other roles give the same: then it would seem to be held as soon as those are given.
fn is_in_place(place: usize, roles: &Roles<'_>, input: &PlanInput<'_>, state: IdentityState) -> bool {
    let mut reached = vec![false; roles.given.len()];
    roles.policy.reach(&[place], &mut reached);
    let mut without = vec![false; roles.given.len()];
    without[place] = true;
    let without = roles.given_without(&without);
    let those = |places: Vec<bool>| {
        roles
            .policy
            .roles
            .iter()
            .zip(places)
            .filter(|(_, is)| *is)
            .map(|(role, _)| role)
    };
    let others: Vec<&Role> = those(without).collect();
    let mut of_its_own = false;
    for role in those(reached) {
        for slot in &role.accounts {
            if !is_account_held(input, state, slot) {
                return false;
            }
            of_its_own |= !others.iter().any(|other| other.accounts.contains(slot));
        }
        for (slot, id) in role
            .entitlements
            .iter()
            .flat_map(|(slot, ids)| ids.keys().map(move |id| (slot, id)))
        {
            if !has_entitlement(input, slot, id) {
                return false;
            }
            of_its_own |= !others.iter().any(|other| gives(other, slot, id));
        }
    }
    of_its_own
}

fn observed<'a>(input: &PlanInput<'a>, slot: &AccountSlot) -> Option<&'a ObservedAccount> {
    input
        .accounts
        .iter()
        .find(|(known, _)| known == slot)
        .map(|(_, observed)| observed)
}

/// Whether an account is held: it can be used, or could not be only because of leave or a hold, which takes no duty away. That is so until
/// the first plan after: from then on the recorded roles say it.
pub(super) fn is_account_held(input: &PlanInput<'_>, state: IdentityState, slot: &AccountSlot) -> bool {
    let suspended = IdentityState::Suspended;
    let away = state == suspended || input.recorded == Some(suspended);
    observed(input, slot).is_some_and(|observed| match observed.state {
        AccountState::Enabled => true,
        AccountState::Disabled | AccountState::Unknown => away,
        AccountState::Absent => false,
    })
}

/// Whether there is an account, in whatever state.
pub(super) fn is_account_there(input: &PlanInput<'_>, slot: &AccountSlot) -> bool {
    observed(input, slot).is_some_and(|observed| observed.state != AccountState::Absent)
}

/// Whether an account holds an entitlement.
pub(super) fn has_entitlement(input: &PlanInput<'_>, slot: &AccountSlot, id: &str) -> bool {
    observed(input, slot).is_some_and(|observed| {
        observed.state != AccountState::Absent && observed.entitlements.contains_key(id)
    })
}
