//! Absorption: accepted rows become facts, a bounded number at a time.

mod row;

use std::collections::HashMap;

use serde::Serialize;
use serde_json::json;
use usher_lifecycle::cause::{Actor, Cause};
use usher_lifecycle::name::SourceName;
use uuid::Uuid;

use self::row::absorb_known;
use super::SqlStore;
use super::cells::{Cells, failed, json_of};
use super::db::{Tx, query};
use super::write::{Entry, Raised, Subject, Write};
use crate::{Context, SnapshotState, StoreError};

/// Most rows absorbed in one transaction, whatever the caller asks: about 20 ms.
const ABSORB_ROWS_MAX: u32 = 1_000;

/// Most records that are joined by one value: with more, it is rather a word for `not known` than a person's number, and who comes with it is
/// somebody new on hold. `LIMIT 21` in [`CHUNK`] is one more.
const JOINED_MAX: i64 = 20;

const DOING: &str = "absorbing an import";

/// One writer absorbs at a time: it numbers new identities. Held until the end of the transaction. PostgreSQL is asked to plan each statement
/// afresh: a plan kept from the first chunks, when the tables were empty, reads all of them for every later one.
pub(super) const ONE_AT_A_TIME: &str =
    "SELECT 1, set_config('plan_cache_mode', 'force_custom_plan', true) FROM meta WHERE id = 1 FOR UPDATE";

const OLDEST: &str = r#"
    SELECT p.id AS "snapshot.id", p.source AS "snapshot.source", p.origin AS "snapshot.origin", p.at_us AS "snapshot.at_us",
           p.public_id AS "snapshot.public_id", s.name AS "source.name"
    FROM snapshot p JOIN source s ON s.id = p.source WHERE p.state = 1 ORDER BY p.id LIMIT 1"#;

/// Who a new record may belong to: of those whose record said the same before this file and is not in it with another word (`said`), and those
/// whose record says it in this file (`says`), the first and the last; so it does not matter which of them is absorbed first. Looked at are as many
/// as [`JOINED_MAX`] allows and one more.
pub(crate) const CHUNK: &str = r#"
    SELECT r.id AS "source_record.id", g.key AS "staged.key", g.change AS "staged.change", g.attributes AS "staged.attributes",
           g.digest AS "staged.digest", r.attributes AS "source_record.attributes", r.digest AS "source_record.digest",
           r.missing_snapshots AS "source_record.missing_snapshots", r.absent_since_us AS "source_record.absent_since_us",
           r.join_key AS "source_record.join_key", g.join_key AS "staged.join_key", g.first_said AS "joined.first_said", g.last_said AS "joined.last_said",
           g.first_says AS "joined.first_says", g.last_says AS "joined.last_says", g.joined_count AS "joined.count",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key"
    FROM (SELECT key, change, attributes, digest, join_key,
                 (SELECT min(x.identity) FROM (SELECT o.identity FROM source_record o
                      LEFT JOIN staged t ON t.snapshot = $1 AND t.key = o.key AND o.source = $2 AND t.change = 0
                      WHERE o.join_key = staged.join_key AND (t.key IS NULL OR t.join_key = staged.join_key) LIMIT 21) x) AS first_said,
                 (SELECT max(x.identity) FROM (SELECT o.identity FROM source_record o
                      LEFT JOIN staged t ON t.snapshot = $1 AND t.key = o.key AND o.source = $2 AND t.change = 0
                      WHERE o.join_key = staged.join_key AND (t.key IS NULL OR t.join_key = staged.join_key) LIMIT 21) x) AS last_said,
                 (SELECT min(x.identity) FROM (SELECT o.identity FROM staged t JOIN source_record o ON o.key = t.key AND o.source = $2
                      WHERE t.snapshot = $1 AND t.join_key = staged.join_key AND t.change = 0 LIMIT 21) x) AS first_says,
                 (SELECT max(x.identity) FROM (SELECT o.identity FROM staged t JOIN source_record o ON o.key = t.key AND o.source = $2
                      WHERE t.snapshot = $1 AND t.join_key = staged.join_key AND t.change = 0 LIMIT 21) x) AS last_says,
                 (SELECT count(*) FROM (SELECT 1 AS one FROM source_record o WHERE o.join_key = staged.join_key LIMIT 21) x) AS joined_count
          FROM staged WHERE snapshot = $1 ORDER BY key LIMIT $3) g
    LEFT JOIN source_record r ON r.key = g.key AND r.source = $2
    LEFT JOIN identity i ON i.id = coalesce(r.identity, g.first_said, g.first_says)
    ORDER BY g.key"#;

