//! Facts: what the sources say about a person.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::attributes::Attributes;
use crate::cause::Actor;
use crate::name::SourceName;

/// One person as one source knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Which source.
    pub source: SourceName,
    /// The source's own key, unique within it.
    pub key: String,
    /// Attributes under the names the policy gives them.
    pub attributes: Attributes,
    /// Since when the record is missing from the source, once that is confirmed.
    pub absent_since: Option<Timestamp>,
}

/// A point in a person's employment as sources state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A day in the person's zone. As a start: from its first moment. As an end: the last day, through its last moment.
    Day(Date),
    /// An instant, taken as given.
    Instant(Timestamp),
}

/// An absence from work that is not an end: parental leave, a sabbatical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// First day (or instant) away.
    pub from: When,
    /// Last day (or instant) away; open when not known.
    pub until: Option<When>,
}

/// One contract of a person: a source record with the dates that decide a lifecycle.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    /// The source that knows it.
    pub source: SourceName,
    /// The source's key of its record.
    pub key: String,
    /// What causes call it: `C17`, else `hr/1001`. `None` where nothing has to be told apart.
    pub name: Option<String>,
    /// First day of work; from ever when not given.
    pub start: Option<When>,
    /// **Last day worked**; open when not given.
    pub end: Option<When>,
    /// Leave, if any.
    pub leave: Option<Leave>,
    /// The zone that decides when its days start.
    pub zone: TimeZone,
    /// Since when its record is missing from its source (where it stands for all records of the person: from every source).
    pub absent_since: Option<Timestamp>,
}

/// The dates that decide a person's lifecycle state: all their contracts of one source, of which the union counts. In the order of authority,
/// so that of two contracts that say the same the first decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Employment {
    /// The contracts that decide, past, present and future.
    pub contracts: Vec<Contract>,
    /// Contracts of other sources, which decide nothing: they say only whether the attributes of their records count.
    pub others: Vec<Contract>,
}

/// Why somebody was put on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldKind {
    /// Access must stop now: disabling goes before everything queued.
    Security,
    /// By hand, for any other reason.
    Manual,
}

impl HoldKind {
    /// All kinds, the more urgent first.
    pub const ALL: [Self; 2] = [Self::Security, Self::Manual];

    /// The word in causes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Security => "security hold",
            Self::Manual => "hold",
        }
    }
}

/// Somebody keeps a person from their accounts, whatever the dates say, until it is taken back or its time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What for.
    pub kind: HoldKind,
    /// In force from this moment.
    pub from: Timestamp,
    /// The first moment it is no longer in force; open when not given. One before `from` makes no sense and is taken as open.
    pub until: Option<Timestamp>,
    /// Why, in the words of who asked for it.
    pub reason: String,
    /// Who asked for it.
    pub by: Actor,
}

impl Hold {
    /// When it ends by itself, if it does.
    pub fn ends(&self) -> Option<Timestamp> {
        self.until.filter(|until| *until >= self.from)
    }

    /// Whether it is in force at this moment.
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.from <= now && self.ends().is_none_or(|until| now < until)
    }
}
