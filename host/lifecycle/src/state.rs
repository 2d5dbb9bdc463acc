//! Lifecycle states of an identity, and the one total function that derives them from facts and the moment.
//!
//! Of several contracts the union counts: a person is active while any contract runs, on leave when all that run are on leave, leaving since
//! the last one ended. A gap between two contracts is `leaving`, or `departed` where it is longer than retention, until the later one
//! starts. Of contracts that run, the one that began first is named as the cause.
//!
//! A hold in force suspends whoever is active or on leave. It ends by itself. It gives nothing to whoever has not started, and takes
//! nothing more from whoever has left; but a security hold makes it urgent to disable what is still enabled (see [`crate::plan`]).
//!
//! Contradictory dates give no access and delete nothing, contract by contract, and the cause says so:
//! - a start after the end: to come before the start, `leaving` from then on and never departed, until the source corrects it or its record
//!   is gone (an old end that was not cleared at a rehire looks like this, and so does a mistyped year);
//! - a leave (or hold) whose end is before its beginning: without an end;
//! - a contract that is over before it began (an offer withdrawn, an end on the day before the start) ends only who has had no other.

mod decide;
mod standing;
mod terms;
mod words;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::facts::{Employment, Hold, HoldKind};
use decide::{Decision, Why, decide, deciding_hold};
use terms::Terms;

pub(crate) use standing::{Standing, next_standing, standings};
pub(crate) use terms::{begin_of, earliest, end_of};

/// Where a person is in their lifecycle. Derived from facts and the moment, never set by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityState {
    /// Known, not started.
    Staged,
    /// Works here.
    Active,
    /// On leave or on hold.
    Suspended,
    /// Ended, in retention.
    Leaving,
    /// Retention over.
    Departed,
    /// Personal data gone; the audit keeps a pseudonym.
    Erased,
}

impl IdentityState {
    /// All states, in the order of a life.
    pub const ALL: [Self; 6] = [
        Self::Staged,
        Self::Active,
        Self::Suspended,
        Self::Leaving,
        Self::Departed,
        Self::Erased,
    ];
}

impl fmt::Display for IdentityState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Staged => "staged",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Leaving => "leaving",
            Self::Departed => "departed",
            Self::Erased => "erased",
        })
    }
}

/// The state of a person at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StateAt {
    /// The state.
    pub state: IdentityState,
    /// Since when the fact that decides it holds, if a date says so.
    pub since: Option<Timestamp>,
    /// The fact that decides it, as a short phrase: `end 2026-03-02 is over`, `contract C17 ended 2026-03-02`.
    pub cause: String,
    /// The kind of hold that decides it, if one does.
    pub hold: Option<HoldKind>,
    /// When the state or its cause changes next if no fact changes; `None` when they never do.
    pub next_change: Option<Timestamp>,
}

/// The state of a person at `now`. A confirmed absence from the source ends a contract like its end date, whichever comes first.
pub fn state_at(employment: &Employment, holds: &[Hold], retention_days: u32, now: Timestamp) -> StateAt {
    let terms: Vec<Terms<'_>> = employment.contracts.iter().map(Terms::of).collect();
    let life = Life {
        terms: &terms,
        holds,
        retention_days,
    };
    let decision = decide(&terms, holds, retention_days, now);
    let (since, hold) = match decision.why {
        Why::Hold { index, since } => {
            let hold = holds.get(index);
            (hold.map(|hold| hold.from).max(since), hold.map(|hold| hold.kind))
        }
        Why::Nothing | Why::Contract { .. } => (decision.since(), None),
    };
    let cause = life.cause(&decision);
    StateAt {
        state: decision.state,
        since,
        next_change: life.next_change(&decision, &cause, now),
        cause,
        hold,
    }
}

/// The hold that is in force at `now`, if any: of several a security hold first, then the one that began first.
pub fn hold_at(holds: &[Hold], now: Timestamp) -> Option<&Hold> {
    deciding_hold(holds, now).and_then(|index| holds.get(index))
}

/// When a hold begins or ends next.
pub fn next_hold_change(holds: &[Hold], now: Timestamp) -> Option<Timestamp> {
    let moments = holds.iter().flat_map(|hold| [Some(hold.from), hold.ends()]);
    moments.flatten().filter(|at| *at > now).min()
}

/// A hold as causes say it: `security hold by person ada`.
pub fn hold_phrase(hold: &Hold) -> String {
    words::hold(hold)
}

/// What decides states over time.
struct Life<'a> {
    terms: &'a [Terms<'a>],
    holds: &'a [Hold],
    retention_days: u32,
}

impl Life<'_> {
    fn cause(&self, decision: &Decision) -> String {
        words::cause(decision, self.terms, self.holds, self.retention_days)
    }

    /// Goes from one date to the next until one makes a difference.
    fn next_change(&self, decision: &Decision, cause: &str, now: Timestamp) -> Option<Timestamp> {
        let (mut moment, mut stands) = (now, *decision);
        loop {
            // Retention can end only for one who is in it: anybody else has an end before that.
            let departs = stands.retained_until().filter(|until| *until > moment);
            moment = earliest(self.next_date(moment), departs)?;
            stands = decide(self.terms, self.holds, self.retention_days, moment);
            if stands != *decision && (stands.state != decision.state || self.cause(&stands) != cause) {
                return Some(moment);
            }
        }
    }

    /// The next date that any contract or hold names.
    fn next_date(&self, after: Timestamp) -> Option<Timestamp> {
        let contracts = self.terms.iter().flat_map(Terms::moments).flatten();
        earliest(
            contracts.filter(|at| *at > after).min(),
            next_hold_change(self.holds, after),
        )
    }
}

#[cfg(test)]
mod tests;