const INSERT_IDENTITIES: &str = "
    INSERT INTO identity (id, public_id, audit_key, changed_by)
    SELECT CAST(value ->> 0 AS BIGINT), unhex(value ->> 1), unhex(value ->> 2), value ->> 3 FROM json_each($1)";

const INSERT_RECORDS: &str = "
    INSERT INTO source_record (source, key, identity, attributes, digest, join_key)
    SELECT $1, value ->> 0, CAST(value ->> 1 AS BIGINT), value ->> 2, unhex(value ->> 3), value ->> 4 FROM json_each($2)";

pub(crate) const UPDATE_RECORDS: &str = "
    UPDATE source_record
    SET attributes = coalesce(j.attributes, source_record.attributes), digest = coalesce(j.digest, source_record.digest),
        missing_snapshots = j.missing, absent_since_us = j.absent,
        join_key = CASE WHEN j.attributes IS NULL THEN source_record.join_key ELSE j.join_key END
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, value ->> 1 AS attributes, unhex(value ->> 2) AS digest,
                 CAST(value ->> 3 AS BIGINT) AS missing, CAST(value ->> 4 AS BIGINT) AS absent, value ->> 5 AS join_key
          FROM json_each($1)) AS j
    WHERE source_record.id = j.id";

const TOUCH_IDENTITIES: &str = "
    UPDATE identity SET facts_version = facts_version + 1, dirty = 1, changed_by = $2 WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

pub(crate) const DELETE_CHUNK: &str = "DELETE FROM staged WHERE snapshot = $1 AND key <= $2";

/// Record; attributes, digest (and join, at the end) if they changed; missing snapshots, absent since.
#[derive(Serialize)]
struct RecordUpdate(
    i64,
    Option<String>,
    Option<String>,
    i64,
    Option<i64>,
    Option<String>,
);

impl RecordUpdate {
    /// Only whether it is there.
    fn presence(record: i64, missing: i64, absent: Option<i64>) -> Self {
        Self(record, None, None, missing, absent, None)
    }
}

/// Key, identity, attributes, digest, join.
type NewRecord = (String, i64, String, String, Option<String>);

/// What a chunk changes, collected row by row and written statement by statement.
#[derive(Default)]
struct Changes {
    identities: Vec<(i64, String, String, String)>,
    records: Vec<NewRecord>,
    updates: Vec<RecordUpdate>,
    touched: Vec<i64>,
    /// Whom new records of this chunk made, by what tells that others belong to them.
    made: HashMap<String, (Subject, i64)>,
    /// New people of whom nobody can tell whether they are others.
    ambiguous: Vec<Subject>,
}

/// The snapshot whose rows are absorbed.
struct Accepted {
    number: i64,
    source: i64,
    /// As `identity.changed_by`.
    changed_by: String,
    source_name: SourceName,
    public_id: Uuid,
    cause: String,
    at_us: i64,
}

impl SqlStore {
    pub(super) async fn absorb_rows(&self, limit: u32) -> Result<u64, StoreError> {
        match self.absorb_once(limit).await {
            // Another host changed the data key; it is in memory now.
            Err(StoreError::Contended(_)) => self.absorb_once(limit).await,
            result => result,
        }
    }

