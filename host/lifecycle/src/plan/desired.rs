//! Which accounts policy wants for a person in a state, and why.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::dependencies::Missing;
use super::names::{account_there, unique_names};
use super::roles::Roles;
use super::separation::{has_entitlement, is_account_held, is_account_there};
use super::{PlanInput, TargetFacts};
use crate::account::{AccountSlot, DesiredAccount, Entitlements};
use crate::assignment::HeldRole;
use crate::attributes::Attributes;
use crate::cause::Cause;
use crate::expr::{ExpressionError, Scope};
use crate::name::{RoleName, TargetName};
use crate::policy::{Policy, Rollout, Unassigned};
use crate::reservation::NameWanted;
use crate::state::IdentityState;

/// What is wanted of all accounts of a person.
pub(super) struct Wanted {
    /// The roles they have.
    pub(super) roles: Vec<RoleName>,
    /// What the next plan must know of them.
    pub(super) held: Vec<HeldRole>,
    /// When they change next.
    pub(super) next_change: Option<Timestamp>,
    /// Names that must be reserved before their accounts can be planned.
    pub(super) wanted_names: Vec<NameWanted>,
    /// The places of roles they would have, but for an observe or a pilot.
    pub(super) announced: Vec<usize>,
    accounts: BTreeMap<AccountSlot, WantedAccount>,
    others: WantedAccount,
    unassigned: bool,
}

/// What is wanted of one account.
#[derive(Clone)]
pub(super) struct WantedAccount {
    /// What, or why that cannot be said.
    pub(super) desired: Result<DesiredAccount, String>,
    /// From the fact to the role.
    pub(super) cause: Cause,
    /// The same for each entitlement it should have.
    pub(super) entitlement_causes: BTreeMap<String, Cause>,
    /// It is there, and only roles give it that give nothing yet: what is wanted of it is only announced.
    pub(super) announced: bool,
}

impl WantedAccount {
    const fn all(desired: DesiredAccount, cause: Cause) -> Self {
        Self {
            desired: Ok(desired),
            cause,
            entitlement_causes: BTreeMap::new(),
            announced: false,
        }
    }
}

impl Wanted {
    /// The accounts given by roles.
    pub(super) fn slots(&self) -> impl Iterator<Item = &AccountSlot> {
        self.accounts.keys()
    }

    /// What is wanted of an account; also of one that nothing names.
    pub(super) fn account(&self, slot: &AccountSlot) -> Cow<'_, WantedAccount> {
        match self.accounts.get(slot) {
            Some(account) => Cow::Borrowed(account),
            None if self.unassigned => {
                let cause = self.others.cause.then(format!("no role gives {slot}"));
                Cow::Owned(WantedAccount {
                    cause,
                    ..self.others.clone()
                })
            }
            None => Cow::Borrowed(&self.others),
        }
    }

    /// What would be wanted were every role given to everybody who has it; `None` when that is the same. Names are reserved for it already, so
    /// that what is announced is what will be given.
    pub(super) fn in_full_scope(&mut self, wish: &Wish<'_, '_>) -> Option<Self> {
        if self.announced.is_empty() {
            return None;
        }
        // What cannot be evaluated is a problem once it is given.
        let full = wanted(&Wish { full: true, ..*wish }, &mut Vec::new());
        for name in &full.wanted_names {
            if !self.wanted_names.contains(name) {
                self.wanted_names.push(name.clone());
            }
        }
        Some(full)
    }

    /// Which roles would give or change something about an account, and why they do not.
    pub(super) fn announced_by(&self, slot: &AccountSlot, policy: &Policy) -> Vec<String> {
        let roles = self.announced.iter().filter_map(|place| policy.roles.get(*place));
        let concerned =
            roles.filter(|role| role.accounts.contains(slot) || role.entitlements.contains_key(slot));
        let why = concerned.map(|role| match role.rollout {
            Rollout::Nobody => format!("role {} is in observe", role.name),
            Rollout::Pilot(_) => format!("outside the pilot of role {}", role.name),
            Rollout::Everybody => format!("role {} comes only with roles that give nothing yet", role.name),
        });
        why.collect()
    }

    /// Nothing may be concluded, so what the last plan recorded stands.
    pub(super) fn undecide(&mut self, reason: &str, held: &[HeldRole]) {
        self.held = held.to_vec();
        // Also no overlap begins or ends.
        self.next_change = None;
        self.wanted_names.clear();
        self.announced.clear();
        for account in self.accounts.values_mut().chain([&mut self.others]) {
            account.desired = Err(reason.to_owned());
        }
        self.unassigned = false;
    }
}

