//! Public ids: UUIDs (version 7, made by the caller from a time and random bytes) with a prefix that shows their kind,
//! as in `idn_0192f3c4-…`. Inside the store, integers serve; these are what people and other systems see.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// A kind of thing that has an id.
pub trait Kind {
    /// What stands before the underscore.
    const PREFIX: &'static str;
}

/// The kinds.
pub mod kind {
    use super::Kind;

    /// A person or service.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Identity {}
    /// A unit of work.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Operation {}
    /// One import of one source.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Snapshot {}
    /// A role that somebody was given by hand or by request.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Assignment {}
    /// What keeps a person from their accounts.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Hold {}
    /// An exception from a separation of duties.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Exception {}

    /// What one cause would do to one target beyond a budget.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum HeldCause {}

    impl Kind for HeldCause {
        const PREFIX: &'static str = "held";
    }
    impl Kind for Identity {
        const PREFIX: &'static str = "idn";
    }
    impl Kind for Operation {
        const PREFIX: &'static str = "op";
    }
    impl Kind for Snapshot {
        const PREFIX: &'static str = "snp";
    }
    impl Kind for Assignment {
        const PREFIX: &'static str = "asg";
    }
    impl Kind for Hold {
        const PREFIX: &'static str = "hold";
    }
    impl Kind for Exception {
        const PREFIX: &'static str = "exc";
    }
}

/// An id of kind `K`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<K>(Uuid, PhantomData<K>);

/// The id of an identity, `idn_…`.
pub type IdentityId = Id<kind::Identity>;
/// The id of an operation, `op_…`.
pub type OperationId = Id<kind::Operation>;
/// The id of an import, `snp_…`.
pub type SnapshotId = Id<kind::Snapshot>;
/// The id of an assignment, `asg_…`.
pub type AssignmentId = Id<kind::Assignment>;
/// The id of a hold, `hold_…`.
pub type HoldId = Id<kind::Hold>;
/// The id of a held cause, `held_…`.
pub type HeldCauseId = Id<kind::HeldCause>;
/// The id of an exception from a separation of duties, `exc_…`.
pub type ExceptionId = Id<kind::Exception>;

impl<K> Id<K> {
    /// Wraps a UUID.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// Builds a version 7 UUID (RFC 9562 §5.7) from a moment and 10 random bytes.
    pub fn from_parts(at: jiff::Timestamp, random: &[u8; 10]) -> Self {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        Self::new(uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid())
    }

    /// The UUID inside.
    pub const fn uuid(&self) -> Uuid {
        self.0
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", K::PREFIX, self.0)
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an id of the wanted kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not an id that starts with `{prefix}_`")]
pub struct IdError {
    text: String,
    prefix: &'static str,
}

impl<K: Kind> FromStr for Id<K> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .and_then(|uuid| Uuid::try_parse(uuid).ok())
            .map(Self::new)
            .ok_or_else(|| IdError {
                text: text.chars().take(80).collect(),
                prefix: K::PREFIX,
            })
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_shows_its_kind_and_reads_back() {
        let at: jiff::Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
        let id = IdentityId::from_parts(at, &[7; 10]);
        assert!(id.to_string().starts_with("idn_"));
        assert_eq!(id.uuid().get_version_num(), 7);
        assert_eq!(id.to_string().parse::<IdentityId>().unwrap(), id);
        assert!(id.to_string().parse::<OperationId>().is_err());
    }
}
