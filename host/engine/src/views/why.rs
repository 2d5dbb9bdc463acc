//! Why a person has an account, or why not.

use serde_json::Value;
use usher_lifecycle::account::{AccountSlot, AccountState};
use usher_lifecycle::expr::Scope;
use usher_lifecycle::policy::Role;
use usher_lifecycle::state::IdentityState;
use usher_lifecycle::table::DesiredKind;

use super::identity::{TIMELINE_MAX, observed_state, operation_view, timeline_entry};
use super::model::{WhyRole, WhyView};
use crate::documents::{ActivePolicy, ActiveTargets};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::plan::{Thought, announced_note, display_name, plan_step};

impl Engine {
    /// Why a person has an account or does not: the chain of causes, and every role that would give it with what its rule says.
    ///
    /// # Errors
    /// There is no such person or target, no policy is active, or the store fails.
    pub async fn why(&self, key: &str, slot: &AccountSlot) -> Result<WhyView, EngineError> {
        let (policy, targets) = (self.policy().await?, self.targets().await?);
        let row = self.ports.store.identity(key).await?;
        known_target(
            slot,
            &targets,
            row.accounts.iter().any(|account| account.slot == *slot),
        )?;
        let timeline = self.ports.store.timeline(row.reference, TIMELINE_MAX).await?;
        let thought = self.think(row, &policy, &targets, self.ports.clock.now());
        let roles = why_roles(&thought, &policy, slot);
        let account = thought.plan.accounts.iter().find(|account| account.slot == *slot);
        let state = observed_state(&thought, slot);
        let desired = match account {
            Some(account) => account.desired.as_ref().map(|desired| desired.kind()),
            None => Some(DesiredKind::Absent),
        };
        let mut chain = account
            .map_or(&thought.plan.state_cause, |account| &account.cause)
            .links()
            .to_vec();
        chain.push(conclusion(slot, desired, account.is_some()));
        let written = slot.to_string();
        // What is about an account names it; what names none is about the person.
        let about_slot = |payload: &Value| {
            let account = payload.get("account").and_then(Value::as_str);
            account.is_none_or(|account| account == written)
        };
        Ok(WhyView {
            identity: thought.row.id,
            key: thought.key(),
            name: display_name(&thought.plan.attributes),
            slot: slot.clone(),
            identity_state: thought.plan.state.state,
            state,
            desired,
            answer: answer(&thought, slot, state, desired, &roles),
            chain,
            roles,
            steps: account
                .map(|account| account.steps.iter().map(plan_step).collect())
                .unwrap_or_default(),
            open: thought.open(slot).iter().map(operation_view).collect(),
            notes: account
                .map(|account| {
                    let notes = account.notes.iter().map(ToString::to_string);
                    notes.chain(announced_note(account)).collect()
                })
                .unwrap_or_default(),
            timeline: timeline
                .into_iter()
                .filter(|row| about_slot(&row.payload))
                .map(timeline_entry)
                .collect(),
        })
    }
}

fn known_target(slot: &AccountSlot, targets: &ActiveTargets, has_account: bool) -> Result<(), EngineError> {
    if has_account || targets.facts.contains_key(&slot.target) {
        return Ok(());
    }
    let known: Vec<_> = targets.facts.keys().map(|name| name.as_str()).collect();
    Err(EngineError::NotFound(format!(
        "there is no target `{}`; there are: {}",
        slot.target,
        known.join(", ")
    )))
}

/// Every role that gives the account, with what its rule says for this person.
fn why_roles(thought: &Thought, policy: &ActivePolicy, slot: &AccountSlot) -> Vec<WhyRole> {
    let attributes = &thought.plan.attributes;
    let scope = Scope::new(attributes, thought.plan.state.state);
    let why = |role: &Role| {
        // What was assigned, what another role brings and what is kept for an overlap is had as well.
        let has = thought.plan.roles.contains(&role.name);
        let announced = thought.plan.announced_roles.contains(&role.name);
        let (holds, error) = match role.when.as_ref().map_or(Ok(false), |rule| rule.holds(&scope)) {
            Ok(holds) => (Some((holds && !announced) || has), None),
            Err(error) => (None, Some(error.message)),
        };
        let read = |name: &str| {
            (
                name.to_owned(),
                attributes.get(name).cloned().unwrap_or(Value::Null),
            )
        };
        let reads = role.when.iter().flat_map(|rule| rule.reads().map(read)).collect();
        WhyRole {
            name: role.name.clone(),
            rule: role.when.as_ref().map(|rule| rule.source().to_owned()),
            holds,
            reads,
            announced,
            error,
        }
    };
    policy
        .policy
        .roles
        .iter()
        .filter(|role| policy.policy.gives_account(role, slot))
        .map(why)
        .collect()
}

fn conclusion(slot: &AccountSlot, desired: Option<DesiredKind>, in_plan: bool) -> String {
    match (desired, in_plan) {
        (Some(DesiredKind::Absent), false) => format!("no account at {slot}"),
        (Some(kind), _) => format!("{slot}: should be {}", kind.as_str()),
        (None, _) => format!("{slot}: left as it is"),
    }
}

/// The answer in one sentence.
fn answer(
    thought: &Thought,
    slot: &AccountSlot,
    state: AccountState,
    desired: Option<DesiredKind>,
    roles: &[WhyRole],
) -> String {
    let who = display_name(&thought.plan.attributes).unwrap_or_else(|| thought.key());
    let is = match state {
        AccountState::Absent => "has no account",
        AccountState::Enabled => "has an enabled account",
        AccountState::Disabled => "has a disabled account",
        AccountState::Unknown => "has an account whose state is not known",
    };
    format!(
        "{who} {is} at {slot}: {}.",
        because(thought, slot, desired, roles)
    )
}

fn because(thought: &Thought, slot: &AccountSlot, desired: Option<DesiredKind>, roles: &[WhyRole]) -> String {
    let state = &thought.plan.state;
    let names = |holds: bool| -> Vec<&str> {
        roles
            .iter()
            .filter(|role| role.holds == Some(holds))
            .map(|role| role.name.as_str())
            .collect()
    };
    match (state.state, desired) {
        (_, Some(_)) if only_announced(thought, slot) => {
            "what policy says of it is only announced: a pilot or a role in observe leaves them out"
                .to_owned()
        }
        (_, None) => "what it should be cannot be said, so it is left as it is".to_owned(),
        (IdentityState::Active, Some(DesiredKind::Enabled)) => {
            format!("given by {}", list("role", &names(true)))
        }
        (IdentityState::Active, Some(_)) if roles.is_empty() => format!("no role of the policy gives {slot}"),
        (IdentityState::Active, Some(_)) => {
            let which = match (names(false).len(), roles.iter().all(|role| role.rule.is_some())) {
                (1, true) => "whose rule is false for them",
                (_, true) => "whose rules are false for them",
                (_, false) => "which no rule and no assignment gives them",
            };
            format!("it would be given by {}, {which}", list("role", &names(false)))
        }
        (
            IdentityState::Staged
            | IdentityState::Suspended
            | IdentityState::Leaving
            | IdentityState::Departed
            | IdentityState::Erased,
            Some(_),
        ) => format!("they are {} ({})", state.state, state.cause),
    }
}

/// Nothing is done to the account, but something is announced.
fn only_announced(thought: &Thought, slot: &AccountSlot) -> bool {
    let account = thought.plan.accounts.iter().find(|account| account.slot == *slot);
    account.is_some_and(|account| account.announced.is_some() && account.steps.is_empty())
}

fn list(word: &str, names: &[&str]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("{word}{plural} {}", names.join(", "))
}
