//! The claim: the durable record that an attempt may have left.

use jiff::Timestamp;
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::ids::{IdentityId, OperationId};

use super::identities::observed;
use super::rows::{Cells, failed, json_of, micros};
use super::write::{Entry, NO_CAUSE, Write};
use crate::{Claim, ClaimedOperation, IdentityRef, StoreError};

/// Most operations claimed for one target in one commit.
const CLAIM_MAX: u32 = 512;

const DOING: &str = "claiming operations";

/// One bounded range of the index per priority: operations due later in one priority are never scanned for the next. The first open
/// operation of an account is the only one that is ever ready; the last condition holds that even if a row was damaged.
pub(super) const READY: &str = "
    SELECT id FROM (
        SELECT * FROM (SELECT id, account, priority, due_us FROM operation
            WHERE state = 1 AND target = ?1 AND priority = 0 AND due_us <= ?2 ORDER BY due_us, id LIMIT ?3)
        UNION ALL
        SELECT * FROM (SELECT id, account, priority, due_us FROM operation
            WHERE state = 1 AND target = ?1 AND priority = 1 AND due_us <= ?2 ORDER BY due_us, id LIMIT ?3)
        UNION ALL
        SELECT * FROM (SELECT id, account, priority, due_us FROM operation
            WHERE state = 1 AND target = ?1 AND priority = 2 AND due_us <= ?2 ORDER BY due_us, id LIMIT ?3)
        UNION ALL
        SELECT * FROM (SELECT id, account, priority, due_us FROM operation
            WHERE state = 1 AND target = ?1 AND priority = 3 AND due_us <= ?2 ORDER BY due_us, id LIMIT ?3)
        UNION ALL
        SELECT * FROM (SELECT id, account, priority, due_us FROM operation
            WHERE state = 1 AND target = ?1 AND priority = 4 AND due_us <= ?2 ORDER BY due_us, id LIMIT ?3)
    ) AS c
    WHERE NOT EXISTS (SELECT 1 FROM operation o WHERE o.account = c.account AND o.state < 4 AND o.id < c.id)
    ORDER BY priority, due_us, id LIMIT ?3";

const TARGET: &str = "SELECT id FROM target WHERE name = ?1";

pub(super) const CLAIM: &str = "
    UPDATE operation SET state = 2, attempts = attempts + 1, writer = ?2, claimed_us = ?3
    WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const CLAIMED: &str = r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", o.attempts AS "operation.attempts",
           o.settle AS "operation.settle", o.unknown_since_us AS "operation.unknown_since_us",
           o.absence_us AS "operation.absence_us", o.work AS "operation.work", o.cause AS "operation.cause",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.state AS "identity.state",
           t.name AS "target.name", a.kind AS "account.kind", a.state AS "account.state",
           a.external_id AS "account.external_id", a.attributes AS "account.attributes",
           a.entitlements AS "account.entitlements", a.version AS "account.version", a.written AS "account.written"
    FROM json_each(?1) AS j CROSS JOIN operation o ON o.id = j.value CROSS JOIN account a ON a.id = o.account
    CROSS JOIN target t ON t.id = a.target CROSS JOIN identity i ON i.id = a.identity
    ORDER BY j.key"#;

/// Claims what is due, per target, in order of priority, due time and age.
pub(super) async fn claim(
    write: &mut Write<'_>,
    claim: &Claim,
    now: Timestamp,
) -> Result<Vec<ClaimedOperation>, StoreError> {
    let mut chosen: Vec<i64> = Vec::new();
    for target in &claim.targets {
        if target.limit == 0 {
            continue;
        }
        let found = sqlx::query(TARGET)
            .bind(target.target.as_str())
            .fetch_optional(&mut *write.tx)
            .await
            .map_err(failed(DOING))?;
        let Some(found) = found else { continue };
        let rows = sqlx::query(READY)
            .bind(super::identities::numbers(&[found])?[0])
            .bind(micros(now))
            .bind(target.limit.min(CLAIM_MAX))
            .fetch_all(&mut *write.tx)
            .await
            .map_err(failed(DOING))?;
        chosen.extend(super::identities::numbers(&rows)?);
    }
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let chosen = json_of(DOING, &chosen)?;
    let writer = write.writer;
    sqlx::query(CLAIM)
        .bind(&chosen)
        .bind(writer)
        .bind(micros(now))
        .execute(&mut *write.tx)
        .await
        .map_err(failed(DOING))?;
    let rows = sqlx::query(CLAIMED)
        .bind(&chosen)
        .fetch_all(&mut *write.tx)
        .await
        .map_err(failed(DOING))?;
    let claimed = rows.iter().map(claimed).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<OperationId> = claimed.iter().map(|operation| operation.id).collect();
    write.audit(&Entry {
        event: "operations.claimed",
        subject: None,
        cause: NO_CAUSE,
        payload: json!({ "operations": ids }),
    });
    Ok(claimed)
}

fn claimed(row: &SqliteRow) -> Result<ClaimedOperation, StoreError> {
    let cells = Cells::new(row, "operation.id")?;
    Ok(ClaimedOperation {
        number: cells.get("operation.id")?,
        id: OperationId::new(cells.uuid("operation.public_id")?),
        identity: IdentityRef(cells.get("identity.id")?),
        identity_id: IdentityId::new(cells.uuid("identity.public_id")?),
        slot: AccountSlot {
            target: cells.name("target.name")?,
            kind: cells.name("account.kind")?,
        },
        work: cells.json("operation.work")?,
        attempt: cells.count("operation.attempts")?,
        settle: cells.flag("operation.settle")?,
        unknown_since: cells.time_if_any("operation.unknown_since_us")?,
        absence_seen_at: cells.time_if_any("operation.absence_us")?,
        observed: observed(&cells)?,
        identity_state: cells.identity_state("identity.state")?,
        cause: cells.json("operation.cause")?,
    })
}
