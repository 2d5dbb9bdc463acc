//! What a document would change, before it is taken: both plans of everybody, the one under the active documents and the one under the proposed,
//! compared. Reads everything page by page, keeps one page of people, writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::expr::ExpressionError;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::name::{RoleName, TargetName};
use usher_lifecycle::plan::{AccountPlan, IdentityPlan, Step, TargetFacts};
use usher_lifecycle::table::DesiredKind;
use usher_lifecycle::targets::ApplyMode;

use super::difference_report::{
    AccountDifference, DIFFERENCE_PEOPLE_MAX, Difference, DifferencePage, DifferenceTotal, PersonDifference,
    RoleDifference, StepChange, StepDifference,
};
use super::preview::{Thought, hex};
use super::shown::{display_name, entitlement_of, plan_step, shown_diff};
use crate::documents::{ActivePolicy, ActiveTargets, Prepared, Proposed};
use crate::engine::Engine;
use crate::error::EngineError;

/// Identities read at once: a few MiB.
const PAGE: u32 = 500;
/// Most new problems told of one person.
const PROBLEMS_MAX: usize = 20;

impl Engine {
    /// What a document would change for everybody. Activates nothing.
    ///
    /// # Errors
    /// As [`Engine::check_policy`] and [`Engine::check_targets`]; nobody is [`DifferencePage::after`].
    pub async fn difference(
        &self,
        proposed: &Proposed<'_>,
        page: &DifferencePage,
    ) -> Result<Difference, EngineError> {
        let prepared = self.prepare(proposed).await?;
        self.compare(&prepared, page).await
    }

    /// The digest of what a document would change.
    pub(crate) async fn digest_of(&self, prepared: &Prepared) -> Result<String, EngineError> {
        let nobody = DifferencePage {
            after: None,
            people_max: 0,
        };
        let difference = self.compare(prepared, &nobody).await?;
        Ok(difference.digest.unwrap_or_default())
    }

    async fn compare(&self, prepared: &Prepared, page: &DifferencePage) -> Result<Difference, EngineError> {
        let (policy, targets) = (self.policy_if_any().await?, self.targets().await?);
        let now = self.ports.clock.now();
        let mut after = match page.after {
            None => None,
            Some(id) => Some(self.ports.store.identity(&id.to_string()).await?.reference),
        };
        let mut comparison = Comparison::new(prepared, policy.as_deref(), &targets, page);
        while !comparison.is_full() {
            let rows = self.ports.store.identities_page(after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.reference);
            let Some(proposed) = &prepared.policy else {
                comparison.identities += rows.len() as u64;
                continue;
            };
            for thought in self.think_of_all(rows, proposed, &prepared.targets, now) {
                let before = policy
                    .as_deref()
                    .map(|policy| self.think_again(&thought, policy, &targets, now));
                comparison.add(before.as_ref(), &thought);
                if comparison.is_full() {
                    break;
                }
            }
        }
        Ok(comparison.finish(prepared, now))
    }
}

/// A comparison under way.
struct Comparison<'a> {
    before: &'a BTreeMap<TargetName, TargetFacts>,
    after: &'a BTreeMap<TargetName, TargetFacts>,
    /// A later page ends where it is full; the first one counts everybody.
    is_later: bool,
    people_max: usize,
    hasher: Sha256,
    identities: u64,
    concerned: u64,
    totals: BTreeMap<(TargetName, &'static str), Counts>,
    roles: BTreeMap<RoleName, (u64, u64)>,
    people: Vec<PersonDifference>,
    has_more: bool,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    added: u64,
    removed: u64,
    changed: u64,
}

impl<'a> Comparison<'a> {
    fn new(
        prepared: &'a Prepared,
        policy: Option<&ActivePolicy>,
        targets: &'a ActiveTargets,
        page: &DifferencePage,
    ) -> Self {
        let mut hasher = Sha256::new();
        let versions = (policy.map_or(0, |policy| policy.version), targets.version);
        for part in [
            json!([prepared.document.kind, versions]).to_string().as_bytes(),
            &Sha256::digest(prepared.document.text.as_bytes()),
        ] {
            hasher.update(part);
        }
        Self {
            before: &targets.facts,
            after: &prepared.targets.facts,
            is_later: page.after.is_some(),
            people_max: page.people_max.min(DIFFERENCE_PEOPLE_MAX),
            hasher,
            identities: 0,
            concerned: 0,
            totals: BTreeMap::new(),
            roles: BTreeMap::new(),
            people: Vec::new(),
            has_more: false,
        }
    }

