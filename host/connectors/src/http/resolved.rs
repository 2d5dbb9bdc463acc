//! The secrets of a target as one request meets them: each is looked up once, whatever it is needed for.

use usher_lifecycle::connector::ErrorKind;
use usher_lifecycle::targets::SecretReference;

use crate::journal::HostFailure;
use crate::secrets::{SecretString, Secrets};

/// What became of looking up each secret. One that cannot be had matters only to the request that needs it.
pub(crate) struct Resolved(Vec<(SecretReference, Result<SecretString, String>)>);

impl Resolved {
    /// Looks them up.
    pub(crate) async fn of(references: &[SecretReference], secrets: &dyn Secrets) -> Self {
        let mut resolved: Vec<(SecretReference, Result<SecretString, String>)> = Vec::new();
        for reference in references {
            if !resolved.iter().any(|(known, _)| known == reference) {
                resolved.push((reference.clone(), secrets.resolve(reference).await));
            }
        }
        Self(resolved)
    }

    /// One of them.
    pub(crate) fn get(&self, reference: &SecretReference) -> Result<SecretString, HostFailure> {
        let found = self.0.iter().find(|(known, _)| known == reference);
        match found {
            Some((_, found)) => found.clone().map_err(|why| unavailable(&why)),
            None => Err(unavailable(&format!("{reference} was not looked up"))),
        }
    }

    /// All that could be had.
    pub(crate) fn found(&self) -> impl Iterator<Item = &SecretString> {
        self.0.iter().filter_map(|(_, found)| found.as_ref().ok())
    }
}

/// What is said of a secret that cannot be had.
pub(crate) fn unavailable(why: &str) -> HostFailure {
    let what = format!("the target's secret cannot be had: {why}");
    HostFailure::of(ErrorKind::Misconfigured, what)
}
