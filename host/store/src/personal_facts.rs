//! Facts about one identity that people set: roles given by hand or by request, holds, exceptions from separations of duties.
//!
//! What is set is ended, never taken away; only erasure does that. Why it was set and ended is kept under the identity's key.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use usher_lifecycle::assignment::{Assignment, Origin, SeparationException};
use usher_lifecycle::cause::Actor;
use usher_lifecycle::facts::{Hold, HoldKind};
use usher_lifecycle::ids::{AssignmentId, ExceptionId, HoldId, IdError, IdentityId};
use usher_lifecycle::name::{Name, RoleName};
use uuid::Uuid;

use crate::{Context, StoreError};

/// Longest reason, in bytes: a paragraph and a reference to a ticket.
pub const REASON_BYTES_MAX: usize = 2_000;
/// Most assignments of one identity that count or may come to count: far beyond what anybody is given by hand, and little to read for a plan.
pub const ASSIGNMENTS_MAX: u64 = 200;
/// Most holds of one identity, likewise.
pub const HOLDS_MAX: u64 = 20;
/// Most exceptions of one identity, likewise.
pub const EXCEPTIONS_MAX: u64 = 50;

/// What to set. Who sets it is the actor of the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewFact {
    /// A role.
    Assignment {
        /// Which.
        role: RoleName,
        /// How it came about.
        origin: Origin,
        /// Counts from this moment on; from ever when not given.
        valid_from: Option<Timestamp>,
        /// The moment from which it counts no more.
        valid_until: Option<Timestamp>,
    },
    /// A hold.
    Hold {
        /// What for.
        kind: HoldKind,
        /// In force from this moment.
        from: Timestamp,
        /// The first moment it is no longer in force.
        until: Option<Timestamp>,
    },
    /// An exception from a separation of duties.
    Exception {
        /// Which separation.
        separation: Name,
        /// The moment from which it counts no more.
        until: Timestamp,
    },
}

/// What was set, as planning takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PersonalFact {
    /// A role.
    Assignment(Assignment),
    /// A hold.
    Hold(Hold),
    /// An exception from a separation of duties.
    Exception(SeparationException),
}

/// The id of what was set: `asg_…`, `hold_…` or `exc_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactId {
    /// Of an assignment.
    Assignment(AssignmentId),
    /// Of a hold.
    Hold(HoldId),
    /// Of an exception.
    Exception(ExceptionId),
}

impl FactId {
    /// The UUID inside.
    pub const fn uuid(&self) -> Uuid {
        match self {
            Self::Assignment(id) => id.uuid(),
            Self::Hold(id) => id.uuid(),
            Self::Exception(id) => id.uuid(),
        }
    }
}

impl fmt::Display for FactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assignment(id) => id.fmt(f),
            Self::Hold(id) => id.fmt(f),
            Self::Exception(id) => id.fmt(f),
        }
    }
}

impl FromStr for FactId {
    type Err = IdError;

    /// The error is the one of an assignment.
    fn from_str(text: &str) -> Result<Self, IdError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Hold(id));
        }
        if let Ok(id) = text.parse() {
            return Ok(Self::Exception(id));
        }
        text.parse().map(Self::Assignment)
    }
}

impl Serialize for FactId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What was set, with whose it is and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoredFact {
    /// Its id.
    pub id: FactId,
    /// About whom.
    pub identity: IdentityId,
    /// The key of the identity's first source record, for people.
    pub key: String,
    /// What.
    pub fact: PersonalFact,
    /// Who set it.
    pub by: Actor,
    /// When.
    pub added_at: Timestamp,
    /// Who ended it, if anybody did. One whose time is over counts no more without that.
    pub ended: Option<Ended>,
}

/// How something that was set came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Who ended it.
    pub by: Actor,
    /// Why.
    pub reason: String,
}

/// Some of what was set, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FactPage {
    /// What.
    pub rows: Vec<StoredFact>,
    /// Where to go on; `None` at the end.
    pub next: Option<i64>,
}

/// Facts that people set. Setting and ending is a transaction of *facts*: the identity is due for planning, the audit says who and why.
#[async_trait]
pub trait PersonalFacts: Send + Sync {
    /// Sets a fact. `Stale`: nothing was said why, or too much; it ends before it begins; it ends in the past; the identity is erased, or has too
    /// many already.
    async fn add_fact(
        &self,
        identity: IdentityId,
        fact: &NewFact,
        reason: &str,
        context: &Context,
    ) -> Result<FactId, StoreError>;
    /// Ends a fact, also one whose time is over or has not come. Returns whose it is. `Stale` when it was ended before, which stays as it was.
    async fn end_fact(&self, id: FactId, reason: &str, context: &Context) -> Result<IdentityId, StoreError>;
    /// All facts that were set about an identity, ended ones too, oldest first.
    async fn personal_facts(&self, identity: IdentityId) -> Result<Vec<StoredFact>, StoreError>;
    /// Security holds that are not ended and whose time is not over at `now`, after `after`, at most `limit` (and 1,000).
    async fn security_holds(
        &self,
        now: Timestamp,
        after: Option<i64>,
        limit: u32,
    ) -> Result<FactPage, StoreError>;
    /// Assignments of a role that are not ended and whose time is not over at `now`, after `after`, at most `limit` (and 1,000).
    async fn assigned(
        &self,
        role: &RoleName,
        now: Timestamp,
        after: Option<i64>,
        limit: u32,
    ) -> Result<FactPage, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_fact_says_its_kind_and_reads_back() {
        let uuid = Uuid::from_bytes([7; 16]);
        let ids = [
            FactId::Assignment(AssignmentId::new(uuid)),
            FactId::Hold(HoldId::new(uuid)),
            FactId::Exception(ExceptionId::new(uuid)),
        ];
        for (id, prefix) in ids.into_iter().zip(["asg_", "hold_", "exc_"]) {
            assert!(id.to_string().starts_with(prefix), "{id}");
            assert_eq!(id.to_string().parse::<FactId>().unwrap(), id);
        }
        assert!(format!("idn_{uuid}").parse::<FactId>().is_err());
    }
}
