//! A plan: who, what, why; then totals.

use std::collections::{BTreeMap, BTreeSet};

use usher_engine::plan::{Plan, PlanEntry, PlanHeld, PlanTotal};
use usher_lifecycle::name::TargetName;
use usher_lifecycle::targets::ApplyMode;

use super::account::{identity_style, notes, person, problems, steps};
use super::escape::safe;
use super::held;
use super::ink::{Ink, Style};
use super::table::{Align, Table, count, grouped, more};

/// Most people shown: about three screens. `--json` and `--out` have all.
const PEOPLE_SHOWN_MAX: usize = 50;

/// The columns of the totals, in the order of a person's life.
const VERBS: [&str; 8] = [
    "create", "enable", "update", "grant", "revoke", "disable", "delete", "read",
];

/// The plan as text.
pub(crate) fn plan(plan: &Plan, frozen: bool, ink: &Ink) -> String {
    let made = format!("Plan of {}", ink.time(plan.made_at));
    let people = count(plan.identities, "person", "people");
    let mut out = format!("{}, {people} looked at\n", ink.paint(Style::Bold, &made));
    let groups: Vec<&[PlanEntry]> = plan
        .accounts
        .chunk_by(|one, next| one.identity == next.identity)
        .collect();
    for group in groups.iter().take(PEOPLE_SHOWN_MAX) {
        out.push_str(&one_person(group, ink));
    }
    if groups.len() > PEOPLE_SHOWN_MAX {
        out.push('\n');
        out.push_str(&more(groups.len(), PEOPLE_SHOWN_MAX, 0).replace(" more", " more people"));
    }
    out.push_str(&problems(&plan.problems, ink));
    out.push('\n');
    out.push_str(&totals(&plan.totals, ink));
    if !plan.announced.is_empty() {
        out.push_str(&ink.paint(
            Style::Bold,
            "Only announced: what full scope would do beyond that",
        ));
        out.push('\n');
        out.push_str(&totals(&plan.announced, ink));
    }
    out.push_str(&held_causes(&plan.held, ink));
    out.push_str(&closing(plan, frozen));
    out
}

fn one_person(entries: &[PlanEntry], ink: &Ink) -> String {
    let Some(first) = entries.first() else {
        return String::new();
    };
    let who = ink.paint(Style::Bold, &person(&first.key, first.name.as_deref()));
    let state = ink.paint(
        identity_style(first.identity_state),
        &first.identity_state.to_string(),
    );
    let mut out = format!("\n{who}  {state}\n");
    for entry in entries {
        let slot = entry.slot.to_string();
        out.push_str(&steps(&entry.steps, &slot, &entry.diff, 2, ink));
        if entry.apply == ApplyMode::Observe && !entry.steps.is_empty() {
            out.push_str(&format!(
                "      {}\n",
                ink.paint(
                    Style::Dim,
                    "only observed: this is not done until the target's `apply` says so"
                )
            ));
        }
        if entry.queued > 0 {
            let queued = count(entry.queued, "operation is", "operations are");
            out.push_str(&format!(
                "  {}\n",
                ink.paint(Style::Dim, &format!("{slot}: {queued} already in the queue"))
            ));
        }
        if !entry.announced.is_empty() {
            let because: Vec<String> = entry.announced_because.iter().map(|one| safe(one)).collect();
            out.push_str(&format!(
                "  {}\n{}",
                ink.paint(Style::Dim, &format!("only announced, {}:", because.join("; "))),
                steps(&entry.announced, &slot, &[], 4, ink)
            ));
        }
        out.push_str(&notes(
            &entry
                .notes
                .iter()
                .map(|note| format!("{slot}: {note}"))
                .collect::<Vec<_>>(),
            2,
            ink,
        ));
    }
    out
}

/// What budgets hold, whatever is in the plan.
fn held_causes(causes: &[PlanHeld], ink: &Ink) -> String {
    if causes.is_empty() {
        return String::new();
    }
    let mut out = ink.paint(Style::Bold, "Held by budgets") + "\n";
    for cause in causes.iter().take(PEOPLE_SHOWN_MAX) {
        out.push_str("  ");
        out.push_str(&held::line(
            cause.operations,
            &cause.verb,
            cause.target.as_str(),
            &cause.why,
        ));
    }
    if causes.len() > PEOPLE_SHOWN_MAX {
        out.push_str(&more(causes.len(), PEOPLE_SHOWN_MAX, 2));
    }
    out + "  `usher held` says what, `usher release ID --reason TEXT` lets it run\n\n"
}

/// Operations by target and verb: only the verbs that occur.
fn totals(totals: &[PlanTotal], ink: &Ink) -> String {
    let used: BTreeSet<&str> = totals.iter().map(|total| total.verb.as_str()).collect();
    let verbs: Vec<&'static str> = VERBS.into_iter().filter(|verb| used.contains(verb)).collect();
    let mut targets: BTreeMap<&TargetName, (ApplyMode, BTreeMap<&str, u64>)> = BTreeMap::new();
    for total in totals {
        let (_, by_verb) = targets
            .entry(&total.target)
            .or_insert_with(|| (total.apply, BTreeMap::new()));
        *by_verb.entry(&total.verb).or_default() += total.operations;
    }
    let mut heading = vec![("target", Align::Left)];
    heading.extend(verbs.iter().map(|verb| (*verb, Align::Right)));
    heading.extend([("in all", Align::Right), ("apply", Align::Left)]);
    let mut table = Table::new(&heading);
    for (target, (apply, by_verb)) in &targets {
        let mut cells = vec![target.to_string().into()];
        cells.extend(verbs.iter().map(|verb| match by_verb.get(verb) {
            Some(number) => grouped(*number).into(),
            None => "·".into(),
        }));
        cells.push(grouped(by_verb.values().sum()).into());
        cells.push(apply_mode(*apply).into());
        table.row(cells);
    }
    if table.is_empty() {
        String::new()
    } else {
        table.render(0, ink) + "\n"
    }
}

