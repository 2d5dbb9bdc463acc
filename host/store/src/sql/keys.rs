//! Data keys: opened when the store is opened, made when there is none, sealed anew when a key is changed.

use std::sync::Arc;

use jiff::Timestamp;

use super::SqlStore;
use super::cells::{Cells, failed, micros};
use super::db::{Row, Sql, Tx, query};
use crate::keys::aead::Key;
use crate::keys::ring::{Keys, Ring, Unknown, open_data_key, seal_data_key, sealing};
use crate::{Fingerprint, OperatorKey, Randomness, StoreError};

const DOING: &str = "opening the keys";

pub(super) const DATA_KEYS: &str = r#"
    SELECT id AS "data_key.id", fingerprint AS "data_key.fingerprint", sealed AS "data_key.sealed" FROM data_key ORDER BY id"#;

/// Held until the commit, so that the key is not taken away before.
pub(crate) const NEWEST: Sql = Sql {
    sqlite: "SELECT id FROM data_key ORDER BY id DESC LIMIT 1",
    postgres: "SELECT id FROM data_key ORDER BY id DESC LIMIT 1 FOR KEY SHARE",
};

pub(super) const INSERT: &str =
    "INSERT INTO data_key (id, fingerprint, sealed, created_us) VALUES ($1, $2, $3, $4)";

/// Opens the store's keys, in a database whose schema is up to date. Where there are none, the first is made.
pub(crate) async fn open(
    mut tx: Tx<'_>,
    operator: &OperatorKey,
    randomness: Arc<dyn Randomness>,
    at: Timestamp,
) -> Result<Arc<Keys>, StoreError> {
    lock(&mut tx).await?;
    let mut ring = load(&mut tx, operator).await?;
    let keys = Keys::new(operator.clone(), Ring::default(), randomness);
    if ring.newest().is_err() {
        let key = keys.fresh();
        insert(&mut tx, 1, operator, &key, &keys, at).await?;
        ring.add(1, &key)?;
    }
    tx.commit().await.map_err(failed(DOING))?;
    keys.replace(operator.clone(), ring);
    Ok(Arc::new(keys))
}

/// Refuses a wrong key before anything else is done with the database. Returns the fingerprint of the right one, if it has keys.
pub(crate) async fn check(
    tx: &mut Tx<'_>,
    operator: Option<&OperatorKey>,
) -> Result<Option<Fingerprint>, StoreError> {
    if !table_exists(tx).await? {
        return Ok(None);
    }
    if let Some(operator) = operator {
        load(tx, operator).await?;
    }
    let rows = query(DATA_KEYS).fetch_all(tx).await.map_err(failed(DOING))?;
    let newest = rows.last().map(|row| {
        let cells = Cells::new(row, "data_key.id")?;
        cells.bytes("data_key.fingerprint").map(Fingerprint)
    });
    newest.transpose()
}

async fn table_exists(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let sql = Sql {
        sqlite: "SELECT count(*) FROM sqlite_schema WHERE name = 'data_key'",
        postgres: "SELECT count(*) FROM pg_class WHERE relname = 'data_key' AND relnamespace = current_schema()::regnamespace",
    };
    let row = query(sql).fetch_one(tx).await.map_err(failed(DOING))?;
    row.at::<i64>(0).map(|count| count > 0).map_err(failed(DOING))
}

/// One at a time makes or changes data keys.
pub(crate) async fn lock(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    if tx.is_shared() {
        query("LOCK TABLE data_key IN SHARE ROW EXCLUSIVE MODE")
            .execute(tx)
            .await
            .map_err(failed(DOING))?;
    }
    Ok(())
}

/// All data keys, opened.
pub(crate) async fn load(tx: &mut Tx<'_>, operator: &OperatorKey) -> Result<Ring, StoreError> {
    let rows = query(DATA_KEYS).fetch_all(tx).await.map_err(failed(DOING))?;
    let mut ring = Ring::default();
    for (number, key) in opened_rows(&rows, operator)? {
        ring.add(number, &key)?;
    }
    Ok(ring)
}

/// Data keys with their numbers.
pub(super) fn opened_rows(rows: &[Row], operator: &OperatorKey) -> Result<Vec<(i64, Key)>, StoreError> {
    rows.iter()
        .map(|row| {
            let cells = Cells::new(row, "data_key.id")?;
            let number = cells.get("data_key.id")?;
            let under = Fingerprint(cells.bytes("data_key.fingerprint")?);
            let key = open_data_key(operator, number, under, cells.get("data_key.sealed")?)?;
            Ok((number, key))
        })
        .collect()
}

async fn insert(
    tx: &mut Tx<'_>,
    number: i64,
    operator: &OperatorKey,
    key: &Key,
    keys: &Keys,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sealed = seal_data_key(operator, number, key, &*keys.randomness)?;
    query(INSERT)
        .bind(number)
        .bind(operator.fingerprint().0.to_vec())
        .bind(sealed)
        .bind(micros(at))
        .execute(tx)
        .await
        .map_err(failed(DOING))?;
    Ok(())
}

/// The data keys in memory, with this one among them: another host may have made it since.
pub(super) async fn ring_with(tx: &mut Tx<'_>, keys: &Keys, number: i64) -> Result<Arc<Ring>, StoreError> {
    let ring = keys.ring();
    if ring.get(number).is_ok() {
        return Ok(ring);
    }
    let operator = keys.operator();
    let ring = load(tx, &operator).await?;
    keys.replace(operator, ring);
    Ok(keys.ring())
}

/// Seals something under the newest data key, which stays until the commit. Returns its number.
pub(super) async fn seal_newest(
    tx: &mut Tx<'_>,
    keys: &Keys,
    plain: &[u8],
    purpose: &[u8],
) -> Result<(i64, Vec<u8>), StoreError> {
    let row = query(NEWEST).fetch_one(tx).await.map_err(failed(DOING))?;
    let number = row.at(0).map_err(failed(DOING))?;
    let ring = ring_with(tx, keys, number).await?;
    let data = ring.get(number).map_err(|Unknown| sealing("no data key"))?;
    let mut sealed = Vec::new();
    data.seal_into(&mut sealed, &[plain], purpose, &*keys.randomness)
        .map_err(|_| sealing("a text"))?;
    Ok((number, sealed))
}

impl SqlStore {
    /// Looks for data keys that another host made since.
    pub(super) async fn reload_keys(&self) -> Result<(), StoreError> {
        let operator = self.keys.operator();
        let ring = load(&mut self.read(DOING).await?, &operator).await?;
        self.keys.replace(operator, ring);
        Ok(())
    }
}
