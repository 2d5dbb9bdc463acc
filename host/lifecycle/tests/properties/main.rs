//! What must hold for every person under every policy, whatever happens to them. `documents.rs` makes policies, targets and changes of them;
//! `life.rs` one person's facts, their accounts in targets that do as they are told, and what a store keeps between two plans.
//!
//! Separations of duties, and overlaps in all their detail, have random lives of their own: `src/plan/roles/tests/random.rs`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may end the test")]

mod documents;
mod life;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use usher_lifecycle::account::{AccountSlot, AccountState};
use usher_lifecycle::diff::Note;
use usher_lifecycle::operation::Work;
use usher_lifecycle::plan::{AccountPlan, IdentityPlan, Planner, Step};
use usher_lifecycle::policy::{Person, Policy};
use usher_lifecycle::state::IdentityState;

use documents::{Documents, any_change, any_documents, whens};
use life::{Life, any_event, day};

/// Plans until nothing is left to do. More are wrong: one for what is known, one after accounts were read or names reserved, and one after both.
const ROUNDS_MAX: usize = 3;

fn steps(plan: &IdentityPlan) -> Vec<&Step> {
    plan.accounts.iter().flat_map(|account| &account.steps).collect()
}

/// Each step says why, from a fact to the deed.
fn says_why(plan: &IdentityPlan) -> Result<(), TestCaseError> {
    for step in steps(plan) {
        let links = step.cause.links();
        prop_assert!(links.len() >= 3, "{}", step.cause);
        prop_assert!(links.iter().all(|link| !link.is_empty()), "{:?}", links);
        prop_assert!(links.last().unwrap().contains(step.work.verb()), "{}", step.cause);
    }
    Ok(())
}

/// The accounts and entitlements that the rules of the policy give to somebody.
fn given(policy: &Policy, plan: &IdentityPlan) -> (BTreeSet<AccountSlot>, BTreeSet<(AccountSlot, String)>) {
    let person = Person {
        attributes: &plan.attributes,
        state: plan.state.state,
    };
    let mut open: Vec<_> = policy.roles_of(&person).unwrap();
    let (mut slots, mut entitlements) = (BTreeSet::new(), BTreeSet::new());
    while let Some(role) = open.pop() {
        slots.extend(role.accounts.iter().cloned());
        for (slot, ids) in &role.entitlements {
            entitlements.extend(ids.keys().map(|id| (slot.clone(), id.clone())));
        }
        let included = policy
            .roles
            .iter()
            .filter(|one| role.includes.contains(&one.name));
        open.extend(included);
    }
    (slots, entitlements)
}

/// They are active, and nothing keeps the plan from being worked out: no mistake in what is said of them, and somebody knows them.
fn is_decided(life: &Life, plan: &IdentityPlan) -> bool {
    plan.state.state == IdentityState::Active && plan.problems.is_empty() && life.is_known()
}

/// Who is active loses nothing of what a rule gives them.
fn takes_nothing_given(life: &Life, plan: &IdentityPlan) -> Result<(), TestCaseError> {
    if !is_decided(life, plan) {
        return Ok(());
    }
    let (slots, entitlements) = given(&life.documents.policy, plan);
    for account in &plan.accounts {
        let usable = life.state_of(&account.slot) == AccountState::Enabled;
        let has = usable && slots.contains(&account.slot);
        for step in &account.steps {
            let takes = match &step.work {
                Work::Disable | Work::Delete => has,
                Work::Revoke { entitlement } => {
                    has && entitlements.contains(&(account.slot.clone(), entitlement.clone()))
                }
                Work::Create { .. }
                | Work::Update { .. }
                | Work::Enable
                | Work::Grant { .. }
                | Work::Read => false,
            };
            prop_assert!(!takes, "{}: {}", account.slot, step.cause);
        }
    }
    Ok(())
}

/// Who is active has, once all is done, everything the rules give that the targets can do.
fn has_what_is_given(life: &Life, settled: &IdentityPlan) -> Result<(), TestCaseError> {
    if !is_decided(life, settled) {
        return Ok(());
    }
    let (slots, _) = given(&life.documents.policy, settled);
    for slot in slots {
        let is_there = life.state_of(&slot) == AccountState::Enabled;
        let plan = settled.accounts.iter().find(|account| account.slot == slot);
        prop_assert!(
            is_there || plan.is_some_and(is_reported),
            "{} is missing: {:?}",
            slot,
            plan
        );
    }
    Ok(())
}

/// A note says why no more is done.
fn is_reported(account: &AccountPlan) -> bool {
    let says = |note: &Note| matches!(note, Note::Blocked { .. } | Note::LeftAlone { .. });
    account.notes.iter().any(says)
}

/// Who has left keeps nothing but what is reported.
fn keeps_nothing(life: &Life, settled: &IdentityPlan) -> Result<(), TestCaseError> {
    let departed = match settled.state.state {
        IdentityState::Departed => true,
        IdentityState::Leaving => false,
        IdentityState::Staged | IdentityState::Active | IdentityState::Suspended | IdentityState::Erased => {
            return Ok(());
        }
    };
    prop_assert_eq!(&settled.held, &vec![]);
    prop_assert_eq!(&settled.wanted_names, &vec![]);
    for (slot, observed) in &life.accounts {
        let keeps = match observed.state {
            AccountState::Enabled | AccountState::Unknown => true,
            AccountState::Disabled => departed || !observed.entitlements.is_empty(),
            AccountState::Absent => false,
        };
        let plan = settled.accounts.iter().find(|account| account.slot == *slot);
        prop_assert!(
            !keeps || plan.is_some_and(is_reported),
            "{} is kept: {:?}",
            slot,
            observed
        );
    }
    Ok(())
}

