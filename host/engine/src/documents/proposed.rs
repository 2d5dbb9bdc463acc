//! Documents that are not active: proposed ones, on their way to be activated, and older versions.

use std::sync::Arc;

use serde_json::Value;
use usher_lifecycle::cause::Actor;
use usher_store::{Document, DocumentKind, DocumentVersions, NewDocument, StoreVersions};

use super::{ActivePolicy, ActiveTargets, compile_policy, compile_targets};
use crate::engine::Engine;
use crate::error::EngineError;

/// A document to be looked at, or to be made the active one.
#[derive(Clone, Copy, Debug)]
pub struct Proposed<'a> {
    /// Which of the two.
    pub kind: DocumentKind,
    /// What mistakes call it.
    pub file: &'a str,
    /// The document.
    pub text: &'a str,
}

/// A proposed document without mistakes, with the other one as it is.
pub(crate) struct Prepared {
    pub(crate) document: NewDocument,
    /// The active documents it was checked against.
    pub(crate) seen: StoreVersions,
    /// None while none is active or proposed.
    pub(crate) policy: Option<Arc<ActivePolicy>>,
    pub(crate) targets: Arc<ActiveTargets>,
}

impl Engine {
    /// Makes a document the active one, after all checks of today. Returns its version; the active text again returns the version it has.
    ///
    /// With `expect` only if what it changes is what was looked at: the digest of its [`Difference`](crate::plan::Difference).
    ///
    /// # Errors
    /// As [`Engine::check_policy`] and [`Engine::check_targets`]; [`EngineError::Differs`]; the store answers `Stale` when another
    /// version of either document became active meanwhile. Nothing is activated then.
    pub async fn activate(
        &self,
        proposed: &Proposed<'_>,
        expect: Option<&str>,
        actor: Actor,
    ) -> Result<i64, EngineError> {
        let prepared = self.prepare(proposed).await?;
        if let Some(expected) = expect {
            let found = self.digest_of(&prepared).await?;
            if !found.eq_ignore_ascii_case(expected.trim()) {
                return Err(EngineError::Differs { found });
            }
        }
        self.put_in_force(prepared, actor).await
    }

    /// Makes a document the active one that was checked, if what it was checked against still is.
    pub(crate) async fn put_in_force(&self, prepared: Prepared, actor: Actor) -> Result<i64, EngineError> {
        let context = self.context(actor);
        let store = &self.ports.store;
        let (kind, seen) = (prepared.document.kind, prepared.seen);
        let version = store.activate_after(prepared.document, seen, &context).await?;
        let is_new = match kind {
            DocumentKind::Policy => false,
            DocumentKind::Targets => version != seen.targets,
        };
        if is_new {
            // What made a target rest may be put right by it; if not, it rests again after one call.
            store.end_rests(&[], &context).await?;
        }
        Ok(version)
    }

    /// A version of a document, active or not.
    ///
    /// # Errors
    /// There is none, or the store fails.
    pub async fn document_version(&self, kind: DocumentKind, version: i64) -> Result<Document, EngineError> {
        Ok(self.ports.store.document_version(kind, version).await?)
    }

    /// Checks a document and works out what planning needs of it.
    pub(crate) async fn prepare(&self, proposed: &Proposed<'_>) -> Result<Prepared, EngineError> {
        let seen = self.ports.store.versions().await?;
        match proposed.kind {
            DocumentKind::Policy => {
                let policy = self.check_policy(proposed.file, proposed.text).await?;
                let policy = ActivePolicy::new(seen.policy + 1, policy);
                let targets = self.targets_alone().await?.piloted(&policy)?;
                Ok(Prepared {
                    document: NewDocument {
                        kind: proposed.kind,
                        text: proposed.text.to_owned(),
                        resolved: Value::Null,
                    },
                    seen,
                    policy: Some(Arc::new(policy)),
                    targets: Arc::new(targets),
                })
            }
            DocumentKind::Targets => {
                let resolved = self.check_targets(proposed.file, proposed.text).await?;
                let version = seen.targets + 1;
                let resolved = serde_json::to_value(resolved).map_err(|error| EngineError::Unreadable {
                    kind: "targets",
                    version,
                    reason: error.to_string(),
                })?;
                let policy = self.policy_if_readable().await?;
                let mut targets = compile_targets(version, proposed.text, resolved.clone())?;
                if let Some(policy) = &policy {
                    targets = targets.piloted(policy)?;
                }
                Ok(Prepared {
                    document: NewDocument {
                        kind: proposed.kind,
                        text: proposed.text.to_owned(),
                        resolved,
                    },
                    seen,
                    policy,
                    targets: Arc::new(targets),
                })
            }
        }
    }

    /// The documents of some versions.
    pub(crate) async fn documents_of(
        &self,
        versions: DocumentVersions,
    ) -> Result<(Option<ActivePolicy>, ActiveTargets), EngineError> {
        let policy = match versions.policy {
            0 => None,
            version => {
                let document = self.document_version(DocumentKind::Policy, version).await?;
                Some(compile_policy(version, &document.text)?)
            }
        };
        let mut targets = match versions.targets {
            0 => ActiveTargets::default(),
            version => {
                let document = self.document_version(DocumentKind::Targets, version).await?;
                compile_targets(version, &document.text, document.resolved)?
            }
        };
        if let Some(policy) = &policy {
            targets = targets.piloted(policy)?;
        }
        Ok((policy, targets))
    }
}
