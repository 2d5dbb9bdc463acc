//! Accounts of targets that are not plainly linked to an identity, and what people decide about them.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use usher_lifecycle::account::{AccountSlot, AccountState, Entitlements};
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::name::{AccountKind, TargetName};
use usher_lifecycle::situation::Situation;

use crate::{Context, StoreError};

/// What to look for among the accounts that are not plainly linked.
#[derive(Clone, Debug, Default)]
pub struct FoundFilter {
    /// Of this target.
    pub target: Option<TargetName>,
    /// In this situation.
    pub situation: Option<Situation>,
    /// Also those a person has decided about.
    pub decided: bool,
    /// Behind this one, in the order of targets and ids.
    pub after: Option<(TargetName, String)>,
    /// At most this many.
    pub limit: u32,
}

/// An account that is not plainly linked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FoundAccount {
    /// Where.
    pub target: TargetName,
    /// The target's own id.
    pub external_id: String,
    /// How it stands.
    pub situation: Situation,
    /// As it was last seen; absent when it is missing.
    pub state: AccountState,
    /// All attributes, as they were last seen.
    pub attributes: Attributes,
    /// What it holds.
    pub entitlements: Entitlements,
    /// Who owns it, if somebody does.
    pub owner: Option<FoundOwner>,
    /// Whose it may be by the rules.
    pub candidates: Vec<FoundCandidate>,
    /// Since when it is known so.
    pub since: Timestamp,
    /// What a person decided: it is left as it is.
    pub decided: Option<FoundDecision>,
}

/// Who owns an account.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FoundOwner {
    /// The identity.
    pub identity: IdentityId,
    /// The key of one of its records, for people.
    pub key: Option<String>,
    /// As which kind of account.
    pub kind: AccountKind,
}

/// Who may own it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FoundCandidate {
    /// Who, as which kind of account.
    #[serde(flatten)]
    pub who: FoundOwner,
    /// What was equal weighs so much; nothing of an exact rule.
    pub weight: Option<u32>,
    /// Which rule, from 1.
    pub rule: u32,
}

/// A person has looked at an account and left it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FoundDecision {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

/// How many accounts of a target are in a situation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FoundTotal {
    /// Where.
    pub target: TargetName,
    /// How they stand.
    pub situation: Situation,
    /// How many; those a person has decided about are not counted.
    pub accounts: u64,
}

/// Accounts that are not plainly linked, and what people decide about them.
#[async_trait]
pub trait FoundAccounts: Send + Sync {
    /// A page of them.
    async fn found_accounts(&self, filter: &FoundFilter) -> Result<Vec<FoundAccount>, StoreError>;
    /// How many there are.
    async fn found_totals(&self) -> Result<Vec<FoundTotal>, StoreError>;
    /// Makes an account that nobody owns an identity's. Its identity is due; a creation that waits or is held is overtaken. `Stale` when the
    /// identity has another account there, the account is somebody's, or work is under way.
    async fn link_account(
        &self,
        slot: &AccountSlot,
        external_id: &str,
        identity: IdentityId,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError>;
    /// Takes an account from its identity; it stays as it is in the target, and no rule links it again. Of a missing one only the link goes.
    async fn unlink_account(
        &self,
        target: &TargetName,
        external_id: &str,
        reason: &str,
        context: &Context,
    ) -> Result<IdentityId, StoreError>;
    /// Leaves an account as it is: no reaction touches it, and it is not told any more. `ignore = false` takes that back.
    async fn ignore_account(
        &self,
        target: &TargetName,
        external_id: &str,
        ignore: bool,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError>;
    /// Records that a reaction is about to disable an account nobody owns (`None`), or how that went: whether it is disabled now, and what to
    /// tell. `NotFound` when it is not to be disabled (any more).
    async fn record_disabling(
        &self,
        target: &TargetName,
        external_id: &str,
        went: Option<(bool, &str)>,
        context: &Context,
    ) -> Result<(), StoreError>;
}
