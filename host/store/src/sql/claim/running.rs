//! Urgent claims, due times of some targets, the end of rests, and claims whose answer was lost.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::operation::Priority;

use crate::sql::SqlStore;
use crate::sql::cells::{Cells, failed, json_of, micros};
use crate::sql::db::query;
use crate::sql::write::{Entry, NO_CAUSE, Raised};
use crate::{Claim, Context, Recorded, Running, StoreError, TargetClaim};

/// Each target and priority is one bounded look into the index.
const NEXT_DUE_OF: &str = "
    SELECT min(due) FROM (
        SELECT (SELECT o.due_us FROM operation o
                WHERE o.state = 1 AND o.target = t.id AND o.priority = CAST(p.value AS BIGINT) AND o.due_us > $2
                ORDER BY o.due_us LIMIT 1) AS due
        FROM target t CROSS JOIN json_each(CAST('[0,1,2,3,4]' AS TEXT)) AS p
        WHERE t.name IN (SELECT value ->> 0 FROM json_each($1))) AS q";

const RESTING: &str = r#"
    SELECT t.id AS "target.id", t.name AS "target.name", t.paused_until_us AS "target.paused_until_us"
    FROM target t
    WHERE t.paused_until_us > $2 AND ($3 = 1 OR t.name IN (SELECT value ->> 0 FROM json_each($1))) ORDER BY t.name"#;

/// What was put off until the end of the rest is due now; what waits for longer has its own reason.
const DUE_NOW: &str = "
    UPDATE operation SET due_us = $2
    WHERE state = 1 AND target = $1 AND due_us > $2 AND due_us <= $3";

const STRAYS: &str = "
    UPDATE operation SET state = 1, attempts = attempts - 1, claimed_us = NULL
    WHERE state < 4 AND state = 2 AND writer = $1 AND id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each($2))";

#[async_trait]
impl Running for SqlStore {
    async fn claim_more_urgent(
        &self,
        claim: &TargetClaim,
        than: Priority,
        context: &Context,
    ) -> Result<Recorded, StoreError> {
        let wanted = Claim {
            targets: vec![claim.clone()],
            ..Claim::default()
        };
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin("claiming urgent operations", context).await?;
        let claimed = super::claim_before(&mut write, &wanted, than as i64, context.at).await?;
        let done = Recorded {
            claimed: claimed.operations,
            fenced: Vec::new(),
            resting: claimed.resting,
            frozen: claimed.frozen,
        };
        if !done.claimed.is_empty() {
            write.commit(Raised::default()).await?;
        }
        Ok(done)
    }

    async fn next_due_of(
        &self,
        targets: &[TargetName],
        after: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let doing = "reading when the next operation is due";
        let row = query(NEXT_DUE_OF)
            .bind(names(doing, targets)?)
            .bind(micros(after))
            .fetch_one(&mut self.read(doing).await?)
            .await
            .map_err(failed(doing))?;
        super::super::operations::due_moment(&row, doing)
    }

    async fn end_rests(&self, targets: &[TargetName], context: &Context) -> Result<u64, StoreError> {
        let doing = "ending the rest of targets";
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        let rows = query(RESTING)
            .bind(names(doing, targets)?)
            .bind(micros(context.at))
            .bind(i64::from(targets.is_empty()))
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        for row in &rows {
            let cells = Cells::new(row, "target.id")?;
            let target: i64 = cells.get("target.id")?;
            let until: i64 = cells.get("target.paused_until_us")?;
            query("UPDATE target SET paused_until_us = NULL, pause_reason = NULL WHERE id = $1")
                .bind(target)
                .execute(&mut write.tx)
                .await
                .map_err(failed(doing))?;
            query(DUE_NOW)
                .bind(target)
                .bind(micros(context.at))
                .bind(until)
                .execute(&mut write.tx)
                .await
                .map_err(failed(doing))?;
            write.audit(&Entry {
                event: "target.rest-ended",
                subject: None,
                cause: NO_CAUSE,
                payload: json!({ "target": cells.get::<String>("target.name")? }),
            });
        }
        if rows.is_empty() {
            return Ok(0);
        }
        write.commit(Raised::default()).await?;
        self.place.wake();
        Ok(rows.len() as u64)
    }

    async fn release_strays(&self, held: &[i64]) -> Result<u64, StoreError> {
        let doing = "releasing claims whose answer was lost";
        let mut writer = self.writer.lock().await;
        let own = writer.id;
        let mut tx = writer.plain(doing).await?;
        let released = query(STRAYS)
            .bind(own)
            .bind(json_of(doing, held)?)
            .execute(&mut tx)
            .await
            .map_err(failed(doing))?;
        tx.commit().await.map_err(failed(doing))?;
        Ok(released)
    }
}

fn names(doing: &'static str, targets: &[TargetName]) -> Result<String, StoreError> {
    let names: Vec<[&str; 1]> = targets.iter().map(|target| [target.as_str()]).collect();
    json_of(doing, &names)
}
