//! Lifecycle states of an identity, and the one total function that derives them from facts and the moment.
//!
//! Contradictory dates give no access and delete nothing, and the cause says so:
//! - a start after the end: `staged` before the start, `leaving` from then on, until the source corrects it or the person is gone
//!   from every source (an old end that was not cleared at a rehire looks like this, and so does a mistyped year);
//! - a leave whose end is before its beginning: on leave without an end.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::facts::{Employment, Leave, When};

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
    /// Since when, if a date says so.
    pub since: Option<Timestamp>,
    /// The fact that decides it, as a short phrase: `end 2026-03-02 is over`.
    pub cause: String,
    /// When it changes next if no fact changes; `None` when it never does.
    pub next_change: Option<Timestamp>,
}

/// The state of a person at `now`. A confirmed absence from every source ends like an end date, whichever comes first.
pub fn state_at(employment: &Employment, retention_days: u32, now: Timestamp) -> StateAt {
    let start = employment
        .start
        .map_or(Some(Timestamp::MIN), |when| begin_of(when, &employment.zone));
    let ending = Ending::of(employment, start, retention_days);
    let reached = |moment: Option<Timestamp>| moment.is_some_and(|moment| moment <= now);

    if reached(ending.departed_at) {
        let cause = format!(
            "{}, and {retention_days} days of retention have passed",
            ending.departed_cause
        );
        return StateAt {
            state: IdentityState::Departed,
            since: ending.departed_at,
            cause,
            next_change: None,
        };
    }
    if reached(ending.leaving_at) {
        let (since, cause) = (ending.leaving_at, ending.leaving_cause);
        return StateAt {
            state: IdentityState::Leaving,
            since,
            cause,
            next_change: ending.departed_at,
        };
    }
    if !reached(start) {
        let cause = employment
            .start
            .map_or_else(String::new, |when| format!("start {} has not come", Shown(when)));
        let next_change = earliest(start, ending.leaving_at);
        return StateAt {
            state: IdentityState::Staged,
            since: None,
            cause,
            next_change,
        };
    }
    working(employment, start, ending.leaving_at, now)
}

/// Active or on leave: the start has come, the end has not.
fn working(
    employment: &Employment,
    start: Option<Timestamp>,
    leaving_at: Option<Timestamp>,
    now: Timestamp,
) -> StateAt {
    let away = employment
        .leave
        .as_ref()
        .and_then(|leave| Away::of(leave, &employment.zone));
    if let Some(away) = &away
        && away.from <= now
        && away.until.is_none_or(|until| now < until)
    {
        return StateAt {
            state: IdentityState::Suspended,
            since: Some(start.map_or(away.from, |start| start.max(away.from))),
            cause: away.cause.clone(),
            next_change: earliest(away.until, leaving_at),
        };
    }
    let next_leave = away.as_ref().map(|away| away.from).filter(|from| *from > now);
    let returned = away
        .and_then(|away| away.until)
        .filter(|until| *until <= now && Some(*until) > start);
    let last_day = employment.leave.as_ref().and_then(|leave| leave.until);
    let (since, cause) = match (returned, last_day, employment.start) {
        (Some(at), Some(until), _) => (Some(at), format!("leave until {} is over", Shown(until))),
        (_, _, Some(when)) => (start, format!("start {} has come", Shown(when))),
        (_, _, None) => (None, "no start given".to_owned()),
    };
    StateAt {
        state: IdentityState::Active,
        since,
        cause,
        next_change: earliest(next_leave, leaving_at),
    }
}

/// When and why the person leaves and departs; `None` is never.
struct Ending {
    leaving_at: Option<Timestamp>,
    leaving_cause: String,
    departed_at: Option<Timestamp>,
    departed_cause: String,
}

