//! Secrets of targets, encrypted at rest.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use usher_lifecycle::name::Name;
use zeroize::Zeroizing;

use crate::{Context, StoreError};

/// Largest secret, in bytes: the longest tokens seen are about 10 KB.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// What is told of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SecretInfo {
    /// Its name, as targets refer to it.
    pub name: Name,
    /// Grows each time it is set.
    pub version: i64,
    /// When it was set.
    pub updated_at: Timestamp,
}

/// Keeping secrets. No audit row, error or list ever holds a value.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Sets a secret; from the next call on targets use it.
    async fn set_secret(&self, name: &Name, value: &str, context: &Context)
    -> Result<SecretInfo, StoreError>;
    /// A secret. `NotFound` when there is none of that name.
    async fn secret(&self, name: &Name) -> Result<Zeroizing<String>, StoreError>;
    /// All of them, by name.
    async fn secrets(&self) -> Result<Vec<SecretInfo>, StoreError>;
    /// Removes a secret. `NotFound` when there is none of that name.
    async fn remove_secret(&self, name: &Name, context: &Context) -> Result<(), StoreError>;
}
