//! Whether all is well.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use usher_engine::Part;
use usher_store::{Freeze, Membership};

use crate::board::{Board, PartState};

/// A part of the loop that has not begun a turn for so long hangs: a dozen polls, and longer than any turn of bounded size takes.
pub(crate) const TURN_MAX: Duration = Duration::from_secs(60);

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Everything does its work.
    Ok,
    /// Everything could, but somebody has frozen the store.
    Frozen,
    /// Asked to stop; what is under way is finished.
    Stopping,
    /// Something does not work; `problems` says what.
    Failing,
}

/// The whole answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Health {
    /// In one word.
    pub status: Status,
    /// What does not work, for people.
    pub problems: Vec<String>,
    /// The program's version.
    pub version: &'static str,
    /// The newest schema version this program knows.
    pub schema_version: i64,
    /// Whether the database answers.
    pub database_reachable: bool,
    /// Whether other hosts leave this one's work alone.
    pub lease_holds: bool,
    /// The parts of the loop.
    pub r#loop: [LoopPart; Part::ALL.len()],
    /// Why and since when nothing runs.
    pub frozen: Option<Freeze>,
    /// This host's number among those at work.
    pub replica: i64,
    /// All of them.
    pub replicas: Vec<i64>,
    /// Since when this server runs.
    pub since: Timestamp,
}

/// One part of the loop.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LoopPart {
    /// Which.
    pub part: &'static str,
    /// Whether it has begun a turn lately.
    pub alive: bool,
    /// How long ago, in milliseconds.
    pub turn_age_ms: u64,
    /// What is in its way.
    pub trouble: Option<String>,
}

impl LoopPart {
    fn of(part: Part, state: PartState) -> Self {
        Self {
            part: part.name(),
            alive: state.age() < TURN_MAX,
            turn_age_ms: u64::try_from(state.age().as_millis()).unwrap_or(u64::MAX),
            trouble: state.trouble,
        }
    }
}

/// How both parts are.
pub(crate) fn parts(board: &Board) -> [LoopPart; Part::ALL.len()] {
    Part::ALL.map(|part| LoopPart::of(part, board.part(part)))
}

/// What the store said of itself, and when.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) reachable: bool,
    pub(crate) frozen: Option<Freeze>,
}

/// What keeps the whole from working; empty when nothing does. What hinders one part only, such as a missing policy, is told with that part.
pub(crate) fn problems(answer: &Answer, lease_holds: bool, parts: &[LoopPart]) -> Vec<String> {
    let mut problems = Vec::new();
    if !answer.reachable {
        problems.push("the database does not answer".to_owned());
    }
    if !lease_holds {
        problems.push(
            "the database has not heard of this host for too long; others may take its work".to_owned(),
        );
    }
    for part in parts.iter().filter(|part| !part.alive) {
        let seconds = part.turn_age_ms / 1_000;
        problems.push(format!("the {} has not begun a turn for {seconds} s", part.part));
    }
    problems
}

/// In one word.
pub(crate) fn status(problems: &[String], stopping: bool, frozen: bool) -> Status {
    if !problems.is_empty() {
        Status::Failing
    } else if stopping {
        Status::Stopping
    } else if frozen {
        Status::Frozen
    } else {
        Status::Ok
    }
}

/// The replicas of a membership, with this one's number.
pub(crate) fn replicas(membership: Membership) -> (i64, Vec<i64>) {
    (membership.own, membership.writers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(alive: bool) -> LoopPart {
        LoopPart {
            part: "planner",
            alive,
            turn_age_ms: 61_234,
            trouble: None,
        }
    }

    fn answer(reachable: bool) -> Answer {
        Answer {
            reachable,
            frozen: None,
        }
    }

    #[test]
    fn each_thing_that_fails_is_named() {
        assert!(problems(&answer(true), true, &[part(true)]).is_empty());
        assert_eq!(
            problems(&answer(false), false, &[part(true), part(false)]),
            [
                "the database does not answer",
                "the database has not heard of this host for too long; others may take its work",
                "the planner has not begun a turn for 61 s",
            ]
        );
    }

    #[test]
    fn failing_goes_before_stopping_before_frozen() {
        let failing = ["x".to_owned()];
        assert_eq!(status(&failing, true, true), Status::Failing);
        assert_eq!(status(&[], true, true), Status::Stopping);
        assert_eq!(status(&[], false, true), Status::Frozen);
        assert_eq!(status(&[], false, false), Status::Ok);
    }
}
