//! The causes of states, as short phrases.

use std::fmt;

use super::decide::{Decision, Why};
use super::terms::{Phase, Terms};
use crate::facts::{Contract, Hold, When};

/// A day or instant for people.
pub(super) struct Shown(pub(super) When);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            When::Day(day) => day.fmt(f),
            When::Instant(at) => at.fmt(f),
        }
    }
}

/// The cause of a state: `end 2026-03-02 is over`, or, where contracts have names, `contract C17 ended 2026-03-02`.
pub(super) fn cause(decision: &Decision, terms: &[Terms<'_>], holds: &[Hold], retention_days: u32) -> String {
    match decision.why {
        Why::Nothing => "no contract is known".to_owned(),
        Why::Hold { index, .. } => holds.get(index).map(hold).unwrap_or_default(),
        Why::Contract {
            index,
            phase,
            departed,
            ..
        } => {
            let mut text = terms
                .get(index)
                .map(|terms| phrase(terms, phase))
                .unwrap_or_default();
            if departed {
                text += &format!(", and {retention_days} days of retention have passed");
            }
            text
        }
    }
}

/// `security hold by person ada until 2026-03-02T08:00:00Z`. Without the reason: causes are kept in clear, reasons are not.
pub(super) fn hold(hold: &Hold) -> String {
    let until = match (hold.until, hold.ends()) {
        (_, Some(until)) => format!(" until {until}"),
        (Some(until), None) => format!(
            " since {} (its end {until} is before that: taken as open)",
            hold.from
        ),
        (None, None) => String::new(),
    };
    format!("{} by {}{until}", hold.kind.as_str(), hold.by)
}

fn phrase(terms: &Terms<'_>, phase: Phase) -> String {
    let contract = terms.contract;
    let name = contract.name.as_deref();
    let prefix = name.map_or_else(String::new, |name| format!("contract {name}: "));
    match phase {
        Phase::Future => start(contract, "starts", "has not come"),
        Phase::Running { back: false } => start(contract, "started", "has come"),
        Phase::Running { back: true } => {
            let last = contract.leave.as_ref().and_then(|leave| leave.until);
            let last = last.map_or_else(String::new, |last| format!(" until {}", Shown(last)));
            format!("{prefix}leave{last} is over")
        }
        Phase::Away => {
            let away = terms.away.as_ref().map_or("on leave", |away| &away.cause);
            format!("{prefix}{away}")
        }
        Phase::Contradicting => {
            let show = |when: Option<When>| when.map_or_else(String::new, |when| format!(" {}", Shown(when)));
            format!(
                "{prefix}start{} is after end{}: no access until the source corrects it",
                show(contract.start),
                show(contract.end)
            )
        }
        Phase::Ended { at, missing: true } => match name {
            Some(name) => format!("contract {name} is missing from its source since {at}"),
            None => format!("missing from every source since {at}"),
        },
        Phase::Ended { missing: false, .. } => {
            let end = contract
                .end
                .map_or_else(String::new, |when| Shown(when).to_string());
            match name {
                Some(name) => format!("contract {name} ended {end}"),
                None => format!("end {end} is over"),
            }
        }
    }
}

fn start(contract: &Contract, named: &str, plain: &str) -> String {
    match (&contract.name, contract.start) {
        (Some(name), Some(when)) => format!("contract {name} {named} {}", Shown(when)),
        (None, Some(when)) => format!("start {} {plain}", Shown(when)),
        (Some(name), None) => format!("contract {name}: no start given"),
        (None, None) => "no start given".to_owned(),
    }
}
