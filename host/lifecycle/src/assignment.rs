//! Facts about the roles of one person: assignments by hand and by request, roles that the last plan gave, exceptions from a separation
//! of duties.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cause::Actor;
use crate::name::{Name, RoleName};

/// Most assignments of one person that are kept, also those that count no more: each is looked at with every plan.
pub const ASSIGNMENTS_MAX: usize = 500;
/// Longest reason of an assignment or an exception, in characters: a paragraph. Causes do not show it.
pub const REASON_CHARS_MAX: usize = 1_000;

/// How somebody came by an assignment. What a rule gives is no assignment: it is worked out anew with each plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// An operator gave it.
    Manual,
    /// Somebody asked for it, and it was granted.
    Request,
}

/// A person has a role, whatever the rules say. Of several for one role each counts for itself: the role stays until the last one goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Assignment {
    /// The role.
    pub role: RoleName,
    /// How it came about.
    pub origin: Origin,
    /// Why, in the words of who gave it.
    pub reason: String,
    /// Counts from this moment on; from ever when not given.
    pub valid_from: Option<Timestamp>,
    /// The moment from which it counts no more; open when not given.
    pub valid_until: Option<Timestamp>,
    /// Who gave it.
    pub by: Actor,
}

impl Assignment {
    /// Whether it counts at a moment.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.valid_from.is_none_or(|from| from <= now) && self.valid_until.is_none_or(|until| now < until)
    }

    /// When that changes next; `None` when it never does.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let empty = self
            .valid_from
            .zip(self.valid_until)
            .is_some_and(|(from, until)| until <= from);
        [self.valid_from, self.valid_until]
            .into_iter()
            .flatten()
            .filter(|at| *at > now && !empty)
            .min()
    }
}

/// A role as the last plan left it, recorded only where the next one must know: the role has an overlap, or a separation names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HeldRole {
    /// The role.
    pub role: RoleName,
    /// A rule gave it, by itself or through a role that includes it: only that is kept for an overlap.
    pub by_rule: bool,
    /// Since when no rule gives it any more, while it is kept for its overlap.
    pub since_lost: Option<Timestamp>,
    /// A separation of duties did not let them have it. Kept, so that it does not seem to be there as soon as other roles give the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

/// A person may have what a separation of duties keeps apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SeparationException {
    /// The separation, by its name in the policy. One that is not there any more is passed over.
    pub separation: Name,
    /// The moment from which it counts no more: from then on what the person holds is reported, but not taken away.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_assignment_counts_from_its_first_moment_until_before_its_last() {
        let assignment = |from: Option<i64>, until: Option<i64>| Assignment {
            role: "vpn".parse().unwrap(),
            origin: Origin::Manual,
            reason: "covering".to_owned(),
            valid_from: from.map(at),
            valid_until: until.map(at),
            by: Actor::Person("ann".to_owned()),
        };
        for (from, until, now, valid, next) in [
            (None, None, 5, true, None),
            (Some(5), None, 4, false, Some(5)),
            (Some(5), None, 5, true, None),
            (Some(5), Some(9), 4, false, Some(5)),
            (Some(5), Some(9), 5, true, Some(9)),
            (Some(5), Some(9), 8, true, Some(9)),
            (Some(5), Some(9), 9, false, None),
            (None, Some(9), 1, true, Some(9)),
            // Never valid, so it never changes anything.
            (Some(9), Some(5), 1, false, None),
            (Some(9), Some(9), 1, false, None),
        ] {
            let one = assignment(from, until);
            assert_eq!(
                (one.is_valid(at(now)), one.next_change(at(now))),
                (valid, next.map(at)),
                "{from:?} {until:?} {now}"
            );
        }
    }
}
