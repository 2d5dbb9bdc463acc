//! Documents and their versions.

use async_trait::async_trait;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::SqlStore;
use super::cells::{Cells, failed, hex, json_of, micros};
use super::db::{Row, Tx, query};
use super::identities::versions;
use super::write::{Entry, NO_CAUSE, Raised};
use crate::{
    Artifact, ArtifactInfo, Context, Document, DocumentKind, Documents, NewDocument, StoreError,
    StoreVersions, VERSIONS_MAX,
};

const DOING: &str = "reading a document";

const VERSIONS: &str = r#"
    SELECT id AS "document.id", version AS "document.version", text AS "document.text", resolved AS "document.resolved",
           activated_us AS "document.activated_us", actor AS "document.actor"
    FROM document WHERE kind = $1 AND version < $2 ORDER BY version DESC LIMIT $3"#;

const INSERT: &str = "
    INSERT INTO document (kind, version, text, resolved, activated_us, actor) VALUES ($1, $2, $3, $4, $5, $6)";

/// From now on everybody is to be looked through. Where the last look was not finished, some are as an older version wants them, some as a
/// newer one.
const LOOK_AGAIN: &str = "
    UPDATE replanning
    SET base_policy = CASE WHEN reached IS NULL THEN base_policy ELSE -1 END,
        base_targets = CASE WHEN reached IS NULL THEN base_targets ELSE -1 END,
        policy = CASE WHEN $1 = 0 THEN $2 ELSE policy END, targets = CASE WHEN $1 = 1 THEN $2 ELSE targets END, reached = 0
    WHERE id = 1";

/// Where others plan too, a document becomes active between two plan commits, never during one: what was planned under the old one is there to be
/// looked through. Until the end of the transaction.
const ALONE: &str = "SELECT pg_advisory_xact_lock(1315007846)";
/// The same for a plan commit, beside others.
const BESIDE: &str = "SELECT pg_advisory_xact_lock_shared(1315007846)";

/// Waits for a document that is just becoming active.
pub(super) async fn settled(tx: &mut Tx<'_>, doing: &'static str) -> Result<(), StoreError> {
    if tx.is_shared() {
        query(BESIDE).fetch_one(tx).await.map_err(failed(doing))?;
    }
    Ok(())
}

#[async_trait]
impl Documents for SqlStore {
    async fn document(&self, kind: DocumentKind) -> Result<Option<Document>, StoreError> {
        let mut tx = self.read(DOING).await?;
        active(&mut tx, kind).await
    }

    async fn document_version(&self, kind: DocumentKind, version: i64) -> Result<Document, StoreError> {
        let mut tx = self.read(DOING).await?;
        let below = version.saturating_add(1);
        let newest = list(&mut tx, kind, below, 1).await?.pop();
        if let Some(found) = newest.filter(|document| document.version == version) {
            return Ok(found);
        }
        let newest = active(&mut tx, kind)
            .await?
            .map_or(0, |document| document.version);
        Err(StoreError::NotFound(match newest {
            0 => "no version of this document was ever active".to_owned(),
            newest => format!("there is no version {version}; there are 1 to {newest}"),
        }))
    }

    async fn document_versions(
        &self,
        kind: DocumentKind,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Document>, StoreError> {
        let mut tx = self.read(DOING).await?;
        list(&mut tx, kind, before.unwrap_or(i64::MAX), limit.min(VERSIONS_MAX)).await
    }

    async fn activate(&self, document: NewDocument, context: &Context) -> Result<i64, StoreError> {
        self.activate_if(document, None, context).await
    }

    async fn activate_after(
        &self,
        document: NewDocument,
        seen: StoreVersions,
        context: &Context,
    ) -> Result<i64, StoreError> {
        self.activate_if(document, Some(seen), context).await
    }

    async fn add_artifact(
        &self,
        name: &str,
        version: &str,
        bytes: &[u8],
        context: &Context,
    ) -> Result<ArtifactInfo, StoreError> {
        self.put_artifact(name, version, bytes, context).await
    }

    async fn artifacts(&self) -> Result<Vec<ArtifactInfo>, StoreError> {
        self.list_artifacts().await
    }

    async fn artifact(&self, digest: &str) -> Result<Artifact, StoreError> {
        self.get_artifact(digest).await
    }
}

impl SqlStore {
    async fn activate_if(
        &self,
        document: NewDocument,
        seen: Option<StoreVersions>,
        context: &Context,
    ) -> Result<i64, StoreError> {
        let doing = "activating a document";
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        if write.tx.is_shared() {
            query(ALONE)
                .fetch_one(&mut write.tx)
                .await
                .map_err(failed(doing))?;
        }
        if let Some(seen) = seen {
            let now = versions(&mut write.tx).await?;
            if (now.policy, now.targets) != (seen.policy, seen.targets) {
                return Err(StoreError::Stale(
                    "another version of the policy or the targets became active meanwhile".to_owned(),
                ));
            }
        }
        let before = active(&mut write.tx, document.kind).await?;
        if let Some(before) = &before
            && before.text == document.text
            && before.resolved == document.resolved
        {
            return Ok(before.version);
        }
        let version = before.map_or(0, |before| before.version) + 1;
        query(INSERT)
            .bind(kind_code(document.kind))
            .bind(version)
            .bind(&document.text)
            .bind(document.resolved.to_string())
            .bind(micros(context.at))
            .bind(json_of(doing, &context.actor)?)
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        query(LOOK_AGAIN)
            .bind(kind_code(document.kind))
            .bind(version)
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        write.audit(&Entry {
            event: "document.activated",
            subject: None,
            cause: NO_CAUSE,
            payload: json!({
                "document": document.kind,
                "version": version,
                "sha256": hex(&Sha256::digest(document.text.as_bytes())),
            }),
        });
        write.commit(Raised::default()).await?;
        self.place.wake();
        Ok(version)
    }
}

pub(crate) const fn kind_code(kind: DocumentKind) -> i64 {
    match kind {
        DocumentKind::Policy => 0,
        DocumentKind::Targets => 1,
    }
}

async fn active(connection: &mut Tx<'_>, kind: DocumentKind) -> Result<Option<Document>, StoreError> {
    Ok(list(connection, kind, i64::MAX, 1).await?.pop())
}

/// Versions below one, newest first.
async fn list(
    connection: &mut Tx<'_>,
    kind: DocumentKind,
    below: i64,
    limit: u32,
) -> Result<Vec<Document>, StoreError> {
    let rows = query(VERSIONS)
        .bind(kind_code(kind))
        .bind(below)
        .bind(limit)
        .fetch_all(connection)
        .await
        .map_err(failed(DOING))?;
    rows.iter().map(|row| document(kind, row)).collect()
}

fn document(kind: DocumentKind, row: &Row) -> Result<Document, StoreError> {
    let cells = Cells::new(row, "document.id")?;
    let actor = cells.get::<Option<&str>>("document.actor")?;
    Ok(Document {
        kind,
        version: cells.get("document.version")?,
        text: cells.get("document.text")?,
        resolved: cells.json("document.resolved")?,
        activated_at: cells.time("document.activated_us")?,
        activated_by: actor.map(|_| cells.json("document.actor")).transpose()?,
    })
}
