//! What a plan does to the queue: operations overtaken, accounts and operations added.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use serde_json::{Value, json};
use usher_lifecycle::budget::Counted;
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::operation::{OperationState, Work};
use uuid::Uuid;

use super::SqlStore;
use super::budgets::Gathering;
use super::cells::{Cells, failed, hex, json_of, micros};
use super::db::{Sql, query};
use super::operations::slot;
use super::planning::{Current, DOING};
use super::write::{Entry, Write};
use crate::{Context, NewOperation, Planned, StoreError, StoreVersions};

/// Where others work too, the operations are locked: no claim takes one that is about to be overtaken.
pub(crate) const OVERTAKEN: Sql = Sql {
    sqlite: r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", o.account AS "operation.account",
           o.state AS "operation.state", o.cause AS "operation.cause", o.verb AS "operation.work",
           a.identity AS "account.identity", a.kind AS "account.kind", t.name AS "target.name"
    FROM json_each($1) AS j CROSS JOIN operation o CROSS JOIN account a CROSS JOIN target t
    WHERE o.public_id = unhex(j.value ->> 0) AND a.id = o.account AND t.id = a.target"#,
    postgres: r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", o.account AS "operation.account",
           o.state AS "operation.state", o.cause AS "operation.cause", o.verb AS "operation.work",
           a.identity AS "account.identity", a.kind AS "account.kind", t.name AS "target.name"
    FROM json_each($1) AS j CROSS JOIN operation o CROSS JOIN account a CROSS JOIN target t
    WHERE o.public_id = unhex(j.value ->> 0) AND a.id = o.account AND t.id = a.target
    ORDER BY o.id FOR NO KEY UPDATE OF o"#,
};

const SUPERSEDE: &str = "
    UPDATE operation SET state = 6, ended_us = $2, held_cause = NULL, message = 'overtaken by a newer plan'
    WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

pub(super) const INSERT_TARGETS: &str =
    "INSERT INTO target (name) SELECT value ->> 0 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING";

const INSERT_ACCOUNTS: &str = "
    INSERT INTO account (identity, target, kind)
    SELECT CAST(j.value ->> 0 AS BIGINT), t.id, j.value ->> 2 FROM json_each($1) AS j CROSS JOIN target t
    WHERE t.name = j.value ->> 1 ORDER BY j.key ON CONFLICT DO NOTHING";

pub(crate) const ACCOUNTS: &str = r#"
    SELECT a.id AS "account.id", a.identity AS "account.identity", a.target AS "account.target", a.kind AS "account.kind",
           t.name AS "target.name",
           CAST(CASE WHEN EXISTS (SELECT 1 FROM operation o WHERE o.account = a.id AND o.state < 4) THEN 1 ELSE 0 END AS BIGINT)
               AS "account.busy"
    FROM json_each($1) AS j CROSS JOIN target t CROSS JOIN account a
    WHERE t.name = j.value ->> 1 AND a.identity = CAST(j.value ->> 0 AS BIGINT) AND a.target = t.id AND a.kind = j.value ->> 2"#;

const INSERT_OPERATIONS: &str = "
    INSERT INTO operation (public_id, account, target, state, priority, due_us, work, cause, verb, held_cause)
    SELECT unhex(value ->> 0), CAST(value ->> 1 AS BIGINT), CAST(value ->> 2 AS BIGINT), CAST(value ->> 3 AS BIGINT),
           CAST(value ->> 4 AS BIGINT), CAST(value ->> 5 AS BIGINT), value ->> 6, value ->> 7, value ->> 8, CAST(value ->> 9 AS BIGINT)
    FROM json_each($1) ORDER BY key";

/// An operation the plan wants to overtake.
pub(super) struct Overtaken {
    pub(super) number: i64,
    pub(super) account: i64,
    pub(super) identity: i64,
    pub(super) may_be_overtaken: bool,
    pub(super) cause: String,
    pub(super) payload: Value,
}

/// Where an account is and whether something stands in its queue.
struct Place {
    account: i64,
    target: i64,
    busy: bool,
}

pub(super) async fn overtaken(
    write: &mut Write<'_>,
    planned: &[Planned],
) -> Result<HashMap<Uuid, Overtaken>, StoreError> {
    let wanted: Vec<[String; 1]> = planned
        .iter()
        .flat_map(|one| &one.superseded)
        .map(|id| [hex(id.uuid().as_bytes())])
        .collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = query(OVERTAKEN)
        .bind(json_of(DOING, &wanted)?)
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        let cells = Cells::new(row, "operation.id")?;
        let id = cells.uuid("operation.public_id")?;
        let slot = slot(&cells)?;
        let may_be_overtaken = match cells.operation_state("operation.state")? {
            // Also with an outcome that is not known: the plan saw it so, and reads back what it overtakes.
            OperationState::Waiting | OperationState::Ready | OperationState::Held => true,
            OperationState::Claimed
            | OperationState::Done
            | OperationState::Failed
            | OperationState::Superseded => false,
        };
        let one = Overtaken {
            number: cells.get("operation.id")?,
            account: cells.get("operation.account")?,
            identity: cells.get("account.identity")?,
            may_be_overtaken,
            cause: cells.get("operation.cause")?,
            payload: json!({
                "operation": OperationId::new(id),
                "account": slot.to_string(),
                "work": cells.get::<String>("operation.work")?,
                "message": "overtaken by a newer plan",
            }),
        };
        found.insert(id, one);
    }
    Ok(found)
}

