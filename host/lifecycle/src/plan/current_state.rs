//! The state a person is in now, also where that cannot be worked out.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::PlanInput;
use crate::expr::ExpressionError;
use crate::facts::{Contract, Employment, SourceRecord};
use crate::policy::Policy;
use crate::state::{IdentityState, StateAt, hold_at, hold_phrase, next_hold_change, state_at};

/// Where a person stands.
pub(super) struct CurrentState {
    pub(super) state: StateAt,
    /// The state their accounts follow: the same, but where a hold is in force and the state cannot be worked out. That is then not recorded:
    /// nobody could tell afterwards what it was before the hold.
    pub(super) in_force: IdentityState,
    /// Why nothing may be concluded from it about accounts, if so.
    pub(super) undecided: Option<String>,
    /// Their contracts, where they can be read.
    pub(super) employment: Option<Employment>,
}

pub(super) fn current_state(
    input: &PlanInput<'_>,
    known: &[&SourceRecord],
    policy: &Policy,
    zones: &TimeZoneDatabase,
    now: Timestamp,
    problems: &mut Vec<ExpressionError>,
) -> CurrentState {
    if input.recorded == Some(IdentityState::Erased) {
        return CurrentState {
            state: unchanged(IdentityState::Erased, "erased"),
            in_force: IdentityState::Erased,
            undecided: None,
            employment: None,
        };
    }
    if known.is_empty() {
        return undecided(input, now, "no source of the policy knows this person");
    }
    let read = policy.employment(input.records, zones).or_else(|errors| {
        problems.extend(errors);
        gone(known).ok_or(())
    });
    match read {
        Ok(employment) => {
            let state = state_at(&employment, input.holds, policy.retention_days, now);
            CurrentState {
                in_force: state.state,
                state,
                undecided: None,
                employment: Some(employment),
            }
        }
        Err(()) => undecided(input, now, "their dates cannot be read"),
    }
}

/// A person whom no source has any more ends, whatever their dates say.
fn gone(records: &[&SourceRecord]) -> Option<Employment> {
    let absent_since = records
        .iter()
        .map(|record| record.absent_since)
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .max();
    let first = records.first()?;
    let contract = Contract {
        source: first.source.clone(),
        key: first.key.clone(),
        name: None,
        start: None,
        end: None,
        leave: None,
        zone: TimeZone::UTC,
        absent_since,
    };
    Some(Employment {
        contracts: vec![contract],
        ..Employment::default()
    })
}

/// Keeps the recorded state, also during a hold. One that takes access away stays in force, and so does a hold; otherwise accounts are left
/// as they are.
fn undecided(input: &PlanInput<'_>, now: Timestamp, reason: &str) -> CurrentState {
    let recorded = input.recorded.unwrap_or(IdentityState::Staged);
    let (state, in_force, undecided) = match (recorded, hold_at(input.holds, now)) {
        (IdentityState::Staged | IdentityState::Active | IdentityState::Suspended, Some(hold)) => {
            let held = StateAt {
                since: Some(hold.from),
                hold: Some(hold.kind),
                next_change: next_hold_change(input.holds, now),
                ..unchanged(recorded, &hold_phrase(hold))
            };
            (held, IdentityState::Suspended, None)
        }
        (IdentityState::Staged | IdentityState::Active, None) => {
            (unchanged(recorded, reason), recorded, Some(reason.to_owned()))
        }
        (IdentityState::Suspended, None)
        | (IdentityState::Leaving | IdentityState::Departed | IdentityState::Erased, _) => {
            (unchanged(recorded, reason), recorded, None)
        }
    };
    CurrentState {
        state,
        in_force,
        undecided,
        employment: None,
    }
}

fn unchanged(state: IdentityState, cause: &str) -> StateAt {
    StateAt {
        state,
        since: None,
        cause: cause.to_owned(),
        hold: None,
        next_change: None,
    }
}
