//! Reconciles up to their acceptance: begun, staged, accepted, refused. What happens then is in `reconcile_effect`.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;
use usher_lifecycle::account::{Entitlements, ObservedAccount};
use usher_lifecycle::name::TargetName;

use super::SqlStore;
use super::cells::{Cells, failed, json_of, micros};
use super::db::{Row, Tx, query};
use super::identities::people;
use super::plan_queue::INSERT_TARGETS;
use super::snapshots::refuse_while_unabsorbed;
use super::write::{Entry, NO_CAUSE, Raised};
use crate::{
    AccountRef, Context, IdentityRef, Known, KnownKind, KnownPerson, ReconcileRef, ReconcileRow,
    ReconcileState, Reconciles, Sighting, StagedAccount, StoreError, Unlisted,
};

/// Rows of an unfinished reconcile deleted in one transaction: about 20 ms.
const DISCARD_ROWS_MAX: i64 = 5_000;
/// Reconciles remembered of a target; what they changed is in the audit.
const KEPT_MAX: i64 = 50;

const NUMBER: &str = "SELECT id FROM target WHERE name = $1";

/// Unfinished, refused and done ones have nothing to take effect any more.
const LEFT_OVER: [&str; 2] = [
    "DELETE FROM reconcile_change WHERE (reconcile, external_id, change) IN (
        SELECT c.reconcile, c.external_id, c.change FROM reconcile r JOIN reconcile_change c ON c.reconcile = r.id
        WHERE r.target = $1 AND r.state <> 1 LIMIT $2)",
    "DELETE FROM reconcile_holding WHERE (reconcile, external_id, entitlement) IN (
        SELECT h.reconcile, h.external_id, h.entitlement FROM reconcile r JOIN reconcile_holding h ON h.reconcile = r.id
        WHERE r.target = $1 AND r.state <> 1 LIMIT $2)",
];

const ABANDON: &str = "
    UPDATE reconcile SET state = 3, reason = 'never finished; thrown away when the next reconcile of this target began'
    WHERE target = $1 AND state = 0";

const FORGET_OLD: &str = "
    DELETE FROM reconcile WHERE target = $1 AND state IN (2, 3) AND id < (
        SELECT min(id) FROM (SELECT id FROM reconcile WHERE target = $1 ORDER BY id DESC LIMIT $2) AS kept)
      AND id <> (SELECT coalesce(max(d.id), 0) FROM reconcile d WHERE d.target = $1 AND d.state = 2)";

const INSERT: &str = "
    INSERT INTO reconcile (target, state, actor, began_us, at_us) VALUES ($1, 0, $2, $3, $3) RETURNING id";

const ROW: &str = r#"
    SELECT r.id AS "reconcile.id", t.name AS "target.name", r.state AS "reconcile.state", r.began_us AS "reconcile.began_us",
           r.at_us AS "reconcile.at_us", r.listed AS "reconcile.listed", r.updated AS "reconcile.updated", r.drifted AS "reconcile.drifted",
           r.missing AS "reconcile.missing", r.linked AS "reconcile.linked", r.put_off AS "reconcile.put_off",
           r.reason AS "reconcile.reason"
    FROM reconcile r JOIN target t ON t.id = r.target"#;

#[async_trait]
impl Reconciles for SqlStore {
    async fn known_people(
        &self,
        after: Option<IdentityRef>,
        limit: u32,
    ) -> Result<Vec<KnownPerson>, StoreError> {
        let mut tx = self.read("reading whose accounts may be").await?;
        refuse_while_unabsorbed(&mut tx).await?;
        people(&mut tx, after, limit).await
    }

