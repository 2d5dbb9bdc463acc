//! Who or what caused a change, and why: what makes `why` answerable years later.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::SourceName;

/// Who or what caused a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// A person at a command line: the name the operating system gives.
    Person(String),
    /// A source whose facts changed.
    Source(SourceName),
    /// Time passed.
    Clock,
    /// A version of the policy or targets document.
    Policy(i64),
    /// Usher itself: recovery, reading back.
    Usher,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(name) => write!(f, "person {name}"),
            Self::Source(name) => write!(f, "source {name}"),
            Self::Clock => f.write_str("clock"),
            Self::Policy(version) => write!(f, "policy {version}"),
            Self::Usher => f.write_str("usher"),
        }
    }
}

/// Most links in a chain of causes; the longest real chain has about five.
pub const CAUSE_LINKS_MAX: usize = 12;

/// Why something is done: from the first fact to the deed, one short phrase each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cause(Vec<String>);

impl Cause {
    /// Starts a chain.
    pub fn new(first: impl Into<String>) -> Self {
        Self(vec![first.into()])
    }

    /// The chain with one more link. Beyond [`CAUSE_LINKS_MAX`] further links are dropped.
    #[must_use]
    pub fn then(&self, next: impl Into<String>) -> Self {
        let mut links = self.0.clone();
        if links.len() < CAUSE_LINKS_MAX {
            links.push(next.into());
        }
        Self(links)
    }

    /// The links, first fact first.
    pub fn links(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" → "))
    }
}