    fn is_full(&self) -> bool {
        self.is_later && self.has_more
    }

    fn add(&mut self, before: Option<&IdentityPlan>, thought: &Thought) {
        self.identities += 1;
        let Some(person) = self.person(before, thought) else {
            return;
        };
        self.concerned += 1;
        for (roles, gained) in [(&person.roles_gained, true), (&person.roles_lost, false)] {
            for role in roles {
                let counts = self.roles.entry(role.clone()).or_default();
                *(if gained { &mut counts.0 } else { &mut counts.1 }) += 1;
            }
        }
        if self.people.len() < self.people_max {
            self.people.push(person);
        } else {
            self.has_more = true;
        }
    }

    fn person(&mut self, before: Option<&IdentityPlan>, thought: &Thought) -> Option<PersonDifference> {
        let after = &thought.plan;
        let mut accounts = Vec::new();
        let slots = |plan: &IdentityPlan| plan.accounts.iter().map(|account| account.slot.clone()).collect();
        let mut all: BTreeSet<AccountSlot> = slots(after);
        all.extend(before.map(slots).into_iter().flatten());
        for slot in &all {
            let of = |plan: &'_ IdentityPlan| plan.accounts.iter().position(|account| account.slot == *slot);
            let was = before.and_then(|plan| plan.accounts.get(of(plan)?));
            let will = of(after).and_then(|place| after.accounts.get(place));
            accounts.extend(self.account(thought.row.id, slot, was, will));
        }
        let nothing: &[RoleName] = &[];
        let roles = before.map_or(nothing, |plan| plan.roles.as_slice());
        let without = |some: &[RoleName], others: &[RoleName]| -> Vec<RoleName> {
            some.iter()
                .filter(|role| !others.contains(role))
                .cloned()
                .collect()
        };
        let known: &[ExpressionError] = before.map_or(&[], |plan| plan.problems.as_slice());
        let problems = after.problems.iter().filter(|problem| !known.contains(problem));
        let person = PersonDifference {
            identity: thought.row.id,
            key: thought.key(),
            name: display_name(&after.attributes),
            state: before.map(|plan| plan.state.state),
            state_after: after.state.state,
            roles_gained: without(&after.roles, roles),
            roles_lost: without(roles, &after.roles),
            accounts,
            problems: problems.take(PROBLEMS_MAX).map(ToString::to_string).collect(),
        };
        let same = person.state.is_none_or(|state| state == person.state_after)
            && person.roles_gained.is_empty()
            && person.roles_lost.is_empty()
            && person.accounts.is_empty()
            && person.problems.is_empty();
        if same {
            return None;
        }
        self.hash(&json!([
            person.identity,
            person.state_after,
            person.roles_gained,
            person.roles_lost,
            person.problems
        ]));
        Some(person)
    }