/// What a person's plan is made from, as far as accounts are concerned.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a, 'i> {
    pub(super) policy: &'a Policy,
    pub(super) input: &'i PlanInput<'a>,
    /// The variables of rules.
    pub(super) scope: &'i Scope<'a>,
    /// The variables of mappings: the same and what flows from other accounts.
    pub(super) mapping_scope: &'i Scope<'a>,
    pub(super) targets: &'a BTreeMap<TargetName, TargetFacts>,
    pub(super) state: IdentityState,
    /// From the fact to the state.
    pub(super) cause: &'i Cause,
    pub(super) now: Timestamp,
    /// As if no role were in observe or in a pilot.
    pub(super) full: bool,
}

/// What policy wants in this state.
///
/// Before the start no account is made, and one that is left from before stays disabled and holds nothing.
pub(super) fn wanted(wish: &Wish<'_, '_>, problems: &mut Vec<ExpressionError>) -> Wanted {
    let everything = |desired, roles: &Roles<'_>| Wanted {
        roles: roles.having().map(|role| role.name.clone()).collect(),
        held: roles.held.clone(),
        next_change: roles.next_change,
        wanted_names: Vec::new(),
        announced: Vec::new(),
        accounts: BTreeMap::new(),
        others: WantedAccount::all(desired, wish.cause.clone()),
        unassigned: false,
    };
    let none = Roles::none(wish.policy);
    match wish.state {
        IdentityState::Leaving => return everything(DesiredAccount::Retained, &none),
        IdentityState::Departed | IdentityState::Erased => return everything(DesiredAccount::Absent, &none),
        IdentityState::Staged | IdentityState::Active | IdentityState::Suspended => {}
    }
    let roles = match Roles::of(wish, problems) {
        Ok(roles) => roles,
        Err(error) => {
            problems.push(error);
            let mut left_alone = everything(without_roles(wish.state), &none);
            if wish.state == IdentityState::Active {
                left_alone.undecide("a rule cannot be evaluated for this person", wish.input.held);
            }
            left_alone.held = wish.input.held.to_vec();
            return left_alone;
        }
    };
    if wish.state != IdentityState::Active {
        // Roles are shown before the start and during leave; a rule that fails then is reported early, and changes nothing.
        return everything(without_roles(wish.state), &roles);
    }
    let mut wanted = everything(
        match wish.policy.unassigned {
            Unassigned::Disable => DesiredAccount::Retained,
            Unassigned::Delete => DesiredAccount::Absent,
        },
        &roles,
    );
    wanted.unassigned = true;
    wanted.announced = roles.announced();
    give_accounts(wish, &roles, &mut wanted, problems);
    wanted
}

/// What every account should be of a person who is not at work, whatever roles they have.
fn without_roles(state: IdentityState) -> DesiredAccount {
    match state {
        IdentityState::Suspended => DesiredAccount::Suspended,
        IdentityState::Staged
        | IdentityState::Active
        | IdentityState::Leaving
        | IdentityState::Departed
        | IdentityState::Erased => DesiredAccount::Retained,
    }
}

