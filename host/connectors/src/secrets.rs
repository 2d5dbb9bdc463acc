//! The port secrets come through. The real implementor lives in the binary; tests use [`FixedSecrets`].

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use usher_lifecycle::targets::SecretReference;

/// A secret in memory. It cannot be printed, compared or serialised by accident.
#[derive(Clone)]
pub struct SecretString(String);

impl SecretString {
    /// Takes the secret in.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
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

/// Where secrets are looked up. Asked again for every request, so that a rotated secret is used at once.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The secret, or why it cannot be had (safe to show: it names the reference, never a value).
    async fn resolve(&self, reference: &SecretReference) -> Result<SecretString, String>;
}

/// Secrets given beforehand, by the name of the variable, the path of the file or the name in the store: for tests and for targets that use none.
#[derive(Clone, Debug, Default)]
pub struct FixedSecrets(HashMap<String, SecretString>);

impl FixedSecrets {
    /// No secrets at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// With one more secret.
    pub fn with(mut self, name: impl Into<String>, secret: impl Into<String>) -> Self {
        self.0.insert(name.into(), SecretString::new(secret));
        self
    }
}

#[async_trait]
impl Secrets for FixedSecrets {
    async fn resolve(&self, reference: &SecretReference) -> Result<SecretString, String> {
        let name = match reference {
            SecretReference::Env(name) | SecretReference::File(name) => name.as_str(),
            SecretReference::Store(name) => name.as_str(),
        };
        self.0
            .get(name)
            .cloned()
            .ok_or_else(|| format!("there is no secret `{name}`"))
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
