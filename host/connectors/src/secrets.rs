//! The port secrets come through. The real implementor lives in the binary; tests use [`FixedSecrets`].

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use usher_lifecycle::targets::SecretReference;
use zeroize::Zeroizing;

use crate::journal::lock;

/// Random bytes behind one placeholder: nobody guesses 128 bits within a call.
pub const PLACEHOLDER_BYTES: usize = 16;

/// A secret in memory, wiped when it is dropped. It cannot be printed, compared or serialised by accident.
///
/// ```compile_fail
/// println!("{}", usher_connectors::SecretString::new("x"));
/// ```
/// ```compile_fail
/// let _ = usher_connectors::SecretString::new("x") == usher_connectors::SecretString::new("x");
/// ```
#[derive(Clone)]
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes the secret in.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself: call this only where it leaves for the target.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretString(…)")
    }
}

/// What became of a secret that a target gave in place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It stands where the old one stood.
    Durably,
    /// It cannot be written there: it is lost when the process ends.
    InMemory,
}

/// Where secrets are looked up. Asked again for every request, so that a rotated secret is used at once; implementors keep what
/// is dear to look up for a second at most.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The secret, or why it cannot be had and what to do (safe to show: it names the reference, never a value).
    async fn resolve(&self, reference: &SecretReference) -> Result<SecretString, String>;

    /// Keeps what a target gave in place of a secret (a rotated refresh token).
    async fn keep(&self, reference: &SecretReference, secret: &SecretString) -> Result<Kept, String>;

    /// Random bytes for one placeholder.
    fn placeholder_bytes(&self) -> [u8; PLACEHOLDER_BYTES];
}

/// Secrets given beforehand, by the name of the variable, the path of the file or the name in the store: for tests and for targets that use
/// none. Clones share what they hold.
#[derive(Clone, Debug, Default)]
pub struct FixedSecrets {
    secrets: Arc<Mutex<HashMap<String, SecretString>>>,
    placeholders: Arc<AtomicU64>,
}

impl FixedSecrets {
    /// No secrets at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// With one more secret.
    pub fn with(self, name: impl Into<String>, secret: impl Into<String>) -> Self {
        self.set(name, secret);
        self
    }

    /// Adds or changes a secret, for all clones.
    pub fn set(&self, name: impl Into<String>, secret: impl Into<String>) {
        lock(&self.secrets).insert(name.into(), SecretString::new(secret));
    }
}

fn name_of(reference: &SecretReference) -> &str {
    match reference {
        SecretReference::Env(name) | SecretReference::File(name) => name,
        SecretReference::Store(name) => name.as_str(),
    }
}

#[async_trait]
impl Secrets for FixedSecrets {
    async fn resolve(&self, reference: &SecretReference) -> Result<SecretString, String> {
        let name = name_of(reference);
        let found = lock(&self.secrets).get(name).cloned();
        found.ok_or_else(|| format!("there is no secret `{name}`"))
    }

    async fn keep(&self, reference: &SecretReference, secret: &SecretString) -> Result<Kept, String> {
        match reference {
            SecretReference::Env(_) | SecretReference::File(_) => Ok(Kept::InMemory),
            SecretReference::Store(name) => {
                self.set(name.as_str(), secret.expose());
                Ok(Kept::Durably)
            }
        }
    }

    /// Not random: counted, so that tests can be repeated.
    fn placeholder_bytes(&self) -> [u8; PLACEHOLDER_BYTES] {
        let count = self.placeholders.fetch_add(1, Ordering::Relaxed);
        u128::from(count).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let secrets = FixedSecrets::none().with("TOKEN", "hunter2");
        assert!(!format!("{secrets:?} {:?}", SecretString::new("hunter2")).contains("hunter2"));
    }
}
