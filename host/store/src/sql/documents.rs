//! Documents and their versions.

use async_trait::async_trait;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::SqlStore;
use super::cells::{Cells, failed, hex, micros};
use super::db::{Tx, query};
use super::write::{Entry, NO_CAUSE, Raised};
use crate::{Artifact, ArtifactInfo, Context, Document, DocumentKind, Documents, NewDocument, StoreError};

const ACTIVE: &str = r#"
    SELECT id AS "document.id", version AS "document.version", text AS "document.text",
           resolved AS "document.resolved", activated_us AS "document.activated_us"
    FROM document WHERE kind = $1 ORDER BY version DESC LIMIT 1"#;

const INSERT: &str = "
    INSERT INTO document (kind, version, text, resolved, activated_us) VALUES ($1, $2, $3, $4, $5)";

#[async_trait]
impl Documents for SqlStore {
    async fn document(&self, kind: DocumentKind) -> Result<Option<Document>, StoreError> {
        let mut tx = self.read("reading a document").await?;
        active(&mut tx, kind).await
    }

    async fn activate(&self, document: NewDocument, context: &Context) -> Result<i64, StoreError> {
        let doing = "activating a document";
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
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
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        // Every identity is due now: it was planned under a smaller sum of versions.
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

pub(crate) const fn kind_code(kind: DocumentKind) -> i64 {
    match kind {
        DocumentKind::Policy => 0,
        DocumentKind::Targets => 1,
    }
}

async fn active(connection: &mut Tx<'_>, kind: DocumentKind) -> Result<Option<Document>, StoreError> {
    let row = query(ACTIVE)
        .bind(kind_code(kind))
        .fetch_optional(connection)
        .await
        .map_err(failed("reading a document"))?;
    let Some(row) = row else { return Ok(None) };
    let cells = Cells::new(&row, "document.id")?;
    Ok(Some(Document {
        kind,
        version: cells.get("document.version")?,
        text: cells.get("document.text")?,
        resolved: cells.json("document.resolved")?,
        activated_at: cells.time("document.activated_us")?,
    }))
}
