//! What a chunk of an accepted reconcile changes: collected row by row, written statement by statement.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::cells::{Cells, failed, json_of, micros};
use super::db::{Row, query};
use super::operations::{slot, subject};
use super::reconcile_effect::{Accepted, DOING};
use super::write::{Entry, NO_CAUSE, Write};
use crate::{Context, StoreError};

const UPDATE_ACCOUNTS: &str = "
    UPDATE account
    SET state = j.state, attributes = j.attributes, entitlements = j.entitlements, version = j.version, observed_us = $2, missing_us = NULL
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS state, value ->> 2 AS attributes,
                 value ->> 3 AS entitlements, value ->> 4 AS version FROM json_each($1)) AS j
    WHERE account.id = j.id";

const MISSING_ACCOUNTS: &str = "
    UPDATE account SET state = 0, attributes = '{}', entitlements = '{}', version = NULL, written = NULL, observed_us = $2, missing_us = $2
    WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

/// Takes also what changed those that are to be planned again.
pub(super) const TOUCH: &str = "
    UPDATE identity SET facts_version = facts_version + 1, dirty = CASE WHEN j.dirty = 1 THEN 1 ELSE identity.dirty END,
        changed_by = CASE WHEN j.dirty = 1 THEN $2 ELSE identity.changed_by END
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS dirty FROM json_each($1)) AS j
    WHERE identity.id = j.id";

const UPSERT_FOUND: &str = "
    INSERT INTO found_account (target, external_id, account, state, attributes, entitlements, version, candidates, one_identity, one_kind,
                               one_facts, since_us)
    SELECT $2, value ->> 0, CAST(value ->> 1 AS BIGINT), CAST(value ->> 2 AS BIGINT), value ->> 3, value ->> 4, value ->> 5, value ->> 6,
           CAST(value ->> 7 AS BIGINT), value ->> 8, CAST(value ->> 9 AS BIGINT), $3
    FROM json_each($1) WHERE true
    ON CONFLICT (target, external_id) DO UPDATE
    SET account = excluded.account, state = excluded.state, attributes = excluded.attributes, entitlements = excluded.entitlements,
        version = excluded.version, candidates = excluded.candidates, one_identity = excluded.one_identity, one_kind = excluded.one_kind,
        one_facts = excluded.one_facts";

pub(super) const FORGET: &str = "
    DELETE FROM found_account WHERE target = $1 AND external_id IN (SELECT value ->> 0 FROM json_each($2))";

/// The same; but what somebody has decided meanwhile stays.
const FORGET_UNDECIDED: &str = "
    DELETE FROM found_account
    WHERE target = $1 AND decided_us IS NULL AND external_id IN (SELECT value ->> 0 FROM json_each($2))";

/// Up to the last of the chunk.
const DELETE_CHUNK: &str = "
    DELETE FROM reconcile_change WHERE reconcile = $1 AND (external_id < $2 OR (external_id = $2 AND change <= $3))";

type FoundRow = (
    String,
    Option<i64>,
    i64,
    String,
    String,
    Option<String>,
    String,
    Option<i64>,
    Option<String>,
    Option<i64>,
);

/// What a chunk changes, collected row by row and written statement by statement.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) updates: Vec<(i64, i64, String, String, Option<String>)>,
    pub(super) missing: Vec<i64>,
    pub(super) found: Vec<FoundRow>,
    pub(super) forgotten: Vec<(String,)>,
    /// Identity → whether it must be planned again.
    pub(super) touched: BTreeMap<i64, bool>,
    pub(super) drifted: i64,
    pub(super) put_off: i64,
    pub(super) linked: i64,
    pub(super) last: Option<(String, i64)>,
    pub(super) rows: usize,
}