pub(super) async fn supersede(
    write: &mut Write<'_>,
    superseded: &[&Overtaken],
    current: &HashMap<i64, Current>,
    at: Timestamp,
) -> Result<(), StoreError> {
    if superseded.is_empty() {
        return Ok(());
    }
    let numbers: Vec<i64> = superseded.iter().map(|one| one.number).collect();
    query(SUPERSEDE)
        .bind(json_of(DOING, &numbers)?)
        .bind(micros(at))
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    for one in superseded {
        write.audit(&Entry {
            event: "operation.superseded",
            subject: current.get(&one.identity).map(|current| current.subject),
            cause: &one.cause,
            payload: one.payload.clone(),
        });
    }
    Ok(())
}

pub(super) async fn add_operations(
    write: &mut Write<'_>,
    planned: &[&Planned],
    current: &HashMap<i64, Current>,
    gathering: &mut Gathering,
    (store, versions, context): (&SqlStore, StoreVersions, &Context),
) -> Result<u64, StoreError> {
    let mut places = places(write, planned).await?;
    for (one, operation) in budgeted(planned) {
        if let (Some(cause), Some(place), Some(counted)) = (
            current.get(&one.reference.0).map(|current| &current.cause),
            places.get(&place_of(one, operation)),
            Counted::of(&operation.work),
        ) {
            gathering.want(cause, place.target, counted);
        }
    }
    gathering
        .find(write, versions, context, || store.random())
        .await?;
    let mut rows = Vec::new();
    for one in planned {
        let subject = current.get(&one.reference.0).map(|current| current.subject);
        for operation in &one.operations {
            let Some(place) = places.get_mut(&place_of(one, operation)) else {
                return Err(StoreError::Unavailable {
                    doing: DOING,
                    message: format!("the account {} could not be recorded", operation.slot),
                });
            };
            let counted = Counted::of(&operation.work).filter(|_| operation.budgeted);
            let cause_of = current.get(&one.reference.0).map(|current| &current.cause);
            let held_cause = match (counted, cause_of) {
                (Some(counted), Some(cause)) => Some(gathering.number(cause, place.target, counted)?),
                (None, _) | (_, None) => None,
            };
            let state = if held_cause.is_some() {
                OperationState::Held
            } else if place.busy {
                OperationState::Waiting
            } else {
                OperationState::Ready
            };
            place.busy = true;
            let cause = json_of(DOING, &operation.cause)?;
            write.audit(&Entry {
                event: "operation.planned",
                subject,
                cause: &cause,
                payload: planned_payload(operation),
            });
            rows.push((
                hex(operation.id.uuid().as_bytes()),
                place.account,
                place.target,
                state as i64,
                operation.priority as i64,
                micros(operation.due_at),
                json_of(DOING, &operation.work)?,
                cause,
                operation.work.verb(),
                held_cause,
            ));
        }
    }
    if !rows.is_empty() {
        query(INSERT_OPERATIONS)
            .bind(json_of(DOING, &rows)?)
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
    }
    Ok(rows.len() as u64)
}

/// What counts under a budget, with whose it is.
fn budgeted<'p>(planned: &[&'p Planned]) -> impl Iterator<Item = (&'p Planned, &'p NewOperation)> {
    let all = planned
        .iter()
        .flat_map(|one| one.operations.iter().map(|operation| (*one, operation)));
    all.filter(|(_, operation)| operation.budgeted)
}

fn place_of(planned: &Planned, operation: &NewOperation) -> (i64, String, String) {
    (
        planned.reference.0,
        operation.slot.target.to_string(),
        operation.slot.kind.to_string(),
    )
}

/// Makes the targets and accounts that are new, and finds all the plan names.
async fn places(
    write: &mut Write<'_>,
    planned: &[&Planned],
) -> Result<HashMap<(i64, String, String), Place>, StoreError> {
    let mut slots: BTreeSet<(i64, &str, &str)> = BTreeSet::new();
    for one in planned {
        for operation in &one.operations {
            slots.insert((
                one.reference.0,
                operation.slot.target.as_str(),
                operation.slot.kind.as_str(),
            ));
        }
    }
    if slots.is_empty() {
        return Ok(HashMap::new());
    }
    let targets: BTreeSet<[&str; 1]> = slots.iter().map(|(_, target, _)| [*target]).collect();
    let slots = json_of(DOING, &slots)?;
    for (sql, parameter) in [
        (INSERT_TARGETS, json_of(DOING, &targets)?),
        (INSERT_ACCOUNTS, slots.clone()),
    ] {
        query(sql)
            .bind(parameter)
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
    }
    let rows = query(ACCOUNTS)
        .bind(slots)
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(row, "account.id")?;
            let slot = (
                cells.get("account.identity")?,
                cells.get("target.name")?,
                cells.get("account.kind")?,
            );
            let place = Place {
                account: cells.get("account.id")?,
                target: cells.get("account.target")?,
                busy: cells.flag("account.busy")?,
            };
            Ok((slot, place))
        })
        .collect()
}

/// What the timeline says of a planned operation; values of attributes stay with the operation.
fn planned_payload(operation: &NewOperation) -> Value {
    let mut payload = json!({
        "operation": operation.id,
        "account": operation.slot.to_string(),
        "work": operation.work.verb(),
        "priority": operation.priority,
    });
    match &operation.work {
        Work::Update { changes, .. } => {
            payload["attributes"] = changes.iter().map(|change| json!(change.name())).collect();
        }
        Work::Grant { entitlement, .. } | Work::Revoke { entitlement } => {
            payload["entitlement"] = json!(entitlement);
        }
        Work::Create { .. } | Work::Disable | Work::Enable | Work::Delete | Work::Read => {}
    }
    payload
}
