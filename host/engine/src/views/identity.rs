//! One person: facts, state, accounts, timeline.

use usher_lifecycle::account::{AccountSlot, AccountState, ObservedAccount};
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::plan::AccountPlan;
use usher_store::{AuditRow, OpenOperation};

use super::model::{AccountView, IdentityView, OperationView, RecordView, RoleView, TimelineEntry};
use crate::documents::{ActivePolicy, ActiveTargets};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::plan::{
    Thought, announced_note, display_name, entitlement_of, plan_problem, plan_step, shown_diff,
};

/// Most rows of a timeline: years of one person.
pub(super) const TIMELINE_MAX: u32 = 500;

impl Engine {
    /// One person, by public id or by the key of any source record.
    ///
    /// # Errors
    /// There is no such person, no policy is active, or the store fails.
    pub async fn show(&self, key: &str) -> Result<IdentityView, EngineError> {
        let (policy, targets) = (self.policy().await?, self.targets().await?);
        let row = self.ports.store.identity(key).await?;
        let timeline = self.ports.store.timeline(row.reference, TIMELINE_MAX).await?;
        let set = self.ports.store.personal_facts(row.id).await?;
        let names = self.ports.store.reservations(row.id).await?;
        let at = self.ports.clock.now();
        let stop = self.stop_of(&row.id.to_string()).await?;
        let observed_at: Vec<_> = row
            .accounts
            .iter()
            .map(|account| (account.slot.clone(), account.observed_at))
            .collect();
        let recorded = row.state;
        let thought = self.think(row, &policy, &targets, at);
        let plan = &thought.plan;
        let accounts = plan.accounts.iter().map(|account| {
            let told = observed_at
                .iter()
                .find(|(slot, _)| *slot == account.slot)
                .and_then(|(_, at)| *at);
            AccountView {
                observed_at: told,
                ..account_view(&thought, account, &targets)
            }
        });
        Ok(IdentityView {
            id: thought.row.id,
            name: display_name(&plan.attributes),
            at,
            records: records(&thought),
            attributes: plan.attributes.clone(),
            state: plan.state.state,
            recorded_state: recorded.filter(|recorded| *recorded != plan.state.state),
            since: plan.state.since,
            state_cause: plan.state.cause.clone(),
            next_change: plan.next_change,
            roles: roles(&thought, &policy),
            set,
            names,
            stop,
            accounts: accounts.collect(),
            problems: plan
                .problems
                .iter()
                .map(|error| plan_problem(&thought, error))
                .collect(),
            timeline: timeline.into_iter().map(timeline_entry).collect(),
        })
    }
}

fn records(thought: &Thought) -> Vec<RecordView> {
    let view = |record: &usher_lifecycle::facts::SourceRecord| RecordView {
        source: record.source.clone(),
        key: record.key.clone(),
        attributes: record.attributes.clone(),
        absent_since: record.absent_since,
    };
    thought.row.records.iter().map(view).collect()
}

fn roles(thought: &Thought, policy: &ActivePolicy) -> Vec<RoleView> {
    let held = policy
        .policy
        .roles
        .iter()
        .filter(|role| thought.plan.roles.contains(&role.name));
    held.map(|role| RoleView {
        name: role.name.clone(),
        rule: role.when.as_ref().map(|rule| rule.source().to_owned()),
        accounts: role.accounts.clone(),
    })
    .collect()
}

fn account_view(thought: &Thought, account: &AccountPlan, targets: &ActiveTargets) -> AccountView {
    let observed = observed(thought, &account.slot);
    let facts = targets.facts.get(&account.slot.target);
    // Without a schema nobody can tell which attributes are secret.
    let attributes = facts.map(|facts| {
        let seen = observed
            .map(|observed| observed.attributes.clone())
            .unwrap_or_default();
        seen.into_iter()
            .filter(|(name, _)| !facts.schema.attribute(name).secret)
            .collect::<Attributes>()
    });
    AccountView {
        slot: account.slot.clone(),
        apply: facts.map(|facts| facts.apply),
        state: account.observed_state,
        external_id: observed.and_then(|observed| observed.external_id.clone()),
        observed_at: None,
        desired: account.desired.as_ref().map(|desired| desired.kind()),
        attributes: attributes.unwrap_or_default(),
        entitlements: observed
            .map(|observed| observed.entitlements.clone())
            .unwrap_or_default(),
        diff: account.diff.iter().map(shown_diff).collect(),
        steps: account.steps.iter().map(plan_step).collect(),
        open: thought.open(&account.slot).iter().map(operation_view).collect(),
        notes: account
            .notes
            .iter()
            .map(ToString::to_string)
            .chain(announced_note(account))
            .collect(),
    }
}

/// What is known of an account, if anything.
pub(super) fn observed<'t>(thought: &'t Thought, slot: &AccountSlot) -> Option<&'t ObservedAccount> {
    thought
        .accounts
        .iter()
        .find(|(known, _)| known == slot)
        .map(|(_, observed)| observed)
}

/// The state of an account; absent when nothing is known of one.
pub(super) fn observed_state(thought: &Thought, slot: &AccountSlot) -> AccountState {
    observed(thought, slot).map_or(AccountState::Absent, |observed| observed.state)
}

pub(super) fn operation_view(operation: &OpenOperation) -> OperationView {
    OperationView {
        id: operation.id,
        verb: operation.work.verb().to_owned(),
        entitlement: entitlement_of(&operation.work),
        state: operation.state,
        attempts: operation.attempts,
        settle: operation.settle,
        due_at: operation.due_at,
        message: operation.message.clone(),
        cause: operation.cause.links().to_vec(),
    }
}

pub(super) fn timeline_entry(row: AuditRow) -> TimelineEntry {
    TimelineEntry {
        at: row.at,
        actor: row.actor.to_string(),
        event: row.event,
        cause: row.cause.links().to_vec(),
        detail: row.payload,
    }
}