    async fn begin_reconcile(
        &self,
        target: &TargetName,
        context: &Context,
    ) -> Result<ReconcileRef, StoreError> {
        let doing = "beginning a reconcile";
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        query(INSERT_TARGETS)
            .bind(json_of(doing, &[[target.as_str()]])?)
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        let number = target_number(&mut write.tx, target).await?;
        let accepted = query("SELECT 1 FROM reconcile WHERE target = $1 AND state = 1 LIMIT 1")
            .bind(number)
            .fetch_optional(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        if accepted.is_some() {
            return Err(StoreError::Stale(format!(
                "an accepted reconcile of {target} has not taken effect yet"
            )));
        }
        // From here on an earlier one that still lists can stage nothing.
        query(ABANDON)
            .bind(number)
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        write.commit(Raised::default()).await?;
        for sql in LEFT_OVER {
            loop {
                let mut tx = writer.plain(doing).await?;
                let deleted = query(sql)
                    .bind(number)
                    .bind(DISCARD_ROWS_MAX)
                    .execute(&mut tx)
                    .await
                    .map_err(failed(doing))?;
                tx.commit().await.map_err(failed(doing))?;
                if deleted == 0 {
                    break;
                }
            }
        }
        let mut write = writer.begin(doing, context).await?;
        query(FORGET_OLD)
            .bind(number)
            .bind(KEPT_MAX)
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        let row = query(INSERT)
            .bind(number)
            .bind(json_of(doing, &context.actor)?)
            .bind(micros(context.at))
            .fetch_one(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        let id: i64 = row.at(0).map_err(failed(doing))?;
        write.audit(&Entry {
            event: "reconcile.started",
            subject: None,
            cause: NO_CAUSE,
            payload: json!({ "reconcile": id, "target": target }),
        });
        write.commit(Raised::default()).await?;
        Ok(ReconcileRef(id))
    }

    async fn stage_holdings(
        &self,
        reconcile: ReconcileRef,
        holdings: &[(String, String, serde_json::Value)],
    ) -> Result<(), StoreError> {
        self.keep_holdings(reconcile, holdings).await
    }

    async fn staged_holdings(
        &self,
        reconcile: ReconcileRef,
        accounts: &[String],
    ) -> Result<HashMap<String, Entitlements>, StoreError> {
        self.kept_holdings(reconcile, accounts).await
    }

    async fn known_accounts(
        &self,
        target: &TargetName,
        listed: &[Sighting],
        before: Timestamp,
    ) -> Result<Vec<Known>, StoreError> {
        self.read_known(target, listed, before).await
    }

    async fn accounts_in_full(
        &self,
        accounts: &[AccountRef],
    ) -> Result<HashMap<AccountRef, ObservedAccount>, StoreError> {
        self.read_in_full(accounts).await
    }

    async fn stage_accounts(
        &self,
        reconcile: ReconcileRef,
        again: &[String],
        changes: &[StagedAccount],
    ) -> Result<(), StoreError> {
        self.keep_changes(reconcile, again, changes).await
    }

    async fn known_count(
        &self,
        target: &TargetName,
        kind: KnownKind,
        before: Timestamp,
    ) -> Result<u64, StoreError> {
        self.count_known(target, kind, before).await
    }

    async fn known_page(
        &self,
        target: &TargetName,
        kind: KnownKind,
        before: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Unlisted>, StoreError> {
        self.page_known(target, kind, before, after, limit).await
    }

    async fn accept_reconcile(
        &self,
        reconcile: ReconcileRef,
        listed: u64,
        link: bool,
        context: &Context,
    ) -> Result<(), StoreError> {
        let ended = Ended {
            state: ReconcileState::Accepted,
            event: "reconcile.accepted",
            listed,
            link,
            reason: None,
        };
        self.end_listing(reconcile, &ended, context).await
    }

    async fn refuse_reconcile(
        &self,
        reconcile: ReconcileRef,
        listed: u64,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError> {
        let ended = Ended {
            state: ReconcileState::Refused,
            event: "reconcile.refused",
            listed,
            link: false,
            reason: Some(reason),
        };
        self.end_listing(reconcile, &ended, context).await
    }

    async fn take_effect(&self, limit: u32, context: &Context) -> Result<bool, StoreError> {
        match self.effect_once(limit, context).await {
            // Others were at the same rows; the next look sees what they did.
            Err(StoreError::Contended(_)) => self.effect_once(limit, context).await,
            result => result,
        }
    }

    async fn reconcile(&self, number: ReconcileRef) -> Result<ReconcileRow, StoreError> {
        let doing = "reading a reconcile";
        let sql = super::db::composed(format!("{ROW} WHERE r.id = $1"));
        let row = sql
            .bind(number.0)
            .fetch_optional(&mut self.read(doing).await?)
            .await
            .map_err(failed(doing))?
            .ok_or_else(|| StoreError::NotFound("there is no such reconcile".to_owned()))?;
        reconcile_row(&row)
    }

    async fn reconciles(&self) -> Result<Vec<ReconcileRow>, StoreError> {
        let doing = "reading the newest reconciles";
        let sql = super::db::composed(format!(
            "{ROW} WHERE r.id IN (SELECT max(n.id) FROM reconcile n GROUP BY n.target)
                OR r.id IN (SELECT max(d.id) FROM reconcile d WHERE d.state = 2 GROUP BY d.target)
             ORDER BY t.name, r.id DESC"
        ));
        let rows = sql
            .fetch_all(&mut self.read(doing).await?)
            .await
            .map_err(failed(doing))?;
        rows.iter().map(reconcile_row).collect()
    }
}

/// How the listing ended.
struct Ended<'a> {
    state: ReconcileState,
    event: &'static str,
    listed: u64,
    link: bool,
    reason: Option<&'a str>,
}

impl SqlStore {
    async fn end_listing(
        &self,
        reconcile: ReconcileRef,
        ended: &Ended<'_>,
        context: &Context,
    ) -> Result<(), StoreError> {
        let doing = "accepting a reconcile";
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        let row = query(
            r#"UPDATE reconcile SET state = $2, at_us = $3, listed = $4, links = $5, reason = $6 WHERE id = $1 AND state = 0
               RETURNING (SELECT t.name FROM target t WHERE t.id = reconcile.target)"#,
        )
        .bind(reconcile.0)
        .bind(ended.state as i64)
        .bind(micros(context.at))
        .bind(i64::try_from(ended.listed).unwrap_or(i64::MAX))
        .bind(i64::from(ended.link))
        .bind(ended.reason)
        .fetch_optional(&mut write.tx)
        .await
        .map_err(failed(doing))?
        .ok_or_else(overtaken)?;
        let target: String = row.at(0).map_err(failed(doing))?;
        let mut payload = json!({ "reconcile": reconcile, "target": target, "listed": ended.listed });
        if let Some(reason) = ended.reason {
            payload["reason"] = json!(reason);
        }
        write.audit(&Entry {
            event: ended.event,
            subject: None,
            cause: NO_CAUSE,
            payload,
        });
        write.commit(Raised::default()).await
    }
}

pub(super) async fn target_number(tx: &mut Tx<'_>, target: &TargetName) -> Result<i64, StoreError> {
    let doing = "reading a target";
    let row = query(NUMBER)
        .bind(target.as_str())
        .fetch_optional(tx)
        .await
        .map_err(failed(doing))?
        .ok_or_else(|| StoreError::NotFound(format!("nothing is known of a target `{target}`")))?;
    row.at(0).map_err(failed(doing))
}

pub(super) fn overtaken() -> StoreError {
    StoreError::Stale("another reconcile of this target began meanwhile".to_owned())
}

fn reconcile_row(row: &Row) -> Result<ReconcileRow, StoreError> {
    let cells = Cells::new(row, "reconcile.id")?;
    let state: i64 = cells.get("reconcile.state")?;
    Ok(ReconcileRow {
        number: ReconcileRef(cells.get("reconcile.id")?),
        target: cells.name("target.name")?,
        state: ReconcileState::ALL
            .into_iter()
            .find(|known| *known as i64 == state)
            .ok_or_else(|| cells.corrupt("reconcile.state", format!("there is no state {state}")))?,
        began_at: cells.time("reconcile.began_us")?,
        at: cells.time("reconcile.at_us")?,
        listed: cells.count("reconcile.listed")?,
        updated: cells.count("reconcile.updated")?,
        drifted: cells.count("reconcile.drifted")?,
        missing: cells.count("reconcile.missing")?,
        linked: cells.count("reconcile.linked")?,
        put_off: cells.count("reconcile.put_off")?,
        reason: cells.get("reconcile.reason")?,
    })
}
