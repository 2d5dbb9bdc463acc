//! Plays scenarios: plans each moment, compares, carries out, and plans again.

use std::collections::BTreeSet;

use usher_lifecycle::account::AccountState;
use usher_lifecycle::erasure::erasable;
use usher_lifecycle::operation::Work;
use usher_lifecycle::plan::IdentityPlan;
use usher_lifecycle::state::IdentityState;
use usher_lifecycle::table::DesiredKind;

use jiff::Timestamp;

use crate::document::{Expected, Facts, File, Scenario, Step};
use crate::shown::{listed, operations, plain};
use crate::told::json;
use crate::world::World;

/// Plans until everything is there: longer than any chain of accounts that depend on each other here.
const ROUNDS_MAX: usize = 5;

/// What was seen while playing.
#[derive(Default)]
pub(crate) struct Seen {
    /// States that followed each other.
    pub(crate) transitions: BTreeSet<(IdentityState, IdentityState)>,
    /// What was observed and wanted of accounts.
    pub(crate) accounts: BTreeSet<(AccountState, DesiredKind)>,
}

/// Plays all scenarios of a file. Each that goes wrong is one text for people.
pub(crate) fn play(file: &File, seen: &mut Seen) -> Vec<String> {
    let mut failures = Vec::new();
    for scenario in &file.scenarios {
        if let Err(failure) = play_one(file, scenario, seen) {
            failures.push(format!("scenario `{}`\n{failure}", scenario.name));
        }
    }
    failures
}

fn play_one(file: &File, scenario: &Scenario, seen: &mut Seen) -> Result<(), String> {
    let mut world = World::new(scenario.policy.as_ref().unwrap_or(&file.policy))?;
    let first = scenario
        .working_since
        .or_else(|| scenario.steps.first().map(|step| step.at));
    let first = first.ok_or("  has no step")?;
    world.take(&file.given, first)?;
    world.take(&scenario.given, first)?;
    // When the last plan said it would be another.
    let mut due = Some(first);
    if scenario.working_since.is_some() {
        let mut rounds = 0..=ROUNDS_MAX;
        loop {
            let plan = world.plan(first)?;
            note(&world, &plan, seen);
            carry_out(&mut world, &plan, &[])?;
            if !plan.replan {
                break;
            }
            rounds
                .next()
                .ok_or("  it is never settled: plan after plan asks for another")?;
        }
        due = again(&mut world, first, false)?.next_change;
    }
    for step in &scenario.steps {
        let failed = |what: String| format!("  at {}\n    {what}", step.moment);
        due = play_step(&mut world, step, due, seen).map_err(failed)?;
    }
    Ok(())
}

fn play_step(
    world: &mut World,
    step: &Step,
    due: Option<Timestamp>,
    seen: &mut Seen,
) -> Result<Option<Timestamp>, String> {
    let Step {
        at, facts, expected, ..
    } = step;
    world.take(facts, *at)?;
    if facts.erase {
        erase(world, expected, *at, seen)?;
    }
    let before = world.recorded;
    let plan = world.plan(*at)?;
    note(world, &plan, seen);
    compare(&plan, expected)?;
    let only_time = is_nothing(facts);
    let differs = before.is_some_and(|before| before != plan.state.state) || !operations(&plan).is_empty();
    if only_time && differs && due.is_none_or(|due| due > *at) {
        let due = due.map_or("never".to_owned(), |due| due.to_string());
        return Err(format!(
            "time alone changed the plan, but the last plan said the next change is: {due}"
        ));
    }
    let reads = carry_out(world, &plan, &expected.down)?;
    for (account, attributes) in &expected.attributes {
        for (name, wanted) in attributes {
            differ(
                &format!("{account} {name}"),
                &json(wanted),
                &world.attribute(account, name)?,
            )?;
        }
    }
    let unfinished = reads || plan.replan || !expected.down.is_empty();
    let after = again(world, *at, unfinished)?;
    // What was not done is due at once.
    Ok(if unfinished { Some(*at) } else { after.next_change })
}

/// Carries out what can be, and says whether anything was read: what that shows has yet to be planned.
fn carry_out(
    world: &mut World,
    plan: &IdentityPlan,
    down: &[usher_lifecycle::name::TargetName],
) -> Result<bool, String> {
    let mut reads = false;
    for account in plan
        .accounts
        .iter()
        .filter(|account| !down.contains(&account.slot.target))
    {
        for step in &account.steps {
            reads |= step.work == Work::Read;
            world.carry_out(&account.slot, &step.work)?;
        }
    }
    world.keep(plan);
    Ok(reads)
}

