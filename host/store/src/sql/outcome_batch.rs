//! What a batch of outcomes writes, statement by statement.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::json;
use usher_lifecycle::ids::OperationId;

use super::cells::{Cells, failed, json_of, micros};
use super::db::query;
use super::operations::promote;
use super::outcomes::DOING;
use super::write::{Entry, Subject, Write};
use crate::StoreError;

/// That `find` saw nothing is evidence only of the attempt it went before: when nothing is left to be read back, it has
/// expired, unless the attempt was only put off.
pub(crate) const UPDATE_OPERATIONS: &str = "
    UPDATE operation
    SET state = j.state, due_us = j.due, attempts = j.attempts, settle = j.settle, unknown_since_us = j.unknown,
        ended_us = j.ended, message = j.message, absence_us = CASE WHEN j.keeps_absence = 1 THEN operation.absence_us END
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS state, CAST(value ->> 2 AS BIGINT) AS due,
                 CAST(value ->> 3 AS BIGINT) AS attempts, CAST(value ->> 4 AS BIGINT) AS settle, CAST(value ->> 5 AS BIGINT) AS unknown,
                 CAST(value ->> 6 AS BIGINT) AS ended, value ->> 7 AS message, CAST(value ->> 8 AS BIGINT) AS keeps_absence
          FROM json_each($1)) AS j
    WHERE operation.id = j.id";

pub(crate) const UPDATE_ACCOUNTS: &str = "
    UPDATE account
    SET state = j.state, external_id = j.external_id, attributes = j.attributes, entitlements = j.entitlements,
        version = j.version, written = j.written, observed_us = $2,
        missing_us = CASE WHEN j.state = 0 THEN account.missing_us END
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS state, value ->> 2 AS external_id, value ->> 3 AS attributes,
                 value ->> 4 AS entitlements, value ->> 5 AS version, unhex(value ->> 6) AS written FROM json_each($1)) AS j
    WHERE account.id = j.id";

pub(crate) const SUPERSEDE_WAITING: &str = r#"
    UPDATE operation SET state = 6, ended_us = $2, held_cause = NULL, message = 'the operation before it was given up'
    WHERE (state = 0 OR held_cause IS NOT NULL) AND state < 4 AND account IN (SELECT CAST(value AS BIGINT) FROM json_each($1))
    RETURNING id AS "operation.id", account AS "operation.account", public_id AS "operation.public_id",
              cause AS "operation.cause", verb AS "operation.work""#;

pub(crate) const TOUCH_IDENTITIES: &str = "
    UPDATE identity SET facts_version = facts_version + 1, replan = 0,
        dirty = CASE WHEN j.dirty = 1 OR identity.replan = 1 THEN 1 ELSE identity.dirty END
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS dirty FROM json_each($1)) AS j
    WHERE identity.id = j.id
    RETURNING identity.dirty";

pub(super) type OperationUpdate = (i64, i64, i64, i64, i64, Option<i64>, Option<i64>, String, i64);
pub(super) type AccountUpdate = (
    i64,
    i64,
    Option<String>,
    String,
    String,
    Option<String>,
    Option<String>,
);

/// Everything one batch writes, collected outcome by outcome and written statement by statement.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) operations: Vec<OperationUpdate>,
    pub(super) accounts: Vec<AccountUpdate>,
    /// Accounts whose operation ended well: the next becomes ready.
    pub(super) freed: BTreeSet<i64>,
    /// Accounts whose operation was given up, with whom and where: what waits is superseded.
    pub(super) given_up: BTreeMap<i64, (Subject, String)>,
    pub(super) touched: BTreeMap<i64, bool>,
}

impl Batch {
    /// Returns whether somebody is to be planned again.
    pub(super) async fn write(self, write: &mut Write<'_>, at: Timestamp) -> Result<bool, StoreError> {
        if self.operations.is_empty() {
            return Ok(false);
        }
        query(UPDATE_OPERATIONS)
            .bind(json_of(DOING, &self.operations)?)
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        if !self.accounts.is_empty() {
            query(UPDATE_ACCOUNTS)
                .bind(json_of(DOING, &self.accounts)?)
                .bind(micros(at))
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
        }
        supersede_waiting(write, &self.given_up, at).await?;
        promote(&mut write.tx, &self.freed).await?;
        let touched: Vec<(i64, i64)> = self
            .touched
            .iter()
            .map(|(identity, dirty)| (*identity, i64::from(*dirty)))
            .collect();
        let rows = query(TOUCH_IDENTITIES)
            .bind(json_of(DOING, &touched)?)
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        for row in &rows {
            let dirty: i64 = row.at(0).map_err(failed(DOING))?;
            if dirty == 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

async fn supersede_waiting(
    write: &mut Write<'_>,
    given_up: &BTreeMap<i64, (Subject, String)>,
    at: Timestamp,
) -> Result<(), StoreError> {
    if given_up.is_empty() {
        return Ok(());
    }
    let accounts: Vec<i64> = given_up.keys().copied().collect();
    let rows = query(SUPERSEDE_WAITING)
        .bind(json_of(DOING, &accounts)?)
        .bind(micros(at))
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    for row in &rows {
        let cells = Cells::new(row, "operation.id")?;
        let Some((subject, slot)) = given_up.get(&cells.get::<i64>("operation.account")?) else {
            continue;
        };
        let operation = OperationId::new(cells.uuid("operation.public_id")?);
        write.audit(&Entry {
            event: "operation.superseded",
            subject: Some(*subject),
            cause: cells.get("operation.cause")?,
            payload: json!({
                "operation": operation,
                "account": slot,
                "work": cells.get::<String>("operation.work")?,
                "message": "the operation before it was given up",
            }),
        });
    }
    Ok(())
}
