//! Staging a reconcile: what it lists is kept until it is accepted.

use std::collections::{BTreeMap, HashMap};

use usher_lifecycle::account::Entitlements;

use super::SqlStore;
use super::cells::{Cells, account_state_code, failed, json_of};
use super::db::{Tx, query};
use super::reconcile_known::{candidates_text, one_of};
use super::reconciles::overtaken;
use crate::{AccountChange, ReconcileRef, StagedAccount, StoreError};

const DOING: &str = "staging a reconcile";

/// Rows staged in one transaction: about 20 ms.
const STAGE_ROWS_MAX: usize = 2_000;

const INSERT_HOLDINGS: &str = "
    INSERT INTO reconcile_holding (reconcile, external_id, entitlement, parameters)
    SELECT $1, value ->> 0, value ->> 1, value ->> 2 FROM json_each($2) WHERE true
    ON CONFLICT (reconcile, external_id, entitlement) DO UPDATE SET parameters = excluded.parameters";

const HOLDINGS: &str = r#"
    SELECT CAST(0 AS BIGINT) AS "reconcile_holding.id", h.external_id AS "reconcile_holding.external_id",
           h.entitlement AS "reconcile_holding.entitlement", h.parameters AS "reconcile_holding.parameters"
    FROM json_each($2) AS j CROSS JOIN reconcile_holding h
    WHERE h.reconcile = $1 AND h.external_id = j.value ->> 0"#;

const DELETE_RESTAGED: &str = "
    DELETE FROM reconcile_change WHERE reconcile = $1 AND external_id IN (SELECT value ->> 0 FROM json_each($2))";

const INSERT_CHANGES: &str = "
    INSERT INTO reconcile_change (reconcile, external_id, change, account, state, attributes, entitlements, version, drift, plan_again,
                                  candidates, one_identity, one_kind, one_facts)
    SELECT $1, value ->> 0, CAST(value ->> 1 AS BIGINT), CAST(value ->> 2 AS BIGINT), CAST(value ->> 3 AS BIGINT), value ->> 4,
           value ->> 5, value ->> 6, value ->> 7, CAST(value ->> 8 AS BIGINT), value ->> 9, CAST(value ->> 10 AS BIGINT), value ->> 11,
           CAST(value ->> 12 AS BIGINT)
    FROM json_each($2)";

/// One staged change as its row takes it.
type ChangeRow<'a> = (
    &'a str,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<&'a str>,
    Option<String>,
    i64,
    Option<String>,
    Option<i64>,
    Option<&'a str>,
    Option<i64>,
);

impl SqlStore {
    pub(super) async fn keep_holdings(
        &self,
        reconcile: ReconcileRef,
        holdings: &[(String, String, serde_json::Value)],
    ) -> Result<(), StoreError> {
        for chunk in holdings.chunks(STAGE_ROWS_MAX) {
            // The same pair twice in one statement is an error: the last counts.
            let mut last: BTreeMap<(&str, &str), String> = BTreeMap::new();
            for (account, entitlement, parameters) in chunk {
                last.insert((account, entitlement), json_of(DOING, parameters)?);
            }
            let rows: Vec<(&str, &str, String)> = last
                .into_iter()
                .map(|((account, entitlement), parameters)| (account, entitlement, parameters))
                .collect();
            self.stage_rows(INSERT_HOLDINGS, reconcile, json_of(DOING, &rows)?)
                .await?;
        }
        Ok(())
    }

    pub(super) async fn kept_holdings(
        &self,
        reconcile: ReconcileRef,
        accounts: &[String],
    ) -> Result<HashMap<String, Entitlements>, StoreError> {
        let doing = "reading who holds what";
        let wanted: Vec<[&str; 1]> = accounts.iter().map(|id| [id.as_str()]).collect();
        let rows = query(HOLDINGS)
            .bind(reconcile.0)
            .bind(json_of(doing, &wanted)?)
            .fetch_all(&mut self.read(doing).await?)
            .await
            .map_err(failed(doing))?;
        let mut held: HashMap<String, Entitlements> = HashMap::new();
        for row in &rows {
            let cells = Cells::new(row, "reconcile_holding.id")?;
            held.entry(cells.get("reconcile_holding.external_id")?)
                .or_default()
                .insert(
                    cells.get("reconcile_holding.entitlement")?,
                    cells.json("reconcile_holding.parameters")?,
                );
        }
        Ok(held)
    }

