//! Facts: what the sources say about a person.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::attributes::Attributes;
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

/// The dates that decide a person's lifecycle state.
#[derive(Clone, Debug, PartialEq)]
pub struct Employment {
    /// First day of work; from ever when not given.
    pub start: Option<When>,
    /// **Last day worked**; open when not given.
    pub end: Option<When>,
    /// Leave, if any.
    pub leave: Option<Leave>,
    /// The person's zone: decides when a day starts.
    pub zone: TimeZone,
    /// Since when every source record of this person has been missing.
    pub absent_since: Option<Timestamp>,
}
