//! Imports: staged, accepted, refused. What happens after acceptance is in `absorb`.

use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::json;
use usher_lifecycle::ids::{IdentityId, SnapshotId};
use usher_lifecycle::name::SourceName;

use super::SqlStore;
use super::cells::{Cells, failed, hex, json_of, micros};
use super::db::{Tx, query};
use super::snapshots::{insert, latest_accepted, payload, refuse_while_unabsorbed, source_number, staging};
use super::write::{Entry, NO_CAUSE, Raised};
use crate::{
    Change, Context, FactsStore, IndexEntry, NewSnapshot, Snapshot, SnapshotState, StagedRecord, StoreError,
};

/// Records staged in one transaction: about 20 ms with records of 300 bytes.
const STAGE_RECORDS_MAX: usize = 2_000;
/// Rows of an unfinished staging deleted in one transaction: about 20 ms.
const DISCARD_ROWS_MAX: i64 = 5_000;

/// Records of the index read in one transaction: about 50 ms.
const INDEX_PAGE: u32 = 10_000;
/// How often the index is begun anew because an import was accepted meanwhile.
const INDEX_TRIES_MAX: u32 = 3;

const INDEX: &str = r#"
    SELECT r.id AS "source_record.id", r.key AS "source_record.key", r.digest AS "source_record.digest",
           r.missing_snapshots AS "source_record.missing_snapshots", r.absent_since_us AS "source_record.absent_since_us"
    FROM source_record r WHERE r.source = (SELECT id FROM source WHERE name = $1) AND r.id > $2 ORDER BY r.id LIMIT $3"#;

const NEWEST_IMPORT: &str = "
    SELECT CAST(coalesce(max(p.id), 0) AS BIGINT) FROM snapshot p
    WHERE p.state IN (1, 2) AND p.source = (SELECT id FROM source WHERE name = $1)";

const DISCARD_ROWS: &str = "
    DELETE FROM staged WHERE (snapshot, key) IN (
        SELECT g.snapshot, g.key FROM staged g
        JOIN snapshot p ON p.id = g.snapshot
        WHERE p.state = 0 AND p.source = (SELECT id FROM source WHERE name = $1)
        LIMIT $2)";

const DISCARD_SNAPSHOTS: &str = "
    UPDATE snapshot SET state = 3, reason = 'never finished; thrown away when the next import of this source began'
    WHERE source = $1 AND state = 0";

const DELETE_RESTAGED: &str = "
    DELETE FROM staged WHERE snapshot = $1 AND key IN (SELECT value ->> 0 FROM json_each($2))";

const INSERT_STAGED: &str = "
    INSERT INTO staged (snapshot, key, change, attributes, digest, join_key)
    SELECT $1, value ->> 0, CAST(value ->> 1 AS BIGINT), value ->> 2, unhex(value ->> 3), value ->> 4 FROM json_each($2)";

const LIST: &str = r#"
    SELECT p.id AS "snapshot.id", p.public_id AS "snapshot.public_id", s.name AS "source.name", p.origin AS "snapshot.origin",
           p.file_digest AS "snapshot.file_digest", p.rows AS "snapshot.rows", p.changes AS "snapshot.changes",
           p.state AS "snapshot.state", p.at_us AS "snapshot.at_us", p.reason AS "snapshot.reason"
    FROM snapshot p JOIN source s ON s.id = p.source ORDER BY p.id DESC LIMIT $1"#;

/// Key, change, attributes, digest, join.
type StagedRow<'r> = (&'r str, i64, Option<String>, Option<String>, Option<&'r str>);

#[async_trait]
impl FactsStore for SqlStore {
    async fn source_index(&self, source: &SourceName) -> Result<HashMap<String, IndexEntry>, StoreError> {
        for _ in 0..INDEX_TRIES_MAX {
            if let Some(index) = self.try_source_index(source).await? {
                return Ok(index);
            }
        }
        Err(StoreError::Stale(format!(
            "imports of {source} keep being accepted while its records are read; import one file at a time"
        )))
    }