/// Plans and does what is planned until nothing is left, checking each plan.
fn settle(life: &mut Life, now: Timestamp) -> Result<IdentityPlan, TestCaseError> {
    for _ in 0..ROUNDS_MAX {
        let plan = life.plan(now);
        says_why(&plan)?;
        takes_nothing_given(life, &plan)?;
        life.reserve(&plan.wanted_names);
        life.carry_out(&plan, usize::MAX);
    }
    let settled = life.plan(now);
    prop_assert_eq!(steps(&settled), Vec::<&Step>::new());
    prop_assert_eq!(&settled.wanted_names, &vec![]);
    Ok(settled)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_life_converges_and_nobody_has_too_much_or_too_little(
        documents in any_documents(),
        events in prop::collection::vec((any_event(), 0..20_i64, any_change()), 1..20),
    ) {
        let mut life = Life::new(documents);
        let mut today = 0;
        for (event, days, change) in events {
            life.happens(&event);
            if days == 7 {
                life.documents = life.documents.changed(&change);
            }
            today += days;
            let now = day(today);
            if days % 5 == 1 {
                // Cut short: the next event finds work that is not done.
                let plan = life.plan(now);
                life.carry_out(&plan, usize::try_from(days).unwrap() / 5);
                continue;
            }
            let settled = settle(&mut life, now)?;
            has_what_is_given(&life, &settled)?;
            keeps_nothing(&life, &settled)?;

            // Nothing happens before the moment that was named, or ever if none was.
            let quiet_until = settled.next_change.map_or(now + SignedDuration::from_hours(24 * 4_000), |at| {
                at - SignedDuration::from_nanos(1)
            });
            prop_assert!(quiet_until >= now);
            let quiet = life.plan(quiet_until);
            prop_assert_eq!(steps(&quiet), Vec::<&Step>::new());
            prop_assert_eq!(
                (quiet.state.state, &quiet.held, &quiet.next_change),
                (settled.state.state, &settled.held, &settled.next_change)
            );
            if is_decided(&life, &settled) {
                prop_assert_eq!(&quiet.roles, &settled.roles);
            }
        }
    }

    #[test]
    fn the_order_in_which_facts_came_does_not_matter(
        documents in any_documents(),
        events in prop::collection::vec(any_event(), 1..20),
        turn in 0..6_usize,
        today in 0..100_i64,
    ) {
        let mut life = Life::new(documents);
        for event in &events {
            life.happens(event);
        }
        let plan = life.plan(day(today));
        life.shuffle(turn);
        prop_assert_eq!(life.plan(day(today)), plan);
    }

    #[test]
    fn what_a_planner_remembers_changes_no_plan(
        documents in any_documents(),
        people in prop::collection::vec(prop::collection::vec(any_event(), 1..8), 1..8),
        today in 0..100_i64,
    ) {
        let mut planner = Planner::new(Arc::new(documents.policy.clone()));
        for events in people {
            let mut life = Life::new(documents.clone());
            for (n, event) in events.iter().enumerate() {
                life.happens(event);
                let now = day(today + n as i64);
                let plan = life.plan(now);
                prop_assert_eq!(&life.plan_by(&mut planner, now), &plan);
                life.reserve(&plan.wanted_names);
                life.carry_out(&plan, usize::MAX);
            }
        }
    }

    /// Who need not be looked at after a new document, because it plans like the old one, is planned as before; and who is looked at and for whom nothing
    /// is to be recorded would gain nothing by it: with the same facts the plan under the new document, made from scratch, is the one they have.
    #[test]
    fn incremental_equals_full(
        documents in any_documents(),
        change in any_change(),
        people in prop::collection::vec(prop::collection::vec(any_event(), 1..8), 1..6),
        today in 0..100_i64,
    ) {
        let changed = documents.changed(&change);
        let now = day(today);
        let nobody = documents.policy.plans_as(&changed.policy) && documents.targets == changed.targets;
        for events in people {
            let mut life = Life::new(documents.clone());
            for event in &events {
                life.happens(event);
                settle(&mut life, now)?;
            }
            let before = life.plan(now);
            life.documents = changed.clone();
            let after = life.plan(now);
            if nobody {
                prop_assert_eq!(&after, &before);
                continue;
            }
            let has_news = !steps(&after).is_empty()
                || !after.wanted_names.is_empty()
                || after.state.state != before.state.state
                || (&after.held, &after.next_change) != (&before.held, &before.next_change);
            if !has_news {
                // They stay as they are: later facts and moments find them as if they had been recorded under the new document.
                let mut full = life.clone();
                full.carry_out(&after, usize::MAX);
                for later in [0, 1, 30, 400] {
                    let at = now + SignedDuration::from_hours(24 * later);
                    prop_assert_eq!(life.plan(at), full.plan(at));
                }
            }
        }
    }
}

/// The rules that the generators draw from are a mixture: some hold, some do not, some cannot be evaluated. Else nothing above would be tried.
#[test]
fn the_generators_make_what_they_should() {
    let rules = whens();
    assert!(rules.len() >= 6 && rules.iter().any(|rule| rule.contains("level")));
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut same, mut other) = (0, 0);
    for _ in 0..200 {
        let documents: Documents = any_documents().new_tree(&mut runner).unwrap().current();
        let change = any_change().new_tree(&mut runner).unwrap().current();
        let changed = documents.changed(&change);
        let is_same = documents.policy.plans_as(&changed.policy) && documents.targets == changed.targets;
        *(if is_same { &mut same } else { &mut other }) += 1;
    }
    assert!(
        same > 20 && other > 80,
        "{same} changes change nothing, {other} something"
    );
}