/// The accounts the roles of an active person give.
fn give_accounts(
    wish: &Wish<'_, '_>,
    roles: &Roles<'_>,
    wanted: &mut Wanted,
    problems: &mut Vec<ExpressionError>,
) {
    let mut givers: BTreeMap<&AccountSlot, Vec<usize>> = BTreeMap::new();
    for (place, role) in wish.policy.roles.iter().enumerate() {
        let given = |slot: &&AccountSlot| {
            roles.given[place]
                || (roles.is_withheld(place) && is_account_held(wish.input, wish.state, slot))
                || (roles.is_announced(place) && is_account_there(wish.input, slot))
        };
        for slot in role.accounts.iter().filter(given) {
            givers.entry(slot).or_default().push(place);
        }
    }
    for (slot, places) in &givers {
        let missing = Missing::of(slot, wish, |on| givers.contains_key(on));
        let (entitlements, entitlement_causes) = given_entitlements(slot, wish, roles);
        let named = managed_attributes(slot, &missing, wish, &mut wanted.wanted_names);
        let desired = match named {
            Ok(Ok(attributes)) => Ok(DesiredAccount::Enabled {
                attributes,
                entitlements,
            }),
            Ok(Err(reason)) => Err(reason),
            Err(error) => {
                let reason = format!("{} cannot be evaluated for this person", error.path);
                problems.push(error);
                Err(reason)
            }
        };
        wanted.accounts.insert(
            (*slot).clone(),
            WantedAccount {
                desired,
                cause: wish.cause.then(roles.shown(places)),
                entitlement_causes,
                announced: places.iter().all(|place| roles.is_announced(*place)),
            },
        );
    }
}

/// The attributes that are kept as policy says, or why an account that is not there cannot be made yet. One that is there keeps what cannot
/// be said yet.
fn managed_attributes(
    slot: &AccountSlot,
    missing: &Missing<'_>,
    wish: &Wish<'_, '_>,
    wanted_names: &mut Vec<NameWanted>,
) -> Result<Result<Attributes, String>, ExpressionError> {
    let there = account_there(slot, wish);
    if let (None, Some(why)) = (there, missing.forbids_creation()) {
        return Ok(Err(why));
    }
    let mut attributes = wish
        .policy
        .map_in(slot, wish.mapping_scope, |mapping| missing.hides(mapping))?;
    let mapped = wish.policy.mappings.get(slot).map(|mapping| &mapping.attributes);
    for (name, _) in mapped
        .into_iter()
        .flatten()
        .filter(|(_, mapping)| missing.hides(mapping))
    {
        if let Some(value) = there.and_then(|observed| observed.attributes.get(name)) {
            attributes.insert(name.clone(), value.clone());
        }
    }
    unique_names(slot, attributes, missing, wish, wanted_names)
}

/// What the roles give to one account. Of several that give the same, the first in the document that says parameters decides them.
fn given_entitlements(
    slot: &AccountSlot,
    wish: &Wish<'_, '_>,
    roles: &Roles<'_>,
) -> (Entitlements, BTreeMap<String, Cause>) {
    let mut entitlements = Entitlements::new();
    let mut givers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, role) in wish.policy.roles.iter().enumerate() {
        let withheld = roles.is_withheld(place) || roles.is_announced(place);
        if !roles.given[place] && !withheld {
            continue;
        }
        for (id, parameters) in role.entitlements.get(slot).into_iter().flatten() {
            let new_is_not_given = withheld || roles.withheld.entitlements.contains(&(slot, id));
            if new_is_not_given && !has_entitlement(wish.input, slot, id) {
                continue;
            }
            givers.entry(id).or_default().push(place);
            let decided = entitlements.entry(id.clone()).or_insert(Value::Null);
            if decided.is_null() && !new_is_not_given {
                decided.clone_from(parameters);
            }
        }
    }
    let causes = givers
        .into_iter()
        .map(|(id, places)| (id.to_owned(), wish.cause.then(roles.shown(&places))))
        .collect();
    (entitlements, causes)
}
