//! Operations: durable units of work on one account.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attributes::Attributes;
use crate::connector::AttributeChange;

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Work {
    /// Make the account, enabled.
    Create {
        /// All managed attributes.
        attributes: Attributes,
    },
    /// Bring attributes to their values.
    Update {
        /// What differs.
        changes: Vec<AttributeChange>,
        /// All managed attributes as they should be.
        desired: Attributes,
    },
    /// Make sign-in impossible.
    Disable,
    /// Make it possible again.
    Enable,
    /// Remove the account.
    Delete,
    /// Give an entitlement.
    Grant {
        /// Its id.
        entitlement: String,
        /// Its parameters, `null` when none.
        parameters: Value,
    },
    /// Take an entitlement away.
    Revoke {
        /// Its id.
        entitlement: String,
    },
    /// Read the account (and what it holds) without changing it.
    Read,
}

impl Work {
    /// One word for lists and totals.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Delete => "delete",
            Self::Grant { .. } => "grant",
            Self::Revoke { .. } => "revoke",
            Self::Read => "read",
        }
    }
}

/// Which goes first. Lower first; within one, the order they were planned in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(i64)]
pub enum Priority {
    /// A security hold: before everything. It passes rests, observing targets and a freeze, and no threshold or held cause may keep it waiting.
    SecurityHold = 0,
    /// Taking access away.
    Deprovision = 1,
    /// Changing what exists.
    Change = 2,
    /// Giving access.
    Onboarding = 3,
    /// Reading to compare.
    Reconcile = 4,
}

impl Priority {
    /// All, first to last.
    pub const ALL: [Self; 5] = [
        Self::SecurityHold,
        Self::Deprovision,
        Self::Change,
        Self::Onboarding,
        Self::Reconcile,
    ];
}

/// Where an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(i64)]
pub enum OperationState {
    /// Behind another operation of the same account.
    Waiting = 0,
    /// May be claimed when due.
    Ready = 1,
    /// An attempt may be under way.
    Claimed = 2,
    /// A person must decide.
    Held = 3,
    /// Done.
    Done = 4,
    /// Given up.
    Failed = 5,
    /// Overtaken by a newer desired state before it started.
    Superseded = 6,
}

impl OperationState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Ready,
        Self::Claimed,
        Self::Held,
        Self::Done,
        Self::Failed,
        Self::Superseded,
    ];

    /// Not yet at an end.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Ready | Self::Claimed | Self::Held)
    }
}

impl fmt::Display for OperationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Claimed => "claimed",
            Self::Held => "held",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        })
    }
}
