//! An accepted reconcile takes effect, a bounded number of accounts at a time: first what was staged, then what the rules link.

use serde_json::json;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::name::TargetName;

use super::SqlStore;
use super::cells::{Cells, failed, json_of, micros};
use super::db::{Row, query};
use super::linking::{Linking, link, to_link};
use super::operations::lock_owners;
use super::reconcile_changes::Changes;
use super::write::{Entry, NO_CAUSE, Raised, Write};
use crate::{Context, ReconcileState, StoreError};

/// Most accounts in one transaction, whatever the caller asks: about 20 ms.
const ACCOUNTS_MAX: u32 = 500;

pub(super) const DOING: &str = "letting a reconcile take effect";

const OLDEST: &str = r#"
    SELECT r.id AS "reconcile.id", r.target AS "reconcile.target", r.links AS "reconcile.links", r.actor AS "reconcile.actor",
           r.began_us AS "reconcile.began_us", t.name AS "target.name"
    FROM reconcile r JOIN target t ON t.id = r.target WHERE r.state = 1 ORDER BY r.id LIMIT 1"#;

/// One writer at a time. Held until the end of the transaction.
const ONE_AT_A_TIME: &str = "SELECT 1 FROM reconcile WHERE id = CAST($1 AS BIGINT) FOR UPDATE";

const OWNERS: &str = "
    SELECT i.id FROM identity i WHERE i.id IN (
        SELECT a.identity FROM account a WHERE a.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)))
    ORDER BY i.id FOR NO KEY UPDATE";

const CHUNK_ACCOUNTS: &str = "
    SELECT c.account FROM (SELECT account, external_id, change FROM reconcile_change WHERE reconcile = $1
                           ORDER BY external_id, change LIMIT $2) AS c WHERE c.account IS NOT NULL ORDER BY c.account";

/// Worked on: claimed, its outcome not known, or observed by somebody else since the listing began; or its id is another's meanwhile.
const CHUNK: &str = r#"
    SELECT c.external_id AS "reconcile_change.external_id", c.change AS "reconcile_change.change", c.state AS "reconcile_change.state",
           c.attributes AS "reconcile_change.attributes", c.entitlements AS "reconcile_change.entitlements",
           c.version AS "reconcile_change.version", c.drift AS "reconcile_change.drift", c.plan_again AS "reconcile_change.plan_again",
           c.candidates AS "reconcile_change.candidates", c.one_identity AS "reconcile_change.one_identity",
           c.one_kind AS "reconcile_change.one_kind", c.one_facts AS "reconcile_change.one_facts",
           a.id AS "account.id", a.kind AS "account.kind", a.external_id AS "account.external_id", t.name AS "target.name",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key",
           CAST(CASE WHEN a.observed_us > $3
                  OR EXISTS (SELECT 1 FROM operation o WHERE o.account = a.id AND o.state < 4 AND (o.state = 2 OR o.settle = 1))
                  OR EXISTS (SELECT 1 FROM account b WHERE b.target = a.target AND b.external_id = a.external_id
                             AND b.external_id IS NOT NULL AND b.state <> 0 AND b.id <> a.id)
                THEN 1 ELSE 0 END AS BIGINT) AS "account.busy",
           CAST(CASE WHEN EXISTS (SELECT 1 FROM account b WHERE b.target = $4 AND b.external_id = c.external_id
                             AND b.external_id IS NOT NULL AND b.state <> 0) THEN 1 ELSE 0 END AS BIGINT) AS "account.owned"
    FROM (SELECT * FROM reconcile_change WHERE reconcile = $1 ORDER BY external_id, change LIMIT $2) AS c
    LEFT JOIN account a ON a.id = c.account LEFT JOIN target t ON t.id = a.target LEFT JOIN identity i ON i.id = a.identity
    ORDER BY c.external_id, c.change"#;

const COUNT: &str = "
    UPDATE reconcile SET updated = updated + $2, drifted = drifted + $3, missing = missing + $4, put_off = put_off + $5, linked = linked + $6,
        state = $7, at_us = $8 WHERE id = $1";

const LEFT_HOLDINGS: &str = "
    DELETE FROM reconcile_holding WHERE (reconcile, external_id, entitlement) IN (
        SELECT h.reconcile, h.external_id, h.entitlement FROM reconcile_holding h WHERE h.reconcile = $1 LIMIT 5000)";

/// The reconcile that takes effect.
pub(super) struct Accepted {
    pub(super) number: i64,
    pub(super) target: i64,
    pub(super) target_name: TargetName,
    pub(super) links: bool,
    pub(super) actor: Actor,
    pub(super) began_us: i64,
}