    async fn begin_snapshot(
        &self,
        snapshot: NewSnapshot,
        context: &Context,
    ) -> Result<SnapshotId, StoreError> {
        let doing = "beginning an import";
        let mut writer = self.writer.lock().await;
        loop {
            let mut write = writer.begin(doing, context).await?;
            let deleted = query(DISCARD_ROWS)
                .bind(snapshot.source.as_str())
                .bind(DISCARD_ROWS_MAX)
                .execute(&mut write.tx)
                .await
                .map_err(failed(doing))?;
            write.commit(Raised::default()).await?;
            if deleted == 0 {
                break;
            }
        }
        let mut write = writer.begin(doing, context).await?;
        refuse_while_unabsorbed(&mut write.tx).await?;
        let source = source_number(&mut write.tx, &snapshot.source).await?;
        query(DISCARD_SNAPSHOTS)
            .bind(source)
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        let id = SnapshotId::from_parts(context.at, &self.random());
        insert(&mut write, id, &snapshot, source, None, context).await?;
        write.audit(&Entry {
            event: "import.started",
            subject: None,
            cause: NO_CAUSE,
            payload: payload(id, &snapshot.source, &snapshot.origin, snapshot.rows),
        });
        write.commit(Raised::default()).await?;
        Ok(id)
    }

    async fn stage(&self, snapshot: SnapshotId, records: &[StagedRecord]) -> Result<(), StoreError> {
        for chunk in records.chunks(STAGE_RECORDS_MAX) {
            self.stage_chunk(snapshot, chunk).await?;
        }
        Ok(())
    }

    async fn accept(&self, snapshot: SnapshotId, context: &Context) -> Result<(), StoreError> {
        let doing = "accepting an import";
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        let found = staging(&mut write.tx, snapshot).await?;
        if latest_accepted(&mut write.tx, found.source).await? != found.base {
            return Err(StoreError::Stale(format!(
                "another import of {} was accepted since {snapshot} began; import the file again",
                found.source_name
            )));
        }
        // Nothing changed: nothing to absorb.
        let state = if found.changes == 0 {
            SnapshotState::Absorbed
        } else {
            SnapshotState::Accepted
        };
        query("UPDATE snapshot SET state = $2, at_us = $3 WHERE id = $1")
            .bind(found.number)
            .bind(state as i64)
            .bind(micros(context.at))
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        let mut payload = payload(snapshot, &found.source_name, &found.origin, found.rows);
        payload["changes"] = json!(found.changes);
        payload["file-sha256"] = json!(hex(&found.file_digest));
        write.audit(&Entry {
            event: "import.accepted",
            subject: None,
            cause: NO_CAUSE,
            payload,
        });
        write
            .commit(Raised {
                // What changes nothing makes no plan stale.
                facts: found.changes > 0,
                observed: false,
            })
            .await
    }

    async fn refuse(
        &self,
        snapshot: NewSnapshot,
        reason: &str,
        context: &Context,
    ) -> Result<SnapshotId, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin("refusing an import", context).await?;
        let source = source_number(&mut write.tx, &snapshot.source).await?;
        let id = SnapshotId::from_parts(context.at, &self.random());
        insert(&mut write, id, &snapshot, source, Some(reason), context).await?;
        let mut payload = payload(id, &snapshot.source, &snapshot.origin, snapshot.rows);
        payload["reason"] = json!(reason);
        payload["file-sha256"] = json!(hex(&snapshot.file_digest));
        write.audit(&Entry {
            event: "import.refused",
            subject: None,
            cause: NO_CAUSE,
            payload,
        });
        write.commit(Raised::default()).await?;
        Ok(id)
    }

    async fn move_record(
        &self,
        source: &SourceName,
        key: &str,
        identity: IdentityId,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError> {
        self.move_one(source, key, identity, reason, context).await
    }

    async fn absorb(&self, limit: u32) -> Result<u64, StoreError> {
        self.absorb_rows(limit).await
    }

    async fn snapshots(&self, limit: u32) -> Result<Vec<Snapshot>, StoreError> {
        let rows = query(LIST)
            .bind(limit)
            .fetch_all(&mut self.read("listing imports").await?)
            .await
            .map_err(failed("listing imports"))?;
        rows.iter()
            .map(|row| {
                let cells = Cells::new(row, "snapshot.id")?;
                Ok(Snapshot {
                    id: SnapshotId::new(cells.uuid("snapshot.public_id")?),
                    source: cells.name("source.name")?,
                    origin: cells.get("snapshot.origin")?,
                    file_digest: cells.bytes("snapshot.file_digest")?,
                    rows: cells.count("snapshot.rows")?,
                    changes: cells.count("snapshot.changes")?,
                    state: cells.snapshot_state("snapshot.state")?,
                    at: cells.time("snapshot.at_us")?,
                    reason: cells.get("snapshot.reason")?,
                })
            })
            .collect()
    }
}

