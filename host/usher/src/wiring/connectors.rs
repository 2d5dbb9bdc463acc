//! Where connectors come from: the store's components, loaded into the sandbox at first use and kept until another targets document says
//! otherwise.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::OnceCell;
use usher_connectors::{
    CodeFolder, CodeKey, Compiler, Connector, Generation, Sandbox, SandboxError, Secrets,
};
use usher_engine::ports::{Clock, Connectors, Randomness, ResolvedTarget};
use usher_lifecycle::name::TargetName;
use usher_lifecycle::targets::{ConnectorReference, Target, Targets};
use usher_store::{ArtifactInfo, Document, DocumentKind, Store};

use super::secrets::TargetSecrets;
use crate::cli::COMPILE_COMPONENT;

/// What compiles untrusted components: this program, as a process of its own.
pub(crate) fn compiler() -> Result<Compiler, SandboxError> {
    Compiler::this_program(COMPILE_COMPONENT)
}

/// Loaded once, by whoever asks first.
type Cell = Arc<OnceCell<Arc<Generation>>>;

/// A connector under the settings it was loaded with.
struct Loaded {
    digest: String,
    target: Target,
    cell: Cell,
}

/// Resolves and loads connectors. While a server runs, another process may activate another targets document: each time a connector is asked
/// for, it is the one of the newest.
pub(crate) struct ConnectorRegistry {
    store: Arc<dyn Store>,
    secrets: Arc<dyn Secrets>,
    native: PathBuf,
    native_key: CodeKey,
    sandbox: OnceCell<Sandbox>,
    active: tokio::sync::Mutex<Option<Arc<Active>>>,
    loaded: Mutex<HashMap<TargetName, Loaded>>,
}

/// The active targets document.
struct Active {
    version: i64,
    targets: Targets,
    resolved: BTreeMap<TargetName, ResolvedTarget>,
}

impl ConnectorRegistry {
    /// A registry over the components of this store; compiled code is kept in the folder `native`, and only files with this key are taken from it.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        native: PathBuf,
        native_key: CodeKey,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        Self {
            secrets: Arc::new(TargetSecrets::new(Arc::clone(&store), clock, randomness)),
            store,
            native,
            native_key,
            sandbox: OnceCell::new(),
            active: tokio::sync::Mutex::default(),
            loaded: Mutex::default(),
        }
    }

    /// The sandbox, set up at first use: commands that need no connector do not pay for it.
    pub(crate) async fn sandbox(&self) -> Result<&Sandbox, usher_connectors::SandboxError> {
        self.sandbox
            .get_or_try_init(|| async {
                let kept = CodeFolder {
                    folder: self.native.clone(),
                    key: self.native_key.clone(),
                };
                Sandbox::new(compiler()?, Some(kept))
            })
            .await
    }

    async fn load(&self, digest: &str, target: &Target) -> Result<Arc<Generation>, String> {
        let artifact = self
            .store
            .artifact(digest)
            .await
            .map_err(|error| error.to_string())?;
        let sandbox = self.sandbox().await.map_err(|error| error.to_string())?;
        sandbox
            .load(artifact.bytes, target, Arc::clone(&self.secrets))
            .await
            .map_err(|error| error.to_string())
    }

    async fn active(&self) -> Result<Arc<Active>, String> {
        let mut active = self.active.lock().await;
        let versions = self.store.versions().await.map_err(|error| error.to_string())?;
        if let Some(active) = &*active
            && active.version == versions.targets
        {
            return Ok(Arc::clone(active));
        }
        let document = self
            .store
            .document(DocumentKind::Targets)
            .await
            .map_err(|error| error.to_string())?;
        let none =
            || "no targets document is active; activate one with `usher targets activate FILE`".to_owned();
        let newest = Arc::new(read_active(&document.ok_or_else(none)?)?);
        *active = Some(Arc::clone(&newest));
        Ok(newest)
    }

    /// The generation that serves an active target.
    async fn generation(&self, name: &TargetName) -> Result<Arc<Generation>, String> {
        let active = self.active().await?;
        let (Some(target), Some(resolved)) = (active.targets.targets.get(name), active.resolved.get(name))
        else {
            return Err(unknown_target(name, &active.targets));
        };
        let cell = self.cell(name, &resolved.digest, target);
        cell.get_or_try_init(|| self.load(&resolved.digest, target))
            .await
            .cloned()
    }

    /// One cell per target, so that two targets load at the same time; a new one when the target was changed.
    fn cell(&self, name: &TargetName, digest: &str, target: &Target) -> Cell {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded.get(name) {
            Some(known) if known.digest == digest && known.target == *target => Arc::clone(&known.cell),
            _ => {
                let cell = Cell::default();
                let known = Loaded {
                    digest: digest.to_owned(),
                    target: target.clone(),
                    cell: Arc::clone(&cell),
                };
                loaded.insert(name.clone(), known);
                cell
            }
        }
    }
}