impl Changes {
    /// Takes in one staged row.
    pub(super) fn take(
        &mut self,
        row: &Row,
        accepted: &Accepted,
        write: &mut Write<'_>,
    ) -> Result<(), StoreError> {
        let cells = Cells::unnumbered(row);
        let id: String = cells.get("reconcile_change.external_id")?;
        let change: i64 = cells.get("reconcile_change.change")?;
        self.last = Some((id.clone(), change));
        match change {
            0 | 1 => self.take_linked(&cells, change == 1, accepted, write),
            2 => {
                let account: Option<i64> = cells.get("account.id")?;
                // It was linked meanwhile: it is not nobody's any more. Or its link went: it is looked at again by the next reconcile.
                if cells.flag("account.owned")? == account.is_some() {
                    self.found.push((
                        id,
                        account,
                        cells.get("reconcile_change.state")?,
                        cells.get("reconcile_change.attributes")?,
                        cells.get("reconcile_change.entitlements")?,
                        cells.get("reconcile_change.version")?,
                        cells.get("reconcile_change.candidates")?,
                        cells.get("reconcile_change.one_identity")?,
                        cells.get("reconcile_change.one_kind")?,
                        cells.get("reconcile_change.one_facts")?,
                    ));
                } else {
                    self.put_off += 1;
                }
                Ok(())
            }
            3 => {
                self.forgotten.push((id,));
                Ok(())
            }
            other => Err(cells.corrupt("reconcile_change.change", format!("there is no change {other}"))),
        }
    }

    fn take_linked(
        &mut self,
        cells: &Cells<'_>,
        missing: bool,
        accepted: &Accepted,
        write: &mut Write<'_>,
    ) -> Result<(), StoreError> {
        let same_link = cells.get::<Option<String>>("account.external_id")?
            == Some(cells.get::<String>("reconcile_change.external_id")?);
        if !same_link || cells.flag("account.busy")? {
            self.put_off += 1;
            return Ok(());
        }
        let account: i64 = cells.get("account.id")?;
        let subject = subject(cells)?;
        let mut payload = json!({ "account": slot(cells)?.to_string(), "reconcile": accepted.number });
        let plan_again = missing || cells.flag("reconcile_change.plan_again")?;
        *self.touched.entry(subject.number).or_default() |= plan_again;
        if missing {
            self.missing.push(account);
            payload["external-id"] = json!(cells.get::<String>("account.external_id")?);
            write.audit(&Entry {
                event: "account.missing",
                subject: Some(subject),
                cause: NO_CAUSE,
                payload,
            });
            return Ok(());
        }
        self.updates.push((
            account,
            cells.get("reconcile_change.state")?,
            cells.get("reconcile_change.attributes")?,
            cells.get("reconcile_change.entitlements")?,
            cells.get("reconcile_change.version")?,
        ));
        if cells.get::<Option<&str>>("reconcile_change.drift")?.is_some() {
            self.drifted += 1;
            payload["drift"] = cells.json::<Value>("reconcile_change.drift")?;
            write.audit(&Entry {
                event: "account.drifted",
                subject: Some(subject),
                cause: NO_CAUSE,
                payload,
            });
        }
        Ok(())
    }

    /// Writes all; returns whether an account was changed.
    pub(super) async fn write(
        &self,
        write: &mut Write<'_>,
        accepted: &Accepted,
        context: &Context,
    ) -> Result<bool, StoreError> {
        let at = micros(context.at);
        let touched: Vec<(i64, i64)> = self
            .touched
            .iter()
            .map(|(identity, again)| (*identity, i64::from(*again)))
            .collect();
        // Those that are no longer to be told go first: the same id may be told in another way.
        query(FORGET_UNDECIDED)
            .bind(accepted.target)
            .bind(json_of(DOING, &self.forgotten)?)
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        for (sql, rows, is_empty) in [
            (TOUCH, json_of(DOING, &touched)?, touched.is_empty()),
            (
                MISSING_ACCOUNTS,
                json_of(DOING, &self.missing)?,
                self.missing.is_empty(),
            ),
            (
                UPDATE_ACCOUNTS,
                json_of(DOING, &self.updates)?,
                self.updates.is_empty(),
            ),
        ] {
            if !is_empty {
                let statement = query(sql).bind(rows);
                let statement = if sql == TOUCH {
                    statement.bind(format!("reconcile {}", accepted.number))
                } else {
                    statement.bind(at)
                };
                statement.execute(&mut write.tx).await.map_err(failed(DOING))?;
            }
        }
        if !self.found.is_empty() {
            query(UPSERT_FOUND)
                .bind(json_of(DOING, &self.found)?)
                .bind(accepted.target)
                .bind(at)
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
        }
        if let Some((id, change)) = &self.last {
            query(DELETE_CHUNK)
                .bind(accepted.number)
                .bind(id)
                .bind(*change)
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
        }
        Ok(!touched.is_empty())
    }
}

/// Each identity once, in the order in which they are locked.
pub(super) fn sorted(identities: impl IntoIterator<Item = i64>) -> Vec<i64> {
    identities
        .into_iter()
        .collect::<BTreeSet<i64>>()
        .into_iter()
        .collect()
}
