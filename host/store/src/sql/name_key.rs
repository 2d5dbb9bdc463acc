//! The key that digests of names are made with.

use super::cells::{Cells, failed};
use super::db::{Tx, query};
use super::keys::{ring_with, seal_newest};
use super::reserving::DOING;
use crate::StoreError;
use crate::keys::names::NameKey;
use crate::keys::ring::Keys;

/// What it is sealed for.
pub(super) const PURPOSE: &[u8] = b"usher name key";

const KEY: &str = r#"
    SELECT id AS "name_key.id", data_key AS "name_key.data_key", sealed AS "name_key.sealed" FROM name_key WHERE id = 1"#;

const INSERT: &str = "INSERT INTO name_key (id, data_key, sealed) VALUES (1, $1, $2)";

/// The key, made with the first name. Only for who reserves, one at a time.
pub(super) async fn name_key(tx: &mut Tx<'_>, keys: &Keys) -> Result<NameKey, StoreError> {
    let row = query(KEY).fetch_optional(tx).await.map_err(failed(DOING))?;
    if let Some(row) = row {
        let cells = Cells::new(&row, "name_key.id")?;
        let data_key: i64 = cells.get("name_key.data_key")?;
        let ring = ring_with(tx, keys, data_key).await?;
        // The table refers to its data key: it can only have been sealed under another one since it was read.
        let data = ring
            .get(data_key)
            .map_err(|_| StoreError::Contended(format!("{DOING}: the data key is being changed")))?;
        let key = data
            .open_key(cells.get("name_key.sealed")?, PURPOSE)
            .map_err(|_| cells.corrupt("name_key.sealed", "it does not open under its data key"))?;
        return Ok(NameKey::new(&key));
    }
    let key = keys.fresh();
    let (data_key, sealed) = seal_newest(tx, keys, &*key, PURPOSE).await?;
    query(INSERT)
        .bind(data_key)
        .bind(sealed)
        .execute(tx)
        .await
        .map_err(failed(DOING))?;
    Ok(NameKey::new(&key))
}