#[async_trait]
impl Connectors for ConnectorRegistry {
    async fn resolve(&self, target: &Target) -> Result<ResolvedTarget, String> {
        let artifacts = self.store.artifacts().await.map_err(|error| error.to_string())?;
        let digest = choose(&target.connector, &artifacts)?;
        let generation = self.load(&digest, target).await?;
        Ok(ResolvedTarget {
            digest,
            descriptor: generation.descriptor().clone(),
            account_schema: generation.account_schema().clone(),
        })
    }

    async fn connector(&self, target: &TargetName) -> Result<Arc<dyn Connector>, String> {
        let generation: Arc<dyn Connector> = self.generation(target).await?;
        Ok(generation)
    }
}

fn read_active(document: &Document) -> Result<Active, String> {
    let version = document.version;
    let unreadable = |error: &dyn std::fmt::Display| {
        format!("the active targets document (version {version}) cannot be read by this program: {error}")
    };
    let targets = usher_lifecycle::targets::parse("targets.toml", &document.text)
        .map_err(|error| unreadable(&error))?;
    let resolved = serde_json::from_value(document.resolved.clone()).map_err(|error| unreadable(&error))?;
    Ok(Active {
        version,
        targets,
        resolved,
    })
}

fn unknown_target(name: &TargetName, targets: &Targets) -> String {
    let known = targets
        .targets
        .keys()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    format!("there is no target `{name}` in the active targets document; there are: {known}")
}

/// The digest a reference means: by digest, by name and version, or the newest added of that name.
fn choose(reference: &ConnectorReference, artifacts: &[ArtifactInfo]) -> Result<String, String> {
    let fits = |artifact: &&ArtifactInfo| match reference {
        ConnectorReference::Digest(digest) => artifact.digest == *digest,
        ConnectorReference::Name { name, version } => {
            artifact.name == name.as_str()
                && version
                    .as_ref()
                    .is_none_or(|version| artifact.version == *version)
        }
    };
    // The store lists the newest first.
    match artifacts.iter().find(fits) {
        Some(artifact) => Ok(artifact.digest.clone()),
        None => Err(not_added(reference, artifacts)),
    }
}

fn not_added(reference: &ConnectorReference, artifacts: &[ArtifactInfo]) -> String {
    let wanted = match reference {
        ConnectorReference::Digest(digest) => format!("sha256:{digest}"),
        ConnectorReference::Name { name, version: None } => name.to_string(),
        ConnectorReference::Name {
            name,
            version: Some(version),
        } => format!("{name}@{version}"),
    };
    let mut known: Vec<_> = artifacts
        .iter()
        .map(|artifact| format!("{}@{}", artifact.name, artifact.version))
        .collect();
    known.sort();
    known.dedup();
    let known = if known.is_empty() {
        "none yet".to_owned()
    } else {
        known.join(", ")
    };
    format!(
        "the connector `{wanted}` was not added; add it with `usher connector add FILE.wasm` (added: {known})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(name: &str, version: &str, digest: &str) -> ArtifactInfo {
        ArtifactInfo {
            digest: digest.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            size_bytes: 1,
            added_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn named(name: &str, version: Option<&str>) -> ConnectorReference {
        ConnectorReference::Name {
            name: name.parse().unwrap(),
            version: version.map(str::to_owned),
        }
    }

    #[test]
    fn a_name_means_the_newest_added() {
        let artifacts = [
            artifact("sql", "0.1.0", "c"),
            artifact("scim", "0.1.0", "b"),
            artifact("sql", "0.2.0", "a"),
        ];
        assert_eq!(choose(&named("sql", None), &artifacts).unwrap(), "c");
        assert_eq!(choose(&named("sql", Some("0.2.0")), &artifacts).unwrap(), "a");
        assert_eq!(
            choose(&ConnectorReference::Digest("b".into()), &artifacts).unwrap(),
            "b"
        );
    }

    #[test]
    fn what_was_not_added_is_named_with_what_was() {
        let artifacts = [artifact("sql", "0.1.0", "c"), artifact("sql", "0.1.0", "d")];
        let error = choose(&named("sql", Some("0.2.0")), &artifacts).unwrap_err();
        assert_eq!(
            error,
            "the connector `sql@0.2.0` was not added; add it with `usher connector add FILE.wasm` (added: sql@0.1.0)"
        );
        assert!(
            choose(&named("x", None), &[])
                .unwrap_err()
                .contains("(added: none yet)")
        );
    }
}
