//! Names that are unique in their target: of several candidates one is reserved, and from then on it is a fact.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::reservation::{NameWanted, Reservation};

use crate::{Context, IdentityRef, StoreError};

/// Longest bar: who had the name is forgotten by then.
pub const BAR_MAX: SignedDuration = SignedDuration::from_hours(24 * 365 * 100);
/// Longest name, in bytes; a longer candidate is passed over. Planning makes none of more than 256 characters.
pub const RESERVED_BYTES_MAX: usize = 1_024;
/// Most candidates that are looked at: planning makes about 110.
pub const CANDIDATES_MAX: usize = 256;

/// A name asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NameRequest {
    /// For whom.
    pub identity: IdentityRef,
    /// What for, and what would do.
    pub wanted: NameWanted,
    /// For how long the name is nobody else's after its person was erased, and so is the name it takes the place of. At most [`BAR_MAX`].
    pub bar: SignedDuration,
}

/// Nothing that would do is free.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no name is free for {attribute} of {slot}: all {candidates} that would do are somebody else's or barred from reuse; give one by hand, or \
     add a candidate to the mapping"
)]
pub struct NamesTaken {
    /// For which account.
    pub slot: AccountSlot,
    /// For which attribute of it.
    pub attribute: String,
    /// How many would have done.
    pub candidates: usize,
}

/// A reservation as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoredReservation {
    /// The name and what it is for.
    #[serde(flatten)]
    pub reservation: Reservation,
    /// Since when.
    pub reserved_at: Timestamp,
    /// Released, and nobody else's until then.
    pub barred_until: Option<Timestamp>,
}

/// Reserving names. Two names of a target's attribute that differ only by case are one. Reserving and releasing is a transaction of *facts*.
#[async_trait]
pub trait Reservations: Send + Sync {
    /// Reserves for each request the first candidate that nobody has, at most 500 a call in one transaction; the results in the same order.
    ///
    /// Sticky: where a candidate is reserved for the same account and attribute already, it is the answer and nothing is written. Another name
    /// reserved there before is released and barred. What is barred is free for whom it was barred for. `Stale` when somebody is erased.
    ///
    /// Only reservations are looked at. So ask for the names of accounts that are there before those of accounts to come: the plan puts the name
    /// an account has in front.
    async fn reserve(
        &self,
        requests: &[NameRequest],
        context: &Context,
    ) -> Result<Vec<Result<Reservation, NamesTaken>>, StoreError>;
    /// Releases a name; it is nobody else's for `bar`. `NotFound` when there is none.
    ///
    /// Of an account that is there, or is still to be, it does nothing lasting: the next plan asks for a name again and puts the one the account
    /// has in front, and a barred name is free for whom it was barred for. So first see that the account is gone or gets another name.
    async fn release(
        &self,
        identity: IdentityId,
        slot: &AccountSlot,
        attribute: &str,
        bar: SignedDuration,
        context: &Context,
    ) -> Result<(), StoreError>;
    /// The names of an identity, with those that are released and still barred, oldest first.
    async fn reservations(&self, identity: IdentityId) -> Result<Vec<StoredReservation>, StoreError>;
}
