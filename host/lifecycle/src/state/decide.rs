//! Which contract or hold decides the state of a person at a moment.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::IdentityState;
use super::terms::{Phase, Terms};
use crate::facts::Hold;

/// The state and what decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) state: IdentityState,
    pub(super) why: Why,
}

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No contract at all.
    Nothing,
    /// A hold, by its place in the list.
    Hold {
        index: usize,
        /// When a contract would have let them work.
        since: Option<Timestamp>,
    },
    /// A contract, by its place in the list.
    Contract {
        index: usize,
        phase: Phase,
        /// Since when it says so.
        since: Option<Timestamp>,
        /// When retention will be over, or is.
        retained_until: Option<Timestamp>,
        /// Whether it is.
        departed: bool,
    },
}

/// What is decided at `now`: one who may work anywhere is active; else on leave; else gone since the last contract that ended; else to come.
/// A hold keeps from work whoever works or is on leave.
pub(super) fn decide(terms: &[Terms<'_>], holds: &[Hold], retention_days: u32, now: Timestamp) -> Decision {
    let decided = of_contracts(terms, retention_days, now);
    match decided.state {
        IdentityState::Active | IdentityState::Suspended => match deciding_hold(holds, now) {
            Some(index) => Decision {
                state: IdentityState::Suspended,
                why: Why::Hold {
                    index,
                    since: decided.since(),
                },
            },
            None => decided,
        },
        IdentityState::Staged | IdentityState::Leaving | IdentityState::Departed | IdentityState::Erased => {
            decided
        }
    }
}

impl Decision {
    /// When retention will be over, or was.
    pub(super) const fn retained_until(&self) -> Option<Timestamp> {
        match self.why {
            Why::Nothing | Why::Hold { .. } => None,
            Why::Contract { retained_until, .. } => retained_until,
        }
    }

    /// Since when the deciding contract says so.
    pub(super) const fn since(&self) -> Option<Timestamp> {
        match self.why {
            Why::Nothing => None,
            Why::Hold { since, .. } | Why::Contract { since, .. } => since,
        }
    }
}

/// The hold in force that decides: a security hold before any other, then the one that began first, then the one that lasts longest.
pub(super) fn deciding_hold(holds: &[Hold], now: Timestamp) -> Option<usize> {
    let lasts = |hold: &Hold| hold.ends().unwrap_or(Timestamp::MAX);
    let in_force = holds.iter().enumerate().filter(|(_, hold)| hold.in_force(now));
    in_force
        .min_by(|(_, left), (_, right)| {
            let begin = (left.kind, left.from).cmp(&(right.kind, right.from));
            let end = || lasts(right).cmp(&lasts(left));
            let text = || (&left.reason, left.by.to_string()).cmp(&(&right.reason, right.by.to_string()));
            begin.then_with(end).then_with(text)
        })
        .map(|(index, _)| index)
}

/// Contracts by what they say of the person, the one that decides last. Of contracts that run, the one that began first: what a second job
/// says does not push aside the first. Of those that ended, the last. Of those to come, the next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Say {
    /// Its start has not come.
    ToCome(Reverse<Timestamp>),
    /// It ended before it began: an offer withdrawn. It ends only who has had no other contract.
    Withdrawn(Timestamp),
    Ended(Timestamp),
    Contradicting(Reverse<Timestamp>),
    Away(Reverse<Timestamp>),
    Running(Reverse<Timestamp>),
}

fn say(terms: &Terms<'_>, phase: Phase) -> Say {
    let start = Reverse(terms.start.unwrap_or(Timestamp::MAX));
    match phase {
        Phase::Future => Say::ToCome(start),
        Phase::Ended { at, .. } if terms.had_begun(at) => Say::Ended(at),
        Phase::Ended { at, .. } => Say::Withdrawn(at),
        Phase::Contradicting => Say::Contradicting(start),
        Phase::Away => Say::Away(start),
        Phase::Running { .. } => Say::Running(start),
    }
}

fn of_contracts(terms: &[Terms<'_>], retention_days: u32, now: Timestamp) -> Decision {
    let mut deciding: Option<(Say, usize, &Terms<'_>, Phase)> = None;
    for (index, terms) in terms.iter().enumerate() {
        let phase = terms.phase(now);
        let said = say(terms, phase);
        if deciding.is_none_or(|(most, ..)| said > most) {
            deciding = Some((said, index, terms, phase));
        }
    }
    match deciding {
        Some((_, index, terms, phase)) => by_contract(index, terms, phase, retention_days, now),
        None => Decision {
            state: IdentityState::Staged,
            why: Why::Nothing,
        },
    }
}

fn by_contract(
    index: usize,
    terms: &Terms<'_>,
    phase: Phase,
    retention_days: u32,
    now: Timestamp,
) -> Decision {
    let since_start = terms.contract.start.and(terms.start);
    let away = terms.away.as_ref();
    let mut retained_until = None;
    let mut departed = false;
    let (state, since) = match phase {
        Phase::Future => (IdentityState::Staged, None),
        Phase::Running { back: false } => (IdentityState::Active, since_start),
        Phase::Running { back: true } => (IdentityState::Active, away.and_then(|away| away.until)),
        Phase::Away => (
            IdentityState::Suspended,
            away.map(|away| away.from).max(terms.start),
        ),
        Phase::Contradicting => (IdentityState::Leaving, terms.start),
        Phase::Ended { at, .. } => {
            retained_until = terms.retained_until(at, retention_days);
            departed = retained_until.is_some_and(|until| until <= now);
            if departed {
                (IdentityState::Departed, retained_until)
            } else {
                (IdentityState::Leaving, Some(at))
            }
        }
    };
    let why = Why::Contract {
        index,
        phase,
        since,
        retained_until,
        departed,
    };
    Decision { state, why }
}