    fn account(
        &mut self,
        identity: IdentityId,
        slot: &AccountSlot,
        before: Option<&AccountPlan>,
        after: Option<&AccountPlan>,
    ) -> Option<AccountDifference> {
        let steps = |plan: Option<&'_ AccountPlan>| plan.map_or(Vec::new(), |plan| plan.steps.clone());
        let is_observed =
            |facts: &BTreeMap<TargetName, TargetFacts>| apply(facts, slot) == ApplyMode::Observe;
        let differing = compare_steps(
            &steps(before),
            &steps(after),
            is_observed(self.before),
            is_observed(self.after),
        );
        let desired = |plan: Option<&AccountPlan>| plan?.desired.as_ref().map(|desired| desired.kind());
        // What nothing speaks of is not there, and is not to be.
        let wanted = |plan| desired(plan).unwrap_or(DesiredKind::Absent);
        let known: Vec<String> = notes(before);
        let notes: Vec<String> = notes(after)
            .into_iter()
            .filter(|note| !known.contains(note))
            .collect();
        if differing.is_empty() && wanted(before) == wanted(after) && notes.is_empty() {
            return None;
        }
        for (change, step) in &differing {
            self.hash(&json!([identity, slot.to_string(), change, step.work]));
            let counts = self
                .totals
                .entry((slot.target.clone(), step.work.verb()))
                .or_default();
            match change {
                StepChange::Added | StepChange::Runs => counts.added += 1,
                StepChange::Removed | StepChange::Observed => counts.removed += 1,
                StepChange::Changed => counts.changed += 1,
            }
        }
        self.hash(&json!([identity, slot.to_string(), desired(after), notes]));
        let writes = differing.iter().any(|(change, _)| *change != StepChange::Removed);
        Some(AccountDifference {
            slot: slot.clone(),
            desired: desired(before),
            desired_after: desired(after),
            cause: after
                .or(before)
                .map_or(Vec::new(), |plan| plan.cause.links().to_vec()),
            apply: apply(self.after, slot),
            steps: differing
                .iter()
                .map(|(change, step)| StepDifference {
                    change: *change,
                    step: plan_step(step),
                })
                .collect(),
            diff: after
                .filter(|_| writes)
                .map_or(Vec::new(), |plan| plan.diff.iter().map(shown_diff).collect()),
            notes,
        })
    }

    fn hash(&mut self, value: &serde_json::Value) {
        self.hasher.update(value.to_string());
        self.hasher.update([0]);
    }

    fn finish(self, prepared: &Prepared, now: Timestamp) -> Difference {
        let after = self.after;
        let total = |((target, verb), counts): ((TargetName, &'static str), Counts)| DifferenceTotal {
            apply: after.get(&target).map_or(ApplyMode::Observe, |facts| facts.apply),
            target,
            verb: verb.to_owned(),
            added: counts.added,
            removed: counts.removed,
            changed: counts.changed,
        };
        let role = |(role, (gained, lost))| RoleDifference { role, gained, lost };
        let last = self.people.last().map(|person| person.identity);
        Difference {
            kind: prepared.document.kind,
            made_at: now,
            versions: prepared.seen,
            digest: (!self.is_later).then(|| hex(&self.hasher.finalize())),
            identities: self.identities,
            concerned: self.concerned,
            totals: self.totals.into_iter().map(total).collect(),
            roles: self.roles.into_iter().map(role).collect(),
            people: self.people,
            next: last.filter(|_| self.has_more),
        }
    }
}

fn apply(facts: &BTreeMap<TargetName, TargetFacts>, slot: &AccountSlot) -> ApplyMode {
    facts
        .get(&slot.target)
        .map_or(ApplyMode::Observe, |facts| facts.apply)
}

fn notes(plan: Option<&AccountPlan>) -> Vec<String> {
    plan.map_or(Vec::new(), |plan| {
        plan.notes.iter().map(ToString::to_string).collect()
    })
}

/// Steps that are not the same in both; a deed is known by its verb and its entitlement.
fn compare_steps(
    before: &[Step],
    after: &[Step],
    was_observed: bool,
    is_observed: bool,
) -> Vec<(StepChange, Step)> {
    let is_of = |one: &Step, other: &Step| {
        one.work.verb() == other.work.verb() && entitlement_of(&one.work) == entitlement_of(&other.work)
    };
    let mut differing = Vec::new();
    for step in after {
        let change = match before.iter().find(|one| is_of(one, step)) {
            None => StepChange::Added,
            Some(same) if same.work != step.work => StepChange::Changed,
            Some(_) if was_observed && !is_observed => StepChange::Runs,
            Some(_) if is_observed && !was_observed => StepChange::Observed,
            Some(_) => continue,
        };
        differing.push((change, step.clone()));
    }
    let gone = before
        .iter()
        .filter(|one| !after.iter().any(|step| is_of(one, step)));
    differing.extend(gone.map(|step| (StepChange::Removed, step.clone())));
    differing
}
