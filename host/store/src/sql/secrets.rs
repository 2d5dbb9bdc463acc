//! The table of secrets.

use async_trait::async_trait;
use serde_json::json;
use usher_lifecycle::name::Name;
use zeroize::Zeroizing;

use super::SqlStore;
use super::cells::{Cells, failed, micros};
use super::db::{Row, query};
use super::keys::{ring_with, seal_newest};
use super::write::{Entry, NO_CAUSE, Raised, Write};
use crate::keys::aead::Aead;
use crate::secrets::SECRET_BYTES_MAX;
use crate::{Context, SecretInfo, SecretStore, StoreError};

const DOING: &str = "keeping a secret";

pub(super) const ONE: &str = r#"
    SELECT CAST(0 AS BIGINT) AS "secret.id", name AS "secret.name", data_key AS "secret.data_key", version AS "secret.version",
           sealed AS "secret.sealed", updated_us AS "secret.updated_us"
    FROM secret WHERE name = $1"#;

const ALL: &str = r#"
    SELECT CAST(0 AS BIGINT) AS "secret.id", name AS "secret.name", version AS "secret.version", updated_us AS "secret.updated_us"
    FROM secret ORDER BY name"#;

const SET: &str = "
    INSERT INTO secret (name, data_key, version, sealed, updated_us) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (name) DO UPDATE
    SET data_key = excluded.data_key, version = excluded.version, sealed = excluded.sealed, updated_us = excluded.updated_us
    WHERE secret.version = excluded.version - 1";

#[async_trait]
impl SecretStore for SqlStore {
    async fn set_secret(
        &self,
        name: &Name,
        value: &str,
        context: &Context,
    ) -> Result<SecretInfo, StoreError> {
        if value.is_empty() || value.len() > SECRET_BYTES_MAX {
            return Err(StoreError::Stale(format!(
                "a secret has 1 to {SECRET_BYTES_MAX} bytes, this one {}",
                value.len()
            )));
        }
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        let before = query(ONE)
            .bind(name.as_str())
            .fetch_optional(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        let version = match &before {
            None => 1,
            Some(row) => Cells::unnumbered(row).get::<i64>("secret.version")? + 1,
        };
        let purpose = purpose(name.as_str(), version);
        let (data_key, sealed) = seal_newest(&mut write.tx, &self.keys, value.as_bytes(), &purpose).await?;
        let kept = query(SET)
            .bind(name.as_str())
            .bind(data_key)
            .bind(version)
            .bind(sealed)
            .bind(micros(context.at))
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        if kept == 0 {
            return Err(StoreError::Contended(format!(
                "{DOING}: `{name}` was set by somebody else"
            )));
        }
        tell(&mut write, "secret.set", name, version);
        write.commit(Raised::default()).await?;
        Ok(SecretInfo {
            name: name.clone(),
            version,
            updated_at: context.at,
        })
    }

    async fn secret(&self, name: &Name) -> Result<Zeroizing<String>, StoreError> {
        let mut tx = self.read(DOING).await?;
        let row = query(ONE)
            .bind(name.as_str())
            .fetch_optional(&mut tx)
            .await
            .map_err(failed(DOING))?
            .ok_or_else(|| unknown(name))?;
        let cells = Cells::unnumbered(&row);
        let data_key = cells.get("secret.data_key")?;
        let ring = ring_with(&mut tx, &self.keys, data_key).await?;
        let data = ring
            .get(data_key)
            .map_err(|_| cells.corrupt("secret.data_key", "there is no such key"))?;
        opened(&cells, data)
    }

    async fn secrets(&self) -> Result<Vec<SecretInfo>, StoreError> {
        let rows = query(ALL)
            .fetch_all(&mut self.read(DOING).await?)
            .await
            .map_err(failed(DOING))?;
        rows.iter().map(info).collect()
    }

    async fn remove_secret(&self, name: &Name, context: &Context) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        let row = query("DELETE FROM secret WHERE name = $1 RETURNING version")
            .bind(name.as_str())
            .fetch_optional(&mut write.tx)
            .await
            .map_err(failed(DOING))?
            .ok_or_else(|| unknown(name))?;
        let version = row.at(0).map_err(failed(DOING))?;
        tell(&mut write, "secret.removed", name, version);
        write.commit(Raised::default()).await
    }
}

/// A secret from its row.
pub(super) fn opened(cells: &Cells<'_>, data: &Aead) -> Result<Zeroizing<String>, StoreError> {
    let purpose = purpose(cells.get("secret.name")?, cells.get("secret.version")?);
    let damaged = || cells.corrupt("secret.sealed", "it does not open under its data key");
    let plain = data
        .open(cells.get("secret.sealed")?, &purpose)
        .map_err(|_| damaged())?;
    let text = std::str::from_utf8(&plain).map_err(|_| damaged())?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A sealed secret opens only under its name and version.
pub(super) fn purpose(name: &str, version: i64) -> Vec<u8> {
    [
        b"usher secret".as_slice(),
        &version.to_be_bytes(),
        name.as_bytes(),
    ]
    .concat()
}

fn info(row: &Row) -> Result<SecretInfo, StoreError> {
    let cells = Cells::new(row, "secret.id")?;
    Ok(SecretInfo {
        name: cells.name("secret.name")?,
        version: cells.get("secret.version")?,
        updated_at: cells.time("secret.updated_us")?,
    })
}

fn tell(write: &mut Write<'_>, event: &'static str, name: &Name, version: i64) {
    write.audit(&Entry {
        event,
        subject: None,
        cause: NO_CAUSE,
        payload: json!({ "secret": name, "version": version }),
    });
}

fn unknown(name: &Name) -> StoreError {
    StoreError::NotFound(format!(
        "the store holds no secret `{name}`; set it with `usher secret set {name}`"
    ))
}
