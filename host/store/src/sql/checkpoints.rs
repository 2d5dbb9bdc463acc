//! The sealer: signs the heads of the audit chains.

use async_trait::async_trait;

use super::SqlStore;
use super::cells::{Cells, failed, hex, json_of, micros};
use super::db::{Row, Sql, Tx, query};
use crate::checkpoint::{Checkpoint, CheckpointBody};
use crate::keys::ring::{Keys, sealing};
use crate::keys::signing::SigningKey;
use crate::{Checkpoints, Context, StoreError};

const DOING: &str = "sealing the audit";

/// Most checkpoints read at once.
const PAGE_MAX: u32 = 1_000;

/// What a signing key is sealed for.
pub(super) const PURPOSE: &[u8] = b"usher signing key";

const GROWN: &str = r#"
    SELECT w.id AS "writer.id", w.head_n AS "writer.head_n", w.head_hash AS "writer.head_hash"
    FROM writer w LEFT JOIN sealed_head s ON s.writer = w.id
    WHERE w.head_n > coalesce(s.n, 0) ORDER BY w.id"#;

/// Rows of such writers are not encrypted.
pub(super) const LAST_CLEAR_WRITER: &str =
    "SELECT CAST(coalesce(max(id), 0) AS BIGINT) FROM writer WHERE schema_version < 3";

const KEEP_HEADS: &str = "
    INSERT INTO sealed_head (writer, n)
    SELECT CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT) FROM json_each($1) WHERE true
    ON CONFLICT (writer) DO UPDATE SET n = excluded.n";

const NEWEST: &str = r#"
    SELECT c.id AS "checkpoint.id", c.body AS "checkpoint.body", c.signature AS "checkpoint.signature"
    FROM checkpoint c ORDER BY c.id DESC LIMIT 1"#;

pub(super) const PAGE: &str = r#"
    SELECT c.id AS "checkpoint.id", c.body AS "checkpoint.body", c.signature AS "checkpoint.signature"
    FROM checkpoint c WHERE c.id > $1 ORDER BY c.id LIMIT $2"#;

const INSERT: &str =
    "INSERT INTO checkpoint (id, at_us, signing_key, body, signature) VALUES ($1, $2, $3, $4, $5)";

const SIGNING_KEY: &str = r#"
    SELECT id AS "signing_key.id", data_key AS "signing_key.data_key", sealed AS "signing_key.sealed"
    FROM signing_key ORDER BY id DESC LIMIT 1"#;

const INSERT_SIGNING_KEY: &str =
    "INSERT INTO signing_key (public, data_key, sealed, created_us) VALUES ($1, $2, $3, $4) RETURNING id";

/// One sealer at a time: numbers without a gap, each naming the one before it. Readers go on.
const ONE_AT_A_TIME: Sql = Sql {
    sqlite: "SELECT 1",
    postgres: "LOCK TABLE checkpoint IN SHARE ROW EXCLUSIVE MODE",
};

#[async_trait]
impl Checkpoints for SqlStore {
    async fn seal(&self, context: &Context) -> Result<Option<Checkpoint>, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut tx = writer.plain(DOING).await?;
        query(ONE_AT_A_TIME)
            .execute(&mut tx)
            .await
            .map_err(failed(DOING))?;
        let rows = query(GROWN).fetch_all(&mut tx).await.map_err(failed(DOING))?;
        if rows.is_empty() {
            return Ok(None);
        }
        let heads = rows.iter().map(head).collect::<Result<Vec<_>, _>>()?;
        let previous = newest(&mut tx).await?;
        let row = query(LAST_CLEAR_WRITER)
            .fetch_one(&mut tx)
            .await
            .map_err(failed(DOING))?;
        let last_clear_writer = row.at(0).map_err(failed(DOING))?;
        let (number, key) = signing_key(&mut tx, &self.keys, context).await?;
        let kept: Vec<(i64, i64)> = heads.iter().map(|(writer, n, _)| (*writer, *n)).collect();
        let body = CheckpointBody {
            checkpoint: previous
                .as_ref()
                .map_or(0, |previous| previous.content().checkpoint)
                + 1,
            at: context.at,
            previous: previous.map(|previous| previous.digest()).unwrap_or_default(),
            key: key.public().to_string(),
            last_clear_writer,
            heads,
        };
        let text = json_of(DOING, &body)?;
        let signature = key.sign(&text);
        query(INSERT)
            .bind(body.checkpoint)
            .bind(micros(context.at))
            .bind(number)
            .bind(&text)
            .bind(signature.to_vec())
            .execute(&mut tx)
            .await
            .map_err(failed(DOING))?;
        query(KEEP_HEADS)
            .bind(json_of(DOING, &kept)?)
            .execute(&mut tx)
            .await
            .map_err(failed(DOING))?;
        tx.commit().await.map_err(failed(DOING))?;
        let made = Checkpoint::checked(text, hex(&signature));
        made.map(Some).map_err(|_| sealing("a checkpoint"))
    }

    async fn checkpoints(&self, after: i64, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        page(&mut self.read(DOING).await?, after, limit).await
    }

    async fn newest_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        newest(&mut self.read(DOING).await?).await
    }
}