/// Plans again: nothing is left to do, unless something was left undone.
fn again(world: &mut World, now: Timestamp, unfinished: bool) -> Result<IdentityPlan, String> {
    let plan = world.plan(now)?;
    let left: Vec<String> = operations(&plan).into_iter().map(|shown| shown.text).collect();
    if left.is_empty() || unfinished {
        Ok(plan)
    } else {
        Err(format!(
            "everything was carried out, and this is planned again:{}",
            listed(&left)
        ))
    }
}

fn erase(world: &mut World, expected: &Expected, now: Timestamp, seen: &mut Seen) -> Result<(), String> {
    let state = world.recorded.ok_or("nobody is known who could be erased")?;
    let blocked = erasable(state, &world.accounts, &world.holds, now)
        .err()
        .unwrap_or_default();
    let refused: Vec<String> = blocked.iter().map(ToString::to_string).collect();
    same_lines("refused to erase", &expected.erase_refused, &refused)?;
    if refused.is_empty() {
        seen.transitions.insert((state, IdentityState::Erased));
        world.recorded = Some(IdentityState::Erased);
    }
    Ok(())
}

fn note(world: &World, plan: &IdentityPlan, seen: &mut Seen) {
    if let Some(before) = world.recorded.filter(|before| *before != plan.state.state) {
        seen.transitions.insert((before, plan.state.state));
    }
    let kinds = plan
        .accounts
        .iter()
        .filter_map(|account| Some((account.observed_state, account.desired.as_ref()?.kind())));
    seen.accounts.extend(kinds);
}

fn compare(plan: &IdentityPlan, expected: &Expected) -> Result<(), String> {
    let found = operations(plan);
    let texts: Vec<String> = found.iter().map(|shown| shown.text.clone()).collect();
    same_lines("plan", &expected.plan.lines(), &texts)?;
    if let Some(state) = &expected.state {
        differ("state", state, &plan.state.state.to_string())?;
    }
    if let Some(roles) = &expected.roles {
        let names = |roles: &[usher_lifecycle::name::RoleName]| {
            roles.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        same_lines("roles", &names(roles), &names(&plan.roles))?;
    }
    let find = |text: &String| {
        let mut found = found.iter();
        found
            .find(|shown| shown.text == *text)
            .ok_or_else(|| format!("`{text}` is not in the plan"))
    };
    for (text, cause) in &expected.because {
        let is = if text == "state" {
            plan.state_cause.to_string()
        } else {
            find(text)?.cause.clone()
        };
        differ(&format!("cause of {text}"), cause, &is)?;
    }
    for (text, priority) in &expected.priority {
        differ(&format!("priority of {text}"), priority, &find(text)?.priority)?;
    }
    let notes = plan.accounts.iter().flat_map(|account| {
        account
            .notes
            .iter()
            .map(move |note| format!("{}: {note}", account.slot))
    });
    same_lines("notes", &expected.notes, &notes.collect::<Vec<_>>())?;
    let problems = plan
        .problems
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message));
    same_lines("problems", &expected.problems, &problems.collect::<Vec<_>>())?;
    match expected.next_change {
        Some(next) => differ(
            "next change",
            &next.to_string(),
            &plan.next_change.map_or("never".to_owned(), |at| at.to_string()),
        ),
        None => Ok(()),
    }
}

fn is_nothing(facts: &Facts) -> bool {
    facts.records.is_empty()
        && facts.gone.is_empty()
        && facts.back.is_empty()
        && facts.assign.is_empty()
        && facts.unassign.is_empty()
        && facts.hold.is_empty()
        && !facts.lift_holds
        && facts.except.is_empty()
        && facts.observed.is_empty()
        && facts.targets.is_empty()
        && facts.without_target.is_empty()
        && facts.depends_on.is_empty()
        && facts.protected.is_empty()
        && facts.new_policy.is_none()
        && facts.taken.is_empty()
        && !facts.erase
}

fn same_lines(what: &str, expected: &[String], found: &[String]) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    Err(format!(
        "{what}\n      expected:{}\n      found:{}",
        listed(expected),
        listed(found)
    ))
}

fn differ<T: PartialEq + serde::Serialize>(what: &str, expected: &T, found: &T) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let text = |value: &T| vec![plain(&serde_json::to_value(value).unwrap_or_default())];
    same_lines(what, &text(expected), &text(found))
}
