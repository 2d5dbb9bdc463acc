//! Reconciles: a target's accounts are walked, what differs is staged in chunks, accepted by one small commit, then takes effect in chunks. What is
//! accepted is never lost and never half done; what is only staged is thrown away by the next one.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use usher_lifecycle::account::{AccountState, Entitlements, ObservedAccount};
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::drift::Drift;
use usher_lifecycle::facts::SourceRecord;
use usher_lifecycle::name::{AccountKind, TargetName};
use usher_lifecycle::state::IdentityState;

use crate::{Context, IdentityRef, StoreError};

/// The store's number of a reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ReconcileRef(pub i64);

/// The store's number of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountRef(pub i64);

/// An account as its target listed it, with whose it is by the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// The target's own id.
    pub external_id: String,
    /// As the target tells it; `Unknown` when it does not.
    pub state: AccountState,
    /// All attributes.
    pub attributes: Attributes,
    /// What it holds; `None` where that was not read.
    pub entitlements: Option<Entitlements>,
    /// The target's version of the record.
    pub version: Option<String>,
    /// Whose it is.
    pub matched: Matched,
}

/// Whose an account is by the rules. By default nobody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// There is one candidate, and it is certain.
    pub certain: bool,
    /// Who comes into question.
    pub candidates: Vec<MatchedIdentity>,
}

/// An identity that an account may belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedIdentity {
    /// Which.
    pub identity: IdentityRef,
    /// The facts it was found by: it is linked only while they are the same.
    pub facts_version: i64,
    /// As which kind of account.
    pub kind: AccountKind,
    /// What was equal weighs so much.
    pub weight: Option<u32>,
    /// Which rule found it, from 1.
    pub rule: u32,
}

/// What is remembered of an account that was listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Who owns it.
    pub owner: Option<KnownOwner>,
    /// That it was found before without an owner, or with the wrong one.
    pub found: Option<KnownFound>,
}

/// The link of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownOwner {
    /// The account.
    pub account: AccountRef,
    /// Whose it is.
    pub identity: IdentityRef,
    /// What is remembered is the same as what was listed.
    pub same: bool,
    /// It is one of those that [`Reconciles::known_count`] counts: linked, there, and last observed by then.
    pub counted: bool,
}

/// An account found before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFound {
    /// The store's number of it.
    pub number: i64,
    /// The account that owns it, where another one should.
    pub owner: Option<AccountRef>,
    /// What is remembered is the same as what was listed, and whose it is by the rules.
    pub same: bool,
    /// It is one of those that [`Reconciles::known_count`] counts: nobody's, and found by then.
    pub counted: bool,
}

/// One staged change.
#[derive(Clone, Debug, PartialEq)]
pub struct StagedAccount {
    /// The target's own id.
    pub external_id: String,
    /// What to do.
    pub change: AccountChange,
}

/// What a reconcile changes about one account.
#[derive(Clone, Debug, PartialEq)]
pub enum AccountChange {
    /// It is linked, and so it is now.
    Update {
        /// Which.
        account: AccountRef,
        /// As it was listed; the link and what was written stay.
        observed: Box<ObservedAccount>,
        /// What differs although nobody here changed it.
        drift: Drift,
        /// Its identity must be planned again.
        plan_again: bool,
    },
    /// It is linked, and the target has it no more.
    Missing {
        /// Which.
        account: AccountRef,
    },
    /// Nobody owns it, or (`owner`) another one should.
    Found {
        /// As it was listed.
        sighting: Box<Sighting>,
        /// The account that owns it.
        owner: Option<AccountRef>,
    },
    /// It was found before and is not to be told any more.
    Forget,
}

/// A known account that was perhaps not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlisted {
    /// The store's number of it: of an account, or of one found before.
    pub number: i64,
    /// The target's own id.
    pub external_id: String,
}

/// Which of a target's known accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownKind {
    /// Linked ones.
    Linked,
    /// Those found before that nobody owns.
    Found,
}

/// Where a reconcile is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(i64)]
pub enum ReconcileState {
    /// Accounts are listed and staged; a crash leaves it here, and it is thrown away.
    Listing = 0,
    /// It takes effect, whatever happens.
    Accepted = 1,
    /// All of it has taken effect.
    Done = 2,
    /// Refused, or never finished: nothing of it took effect.
    Refused = 3,
}

impl ReconcileState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Listing, Self::Accepted, Self::Done, Self::Refused];
}

