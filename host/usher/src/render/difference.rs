//! What a document would change: totals, roles, people.

use usher_engine::plan::{AccountDifference, Difference, PersonDifference, StepChange, StepDifference};
use usher_lifecycle::table::DesiredKind;
use usher_lifecycle::targets::ApplyMode;
use usher_store::DocumentKind;

use super::account::{chain, identity_style, notes, person, step};
use super::escape::safe;
use super::ink::{Ink, Style};
use super::table::{Align, Table, count, grouped};

/// The difference as text. `which` is what was compared, as it was typed.
pub(crate) fn difference(difference: &Difference, which: &str, ink: &Ink) -> String {
    let (word, version) = match difference.kind {
        DocumentKind::Policy => ("policy", difference.versions.policy),
        DocumentKind::Targets => ("targets", difference.versions.targets),
    };
    let with = match version {
        0 => "with no such document being active".to_owned(),
        version => format!("with the active {word}, version {version}"),
    };
    let title = ink.paint(Style::Bold, &format!("{} compared {with}", safe(which)));
    let people = count(difference.identities, "person", "people");
    let mut out = format!("{title}, {people} looked at\n");
    if difference.concerned == 0 {
        out.push_str("Nothing would change for anybody.\n");
    } else if difference.digest.is_some() {
        let people = count(difference.concerned, "person", "people");
        out.push_str(&format!("Something would change for {people}.\n"));
        out.push_str(&totals(difference, ink));
    }
    for one in &difference.people {
        out.push_str(&one_person(one, ink));
    }
    if let Some(next) = difference.next {
        out.push_str(&format!(
            "\nThere are more people: `usher {word} diff {} --after {next}`\n",
            safe(which)
        ));
    }
    if let Some(digest) = &difference.digest {
        out.push_str(&format!(
            "\nNothing was activated. Exactly this: usher {word} activate {} --expect {digest}\n",
            safe(which)
        ));
    }
    out
}

fn totals(difference: &Difference, ink: &Ink) -> String {
    let mut out = String::new();
    let right = |title: &'static str| (title, Align::Right);
    let mut operations = Table::new(&[
        ("target", Align::Left),
        ("operation", Align::Left),
        right("more"),
        right("fewer"),
        right("other"),
        ("", Align::Left),
    ]);
    for total in &difference.totals {
        let runs = match total.apply {
            ApplyMode::Observe => "only observed",
            ApplyMode::Manual | ApplyMode::Auto => "",
        };
        operations.row([
            total.target.to_string().into(),
            total.verb.clone().into(),
            grouped(total.added).into(),
            grouped(total.removed).into(),
            grouped(total.changed).into(),
            runs.into(),
        ]);
    }
    if !operations.is_empty() {
        out.push('\n');
        out.push_str(&operations.render(0, ink));
    }
    let mut roles = Table::new(&[("role", Align::Left), right("gained by"), right("lost by")]);
    for role in &difference.roles {
        roles.row([
            role.role.to_string().into(),
            grouped(role.gained).into(),
            grouped(role.lost).into(),
        ]);
    }
    if !roles.is_empty() {
        out.push('\n');
        out.push_str(&roles.render(0, ink));
    }
    out
}

fn one_person(one: &PersonDifference, ink: &Ink) -> String {
    let who = ink.paint(Style::Bold, &person(&one.key, one.name.as_deref()));
    let after = ink.paint(identity_style(one.state_after), &one.state_after.to_string());
    let state = match one.state.filter(|state| *state != one.state_after) {
        Some(before) => format!("{before} → {after}"),
        None => after,
    };
    let mut out = format!("\n{who}  {state}\n");
    let gained = one
        .roles_gained
        .iter()
        .map(|role| ink.paint(Style::Good, &format!("+ {role}")));
    let lost = one
        .roles_lost
        .iter()
        .map(|role| ink.paint(Style::Bad, &format!("- {role}")));
    let roles: Vec<String> = gained.chain(lost).collect();
    if !roles.is_empty() {
        out.push_str(&format!("  roles: {}\n", roles.join(", ")));
    }
    for account in &one.accounts {
        out.push_str(&one_account(account, ink));
    }
    out.push_str(&notes(&one.problems, 2, ink));
    out
}

fn one_account(account: &AccountDifference, ink: &Ink) -> String {
    let slot = account.slot.to_string();
    let mut out = String::new();
    for (place, one) in account.steps.iter().enumerate() {
        out.push_str(&format!("  {}\n", one_step(one, account, &slot, ink)));
        let is_last_of_run = account
            .steps
            .get(place + 1)
            .is_none_or(|next| reasons(next) != reasons(one));
        if is_last_of_run && !reasons(one).is_empty() {
            out.push_str(&because(reasons(one), ink));
        }
    }
    if account.steps.is_empty() && account.desired != account.desired_after {
        let kind = |desired: Option<DesiredKind>| desired.map_or("left as it is", DesiredKind::as_str);
        let (from, to) = (kind(account.desired), kind(account.desired_after));
        out.push_str(&format!(
            "  ~ {slot}: wanted {from} → {to}; no operation differs\n"
        ));
        out.push_str(&because(&account.cause, ink));
    }
    let said: Vec<String> = account
        .notes
        .iter()
        .map(|note| format!("{slot}: {note}"))
        .collect();
    out.push_str(&notes(&said, 2, ink));
    out
}

