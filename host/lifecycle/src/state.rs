//! Lifecycle states of an identity.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a person is in their lifecycle. Derived from facts and the moment, never set by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityState {
    /// Known, not started.
    Staged,
    /// Works here.
    Active,
    /// On leave or on hold.
    Suspended,
    /// Ended, in retention.
    Leaving,
    /// Retention over.
    Departed,
    /// Personal data gone; the audit keeps a pseudonym.
    Erased,
}

impl IdentityState {
    /// All states, in the order of a life.
    pub const ALL: [Self; 6] =
        [Self::Staged, Self::Active, Self::Suspended, Self::Leaving, Self::Departed, Self::Erased];
}

impl fmt::Display for IdentityState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Staged => "staged",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Leaving => "leaving",
            Self::Departed => "departed",
            Self::Erased => "erased",
        })
    }
}
