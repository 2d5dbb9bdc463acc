//! Connector components, by the digest of their bytes.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::SqlStore;
use super::cells::{Cells, failed, hex, micros};
use super::db::{Row, query};
use super::write::{Entry, NO_CAUSE, Raised};
use crate::{Artifact, ArtifactInfo, Context, StoreError};

const LIST: &str = r#"
    SELECT id AS "artifact.id", digest AS "artifact.digest", name AS "artifact.name", version AS "artifact.version",
           size_bytes AS "artifact.size_bytes", added_us AS "artifact.added_us"
    FROM artifact ORDER BY id DESC"#;

const ONE: &str = r#"
    SELECT id AS "artifact.id", digest AS "artifact.digest", name AS "artifact.name", version AS "artifact.version",
           size_bytes AS "artifact.size_bytes", added_us AS "artifact.added_us"
    FROM artifact WHERE digest = $1"#;

const BYTES: &str =
    r#"SELECT id AS "artifact.id", bytes AS "artifact.bytes" FROM artifact WHERE digest = $1"#;

const INSERT: &str = "
    INSERT INTO artifact (digest, name, version, size_bytes, added_us, bytes) VALUES ($1, $2, $3, $4, $5, $6)";

impl SqlStore {
    /// One row of a few megabytes: the one write that may take longer than the others; it happens when a person adds a connector.
    pub(super) async fn put_artifact(
        &self,
        name: &str,
        version: &str,
        bytes: &[u8],
        context: &Context,
    ) -> Result<ArtifactInfo, StoreError> {
        let doing = "adding a connector";
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let size_bytes = i64::try_from(bytes.len()).map_err(|_| StoreError::Unavailable {
            doing,
            message: "the component is too large".to_owned(),
        })?;
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        let known = query(ONE)
            .bind(digest.to_vec())
            .fetch_optional(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        if let Some(row) = known {
            return info(&row);
        }
        query(INSERT)
            .bind(digest.to_vec())
            .bind(name)
            .bind(version)
            .bind(size_bytes)
            .bind(micros(context.at))
            .bind(bytes)
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        write.audit(&Entry {
            event: "connector.added",
            subject: None,
            cause: NO_CAUSE,
            payload: json!({ "name": name, "version": version, "digest": hex(&digest), "size-bytes": size_bytes }),
        });
        let row = query(ONE)
            .bind(digest.to_vec())
            .fetch_one(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        let added = info(&row)?;
        write.commit(Raised::default()).await?;
        Ok(added)
    }

    pub(super) async fn list_artifacts(&self) -> Result<Vec<ArtifactInfo>, StoreError> {
        let rows = query(LIST)
            .fetch_all(&mut self.read("listing the connectors").await?)
            .await
            .map_err(failed("listing the connectors"))?;
        rows.iter().map(info).collect()
    }

    pub(super) async fn get_artifact(&self, digest: &str) -> Result<Artifact, StoreError> {
        let doing = "reading a connector";
        let unknown = || StoreError::NotFound(format!("there is no connector with digest {digest:.80}"));
        let key = from_hex(digest).ok_or_else(unknown)?;
        let mut tx = self.read(doing).await?;
        let row = query(ONE)
            .bind(key.to_vec())
            .fetch_optional(&mut tx)
            .await
            .map_err(failed(doing))?
            .ok_or_else(unknown)?;
        let info = info(&row)?;
        let row = query(BYTES)
            .bind(key.to_vec())
            .fetch_one(&mut tx)
            .await
            .map_err(failed(doing))?;
        let cells = Cells::new(&row, "artifact.id")?;
        let bytes: Vec<u8> = cells.get("artifact.bytes")?;
        // What runs is what was added: a changed byte is found here, not in the sandbox.
        if Sha256::digest(&bytes).as_slice() != key {
            return Err(cells.corrupt(
                "artifact.bytes",
                "the bytes do not have the digest they were added under",
            ));
        }
        Ok(Artifact { info, bytes })
    }
}

fn info(row: &Row) -> Result<ArtifactInfo, StoreError> {
    let cells = Cells::new(row, "artifact.id")?;
    Ok(ArtifactInfo {
        digest: hex(&cells.bytes::<32>("artifact.digest")?),
        name: cells.get("artifact.name")?,
        version: cells.get("artifact.version")?,
        size_bytes: cells.get("artifact.size_bytes")?,
        added_at: cells.time("artifact.added_us")?,
    })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}