/// A reconcile as remembered.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReconcileRow {
    /// Its number.
    pub number: ReconcileRef,
    /// Of which target.
    pub target: TargetName,
    /// Where it is.
    pub state: ReconcileState,
    /// When it began.
    pub began_at: Timestamp,
    /// When it came to where it is.
    pub at: Timestamp,
    /// Accounts listed.
    pub listed: u64,
    /// Linked accounts brought up to date.
    pub updated: u64,
    /// Those of them that differed although nobody here changed them.
    pub drifted: u64,
    /// Linked accounts that the target has no more.
    pub missing: u64,
    /// Accounts linked by the rules.
    pub linked: u64,
    /// Left for the next reconcile: work on them was under way.
    pub put_off: u64,
    /// Why it was refused.
    pub reason: Option<String>,
}

/// An identity as rules look at it.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownPerson {
    /// Which.
    pub identity: IdentityRef,
    /// Grows with every change of its facts and accounts.
    pub facts_version: i64,
    /// The state last recorded.
    pub state: Option<IdentityState>,
    /// What the sources say.
    pub records: Vec<SourceRecord>,
}

/// Reconciling.
#[async_trait]
pub trait Reconciles: Send + Sync {
    /// Identities with their records and nothing else, in the order of their numbers, after `after`, at most 2,000. `Stale` while an accepted
    /// import is not absorbed.
    async fn known_people(
        &self,
        after: Option<IdentityRef>,
        limit: u32,
    ) -> Result<Vec<KnownPerson>, StoreError>;
    /// Begins one. Throws away what an earlier, unfinished one of the target left. `Stale` while an accepted one has not taken effect.
    async fn begin_reconcile(
        &self,
        target: &TargetName,
        context: &Context,
    ) -> Result<ReconcileRef, StoreError>;
    /// Keeps who holds what (account, entitlement, parameters) until the accounts are listed. The same pair again: the last counts.
    async fn stage_holdings(
        &self,
        reconcile: ReconcileRef,
        holdings: &[(String, String, serde_json::Value)],
    ) -> Result<(), StoreError>;
    /// What these accounts hold, as staged; those that hold nothing are left out.
    async fn staged_holdings(
        &self,
        reconcile: ReconcileRef,
        accounts: &[String],
    ) -> Result<HashMap<String, Entitlements>, StoreError>;
    /// What is remembered of each account listed, in their order. One read, whatever their number; meant for a page. `before`: as counted.
    async fn known_accounts(
        &self,
        target: &TargetName,
        listed: &[Sighting],
        before: Timestamp,
    ) -> Result<Vec<Known>, StoreError>;
    /// Accounts in full.
    async fn accounts_in_full(
        &self,
        accounts: &[AccountRef],
    ) -> Result<HashMap<AccountRef, ObservedAccount>, StoreError>;
    /// Stages changes. `again`: ids that were listed before in this reconcile, whose changes do not count any more. `Stale` when another reconcile of
    /// the target began meanwhile.
    async fn stage_accounts(
        &self,
        reconcile: ReconcileRef,
        again: &[String],
        changes: &[StagedAccount],
    ) -> Result<(), StoreError>;
    /// How many accounts of a target were known at `before`: linked ones, or found ones.
    async fn known_count(
        &self,
        target: &TargetName,
        kind: KnownKind,
        before: Timestamp,
    ) -> Result<u64, StoreError>;
    /// Accounts of a target that were known at `before`, in the order of their ids, behind `after`.
    async fn known_page(
        &self,
        target: &TargetName,
        kind: KnownKind,
        before: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Unlisted>, StoreError>;
    /// The small commit by which it takes effect. `link`: what is exactly one identity's by the rules is linked.
    async fn accept_reconcile(
        &self,
        reconcile: ReconcileRef,
        listed: u64,
        link: bool,
        context: &Context,
    ) -> Result<(), StoreError>;
    /// Records that it was refused. Nothing of it takes effect.
    async fn refuse_reconcile(
        &self,
        reconcile: ReconcileRef,
        listed: u64,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError>;
    /// Lets up to `limit` staged changes of an accepted reconcile take effect. Accounts that are worked on, or were since it began, are left for
    /// the next one. Returns whether there is more to do. The actor is who asked for the reconcile.
    async fn take_effect(&self, limit: u32, context: &Context) -> Result<bool, StoreError>;
    /// One reconcile.
    async fn reconcile(&self, number: ReconcileRef) -> Result<ReconcileRow, StoreError>;
    /// Of each target the newest reconcile, and the newest that was done if that is another one.
    async fn reconciles(&self) -> Result<Vec<ReconcileRow>, StoreError>;
}
