//! The claim: the durable record that an attempt may have left.

mod running;

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::json;
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::ids::{IdentityId, OperationId};
use usher_lifecycle::name::TargetName;
use usher_lifecycle::operation::Priority;

use super::cells::{Cells, failed, json_of, micros, numbers};
use super::db::{Row, Sql, query};
use super::freezing::frozen;
use super::identities::observed;
use super::write::{Entry, NO_CAUSE, Write};
use crate::{Claim, ClaimedOperation, Freeze, IdentityRef, Rest, StoreError, TargetClaim};

/// Most operations claimed for one target in one commit.
const CLAIM_MAX: u32 = 512;
/// Every priority has a smaller number.
const PRIORITIES: i64 = 5;
/// Only a security hold has a smaller number.
const URGENT: i64 = Priority::SecurityHold as i64 + 1;

const DOING: &str = "claiming operations";

/// One bounded range of the index per priority: operations due later in one priority are never scanned for the next. The first open
/// operation of an account is the only one that is ever ready; the last condition holds that even if a row was damaged.
pub(crate) const READY: Sql = Sql {
    sqlite: "
    SELECT id FROM (
        SELECT * FROM (SELECT id, account, priority, due_us FROM operation
            WHERE state = 1 AND target = $1 AND priority = 0 AND due_us <= $2 ORDER BY due_us, id LIMIT $3) AS p
        UNION ALL
        SELECT * FROM (SELECT id, account, priority, due_us FROM operation
            WHERE state = 1 AND target = $1 AND priority = 1 AND due_us <= $2 ORDER BY due_us, id LIMIT $3) AS p
        UNION ALL
        SELECT * FROM (SELECT id, account, priority, due_us FROM operation
            WHERE state = 1 AND target = $1 AND priority = 2 AND due_us <= $2 ORDER BY due_us, id LIMIT $3) AS p
        UNION ALL
        SELECT * FROM (SELECT id, account, priority, due_us FROM operation
            WHERE state = 1 AND target = $1 AND priority = 3 AND due_us <= $2 ORDER BY due_us, id LIMIT $3) AS p
        UNION ALL
        SELECT * FROM (SELECT id, account, priority, due_us FROM operation
            WHERE state = 1 AND target = $1 AND priority = 4 AND due_us <= $2 ORDER BY due_us, id LIMIT $3) AS p
    ) AS c
    WHERE priority < $4
      AND NOT EXISTS (SELECT 1 FROM operation o WHERE o.account = c.account AND o.state < 4 AND o.id < c.id)
    ORDER BY priority, due_us, id LIMIT $3",
    postgres: "
    SELECT c.id FROM generate_series(CAST(0 AS BIGINT), CAST(4 AS BIGINT)) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT o.id, o.account, o.priority, o.due_us FROM operation o
        WHERE o.state = 1 AND o.target = $1 AND o.priority = p.priority AND p.priority < $4 AND o.due_us <= $2
        ORDER BY o.due_us, o.id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) AS c
    WHERE NOT EXISTS (SELECT 1 FROM operation o WHERE o.account = c.account AND o.state < 4 AND o.id < c.id)
    ORDER BY c.priority, c.due_us, c.id LIMIT $3",
};

/// The targets asked for, and what forbids to claim of them.
const TARGETS: &str = r#"
    SELECT t.id AS "target.id", t.name AS "target.name", t.paused_until_us AS "target.paused_until_us",
           t.pause_reason AS "target.pause_reason"
    FROM target t WHERE t.name IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY t.id"#;

/// Of these targets, those where a security hold asks for something: each is one bounded look into the index.
pub(crate) const URGENT_TARGETS: &str = "
    SELECT t.id AS \"target.id\", t.name AS \"target.name\" FROM target t
    WHERE t.name IN (SELECT value ->> 0 FROM json_each($1))
      AND EXISTS (SELECT 1 FROM operation o WHERE o.state = 1 AND o.target = t.id AND o.priority = 0 AND o.due_us <= $2)
    ORDER BY t.id";

const REST: &str = "
    UPDATE target SET paused_until_us = $2, pause_reason = $3
    WHERE name = $1 AND (paused_until_us IS NULL OR paused_until_us < $2)";

pub(crate) const CLAIM: &str = "
    UPDATE operation SET state = 2, attempts = attempts + 1, writer = $2, claimed_us = $3, cut_us = NULL
    WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

pub(crate) const CLAIMED: &str = r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", o.attempts AS "operation.attempts",
           o.settle AS "operation.settle", o.unknown_since_us AS "operation.unknown_since_us",
           o.absence_us AS "operation.absence_us", o.priority AS "operation.priority", o.work AS "operation.work",
           o.cause AS "operation.cause",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.state AS "identity.state",
           t.name AS "target.name", a.kind AS "account.kind", a.state AS "account.state",
           a.external_id AS "account.external_id", a.attributes AS "account.attributes",
           a.entitlements AS "account.entitlements", a.version AS "account.version", a.written AS "account.written"
    FROM json_each($1) AS j CROSS JOIN operation o CROSS JOIN account a CROSS JOIN target t CROSS JOIN identity i
    WHERE o.id = CAST(j.value AS BIGINT) AND a.id = o.account AND t.id = a.target AND i.id = a.identity
    ORDER BY j.key"#;

/// What a claim came to.
#[derive(Default)]
pub(super) struct Claimed {
    pub(super) operations: Vec<ClaimedOperation>,
    pub(super) resting: Vec<Rest>,
    pub(super) frozen: Option<Freeze>,
}