impl SqlStore {
    pub(super) async fn effect_once(&self, limit: u32, context: &Context) -> Result<bool, StoreError> {
        // A look first: mostly there is nothing to do.
        let row = query(OLDEST).fetch_optional(&mut self.read(DOING).await?).await;
        let Some(accepted) = row.map_err(failed(DOING))?.as_ref().map(accepted).transpose()? else {
            return Ok(false);
        };
        let limit = limit.clamp(1, ACCOUNTS_MAX);
        let context = Context {
            actor: accepted.actor.clone(),
            at: context.at,
        };
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, &context).await?;
        let number = accepted.number.to_string();
        lock_owners(&mut write.tx, DOING, ONE_AT_A_TIME, Some(&number)).await?;
        let row = query("SELECT 1 FROM reconcile WHERE id = $1 AND state = 1")
            .bind(accepted.number)
            .fetch_optional(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        if row.is_none() {
            // Somebody else has finished it.
            return Ok(true);
        }
        let mut changes = self.staged_chunk(&mut write, &accepted, limit).await?;
        let staged_left = changes.rows == limit as usize;
        // What was found is on record before the rules link it.
        let updated = changes.write(&mut write, &accepted, &context).await?;
        let mut finished = !staged_left;
        if !staged_left && accepted.links {
            let rows = to_link(&mut write, accepted.target, limit).await?;
            finished = rows.len() < limit as usize;
            changes.linked = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            let linking = Linking {
                target: accepted.target,
                rows,
                reason: None,
                at: context.at,
                changed_by: format!("reconcile {}", accepted.number),
            };
            link(&mut write, &linking).await?;
        }
        let changed = updated || changes.linked > 0;
        self.count(&mut write, &accepted, &changes, finished, &context)
            .await?;
        write
            .commit(Raised {
                facts: changes.linked > 0,
                observed: changed,
            })
            .await?;
        if changed {
            self.place.wake();
        }
        Ok(true)
    }

    async fn staged_chunk(
        &self,
        write: &mut Write<'_>,
        accepted: &Accepted,
        limit: u32,
    ) -> Result<Changes, StoreError> {
        let rows = query(CHUNK_ACCOUNTS)
            .bind(accepted.number)
            .bind(limit)
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        let owned = json_of(DOING, &super::cells::numbers(&rows)?)?;
        lock_owners(&mut write.tx, DOING, OWNERS, Some(&owned)).await?;
        let rows = query(CHUNK)
            .bind(accepted.number)
            .bind(limit)
            .bind(accepted.began_us)
            .bind(accepted.target)
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        let mut changes = Changes {
            rows: rows.len(),
            ..Changes::default()
        };
        for row in &rows {
            changes.take(row, accepted, write)?;
        }
        Ok(changes)
    }

    async fn count(
        &self,
        write: &mut Write<'_>,
        accepted: &Accepted,
        changes: &Changes,
        finished: bool,
        context: &Context,
    ) -> Result<(), StoreError> {
        let holdings = if finished {
            query(LEFT_HOLDINGS)
                .bind(accepted.number)
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?
        } else {
            1
        };
        // What was held is thrown away in chunks, too; the last of them ends it.
        let state = if finished && holdings == 0 {
            ReconcileState::Done
        } else {
            ReconcileState::Accepted
        };
        let count = |many: usize| i64::try_from(many).unwrap_or(i64::MAX);
        query(COUNT)
            .bind(accepted.number)
            .bind(count(changes.updates.len()))
            .bind(changes.drifted)
            .bind(count(changes.missing.len()))
            .bind(changes.put_off)
            .bind(changes.linked)
            .bind(state as i64)
            .bind(micros(context.at))
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        if state == ReconcileState::Done {
            write.audit(&Entry {
                event: "reconcile.done",
                subject: None,
                cause: NO_CAUSE,
                payload: json!({ "reconcile": accepted.number, "target": accepted.target_name }),
            });
        }
        Ok(())
    }
}

fn accepted(row: &Row) -> Result<Accepted, StoreError> {
    let cells = Cells::new(row, "reconcile.id")?;
    Ok(Accepted {
        number: cells.get("reconcile.id")?,
        target: cells.get("reconcile.target")?,
        target_name: cells.name("target.name")?,
        links: cells.flag("reconcile.links")?,
        actor: cells.json("reconcile.actor")?,
        began_us: cells.get("reconcile.began_us")?,
    })
}