impl Ending {
    fn of(employment: &Employment, start: Option<Timestamp>, retention_days: u32) -> Self {
        let zone = &employment.zone;
        let absent = employment.absent_since;
        let absent_cause =
            absent.map_or_else(String::new, |at| format!("missing from every source since {at}"));
        let end = employment.end.and_then(|when| end_of(when, zone));
        let end_cause = employment
            .end
            .map_or_else(String::new, |when| format!("end {} is over", Shown(when)));

        if let (Some(from), Some(until), Some(_)) = (employment.start, employment.end, end)
            && is_after(start, end)
        {
            let contradiction = format!(
                "start {} is after end {}: no access until the source corrects it",
                Shown(from),
                Shown(until)
            );
            let absent_first = !is_after(absent, start) && absent.is_some();
            return Self {
                leaving_at: earliest(start, absent),
                leaving_cause: if absent_first {
                    absent_cause.clone()
                } else {
                    contradiction
                },
                departed_at: absent.and_then(|at| retained_until(at, zone, retention_days)),
                departed_cause: absent_cause,
            };
        }
        let (ended, cause) = if is_after(end, absent) {
            (absent, absent_cause)
        } else {
            (end, end_cause)
        };
        Self {
            leaving_at: ended,
            leaving_cause: cause.clone(),
            departed_at: ended.and_then(|at| retained_until(at, zone, retention_days)),
            departed_cause: cause,
        }
    }
}

/// A leave as instants: never empty.
struct Away {
    from: Timestamp,
    until: Option<Timestamp>,
    cause: String,
}

impl Away {
    fn of(leave: &Leave, zone: &TimeZone) -> Option<Self> {
        let from = begin_of(leave.from, zone)?;
        let shown = Shown(leave.from);
        let Some(last) = leave.until else {
            return Some(Self {
                from,
                until: None,
                cause: format!("on leave since {shown}, no end given"),
            });
        };
        match end_of(last, zone) {
            Some(until) if until < from => {
                let cause = format!(
                    "on leave since {shown}; its end {} is before that: taken as open",
                    Shown(last)
                );
                Some(Self {
                    from,
                    until: None,
                    cause,
                })
            }
            Some(until) if until == from => None,
            until => Some(Self {
                from,
                until,
                cause: format!("on leave from {shown} until {}", Shown(last)),
            }),
        }
    }
}

/// A day or instant for people.
struct Shown(When);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            When::Day(day) => day.fmt(f),
            When::Instant(at) => at.fmt(f),
        }
    }
}

/// The first moment; `None` when it lies beyond the end of time.
fn begin_of(when: When, zone: &TimeZone) -> Option<Timestamp> {
    match when {
        When::Day(day) => midnight(day, zone),
        When::Instant(at) => Some(at),
    }
}

/// The moment after the last one; `None` when it lies beyond the end of time.
fn end_of(when: When, zone: &TimeZone) -> Option<Timestamp> {
    match when {
        When::Day(day) => day.tomorrow().ok().and_then(|next| midnight(next, zone)),
        When::Instant(at) => Some(at),
    }
}

/// The first moment of a day: where midnight is skipped (a clock put forward at midnight), the first moment after.
fn midnight(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    match day.to_zoned(zone.clone()) {
        Ok(at) => Some(at.timestamp()),
        Err(_) if day.year() < 0 => Some(Timestamp::MIN),
        Err(_) => None,
    }
}

/// Retention counts calendar days in the person's zone, so that it ends at midnight like everything else.
fn retained_until(ended: Timestamp, zone: &TimeZone, retention_days: u32) -> Option<Timestamp> {
    let span = Span::new().try_days(i64::from(retention_days)).ok()?;
    ended
        .to_zoned(zone.clone())
        .checked_add(span)
        .ok()
        .map(|at| at.timestamp())
}

/// The earlier of two moments; `None` is never.
pub(crate) fn earliest(left: Option<Timestamp>, right: Option<Timestamp>) -> Option<Timestamp> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (one, None) | (None, one) => one,
    }
}

/// Whether `left` comes after `right`; `None` is never, the latest of all.
fn is_after(left: Option<Timestamp>, right: Option<Timestamp>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => left > right,
        (None, right) => right.is_some(),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests;
