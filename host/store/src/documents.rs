//! The two versioned documents (policy, targets) and the connector components. Nothing is read from files at run time.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_lifecycle::cause::Actor;

use crate::{Context, StoreError, StoreVersions};

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentKind {
    /// Sources, roles, mappings, retention.
    Policy,
    /// Connected systems.
    Targets,
}

/// A document version to activate.
#[derive(Clone, Debug)]
pub struct NewDocument {
    /// Which.
    pub kind: DocumentKind,
    /// The TOML text as the operator wrote it.
    pub text: String,
    /// What was worked out when it was checked (for targets: each target's connector digest, descriptor and account schema).
    pub resolved: Value,
}

/// An active document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Which.
    pub kind: DocumentKind,
    /// 1, 2, 3 … for each kind.
    pub version: i64,
    /// The TOML text.
    pub text: String,
    /// As in [`NewDocument`].
    pub resolved: Value,
    /// Since when it is active.
    pub activated_at: Timestamp,
    /// Who made it active; `None` for a version from before this was kept with it (the audit tells).
    pub activated_by: Option<Actor>,
}

/// Most versions of a document read at once: they come with their texts.
pub const VERSIONS_MAX: u32 = 50;

/// What is known of a stored component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArtifactInfo {
    /// SHA-256 of the bytes, lower-case hexadecimal.
    pub digest: String,
    /// Connector name from its description.
    pub name: String,
    /// Connector version from its description.
    pub version: String,
    /// Size in bytes.
    pub size_bytes: i64,
    /// When it was added.
    pub added_at: Timestamp,
}

/// A stored component.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// What is known of it.
    pub info: ArtifactInfo,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Documents and components.
#[async_trait]
pub trait Documents: Send + Sync {
    /// The active version of a document, if any was activated.
    async fn document(&self, kind: DocumentKind) -> Result<Option<Document>, StoreError>;
    /// One version of a document, active or not. `NotFound` says which there are.
    async fn document_version(&self, kind: DocumentKind, version: i64) -> Result<Document, StoreError>;
    /// Versions of a document, newest first, those before `before` if it is given; at most `limit` and [`VERSIONS_MAX`].
    async fn document_versions(
        &self,
        kind: DocumentKind,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Document>, StoreError>;
    /// Makes a new version active, lets [`Planning::outdated`](crate::Planning::outdated) begin anew, and returns its number. The same text and
    /// resolution as the active version changes nothing and returns the active number.
    async fn activate(&self, document: NewDocument, context: &Context) -> Result<i64, StoreError>;
    /// The same, if the active documents are still of these versions; else `Stale`, and nothing is activated.
    async fn activate_after(
        &self,
        document: NewDocument,
        seen: StoreVersions,
        context: &Context,
    ) -> Result<i64, StoreError>;
    /// Adds a component; the same bytes twice is no error.
    async fn add_artifact(
        &self,
        name: &str,
        version: &str,
        bytes: &[u8],
        context: &Context,
    ) -> Result<ArtifactInfo, StoreError>;
    /// All components, newest first.
    async fn artifacts(&self) -> Result<Vec<ArtifactInfo>, StoreError>;
    /// One component by digest.
    async fn artifact(&self, digest: &str) -> Result<Artifact, StoreError>;
}