/// As in the targets document.
pub(crate) const fn apply_mode(mode: ApplyMode) -> &'static str {
    match mode {
        ApplyMode::Observe => "observe",
        ApplyMode::Manual => "manual",
        ApplyMode::Auto => "auto",
    }
}

/// How many steps would run, and how many not, and why not.
fn closing(plan: &Plan, frozen: bool) -> String {
    let runs = |entry: &&PlanEntry| entry.apply != ApplyMode::Observe;
    let sum = |of: fn(&PlanEntry) -> u64| plan.accounts.iter().filter(runs).map(of).sum::<u64>();
    let (held, later) = (sum(|entry| entry.held), sum(|entry| entry.later));
    let run = sum(|entry| entry.steps.len() as u64).saturating_sub(held + later);
    let mut out = String::new();
    if run > 0 {
        let operations = count(run, "operation", "operations");
        let how = if frozen {
            "Nothing does until `usher thaw`; then `usher apply` does it."
        } else {
            "`usher apply` does it."
        };
        out.push_str(&format!("{operations} would run. {how}\n"));
    }
    if later > 0 {
        let are = count(later, "operation is", "operations are");
        out.push_str(&format!(
            "{are} not due yet; `usher apply --wait SECONDS` waits for what falls due.\n"
        ));
    }
    if held > 0 {
        let are = count(held, "operation is", "operations are");
        let how = if plan.held.is_empty() {
            "`usher operations retry OPERATION` lets one run again"
        } else {
            "`usher held` and `usher status` say which, and how to let them run"
        };
        out.push_str(&format!("{are} held, or behind one that is; {how}.\n"));
    }
    let mut watched: BTreeMap<&TargetName, u64> = BTreeMap::new();
    for entry in plan.accounts.iter().filter(|entry| !runs(entry)) {
        *watched.entry(&entry.slot.target).or_default() += entry.steps.len() as u64;
    }
    for (target, operations) in watched.iter().filter(|(_, operations)| **operations > 0) {
        out.push_str(&observed(*operations, target));
    }
    if out.is_empty() { idle(plan) } else { out }
}

/// What to do about operations that are never carried out.
pub(crate) fn observed(operations: u64, target: &TargetName) -> String {
    let (number, them) = (
        count(operations, "operation", "operations"),
        if operations == 1 { "it" } else { "them" },
    );
    format!("{number} only observed: set apply = \"manual\" or \"auto\" for {target} to carry {them} out.\n")
}

/// There are no steps. All is well only when nothing is in the queue and nothing was found wrong.
fn idle(plan: &Plan) -> String {
    let queued: u64 = plan.accounts.iter().map(|entry| entry.queued).sum();
    let notes: usize = plan.accounts.iter().map(|entry| entry.notes.len()).sum();
    let wrong = (plan.problems.len() + notes) as u64;
    match (queued, wrong) {
        (0, 0) => "Nothing to do: every account is as it should be.\n".to_owned(),
        (0, wrong) => format!(
            "Nothing would be done; {} above.\n",
            count(wrong, "problem", "problems")
        ),
        (queued, _) => format!(
            "Nothing new; {} in the queue. `usher apply` goes on.\n",
            count(queued, "operation is", "operations are")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn a_plan_reads_person_by_person() {
        insta::assert_snapshot!(plan(&samples::plan(), false, &Ink::plain()));
    }

    #[test]
    fn an_empty_plan_says_so() {
        let nothing = Plan {
            accounts: vec![],
            totals: vec![],
            problems: vec![],
            announced: vec![],
            held: vec![],
            ..samples::plan()
        };
        insta::assert_snapshot!(plan(&nothing, false, &Ink::plain()), @r"
        Plan of 2026-03-02 08:00:00 +00:00, 203 people looked at

        Nothing to do: every account is as it should be.
        ");
    }

    #[test]
    fn a_plan_with_problems_alone_is_not_called_well() {
        let mut alone = samples::plan();
        alone.totals.clear();
        alone.accounts.retain(|entry| entry.queued > 0);
        alone.accounts[0].queued = 0;
        assert_eq!(
            closing(&alone, false),
            "Nothing would be done; 2 problems above.\n"
        );
    }

    #[test]
    fn what_would_not_run_is_counted_apart() {
        let mut waiting = samples::plan();
        waiting.held.clear();
        waiting.accounts[0].later = 1;
        waiting.accounts[2].held = 2;
        insta::assert_snapshot!(closing(&waiting, false), @r#"
        1 operation would run. `usher apply` does it.
        1 operation is not due yet; `usher apply --wait SECONDS` waits for what falls due.
        2 operations are held, or behind one that is; `usher operations retry OPERATION` lets one run again.
        1 operation only observed: set apply = "manual" or "auto" for directory to carry it out.
        "#);
    }

    #[test]
    fn a_frozen_store_is_thawed_first() {
        let text = closing(&samples::plan(), true);
        assert!(
            text.contains("Nothing does until `usher thaw`; then `usher apply` does it."),
            "{text}"
        );
    }

    #[test]
    fn a_long_plan_is_cut_by_people() {
        let mut long = samples::plan();
        let one = long.accounts[0].clone();
        long.accounts = (0..PEOPLE_SHOWN_MAX as u128 + 7)
            .map(|number| PlanEntry {
                identity: samples::identity_id(number),
                ..one.clone()
            })
            .collect();
        let text = plan(&long, false, &Ink::plain());
        assert!(
            text.contains("\n… and 7 more people (--json shows all)\n"),
            "{text}"
        );
    }
}
