//! What a security hold asks of the queue: what is in its way is marked for the host that has it in hand, and who still has access is found.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;
use usher_lifecycle::ids::IdentityId;
use uuid::Uuid;

use super::SqlStore;
use super::cells::{Cells, failed, hex, json_of, micros, numbers};
use super::db::query;
use super::identities::load;
use super::operations::due_moment;
use super::planning::{Current, DOING};
use super::snapshots::refuse_while_unabsorbed;
use super::write::{Entry, Write};
use crate::{Cut, IdentityRow, InTheWay, Planned, Replicas as _, Stopping, StoreError};

/// Most identities handed out for planning at once.
const DUE_MAX: u32 = 256;
/// Most identities listed.
const LISTED_MAX: u32 = 1_000;

/// An attempt gets its moment once. A creation whose outcome is not known is not under way and stands first all the same: it becomes as
/// urgent as what waits for it. Other work is superseded as soon as it is free.
pub(crate) const HASTEN: &str = r#"
    UPDATE operation
    SET cut_us = CASE WHEN state = 2 THEN coalesce(cut_us, j.until) ELSE cut_us END,
        due_us = CASE WHEN state = 1 AND due_us > $2 THEN $2 ELSE due_us END,
        priority = CASE WHEN verb = 'create' AND (settle = 1 OR state = 2) THEN 0 ELSE priority END
    FROM (SELECT unhex(value ->> 0) AS public_id, CAST(value ->> 1 AS BIGINT) AS until FROM json_each($1)) AS j
    WHERE operation.public_id = j.public_id
      AND ((state = 2 AND cut_us IS NULL) OR (verb = 'create' AND priority > 0 AND (state = 2 OR (state = 1 AND settle = 1))))
    RETURNING operation.id AS "operation.id", operation.public_id AS "operation.public_id""#;

pub(crate) const CUTS: &str = r#"
    SELECT o.id AS "operation.id", o.attempts AS "operation.attempts", o.cut_us AS "operation.cut_us" FROM operation o
    WHERE o.state = 2 AND o.cut_us IS NOT NULL AND o.writer = $1 ORDER BY o.id"#;

/// Each target is one bounded look into the index.
pub(crate) const NEXT_URGENT_DUE: &str = "
    SELECT min(due) FROM (
        SELECT (SELECT o.due_us FROM operation o
                WHERE o.state = 1 AND o.target = t.id AND o.priority = 0 AND o.due_us > $1 ORDER BY o.due_us LIMIT 1) AS due
        FROM target t) AS q";

pub(crate) const NOT_STOPPED: &str = r#"
    SELECT DISTINCT i.id AS "identity.id", i.public_id AS "identity.public_id"
    FROM personal_fact f JOIN identity i ON i.id = f.identity JOIN account a ON a.identity = f.identity
    WHERE f.kind = 1 AND f.ended_us IS NULL AND f.from_us <= $1 AND (f.until_us IS NULL OR f.until_us > $1)
      AND (a.state IN (1, 3) OR EXISTS (
          SELECT 1 FROM operation o WHERE o.account = a.id AND o.state < 4
            AND (o.verb = 'read' OR (o.verb IN ('create', 'enable') AND (o.state = 2 OR o.settle = 1)))))
    ORDER BY i.id LIMIT $2"#;

pub(crate) const DUE_AT_ONCE: &str =
    "SELECT id FROM identity WHERE urgent = 1 AND dirty = 1 ORDER BY id LIMIT $1";

#[async_trait]
impl Stopping for SqlStore {
    async fn due_at_once(&self, now: Timestamp, limit: u32) -> Result<Vec<IdentityRow>, StoreError> {
        let doing = "reading whom a security hold makes due";
        let mut tx = self.read(doing).await?;
        let rows = query(DUE_AT_ONCE)
            .bind(limit.min(DUE_MAX))
            .fetch_all(&mut tx)
            .await
            .map_err(failed(doing))?;
        let numbers = numbers(&rows)?;
        load(&mut tx, &self.keys, &numbers, Some(now)).await
    }

    async fn is_absorbing(&self) -> Result<bool, StoreError> {
        let mut tx = self.read("looking for accepted snapshots").await?;
        match refuse_while_unabsorbed(&mut tx).await {
            Ok(()) => Ok(false),
            Err(StoreError::Stale(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn cuts(&self) -> Result<Vec<Cut>, StoreError> {
        let doing = "reading what a security hold waits for";
        let own = self.membership().own;
        let rows = query(CUTS)
            .bind(own)
            .fetch_all(&mut self.read(doing).await?)
            .await
            .map_err(failed(doing))?;
        rows.iter()
            .map(|row| {
                let cells = Cells::new(row, "operation.id")?;
                Ok(Cut {
                    number: cells.get("operation.id")?,
                    attempt: cells.count("operation.attempts")?,
                    at: cells.time("operation.cut_us")?,
                })
            })
            .collect()
    }

    async fn next_urgent_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let doing = "reading when the next operation of a security hold is due";
        let row = query(NEXT_URGENT_DUE)
            .bind(micros(after))
            .fetch_one(&mut self.read(doing).await?)
            .await
            .map_err(failed(doing))?;
        due_moment(&row, doing)
    }

    async fn not_stopped(&self, now: Timestamp, limit: u32) -> Result<Vec<IdentityId>, StoreError> {
        let doing = "reading who still has access under a security hold";
        let rows = query(NOT_STOPPED)
            .bind(micros(now))
            .bind(limit.min(LISTED_MAX))
            .fetch_all(&mut self.read(doing).await?)
            .await
            .map_err(failed(doing))?;
        rows.iter()
            .map(|row| {
                let cells = Cells::new(row, "identity.id")?;
                Ok(IdentityId::new(cells.uuid("identity.public_id")?))
            })
            .collect()
    }
}

/// Marks what is in the way of security holds. Returns whether anything was marked that was not before.
pub(super) async fn hasten(
    write: &mut Write<'_>,
    planned: &[&Planned],
    current: &HashMap<i64, Current>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let all = planned.iter().flat_map(|one| {
        one.in_the_way
            .iter()
            .map(|found| (found.operation.uuid(), (*one, found)))
    });
    let all: HashMap<Uuid, (&Planned, &InTheWay)> = all.collect();
    let rows: Vec<(String, i64)> = all
        .iter()
        .map(|(id, (_, found))| (hex(id.as_bytes()), micros(found.until)))
        .collect();
    if rows.is_empty() {
        return Ok(false);
    }
    let marked = query(HASTEN)
        .bind(json_of(DOING, &rows)?)
        .bind(micros(now))
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    for row in &marked {
        let id = Cells::new(row, "operation.id")?.uuid("operation.public_id")?;
        let Some((one, found)) = all.get(&id) else {
            continue;
        };
        write.audit(&Entry {
            event: "operation.hastened",
            subject: current.get(&one.reference.0).map(|current| current.subject),
            cause: &json_of(DOING, &one.state_cause)?,
            payload: json!({
                "operation": found.operation,
                "until": found.until,
                "message": "a security hold waits for it no longer than that",
            }),
        });
    }
    Ok(!marked.is_empty())
}