impl SqlStore {
    /// Reads the index a page at a time, so that no read transaction lasts long; `None` when an import changed it in between.
    async fn try_source_index(
        &self,
        source: &SourceName,
    ) -> Result<Option<HashMap<String, IndexEntry>>, StoreError> {
        let doing = "reading the records of a source";
        let mut index = HashMap::new();
        let (mut after, mut import) = (0_i64, None);
        loop {
            let mut tx = self.read(doing).await?;
            refuse_while_unabsorbed(&mut tx).await?;
            let newest = newest_import(&mut tx, source).await?;
            if *import.get_or_insert(newest) != newest {
                return Ok(None);
            }
            let rows = query(INDEX)
                .bind(source.as_str())
                .bind(after)
                .bind(INDEX_PAGE)
                .fetch_all(&mut tx)
                .await
                .map_err(failed(doing))?;
            drop(tx);
            for row in &rows {
                let cells = Cells::new(row, "source_record.id")?;
                let entry = IndexEntry {
                    digest: cells.bytes("source_record.digest")?,
                    missing_snapshots: cells.count("source_record.missing_snapshots")?,
                    absent: cells
                        .get::<Option<i64>>("source_record.absent_since_us")?
                        .is_some(),
                };
                after = cells.get("source_record.id")?;
                index.insert(cells.get("source_record.key")?, entry);
            }
            if rows.len() < INDEX_PAGE as usize {
                return Ok(Some(index));
            }
        }
    }

    async fn stage_chunk(&self, snapshot: SnapshotId, records: &[StagedRecord]) -> Result<(), StoreError> {
        let doing = "staging an import";
        // The same key twice: the last wins, here as between calls.
        let mut last: HashMap<&str, &Change> = HashMap::with_capacity(records.len());
        for record in records {
            if record.key.contains('\0') {
                // PostgreSQL cannot keep it, and to leave it out would be a person lost.
                let message = format!(
                    "the key {:?} holds a NUL character; leave that record out",
                    record.key
                );
                return Err(StoreError::Unavailable { doing, message });
            }
            last.insert(&record.key, &record.change);
        }
        let mut staged: Vec<StagedRow<'_>> = Vec::with_capacity(last.len());
        for (key, change) in last {
            staged.push(match change {
                Change::Upsert {
                    attributes,
                    digest,
                    join,
                } => {
                    let attributes = Some(json_of(doing, attributes)?);
                    (key, 0, attributes, Some(hex(digest)), join.as_deref())
                }
                Change::Missing { confirmed: false } => (key, 1, None, None, None),
                Change::Missing { confirmed: true } => (key, 2, None, None, None),
                Change::Present => (key, 3, None, None, None),
            });
        }
        staged.sort_unstable_by_key(|(key, ..)| *key);
        let keys: Vec<[&str; 1]> = staged.iter().map(|(key, ..)| [*key]).collect();
        let (keys, rows) = (json_of(doing, &keys)?, json_of(doing, &staged)?);

        let mut writer = self.writer.lock().await;
        let mut tx = writer.plain(doing).await?;
        let found = staging(&mut tx, snapshot).await?;
        let replaced = query(DELETE_RESTAGED)
            .bind(found.number)
            .bind(keys)
            .execute(&mut tx)
            .await
            .map_err(failed(doing))?;
        let added = query(INSERT_STAGED)
            .bind(found.number)
            .bind(rows)
            .execute(&mut tx)
            .await
            .map_err(failed(doing))?;
        query("UPDATE snapshot SET changes = changes + $2 - $3 WHERE id = $1")
            .bind(found.number)
            .bind(i64::try_from(added).unwrap_or(i64::MAX))
            .bind(i64::try_from(replaced).unwrap_or(i64::MAX))
            .execute(&mut tx)
            .await
            .map_err(failed(doing))?;
        tx.commit().await.map_err(failed(doing))
    }
}

/// The newest accepted import of a source: only that changes its records.
async fn newest_import(tx: &mut Tx<'_>, source: &SourceName) -> Result<i64, StoreError> {
    let doing = "reading the newest import of a source";
    let row = query(NEWEST_IMPORT)
        .bind(source.as_str())
        .fetch_one(tx)
        .await
        .map_err(failed(doing))?;
    row.at(0).map_err(failed(doing))
}