/// Puts rests on record.
pub(super) async fn rest(write: &mut Write<'_>, rests: &[Rest]) -> Result<(), StoreError> {
    for rest in rests {
        query(REST)
            .bind(rest.target.as_str())
            .bind(micros(rest.until))
            .bind(rest.reason.replace('\0', "\u{FFFD}"))
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
    }
    Ok(())
}

/// Claims what is due, per target, in order of priority, due time and age. Of a target that rests, and of all when frozen, only what a
/// security hold asks for; not even that when everything is frozen.
pub(super) async fn claim(
    write: &mut Write<'_>,
    claim: &Claim,
    now: Timestamp,
) -> Result<Claimed, StoreError> {
    claim_before(write, claim, PRIORITIES, now).await
}

/// The same, but only what has a smaller priority number than `before`.
async fn claim_before(
    write: &mut Write<'_>,
    claim: &Claim,
    before: i64,
    now: Timestamp,
) -> Result<Claimed, StoreError> {
    let mut done = Claimed::default();
    let mut wanted = limits(&claim.targets);
    let mut urgent = limits(&claim.urgent);
    if wanted.is_empty() && urgent.is_empty() {
        return Ok(done);
    }
    done.frozen = frozen(&mut write.tx).await?;
    match &done.frozen {
        Some(Freeze { all: true, .. }) => return Ok(done),
        Some(Freeze { all: false, .. }) => urgent.extend(wanted.drain()),
        None => {}
    }
    let mut chosen: Vec<i64> = Vec::new();
    for row in &named(write, TARGETS, &wanted, None).await? {
        let cells = Cells::new(row, "target.id")?;
        let target: TargetName = cells.name("target.name")?;
        let Some((name, limit)) = wanted.get_key_value(target.as_str()) else {
            continue;
        };
        if let Some(rest) = resting(&cells, now)? {
            done.resting.push(rest);
            urgent.insert(*name, *limit);
        } else {
            chosen.extend(ready(write, cells.get("target.id")?, *limit, before, now).await?);
        }
    }
    for row in &named(write, URGENT_TARGETS, &urgent, Some(now)).await? {
        let cells = Cells::new(row, "target.id")?;
        let target: TargetName = cells.name("target.name")?;
        if let Some(limit) = urgent.get(target.as_str()) {
            let before = before.min(URGENT);
            chosen.extend(ready(write, cells.get("target.id")?, *limit, before, now).await?);
        }
    }
    if chosen.is_empty() {
        return Ok(done);
    }
    let chosen = json_of(DOING, &chosen)?;
    let writer = write.writer;
    query(CLAIM)
        .bind(&chosen)
        .bind(writer)
        .bind(micros(now))
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    let rows = query(CLAIMED)
        .bind(&chosen)
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    done.operations = rows.iter().map(claimed).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<OperationId> = done.operations.iter().map(|operation| operation.id).collect();
    write.audit(&Entry {
        event: "operations.claimed",
        subject: None,
        cause: NO_CAUSE,
        payload: json!({ "operations": ids }),
    });
    Ok(done)
}

fn limits(claims: &[TargetClaim]) -> HashMap<&str, u32> {
    let wanted = claims.iter().filter(|target| target.limit > 0);
    wanted
        .map(|target| (target.target.as_str(), target.limit))
        .collect()
}

/// The rows of targets by name.
async fn named(
    write: &mut Write<'_>,
    sql: &'static str,
    targets: &HashMap<&str, u32>,
    now: Option<Timestamp>,
) -> Result<Vec<Row>, StoreError> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<[&str; 1]> = targets.keys().map(|name| [*name]).collect();
    let statement = query(sql).bind(json_of(DOING, &names)?);
    let statement = match now {
        Some(now) => statement.bind(micros(now)),
        None => statement,
    };
    statement.fetch_all(&mut write.tx).await.map_err(failed(DOING))
}

/// What of a target is due and more urgent than `before`.
async fn ready(
    write: &mut Write<'_>,
    target: i64,
    limit: u32,
    before: i64,
    now: Timestamp,
) -> Result<Vec<i64>, StoreError> {
    let rows = query(READY)
        .bind(target)
        .bind(micros(now))
        .bind(limit.min(CLAIM_MAX))
        .bind(before)
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    numbers(&rows)
}

/// The rest of a target from its row, if it lasts.
pub(super) fn resting(cells: &Cells<'_>, now: Timestamp) -> Result<Option<Rest>, StoreError> {
    let until = cells
        .time_if_any("target.paused_until_us")?
        .filter(|until| *until > now);
    until
        .map(|until| {
            Ok(Rest {
                target: cells.name("target.name")?,
                until,
                reason: cells
                    .get::<Option<String>>("target.pause_reason")?
                    .unwrap_or_default(),
            })
        })
        .transpose()
}

fn claimed(row: &Row) -> Result<ClaimedOperation, StoreError> {
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
        priority: cells.priority("operation.priority")?,
        attempt: cells.count("operation.attempts")?,
        settle: cells.flag("operation.settle")?,
        unknown_since: cells.time_if_any("operation.unknown_since_us")?,
        absence_seen_at: cells.time_if_any("operation.absence_us")?,
        observed: observed(&cells)?,
        identity_state: cells.identity_state("identity.state")?,
        cause: cells.json("operation.cause")?,
    })
}