    async fn absorb_once(&self, limit: u32) -> Result<u64, StoreError> {
        // A look first: mostly there is nothing to absorb.
        let Some((_, context)) = oldest(&mut self.read(DOING).await?).await? else {
            return Ok(0);
        };
        let limit = limit.clamp(1, ABSORB_ROWS_MAX);
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, &context).await?;
        if write.tx.is_shared() {
            query(ONE_AT_A_TIME)
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
        }
        // Another writer may have absorbed some of it, or all, meanwhile.
        let Some((accepted, context)) = oldest(&mut write.tx).await? else {
            return Ok(0);
        };
        write.acts_as(&context)?;
        let rows = query(CHUNK)
            .bind(accepted.number)
            .bind(accepted.source)
            .bind(limit)
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        let mut changes = Changes::default();
        let mut next_identity = number(&mut write.tx, "SELECT coalesce(max(id), 0) FROM identity").await?;
        let mut last_key = String::new();
        for row in &rows {
            let unnumbered = row
                .get::<Option<i64>>("source_record.id")
                .map_err(failed(DOING))?
                .is_none();
            if unnumbered {
                last_key = self.absorb_new(
                    row,
                    &mut next_identity,
                    &accepted,
                    &context,
                    &mut changes,
                    &mut write,
                )?;
            } else {
                last_key = absorb_known(row, &accepted, &mut changes, &mut write)?;
            }
        }
        let finished = rows.len() < limit as usize;
        self.write_changes(&mut write, &accepted, &changes, &last_key, rows.len(), finished)
            .await?;
        for subject in &changes.ambiguous {
            self.hold_ambiguous(&mut write, subject, &context).await?;
        }
        let left = number(
            &mut write.tx,
            "SELECT CAST(coalesce(sum(changes - absorbed), 0) AS BIGINT) FROM snapshot WHERE state = 1",
        )
        .await?;
        write
            .commit(Raised {
                facts: true,
                observed: false,
            })
            .await?;
        if left == 0 {
            self.place.wake();
        }
        // A snapshot that is still accepted has something left to do, even if only to be marked.
        Ok(u64::try_from(left).unwrap_or(0))
    }

    async fn write_changes(
        &self,
        write: &mut Write<'_>,
        accepted: &Accepted,
        changes: &Changes,
        last_key: &str,
        rows: usize,
        finished: bool,
    ) -> Result<(), StoreError> {
        if !changes.identities.is_empty() {
            execute(write, INSERT_IDENTITIES, json_of(DOING, &changes.identities)?).await?;
        }
        if !changes.records.is_empty() {
            query(INSERT_RECORDS)
                .bind(accepted.source)
                .bind(json_of(DOING, &changes.records)?)
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
        }
        if !changes.updates.is_empty() {
            execute(write, UPDATE_RECORDS, json_of(DOING, &changes.updates)?).await?;
        }
        if !changes.touched.is_empty() {
            query(TOUCH_IDENTITIES)
                .bind(json_of(DOING, &changes.touched)?)
                .bind(&accepted.changed_by)
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
        }
        query(DELETE_CHUNK)
            .bind(accepted.number)
            .bind(last_key)
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        let left: i64 = {
            let row = query(
                "UPDATE snapshot SET absorbed = absorbed + $2, state = CASE WHEN $3 = 1 OR absorbed + $2 >= changes THEN $4 ELSE state END
                 WHERE id = $1 RETURNING state",
            )
            .bind(accepted.number)
            .bind(i64::try_from(rows).unwrap_or(i64::MAX))
            .bind(i64::from(finished))
            .bind(SnapshotState::Absorbed as i64)
            .fetch_one(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
            row.at(0).map_err(failed(DOING))?
        };
        if left == SnapshotState::Absorbed as i64 {
            write.audit(&Entry {
                event: "import.absorbed",
                subject: None,
                cause: &accepted.cause,
                payload: json!({
                    "import": usher_lifecycle::ids::SnapshotId::new(accepted.public_id),
                    "source": accepted.source_name,
                }),
            });
        }
        Ok(())
    }
}

async fn oldest(connection: &mut Tx<'_>) -> Result<Option<(Accepted, Context)>, StoreError> {
    let row = query(OLDEST)
        .fetch_optional(connection)
        .await
        .map_err(failed(DOING))?;
    let Some(row) = row else { return Ok(None) };
    let cells = Cells::new(&row, "snapshot.id")?;
    let source_name = cells.name("source.name")?;
    let origin: String = cells.get("snapshot.origin")?;
    let accepted = Accepted {
        number: cells.get("snapshot.id")?,
        source: cells.get("snapshot.source")?,
        changed_by: format!("import {}", cells.get::<i64>("snapshot.id")?),
        public_id: cells.uuid("snapshot.public_id")?,
        cause: json_of(DOING, &Cause::new(format!("{source_name}: import of {origin}")))?,
        at_us: cells.get("snapshot.at_us")?,
        source_name: source_name.clone(),
    };
    let context = Context {
        actor: Actor::Source(source_name),
        at: cells.time("snapshot.at_us")?,
    };
    Ok(Some((accepted, context)))
}

async fn execute(write: &mut Write<'_>, sql: &'static str, rows: String) -> Result<(), StoreError> {
    query(sql)
        .bind(rows)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    Ok(())
}

async fn number(connection: &mut Tx<'_>, sql: &'static str) -> Result<i64, StoreError> {
    let row = query(sql).fetch_one(connection).await.map_err(failed(DOING))?;
    row.at(0).map_err(failed(DOING))
}