fn one_step(one: &StepDifference, account: &AccountDifference, slot: &str, ink: &Ink) -> String {
    let runs = account.apply != ApplyMode::Observe;
    let shown = |diff| step(&one.step, slot, diff, ink);
    match one.change {
        StepChange::Added if runs => shown(&account.diff),
        StepChange::Added => format!("{} (only observed)", shown(&account.diff)),
        StepChange::Changed => format!("{} (now otherwise)", shown(&account.diff)),
        StepChange::Runs => format!("{} (only observed now)", shown(&account.diff)),
        StepChange::Observed => format!("{} (would only be observed)", shown(&[])),
        StepChange::Removed => format!("not any more: {}", shown(&[])),
    }
}

/// The causes without the deed itself.
fn reasons(one: &StepDifference) -> &[String] {
    one.step.cause.split_last().map_or(&[], |(_, reasons)| reasons)
}

fn because(cause: &[String], ink: &Ink) -> String {
    format!(
        "      {}\n",
        ink.paint(Style::Dim, &format!("because {}", chain(cause)))
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_engine::plan::{DifferenceTotal, PlanDiff, PlanStep, RoleDifference};
    use usher_lifecycle::account::AccountSlot;
    use usher_lifecycle::name::Name;
    use usher_lifecycle::operation::Priority;
    use usher_lifecycle::state::IdentityState;
    use usher_store::StoreVersions;

    use super::*;
    use crate::render::samples;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn change(change: StepChange, verb: &str, entitlement: Option<&str>) -> StepDifference {
        let cause = [
            "hr: start 2026-03-02 is over",
            "active",
            "role lead\u{1b}[31m",
            "deed",
        ];
        StepDifference {
            change,
            step: PlanStep {
                verb: verb.to_owned(),
                entitlement: entitlement.map(ToOwned::to_owned),
                priority: Priority::Change,
                cause: cause.map(ToOwned::to_owned).to_vec(),
            },
        }
    }

    fn account(target: &str, apply: ApplyMode, steps: Vec<StepDifference>) -> AccountDifference {
        AccountDifference {
            slot: AccountSlot {
                target: name(target),
                kind: Name::primary(),
            },
            desired: Some(DesiredKind::Enabled),
            desired_after: Some(DesiredKind::Enabled),
            cause: vec!["hr: start".to_owned(), "active".to_owned()],
            apply,
            steps,
            diff: vec![PlanDiff {
                name: "title".to_owned(),
                from: Some(json!("Dev")),
                to: Some(json!("Lead")),
            }],
            notes: Vec::new(),
        }
    }

    fn sample() -> Difference {
        let mut moved = account("dir", ApplyMode::Auto, Vec::new());
        moved.desired_after = None;
        moved.notes = vec!["waits until a name is reserved for login".to_owned()];
        let person = |n: u128, accounts| PersonDifference {
            identity: samples::identity_id(n),
            key: format!("e100{n}"),
            name: Some("Ada\u{202e}".to_owned()),
            state: Some(IdentityState::Active),
            state_after: IdentityState::Active,
            roles_gained: vec![name("lead")],
            roles_lost: vec![name("dev")],
            accounts,
            problems: Vec::new(),
        };
        let mut leaver = person(
            2,
            vec![account(
                "app",
                ApplyMode::Observe,
                vec![
                    change(StepChange::Added, "disable", None),
                    change(StepChange::Observed, "revoke", Some("vpn")),
                ],
            )],
        );
        (leaver.state_after, leaver.roles_gained) = (IdentityState::Leaving, Vec::new());
        leaver.problems = vec!["mappings.app.mail: `mail` is absent for this person".to_owned()];
        let steps = vec![
            change(StepChange::Added, "grant", Some("Admins, all")),
            change(StepChange::Changed, "update", None),
            change(StepChange::Removed, "revoke", Some("vpn")),
            change(StepChange::Runs, "enable", None),
        ];
        Difference {
            kind: DocumentKind::Policy,
            made_at: samples::at(),
            versions: StoreVersions {
                facts: 7,
                policy: 3,
                targets: 2,
                observed: 9,
            },
            digest: Some("ab12".repeat(16)),
            identities: 1_204,
            concerned: 3,
            totals: vec![DifferenceTotal {
                target: name("app"),
                verb: "grant".to_owned(),
                added: 1_100,
                removed: 0,
                changed: 2,
                apply: ApplyMode::Observe,
            }],
            roles: vec![RoleDifference {
                role: name("lead"),
                gained: 1,
                lost: 0,
            }],
            people: vec![
                person(1, vec![account("app", ApplyMode::Auto, steps), moved]),
                leaver,
            ],
            next: Some(samples::identity_id(2)),
        }
    }

    #[test]
    fn totals_then_people_then_what_to_type() {
        let text = difference(&sample(), "policy.toml", &Ink::plain());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn nothing_is_said_plainly() {
        let mut nothing = sample();
        nothing.concerned = 0;
        nothing.totals.clear();
        nothing.roles.clear();
        nothing.people.clear();
        nothing.next = None;
        insta::assert_snapshot!(difference(&nothing, "--version 3", &Ink::plain()));
    }

    #[test]
    fn a_later_page_has_people_only() {
        let mut later = sample();
        later.digest = None;
        later.next = None;
        let text = difference(&later, "policy.toml", &Ink::plain());
        assert!(!text.contains("fewer") && !text.contains("--expect"), "{text}");
        assert!(text.contains("not any more"), "{text}");
    }
}
