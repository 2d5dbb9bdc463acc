//! What a connector says, in domain words. `host/connectors` converts the contract (WIT) into these and back; nothing
//! else knows the contract's own types. Guest data has passed the limits by the time it is one of these.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account::{AccountState, Entitlements};
use crate::attributes::Attributes;

/// How an account made by a lost `create` is recognised afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Creation {
    /// The target keeps our intent id.
    Marker,
    /// We choose the id: this attribute.
    ClientId(String),
    /// These attributes together are unique.
    UniqueKey(Vec<String>),
    /// Not at all: a person decides.
    None,
}

/// What a connector can do under a target's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Accounts can be disabled and enabled.
    pub disable: bool,
    /// Accounts can be deleted.
    pub delete: bool,
    /// It exports `entitlements`.
    pub entitlements: bool,
}

/// What a connector is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its name.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// Where its documentation is.
    pub docs_url: Option<String>,
    /// JSON Schema of its settings.
    pub settings_schema: Value,
    /// What it can do.
    pub capabilities: Capabilities,
    /// How creations are recognised.
    pub creation: Creation,
}

/// One account as the target holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// The target's own id.
    pub id: String,
    /// All attributes present.
    pub attributes: Attributes,
    /// `Enabled`, `Disabled` or `Unknown`; never `Absent`.
    pub state: AccountState,
    /// The target's version of the record.
    pub version: Option<String>,
    /// The intent id it was created under, where the target keeps it.
    pub marker: Option<String>,
}

/// A change of one attribute, as the contract's `attribute-change`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum AttributeChange {
    /// The whole new value; `null` clears.
    Replace {
        /// Attribute name.
        name: String,
        /// New value.
        value: Value,
    },
    /// Members of a set to add and to take out.
    Members {
        /// Attribute name.
        name: String,
        /// To add.
        add: Vec<Value>,
        /// To take out.
        remove: Vec<Value>,
    },
}

impl AttributeChange {
    /// The attribute it changes.
    pub fn name(&self) -> &str {
        match self {
            Self::Replace { name, .. } | Self::Members { name, .. } => name,
        }
    }
}

/// How to look for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Find {
    /// By the intent id kept at creation.
    Marker(String),
    /// By attribute values.
    Unique(Attributes),
}

/// A page of a list; the host keeps the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// For the next page.
    pub next: Option<String>,
}

/// Something an account may hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entitlement {
    /// Its id, as policies name it.
    pub id: String,
    /// `group`, `role`, `licence` or the target's own word.
    pub kind: String,
    /// For people.
    pub name: String,
}

/// That an account holds an entitlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The account.
    pub account_id: String,
    /// The entitlement.
    pub entitlement_id: String,
    /// Parameters, `null` when none.
    pub parameters: Value,
}

/// Holdings of one account as a set.
pub fn entitlements_of(holdings: Vec<Holding>) -> Entitlements {
    holdings
        .into_iter()
        .map(|h| (h.entitlement_id, h.parameters))
        .collect()
}

/// One step of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStep {
    /// What was tried.
    pub name: String,
    /// Whether it worked.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// The steps taken.
    pub steps: Vec<CheckStep>,
    /// Permissions found.
    pub permissions: Vec<String>,
}

/// What kind of error: decides what is done next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The target will not take these values, ever.
    InvalidRequest,
    /// The credential is not accepted.
    AuthFailed,
    /// The credential lacks a right.
    Forbidden,
    /// No such account or entitlement.
    NotFound,
    /// Another account is in the way.
    Conflict,
    /// The record changed meanwhile.
    VersionConflict,
    /// Asked too often.
    RateLimited,
    /// Cannot be reached, or is failing.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// The target cannot do this.
    Unsupported,
    /// A rule of the target refused.
    PolicyRejected,
    /// The settings are wrong.
    Misconfigured,
    /// The connector's own code.
    Other(String),
    /// Host-made: the guest trapped or answered nonsense.
    Crashed,
    /// Host-made: a limit was reached; which one.
    LimitExceeded(String),
    /// Host-made: the sandbox refused something the operator did not grant; what was missing.
    Denied(String),
    /// Host-made: no slot was free; nothing was called.
    Busy,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRequest => f.write_str("invalid request"),
            Self::AuthFailed => f.write_str("credential not accepted"),
            Self::Forbidden => f.write_str("forbidden"),
            Self::NotFound => f.write_str("not found"),
            Self::Conflict => f.write_str("conflict"),
            Self::VersionConflict => f.write_str("version conflict"),
            Self::RateLimited => f.write_str("rate limited"),
            Self::Unavailable => f.write_str("unavailable"),
            Self::Timeout => f.write_str("timeout"),
            Self::Unsupported => f.write_str("unsupported"),
            Self::PolicyRejected => f.write_str("refused by the target's policy"),
            Self::Misconfigured => f.write_str("misconfigured"),
            Self::Other(code) => write!(f, "error {code}"),
            Self::Crashed => f.write_str("connector crashed"),
            Self::LimitExceeded(limit) => write!(f, "limit exceeded: {limit}"),
            Self::Denied(missing) => write!(f, "not granted: {missing}"),
            Self::Busy => f.write_str("no free slot"),
        }
    }
}

/// What a failed call has done to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Nothing.
    None,
    /// The change was made all the same.
    Applied,
    /// It cannot be told: read back before writing again.
    Unknown,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct CallError {
    /// What kind.
    pub kind: ErrorKind,
    /// What was done.
    pub effect: Effect,
    /// When to try again at the earliest, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// On a conflict: the account in the way.
    pub existing_id: Option<String>,
    /// For people; safe to show, never a secret.
    pub message: String,
}

impl CallError {
    /// An error that did nothing.
    pub fn harmless(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            effect: Effect::None,
            retry_after_ms: None,
            existing_id: None,
            message: message.into(),
        }
    }
}

/// What every write carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteContext {
    /// Stable over retries: the operation's public id.
    pub intent_id: String,
    /// 1 for the first.
    pub attempt: u32,
    /// Why, in one line.
    pub reason: String,
}
