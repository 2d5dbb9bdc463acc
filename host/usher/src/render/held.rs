//! What budgets hold.

use usher_lifecycle::ids::OperationId;
use usher_store::{HeldCause, HeldState, OperationRow};

use super::account::chain;
use super::escape::{message, safe};
use super::ink::{Ink, Style};
use super::table::{count, grouped};

/// The held causes, oldest first.
pub(crate) fn causes(causes: &[HeldCause], ink: &Ink) -> String {
    if causes.is_empty() {
        return "nothing is held by a budget\n".to_owned();
    }
    let shown: Vec<String> = causes.iter().map(|cause| one_cause(cause, ink)).collect();
    shown.join("\n")
}

/// One of them, and a page of its operations.
pub(crate) fn one(
    cause: &HeldCause,
    operations: &[OperationRow],
    next: Option<OperationId>,
    ink: &Ink,
) -> String {
    let mut out = one_cause(cause, ink) + "\n";
    for operation in operations {
        out.push_str(&format!(
            "  {}  {}  {} {}\n    {}\n",
            operation.id,
            safe(&operation.key),
            operation.work.verb(),
            operation.slot,
            ink.paint(Style::Dim, &chain(operation.cause.links()))
        ));
    }
    if let Some(next) = next {
        out.push_str(&format!(
            "  more: `usher held show {} --after {next}`\n",
            cause.id
        ));
    }
    out
}

fn one_cause(cause: &HeldCause, ink: &Ink) -> String {
    let what = format!(
        "{} of {}",
        cause.counted,
        count(cause.operations, "account", "accounts")
    );
    let style = match cause.state {
        HeldState::Held => Style::Warn,
        HeldState::Rejected => Style::Bad,
        HeldState::Gathering | HeldState::LetGo => Style::Plain,
    };
    let mut out = format!(
        "{}  {} {what} in {}, since {}\n  by {}\n  {}\n",
        cause.id,
        ink.paint(style, &cause.state.to_string()),
        cause.target,
        ink.time(cause.since),
        message(&cause.cause),
        message(&cause.why),
    );
    let examples: Vec<String> = cause.examples.iter().map(|example| safe(&example.key)).collect();
    let left = cause.operations.saturating_sub(examples.len() as u64);
    let others = if left > 0 {
        format!(" and {} more", grouped(left))
    } else {
        String::new()
    };
    out.push_str(&format!(
        "  {}{others}; `usher held show {}` has all\n",
        examples.join(", "),
        cause.id
    ));
    match cause.state {
        HeldState::Held => out.push_str(&format!(
            "  `usher release {0} --reason TEXT` lets them run, `usher reject {0} --reason TEXT` keeps them from it\n",
            cause.id
        )),
        HeldState::Rejected => out.push_str(&format!(
            "  they stay held until facts or policy change; `usher release {} --reason TEXT` lets them run after all\n",
            cause.id
        )),
        HeldState::Gathering | HeldState::LetGo => {}
    }
    out
}

/// What a release did.
pub(crate) fn released(operations: u64) -> String {
    format!(
        "{} released: the next `usher apply`, or a server, runs them\n",
        count(operations, "operation", "operations")
    )
}

/// What a rejection did.
pub(crate) fn rejected(operations: u64) -> String {
    format!(
        "{} rejected: held until facts or policy change\n",
        count(operations, "operation", "operations")
    )
}

/// A line of a longer view.
pub(crate) fn line(operations: u64, verb: &str, target: &str, why: &str) -> String {
    format!(
        "{} {} in {}: {}\n",
        grouped(operations),
        safe(verb),
        safe(target),
        message(why)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn held_causes_say_what_why_and_what_to_do() {
        insta::assert_snapshot!(causes(&samples::held_causes(), &Ink::plain()));
    }

    #[test]
    fn one_shows_its_operations_and_where_the_next_page_is() {
        let next = Some(samples::operations()[0].id);
        let held = &samples::held_causes()[0];
        insta::assert_snapshot!(one(held, &samples::operations(), next, &Ink::plain()));
    }

    #[test]
    fn none_is_said() {
        assert_eq!(causes(&[], &Ink::plain()), "nothing is held by a budget\n");
    }
}
