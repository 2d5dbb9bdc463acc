//! Names that people give to sources, targets, roles, connectors and account kinds.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name, in bytes: fits a DNS label, a metric label and a table cell.
pub const NAME_BYTES_MAX: usize = 63;

/// A name: a lower-case letter, then lower-case letters, digits and hyphens; at most 63 bytes. Safe in paths, logs and HTML.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// The name of a source.
pub type SourceName = Name;
/// The name of a target.
pub type TargetName = Name;
/// The name of a role.
pub type RoleName = Name;
/// The kind of an account: `primary` unless said.
pub type AccountKind = Name;

/// A text that is not a name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a name: a lower-case letter, then lower-case letters, digits and hyphens, at most 63 in all"
)]
pub struct NameError(String);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account kind that is meant when none is said.
    pub fn primary() -> Self {
        Self(Arc::from("primary"))
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
        let rest = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if starts && rest && text.len() <= NAME_BYTES_MAX {
            Ok(Self(Arc::from(text)))
        } else {
            Err(NameError(
                text.chars().take(80).flat_map(char::escape_default).collect(),
            ))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_lower_case_names_pass() {
        for good in ["hr", "app-2", "a"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "2a",
            "-a",
            "A",
            "a_b",
            "a/b",
            "ä",
            "a\u{1b}[31m",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }
}
