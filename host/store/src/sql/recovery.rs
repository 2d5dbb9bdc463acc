//! Recovery: what writers that are gone have left under way is taken over, to be read back first.

use std::collections::BTreeSet;

use serde_json::json;
use usher_lifecycle::ids::OperationId;

use super::SqlStore;
use super::cells::{Cells, failed, json_of, micros, numbers};
use super::db::query;
use super::operations::{lock_owners, slot, subject};
use super::write::{Entry, Raised, close_writers};
use crate::{Context, Replicas, StoreError};

pub(crate) const LOST: &str = r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", o.cause AS "operation.cause",
           o.verb AS "operation.work", o.attempts AS "operation.attempts", a.kind AS "account.kind",
           t.name AS "target.name", i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key"
    FROM operation o JOIN account a ON a.id = o.account JOIN target t ON t.id = a.target JOIN identity i ON i.id = a.identity
    WHERE o.state < 4 AND o.state = 2 AND EXISTS (SELECT 1 FROM writer w WHERE w.id = o.writer AND w.closed_us IS NOT NULL)
    ORDER BY o.id"#;

/// Asked on PostgreSQL alone: a SQLite folder has no other writers. A writer that holds its row is in the middle of a commit, so it is not gone.
const LOST_WRITERS: &str = "
    SELECT id FROM writer
    WHERE closed_us IS NULL AND id <> $1
      AND seen_us < CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) - lease_us
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED";

pub(crate) const LOST_OWNERS: &str = "
    SELECT i.id FROM identity i WHERE i.id IN (
        SELECT a.identity FROM operation o JOIN account a ON a.id = o.account JOIN writer w ON w.id = o.writer
        WHERE o.state < 4 AND o.state = 2 AND w.closed_us IS NOT NULL)
    ORDER BY i.id FOR NO KEY UPDATE";

/// Only what is still claimed by a writer that is gone: another host may have been here first.
const RECOVER: &str = "
    UPDATE operation SET state = 1, settle = 1, unknown_since_us = coalesce(unknown_since_us, claimed_us), due_us = CASE WHEN due_us < $2 THEN due_us ELSE $2 END
    WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) AND state = 2
      AND EXISTS (SELECT 1 FROM writer w WHERE w.id = operation.writer AND w.closed_us IS NOT NULL)
    RETURNING id";

/// A plan made before saw them under way. Who was to be planned again when they ended is due now: nothing else may ever end them, where
/// their target runs nothing by itself.
const REPLAN: &str = "
    UPDATE identity SET dirty = CASE WHEN replan = 1 THEN 1 ELSE dirty END, replan = 0, facts_version = facts_version + 1
    WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

impl SqlStore {
    /// Makes every operation ready again whose writer is gone. Returns how many.
    pub(super) async fn take_over(&self, context: &Context) -> Result<u64, StoreError> {
        let doing = "recovering operations";
        self.close_lost_writers(context).await?;
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        lock_owners(&mut write.tx, doing, LOST_OWNERS, None).await?;
        let rows = query(LOST)
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        if rows.is_empty() {
            return Ok(0);
        }
        let recovered = query(RECOVER)
            .bind(json_of(doing, &numbers(&rows)?)?)
            .bind(micros(context.at))
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        let recovered: BTreeSet<i64> = numbers(&recovered)?.into_iter().collect();
        if recovered.is_empty() {
            return Ok(0);
        }
        let mut owners = BTreeSet::new();
        for row in &rows {
            let cells = Cells::new(row, "operation.id")?;
            if !recovered.contains(&cells.get("operation.id")?) {
                continue;
            }
            owners.insert(cells.get::<i64>("identity.id")?);
            let operation = OperationId::new(cells.uuid("operation.public_id")?);
            write.audit(&Entry {
                event: "operation.recovered",
                subject: Some(subject(&cells)?),
                cause: cells.get("operation.cause")?,
                payload: json!({
                    "operation": operation,
                    "account": slot(&cells)?.to_string(),
                    "work": cells.get::<String>("operation.work")?,
                    "attempt": cells.get::<i64>("operation.attempts")?,
                    "message": "the process ended during the attempt; its outcome is read back",
                }),
            });
        }
        query(REPLAN)
            .bind(json_of(doing, &owners)?)
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        write
            .commit(Raised {
                facts: false,
                observed: true,
            })
            .await?;
        self.place.wake();
        Ok(recovered.len() as u64)
    }

    /// Closes writers whose lease is over, in a transaction of its own: a writer caught in the middle of one then fails, and lets go of what
    /// it holds.
    async fn close_lost_writers(&self, context: &Context) -> Result<(), StoreError> {
        if self.lease().is_none() {
            return Ok(());
        }
        let doing = "closing writers that are gone";
        let mut writer = self.writer.lock().await;
        let own = writer.id;
        let mut tx = writer.plain(doing).await?;
        let rows = query(LOST_WRITERS)
            .bind(own)
            .fetch_all(&mut tx)
            .await
            .map_err(failed(doing))?;
        if rows.is_empty() {
            return Ok(());
        }
        close_writers(&mut tx, &numbers(&rows)?, context.at).await?;
        tx.commit().await.map_err(failed(doing))
    }
}
