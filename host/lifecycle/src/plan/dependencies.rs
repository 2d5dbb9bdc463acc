//! Accounts that need others of the same person: because their mapping reads what those were observed to have (`[flows]`), or because the
//! targets document says so (`depends-on`).
//!
//! Made in order, taken away in reverse: an account is not created before those it depends on can be used, and not deleted while one that depends
//! on it has still to be deleted. Disabling never waits. Without circles (the documents refuse them) as many plans as the longest chain has
//! members bring everything about.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::desired::Wish;
use super::{AccountPlan, Note, TargetFacts};
use crate::account::{AccountSlot, AccountState, DesiredAccount};
use crate::name::{Name, TargetName};
use crate::operation::Work;
use crate::policy::{AttributeMapping, Policy};
use crate::targets::ApplyMode;

/// The accounts that an account depends on.
fn depends_on<'a>(
    slot: &AccountSlot,
    policy: &'a Policy,
    targets: &'a BTreeMap<TargetName, TargetFacts>,
) -> impl Iterator<Item = Cow<'a, AccountSlot>> {
    let made_from = policy.made_from.get(slot).into_iter().flatten();
    let after = targets
        .get(&slot.target)
        .into_iter()
        .flat_map(|facts| &facts.depends_on)
        .map(|target| AccountSlot {
            target: target.clone(),
            kind: Name::primary(),
        });
    made_from.map(Cow::Borrowed).chain(after.map(Cow::Owned))
}

/// What is not there yet of what an account needs.
#[derive(Debug, Default)]
pub(super) struct Missing<'a> {
    /// Accounts that roles give, and that cannot be used yet.
    accounts: BTreeSet<AccountSlot>,
    /// Flows from such accounts that have no value.
    flows: BTreeSet<&'a str>,
}

impl<'a> Missing<'a> {
    /// For one account of a person. `given`: whether roles give an account. One that none gives is not waited for.
    pub(super) fn of(
        slot: &AccountSlot,
        wish: &Wish<'a, '_>,
        given: impl Fn(&AccountSlot) -> bool,
    ) -> Missing<'a> {
        let usable = |slot: &AccountSlot| {
            let mut accounts = wish.input.accounts.iter();
            accounts.any(|(known, observed)| known == slot && observed.state == AccountState::Enabled)
        };
        let mut missing = Missing::default();
        let made_from = wish.policy.made_from.get(slot);
        for on in depends_on(slot, wish.policy, wish.targets) {
            // What only observes makes nothing: only who is made from it has to wait for somebody else to make it.
            let comes = runs(&on, wish.targets) || made_from.is_some_and(|from| from.contains(&*on));
            if given(&on) && comes && !usable(&on) {
                missing.accounts.insert(on.into_owned());
            }
        }
        if !missing.accounts.is_empty() {
            let flows = wish.policy.flows.iter();
            missing.flows = flows
                .filter(|flow| missing.accounts.contains(&flow.account))
                .filter(|flow| flow.value(wish.input.accounts).is_none())
                .map(|flow| flow.name.as_str())
                .collect();
        }
        missing
    }

    /// Why an account that is not there cannot be made yet, if so.
    pub(super) fn forbids_creation(&self) -> Option<String> {
        if self.accounts.is_empty() {
            return None;
        }
        let accounts: Vec<String> = self.accounts.iter().map(ToString::to_string).collect();
        Some(format!("waits until {} can be used", accounts.join(" and ")))
    }

    /// Whether an attribute cannot be said yet: it is made from what is not there.
    pub(super) fn hides(&self, mapping: &AttributeMapping) -> bool {
        !self.flows.is_empty() && mapping.make.reads().any(|name| self.flows.contains(name))
    }
}

/// Puts off deletions until what depends on the account is gone, and tells whether what these operations bring about lets more be done.
pub(super) fn order(
    accounts: &mut [AccountPlan],
    policy: &Policy,
    targets: &BTreeMap<TargetName, TargetFacts>,
) -> bool {
    let mut again = false;
    let mut first: BTreeMap<AccountSlot, Vec<AccountSlot>> = BTreeMap::new();
    for account in accounts.iter() {
        for on in depends_on(&account.slot, policy, targets) {
            let Some(other) = accounts.iter().find(|other| other.slot == *on) else {
                continue;
            };
            again |= !other.steps.is_empty() && account.slot != other.slot && runs(&other.slot, targets);
            if is_to_go(account) && is_to_go(other) && runs(&account.slot, targets) {
                let before = first.entry(other.slot.clone()).or_default();
                before.push(account.slot.clone());
            }
        }
    }
    for account in accounts {
        let Some(before) = first.get(&account.slot) else {
            continue;
        };
        let steps = account.steps.len();
        account.steps.retain(|step| step.work != Work::Delete);
        if account.steps.len() < steps {
            again = true;
            let before: Vec<String> = before.iter().map(ToString::to_string).collect();
            account.notes.push(Note::Waits {
                reason: format!("deleted once {} is gone", before.join(" and ")),
            });
        }
    }
    again
}

/// It is to be taken away, and there is something left to do for that.
fn is_to_go(account: &AccountPlan) -> bool {
    account.desired == Some(DesiredAccount::Absent) && !account.steps.is_empty()
}

/// What only observes never goes: it is not waited for.
fn runs(slot: &AccountSlot, targets: &BTreeMap<TargetName, TargetFacts>) -> bool {
    let apply = targets.get(&slot.target).map(|facts| facts.apply);
    match apply {
        Some(ApplyMode::Manual | ApplyMode::Auto) => true,
        Some(ApplyMode::Observe) | None => false,
    }
}
