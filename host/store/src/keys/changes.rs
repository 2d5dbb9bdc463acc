//! Changing keys.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use super::{Fingerprint, OperatorKey, PublicKey};
use crate::{Context, StoreError};

/// Which keys there are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyStatus {
    /// The operator's key the store is sealed under.
    pub fingerprint: Fingerprint,
    /// Data keys: one, or two after a change that was cut short.
    pub data_keys: u64,
    /// When the newest of them was made.
    pub data_key_since: Timestamp,
    /// The key that checkpoints are signed with, if there is one yet.
    pub signing_key: Option<PublicKey>,
}

/// What a change of the data key sealed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Resealed {
    /// Secrets, signing keys and the key of names.
    pub secrets: u64,
    /// Keys of identities.
    pub identities: u64,
}

/// Looking after keys.
#[async_trait]
pub trait KeyChanges: Send + Sync {
    /// Which keys there are.
    async fn key_status(&self) -> Result<KeyStatus, StoreError>;
    /// Seals the data key under another operator's key, in one small transaction; from then on the old one opens nothing. Other hosts go on
    /// with what they have in memory, and need the new key at their next start.
    async fn change_operator_key(&self, new: &OperatorKey, context: &Context) -> Result<(), StoreError>;
    /// Makes a new data key and seals everything anew under it, a bounded number at a time while all else goes on. One that was cut short
    /// is finished by the next.
    async fn change_data_key(&self, context: &Context) -> Result<Resealed, StoreError>;
}