    pub(super) async fn keep_changes(
        &self,
        reconcile: ReconcileRef,
        again: &[String],
        changes: &[StagedAccount],
    ) -> Result<(), StoreError> {
        if !again.is_empty() {
            let ids: Vec<[&str; 1]> = again.iter().map(|id| [id.as_str()]).collect();
            self.stage_rows(DELETE_RESTAGED, reconcile, json_of(DOING, &ids)?)
                .await?;
        }
        for chunk in changes.chunks(STAGE_ROWS_MAX) {
            let rows: Vec<ChangeRow<'_>> = chunk.iter().map(change_row).collect::<Result<_, _>>()?;
            self.stage_rows(INSERT_CHANGES, reconcile, json_of(DOING, &rows)?)
                .await?;
        }
        Ok(())
    }
}

impl SqlStore {
    /// One statement over some rows (a JSON array), in a transaction of its own.
    async fn stage_rows(
        &self,
        sql: &'static str,
        reconcile: ReconcileRef,
        rows: String,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        let mut tx = writer.plain(DOING).await?;
        must_list(&mut tx, reconcile).await?;
        query(sql)
            .bind(reconcile.0)
            .bind(rows)
            .execute(&mut tx)
            .await
            .map_err(failed(DOING))?;
        tx.commit().await.map_err(failed(DOING))
    }
}

/// Only the newest reconcile of a target stages.
async fn must_list(tx: &mut Tx<'_>, reconcile: ReconcileRef) -> Result<(), StoreError> {
    let lists = query("SELECT 1 FROM reconcile WHERE id = $1 AND state = 0")
        .bind(reconcile.0)
        .fetch_optional(tx)
        .await
        .map_err(failed(DOING))?;
    lists.map(drop).ok_or_else(overtaken)
}

fn change_row(staged: &StagedAccount) -> Result<ChangeRow<'_>, StoreError> {
    let id = staged.external_id.as_str();
    Ok(match &staged.change {
        AccountChange::Update {
            account,
            observed,
            drift,
            plan_again,
        } => (
            id,
            0,
            Some(account.0),
            Some(account_state_code(observed.state)),
            Some(json_of(DOING, &observed.attributes)?),
            Some(json_of(DOING, &observed.entitlements)?),
            observed.version.as_deref(),
            (!drift.is_empty()).then(|| json_of(DOING, drift)).transpose()?,
            i64::from(*plan_again),
            None,
            None,
            None,
            None,
        ),
        AccountChange::Missing { account } => bare(id, 1, Some(account.0)),
        AccountChange::Found { sighting, owner } => {
            let one = one_of(&sighting.matched);
            (
                id,
                2,
                owner.map(|account| account.0),
                Some(account_state_code(sighting.state)),
                Some(json_of(DOING, &sighting.attributes)?),
                Some(match &sighting.entitlements {
                    Some(held) => json_of(DOING, held)?,
                    None => "{}".to_owned(),
                }),
                sighting.version.as_deref(),
                None,
                0,
                Some(candidates_text(&sighting.matched)?),
                one.map(|one| one.identity.0),
                one.map(|one| one.kind.as_str()),
                one.map(|one| one.facts_version),
            )
        }
        AccountChange::Forget => bare(id, 3, None),
    })
}

const fn bare(id: &str, change: i64, account: Option<i64>) -> ChangeRow<'_> {
    (
        id, change, account, None, None, None, None, None, 0, None, None, None, None,
    )
}
