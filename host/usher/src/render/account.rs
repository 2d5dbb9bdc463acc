//! Pieces that plans, identities and `why` share: steps, differences, queued operations.

use usher_engine::plan::{PlanDiff, PlanProblem, PlanStep};
use usher_engine::views::OperationView;
use usher_lifecycle::account::AccountState;
use usher_lifecycle::operation::OperationState;
use usher_lifecycle::state::IdentityState;
use usher_lifecycle::table::DesiredKind;

use super::escape::{message, message_lines, safe, value, word};
use super::ink::{Ink, Style};
use super::table::{ROWS_MAX, more};

/// `e1001 Ada Lovelace`.
pub(crate) fn person(key: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{} {}", safe(key), safe(name)),
        None => safe(key),
    }
}

/// `+` gives, `-` takes away, `~` changes.
fn sign(verb: &str) -> (&'static str, Style) {
    match verb {
        "create" | "enable" | "grant" => ("+", Style::Good),
        "disable" | "delete" | "revoke" => ("-", Style::Bad),
        // `update` and `read`, and whatever a newer engine may add.
        _ => ("~", Style::Warn),
    }
}

/// `+ create app: username=ada, mail=none` on one line, without a line break.
pub(crate) fn step(step: &PlanStep, slot: &str, diff: &[PlanDiff], ink: &Ink) -> String {
    let (sign, style) = sign(&step.verb);
    let mut line = ink.paint(style, &format!("{sign} {} {slot}", safe(&step.verb)));
    match (step.verb.as_str(), &step.entitlement) {
        (_, Some(entitlement)) => line.push_str(&format!(": {}", word(entitlement))),
        ("create", None) => {
            let given = diff
                .iter()
                .filter_map(|one| Some(format!("{}={}", safe(&one.name), value(one.to.as_ref()?))));
            push_list(&mut line, &given.collect::<Vec<_>>());
        }
        ("update", None) => push_list(&mut line, &differences(diff)),
        (_, None) => {}
    }
    line
}

fn push_list(line: &mut String, items: &[String]) {
    if !items.is_empty() {
        line.push_str(": ");
        line.push_str(&items.join(", "));
    }
}

/// `title: "Dev" → "Lead"`.
pub(crate) fn differences(diff: &[PlanDiff]) -> Vec<String> {
    let side = |side: &Option<serde_json::Value>| side.as_ref().map_or_else(|| "none".to_owned(), value);
    diff.iter()
        .map(|one| format!("{}: {} → {}", safe(&one.name), side(&one.from), side(&one.to)))
        .collect()
}

/// `a → b → c`.
pub(crate) fn chain(cause: &[String]) -> String {
    cause
        .iter()
        .map(|link| safe(link))
        .collect::<Vec<_>>()
        .join(" → ")
}

/// The steps of an account, with the cause below each run of steps that share it (all but the last link: the deed itself).
pub(crate) fn steps(steps: &[PlanStep], slot: &str, diff: &[PlanDiff], indent: usize, ink: &Ink) -> String {
    let why = |step: &PlanStep| {
        step.cause
            .split_last()
            .map(|(_, reasons)| reasons.to_vec())
            .unwrap_or_default()
    };
    let pad = " ".repeat(indent);
    let mut out = String::new();
    for (place, one) in steps.iter().enumerate() {
        out.push_str(&format!("{pad}{}\n", step(one, slot, diff, ink)));
        let reasons = why(one);
        let is_last_of_run = steps.get(place + 1).is_none_or(|next| why(next) != reasons);
        if is_last_of_run && !reasons.is_empty() {
            out.push_str(&format!(
                "{pad}    {}\n",
                ink.paint(Style::Dim, &format!("because {}", chain(&reasons)))
            ));
        }
    }
    out
}

/// An operation that is not at an end, on one line or two.
pub(crate) fn queued(operation: &OperationView, indent: usize, ink: &Ink) -> String {
    let pad = " ".repeat(indent);
    let what = match &operation.entitlement {
        Some(entitlement) => format!("{} {}", operation.verb, word(entitlement)),
        None => operation.verb.clone(),
    };
    let mut out = format!(
        "{pad}{} {what} {}",
        operation.id,
        operation_state(operation.state, ink)
    );
    match operation.attempts {
        0 => {}
        1 => out.push_str(", 1 attempt"),
        attempts => out.push_str(&format!(", {attempts} attempts")),
    }
    if operation.settle {
        out.push_str(", reads back first");
    }
    if operation.state == OperationState::Ready {
        out.push_str(&format!(", due {}", ink.time(operation.due_at)));
    }
    out.push('\n');
    if let Some(text) = &operation.message {
        out.push_str(&format!(
            "{pad}    {}\n",
            message_lines(text, &format!("{pad}    "))
        ));
    }
    out
}

/// A state of an operation in its colour.
pub(crate) fn operation_state(state: OperationState, ink: &Ink) -> String {
    ink.paint(operation_style(state), &state.to_string())
}

/// The colour of an operation's state.
pub(crate) const fn operation_style(state: OperationState) -> Style {
    match state {
        OperationState::Waiting | OperationState::Superseded => Style::Dim,
        OperationState::Ready | OperationState::Claimed => Style::Plain,
        OperationState::Held => Style::Warn,
        OperationState::Done => Style::Good,
        OperationState::Failed => Style::Bad,
    }
}

/// The colour of a person's state.
pub(crate) const fn identity_style(state: IdentityState) -> Style {
    match state {
        IdentityState::Active => Style::Good,
        IdentityState::Staged | IdentityState::Suspended => Style::Warn,
        IdentityState::Leaving => Style::Bad,
        IdentityState::Departed | IdentityState::Erased => Style::Dim,
    }
}

/// The colour of an account's state.
pub(crate) const fn account_style(state: AccountState) -> Style {
    match state {
        AccountState::Enabled => Style::Good,
        AccountState::Disabled | AccountState::Unknown => Style::Warn,
        AccountState::Absent => Style::Dim,
    }
}

/// What is wanted of an account; nothing is known to be wanted when a rule or mapping cannot be evaluated.
pub(crate) const fn wanted(desired: Option<DesiredKind>) -> &'static str {
    match desired {
        Some(kind) => kind.as_str(),
        None => "unclear",
    }
}

/// Notes, one line each.
pub(crate) fn notes(notes: &[String], indent: usize, ink: &Ink) -> String {
    let pad = " ".repeat(indent);
    notes
        .iter()
        .map(|note| format!("{pad}{} {}\n", ink.paint(Style::Warn, "!"), message(note)))
        .collect()
}

/// What could not be evaluated; nothing when all could.
pub(crate) fn problems(problems: &[PlanProblem], ink: &Ink) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let heading =
        "Problems: the accounts of these people are left as they are, except for taking access away";
    let mut out = format!("\n{}\n", ink.paint(Style::Bad, heading));
    for problem in problems.iter().take(ROWS_MAX) {
        out.push_str(&format!(
            "  {}: {}: {}\n",
            safe(&problem.key),
            safe(&problem.path),
            message(&problem.message)
        ));
        if !problem.expression.is_empty() {
            out.push_str(&format!(
                "      {}\n",
                ink.paint(Style::Dim, &format!("| {}", message(&problem.expression)))
            ));
        }
    }
    out.push_str(&more(problems.len(), ROWS_MAX, 2));
    out
}
