//! One contract as instants, and where it stands at a moment.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::words::Shown;
use crate::facts::{Contract, Leave, When};

/// Where one contract stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its start has not come.
    Future,
    /// It runs, and `back` says that a leave is over.
    Running { back: bool },
    /// It runs, and the person is on leave from it.
    Away,
    /// Its start has come and is after its end: no access, and nothing is deleted.
    Contradicting,
    /// It is over.
    Ended {
        at: Timestamp,
        /// Its record is missing, and was before its end.
        missing: bool,
    },
}

/// A contract with its dates as instants; `None` is never.
pub(super) struct Terms<'c> {
    pub(super) contract: &'c Contract,
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
    pub(super) away: Option<Away>,
}

impl<'c> Terms<'c> {
    pub(super) fn of(contract: &'c Contract) -> Self {
        let zone = &contract.zone;
        let away = contract.leave.as_ref().and_then(|leave| Away::of(leave, zone));
        Self {
            contract,
            start: contract
                .start
                .map_or(Some(Timestamp::MIN), |when| begin_of(when, zone)),
            end: contract.end.and_then(|when| end_of(when, zone)),
            away,
        }
    }

    pub(super) fn phase(&self, now: Timestamp) -> Phase {
        let absent = self.contract.absent_since;
        let contradicts = self.end.is_some() && is_after(self.start, self.end);
        let missing = contradicts || is_after(self.end, absent);
        let ended = if missing { absent } else { self.end };
        match (ended, self.start, &self.away) {
            (Some(at), _, _) if at <= now => Phase::Ended { at, missing },
            (_, Some(start), _) if start <= now && contradicts => Phase::Contradicting,
            (_, Some(start), Some(away)) if start <= now && away.covers(now) => Phase::Away,
            (_, Some(start), Some(away)) if start <= now => Phase::Running {
                back: away.until.is_some_and(|until| until <= now && until > start),
            },
            (_, Some(start), None) if start <= now => Phase::Running { back: false },
            (_, Some(_) | None, _) => Phase::Future,
        }
    }

    /// Whether there was a time before `ended` at which it had begun: an offer that was withdrawn ends nothing.
    pub(super) fn had_begun(&self, ended: Timestamp) -> bool {
        self.start.is_some_and(|start| start < ended)
    }

    /// When retention is over for one who left at `ended`. It counts calendar days in the person's zone, so that it ends at midnight like
    /// everything else. `None` lies beyond the end of time.
    pub(super) fn retained_until(&self, ended: Timestamp, retention_days: u32) -> Option<Timestamp> {
        let span = Span::new().try_days(i64::from(retention_days)).ok()?;
        ended
            .to_zoned(self.contract.zone.clone())
            .checked_add(span)
            .ok()
            .map(|at| at.timestamp())
    }

    /// The moments at which its phase may change.
    pub(super) fn moments(&self) -> [Option<Timestamp>; 5] {
        [
            self.start,
            self.end,
            self.contract.absent_since,
            self.away.as_ref().map(|away| away.from),
            self.away.as_ref().and_then(|away| away.until),
        ]
    }
}

/// A leave as instants: never empty.
pub(super) struct Away {
    pub(super) from: Timestamp,
    pub(super) until: Option<Timestamp>,
    pub(super) cause: String,
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

    fn covers(&self, now: Timestamp) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

/// The first moment; `None` when it lies beyond the end of time.
pub(crate) fn begin_of(when: When, zone: &TimeZone) -> Option<Timestamp> {
    match when {
        When::Day(day) => midnight(day, zone),
        When::Instant(at) => Some(at),
    }
}

/// The moment after the last one; `None` when it lies beyond the end of time.
pub(crate) fn end_of(when: When, zone: &TimeZone) -> Option<Timestamp> {
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
