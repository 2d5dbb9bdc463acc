//! The rows of imports.

use serde_json::json;
use usher_lifecycle::ids::SnapshotId;
use usher_lifecycle::name::SourceName;

use super::cells::{Cells, failed, micros};
use super::db::{Tx, query};
use super::write::Write;
use crate::{Context, NewSnapshot, SnapshotState, StoreError};

const SNAPSHOT: &str = r#"
    SELECT p.id AS "snapshot.id", p.source AS "snapshot.source", p.origin AS "snapshot.origin", p.rows AS "snapshot.rows",
           p.changes AS "snapshot.changes", p.state AS "snapshot.state", p.base AS "snapshot.base", p.reason AS "snapshot.reason",
           p.file_digest AS "snapshot.file_digest", s.name AS "source.name"
    FROM snapshot p JOIN source s ON s.id = p.source WHERE p.public_id = $1"#;

const INSERT_SNAPSHOT: &str = "
    INSERT INTO snapshot (public_id, source, origin, file_digest, rows, state, base, at_us, reason)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// A snapshot that is being staged.
pub(super) struct Staging {
    pub(super) number: i64,
    pub(super) source: i64,
    pub(super) source_name: SourceName,
    pub(super) origin: String,
    pub(super) rows: u64,
    pub(super) changes: u64,
    pub(super) base: i64,
    pub(super) file_digest: [u8; 32],
}

pub(super) async fn staging(connection: &mut Tx<'_>, id: SnapshotId) -> Result<Staging, StoreError> {
    let row = query(SNAPSHOT)
        .bind(id.uuid().as_bytes().to_vec())
        .fetch_optional(connection)
        .await
        .map_err(failed("reading an import"))?
        .ok_or_else(|| StoreError::NotFound(format!("there is no import {id}")))?;
    let cells = Cells::new(&row, "snapshot.id")?;
    match cells.snapshot_state("snapshot.state")? {
        SnapshotState::Staging => {}
        SnapshotState::Accepted | SnapshotState::Absorbed => {
            return Err(StoreError::Stale(format!("import {id} was accepted already")));
        }
        SnapshotState::Refused => {
            let reason: Option<String> = cells.get("snapshot.reason")?;
            return Err(StoreError::Stale(format!(
                "import {id} cannot go on: {}",
                reason.as_deref().unwrap_or("it was refused")
            )));
        }
    }
    Ok(Staging {
        number: cells.get("snapshot.id")?,
        source: cells.get("snapshot.source")?,
        source_name: cells.name("source.name")?,
        origin: cells.get("snapshot.origin")?,
        rows: cells.count("snapshot.rows")?,
        changes: cells.count("snapshot.changes")?,
        base: cells.get("snapshot.base")?,
        file_digest: cells.bytes("snapshot.file_digest")?,
    })
}

pub(super) async fn insert(
    write: &mut Write<'_>,
    id: SnapshotId,
    snapshot: &NewSnapshot,
    source: i64,
    refused: Option<&str>,
    context: &Context,
) -> Result<(), StoreError> {
    let base = latest_accepted(&mut write.tx, source).await?;
    let state = if refused.is_some() {
        SnapshotState::Refused
    } else {
        SnapshotState::Staging
    };
    query(INSERT_SNAPSHOT)
        .bind(id.uuid().as_bytes().to_vec())
        .bind(source)
        .bind(&snapshot.origin)
        .bind(snapshot.file_digest.to_vec())
        .bind(i64::try_from(snapshot.rows).unwrap_or(i64::MAX))
        .bind(state as i64)
        .bind(base)
        .bind(micros(context.at))
        .bind(refused)
        .execute(&mut write.tx)
        .await
        .map_err(failed("recording an import"))?;
    Ok(())
}

pub(super) fn payload(id: SnapshotId, source: &SourceName, origin: &str, rows: u64) -> serde_json::Value {
    json!({ "import": id, "source": source, "origin": origin, "rows": rows })
}

/// The number of a source, made when it is new.
pub(super) async fn source_number(connection: &mut Tx<'_>, name: &SourceName) -> Result<i64, StoreError> {
    let doing = "reading a source";
    query("INSERT INTO source (name) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(name.as_str())
        .execute(connection)
        .await
        .map_err(failed(doing))?;
    let row = query("SELECT id FROM source WHERE name = $1")
        .bind(name.as_str())
        .fetch_one(connection)
        .await
        .map_err(failed(doing))?;
    row.at(0).map_err(failed(doing))
}

/// The newest accepted snapshot of a source, 0 when there is none.
pub(super) async fn latest_accepted(connection: &mut Tx<'_>, source: i64) -> Result<i64, StoreError> {
    let doing = "reading the latest import";
    let row = query("SELECT coalesce(max(id), 0) FROM snapshot WHERE source = $1 AND state IN (1, 2)")
        .bind(source)
        .fetch_one(connection)
        .await
        .map_err(failed(doing))?;
    row.at(0).map_err(failed(doing))
}

/// Between acceptance and the end of absorption the facts are half old, half new: nothing may be decided from them.
pub(super) async fn refuse_while_unabsorbed(connection: &mut Tx<'_>) -> Result<(), StoreError> {
    let unabsorbed = query("SELECT 1 FROM snapshot WHERE state = 1 LIMIT 1")
        .fetch_optional(connection)
        .await
        .map_err(failed("reading accepted imports"))?;
    match unabsorbed {
        None => Ok(()),
        Some(_) => Err(StoreError::Stale(
            "an accepted import is not absorbed yet; absorb it first".to_owned(),
        )),
    }
}