pub(super) async fn page(tx: &mut Tx<'_>, after: i64, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
    let rows = query(PAGE)
        .bind(after)
        .bind(limit.min(PAGE_MAX))
        .fetch_all(tx)
        .await
        .map_err(failed(DOING))?;
    rows.iter().map(checkpoint).collect()
}

async fn newest(tx: &mut Tx<'_>) -> Result<Option<Checkpoint>, StoreError> {
    let row = query(NEWEST).fetch_optional(tx).await.map_err(failed(DOING))?;
    row.as_ref().map(checkpoint).transpose()
}

/// A checkpoint from its row: its signature must fit, and its number be the row's.
fn checkpoint(row: &Row) -> Result<Checkpoint, StoreError> {
    let cells = Cells::new(row, "checkpoint.id")?;
    let signature = hex(&cells.bytes::<64>("checkpoint.signature")?);
    let read = Checkpoint::checked(cells.get("checkpoint.body")?, signature)
        .map_err(|reason| cells.corrupt("checkpoint.signature", reason))?;
    if read.content().checkpoint != cells.get::<i64>("checkpoint.id")? {
        return Err(cells.corrupt("checkpoint.body", "it says another number"));
    }
    Ok(read)
}

fn head(row: &Row) -> Result<(i64, i64, String), StoreError> {
    let cells = Cells::new(row, "writer.id")?;
    let hash = hex(&cells.bytes::<32>("writer.head_hash")?);
    Ok((cells.get("writer.id")?, cells.get("writer.head_n")?, hash))
}

/// The key that signs, made with the first checkpoint.
async fn signing_key(
    tx: &mut Tx<'_>,
    keys: &Keys,
    context: &Context,
) -> Result<(i64, SigningKey), StoreError> {
    let row = query(SIGNING_KEY)
        .fetch_optional(tx)
        .await
        .map_err(failed(DOING))?;
    if let Some(row) = row {
        let cells = Cells::new(&row, "signing_key.id")?;
        let data_key: i64 = cells.get("signing_key.data_key")?;
        let ring = super::keys::ring_with(tx, keys, data_key).await?;
        let data = ring
            .get(data_key)
            .map_err(|_| cells.corrupt("signing_key.data_key", "there is no such key"))?;
        let seed = data
            .open_key(cells.get("signing_key.sealed")?, PURPOSE)
            .map_err(|_| cells.corrupt("signing_key.sealed", "it does not open under its data key"))?;
        return Ok((cells.get("signing_key.id")?, SigningKey::new(&seed)?));
    }
    let seed = keys.fresh();
    let key = SigningKey::new(&seed)?;
    let (data_key, sealed) = super::keys::seal_newest(tx, keys, &*seed, PURPOSE).await?;
    let row = query(INSERT_SIGNING_KEY)
        .bind(key.public().0.to_vec())
        .bind(data_key)
        .bind(sealed)
        .bind(micros(context.at))
        .fetch_one(tx)
        .await
        .map_err(failed(DOING))?;
    Ok((row.at(0).map_err(failed(DOING))?, key))
}
