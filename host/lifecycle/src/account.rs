//! Accounts: what policy wants, what the target last told us.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attributes::{Attributes, Digest};
use crate::name::{AccountKind, TargetName};

/// What is known of an account in its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountState {
    /// There is none.
    Absent,
    /// Can be used to sign in.
    Enabled,
    /// Cannot be used to sign in.
    Disabled,
    /// It must be read before anything is decided.
    Unknown,
}

impl AccountState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Absent, Self::Enabled, Self::Disabled, Self::Unknown];
}

impl fmt::Display for AccountState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Absent => "absent",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
        })
    }
}

/// Entitlements held: id → parameters (`null` when it takes none).
pub type Entitlements = BTreeMap<String, Value>;

/// Which account of a person: one per target and kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountSlot {
    /// The target.
    pub target: TargetName,
    /// The kind, `primary` unless said.
    pub kind: AccountKind,
}

impl fmt::Display for AccountSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind.as_str() == "primary" {
            write!(f, "{}", self.target)
        } else {
            write!(f, "{}/{}", self.target, self.kind)
        }
    }
}

/// What the target last told us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedAccount {
    /// Its state.
    pub state: AccountState,
    /// The target's own id: the link. Kept after a delete (state `absent`) only for the record.
    pub external_id: Option<String>,
    /// All attributes seen.
    pub attributes: Attributes,
    /// What it holds.
    pub entitlements: Entitlements,
    /// The target's version of the record.
    pub version: Option<String>,
    /// What was last written, and what the target then held: guards against writing the same value for ever to a
    /// target that stores it differently. See [`Written`].
    pub written: Option<Written>,
}

/// The managed attributes last written with success and the attributes read afterwards, as digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Digest of the desired managed attributes that were written.
    pub desired: Digest,
    /// Digest of all attributes the target answered with.
    pub observed: Digest,
}

impl ObservedAccount {
    /// An account that does not exist and never did.
    pub fn absent() -> Self {
        Self {
            state: AccountState::Absent,
            external_id: None,
            attributes: Attributes::new(),
            entitlements: Entitlements::new(),
            version: None,
            written: None,
        }
    }
}

/// What policy wants of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredAccount {
    /// Exists and is enabled, with exactly these managed attributes and entitlements.
    Enabled {
        /// Managed attributes. Others in the target are left alone.
        attributes: Attributes,
        /// Exactly these.
        entitlements: Entitlements,
    },
    /// If it exists: disabled, entitlements as they are (leave, hold).
    Suspended,
    /// If it exists: disabled and stripped of entitlements (ended, in retention; or no role gives it any more).
    Retained,
    /// Does not exist.
    Absent,
}
