//! What people see of held causes, and what they decide.

use serde_json::json;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::ids::{HeldCauseId, IdentityId, OperationId};
use uuid::Uuid;

use super::{SINGLE, counted, held_state, lock};
use crate::held_causes::{EXAMPLES_MAX, HELD_CAUSES_MAX, HELD_OPERATIONS_MAX};
use crate::sql::SqlStore;
use crate::sql::cells::{Cells, failed, hex, json_of, micros};
use crate::sql::db::{Row, Sql, Tx, composed, query};
use crate::sql::operations::{
    LISTED_COLUMNS, ONE, OWNER_OF_ONE, listed, lock_owners, promote, slot, subject,
};
use crate::sql::write::{Entry, NO_CAUSE, Raised};
use crate::{Context, HeldCause, HeldExample, HeldState, OperationRow, StoreError};

const DOING: &str = "deciding what a budget holds";

/// Longest reason, in bytes: a paragraph.
const REASON_BYTES_MAX: usize = 4_096;

const COLUMNS: &str = r#"
    SELECT h.id AS "held_cause.id", h.public_id AS "held_cause.public_id", t.name AS "target.name", h.kind AS "held_cause.kind",
           h.label AS "held_cause.label", h.state AS "held_cause.state", h.why AS "held_cause.why", h.since_us AS "held_cause.since_us",
           h.decided_by AS "held_cause.decided_by", h.decided_us AS "held_cause.decided_us", h.reason AS "held_cause.reason",
           h.released AS "held_cause.released",
           (SELECT count(*) FROM operation o WHERE o.held_cause = h.id) AS "held_cause.operations"
    FROM held_cause h JOIN target t ON t.id = h.target"#;

/// Where others work too, nobody adds to it or judges it until this commits.
const LOCKED: Sql = Sql {
    sqlite: "SELECT h.id, h.joins FROM held_cause h WHERE h.public_id = $1",
    postgres: "SELECT h.id, h.joins FROM held_cause h WHERE h.public_id = $1 FOR NO KEY UPDATE",
};

/// The cause that another one joined.
const JOINED: &str = r#"
    SELECT h.id AS "held_cause.id", h.public_id AS "held_cause.public_id" FROM held_cause h WHERE h.id = $1"#;

/// What joins it and was not moved yet.
const JOINING: &str = "
    SELECT 1 FROM held_cause h WHERE h.joins = $1 AND EXISTS (SELECT 1 FROM operation o WHERE o.held_cause = h.id) LIMIT 1";

const EXAMPLES: &str = r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", i.public_id AS "identity.public_id",
           (SELECT r.key FROM source_record r WHERE r.identity = i.id ORDER BY r.id LIMIT 1) AS "source_record.key"
    FROM operation o JOIN account a ON a.id = o.account JOIN identity i ON i.id = a.identity
    WHERE o.held_cause = $1 ORDER BY o.id LIMIT $2"#;

const DECIDE: &str = "
    UPDATE held_cause SET state = $2, released = $3, why = $4, decided_by = $5, decided_us = $6, reason = $7 WHERE id = $1";

/// The cause of one operation, in the state it has now.
const CAUSE_OF: &str = r#"
    SELECT h.id AS "held_cause.id", h.state AS "held_cause.state", h.cause AS "held_cause.cause"
    FROM operation o JOIN held_cause h ON h.id = o.held_cause WHERE o.id = $1 AND o.state = 3"#;

/// As what is let go in chunks.
const RELEASE_ONE: &str = "
    UPDATE operation SET state = 0, held_cause = NULL, released = 1, message = NULL,
        settle = CASE WHEN unknown_since_us IS NULL THEN settle ELSE 1 END,
        due_us = CASE WHEN due_us > $2 THEN due_us ELSE $2 END
    WHERE id = $1";

const SPLIT: &str = "
    INSERT INTO held_cause (public_id, target, kind, cause, label, state, since_us, budget, why, decided_by, decided_us, reason)
    SELECT unhex($2), h.target, h.kind, $3, h.label, 3, h.since_us, h.budget, $4, $5, $6, $7 FROM held_cause h WHERE h.id = $1
    RETURNING id";

impl SqlStore {
    pub(super) async fn list_causes(&self, limit: u32) -> Result<Vec<HeldCause>, StoreError> {
        let doing = "listing held causes";
        let mut tx = self.read(doing).await?;
        // What is let go runs in a moment, and what joins another is shown there.
        let sql = format!("{COLUMNS} WHERE h.state <> 2 AND h.joins IS NULL ORDER BY h.id LIMIT $1");
        let rows = composed(sql)
            .bind(limit.min(HELD_CAUSES_MAX))
            .fetch_all(&mut tx)
            .await
            .map_err(failed(doing))?;
        let mut causes = Vec::with_capacity(rows.len());
        for row in &rows {
            let cause = cause(row, &mut tx).await?;
            // The plan has overtaken all of it; the row goes when planning rests.
            if cause.operations > 0 {
                causes.push(cause);
            }
        }
        Ok(causes)
    }

    pub(super) async fn one_cause(&self, id: HeldCauseId) -> Result<HeldCause, StoreError> {
        let mut tx = self.read("reading a held cause").await?;
        let row = row_of(&mut tx, id).await?;
        cause(&row, &mut tx).await
    }

    pub(super) async fn operations_of_cause(
        &self,
        id: HeldCauseId,
        after: Option<OperationId>,
        limit: u32,
    ) -> Result<Vec<OperationRow>, StoreError> {
        let doing = "listing what is held";
        let mut tx = self.read(doing).await?;
        let row = row_of(&mut tx, id).await?;
        let number: i64 = Cells::new(&row, "held_cause.id")?.get("held_cause.id")?;
        let sql = format!(
            "{LISTED_COLUMNS} WHERE o.held_cause = $1
             AND o.id > coalesce((SELECT b.id FROM operation b WHERE b.public_id = $2), 0) ORDER BY o.id LIMIT $3"
        );
        let rows = composed(sql)
            .bind(number)
            .bind(after.map(|after| after.uuid().as_bytes().to_vec()))
            .bind(limit.min(HELD_OPERATIONS_MAX))
            .fetch_all(&mut tx)
            .await
            .map_err(failed(doing))?;
        rows.iter().map(listed).collect()
    }

    /// Releases or rejects a whole cause. Returns how many operations it has.
    pub(super) async fn decide_cause(
        &self,
        id: HeldCauseId,
        to: HeldState,
        expected: Option<u64>,
        reason: &str,
        context: &Context,
    ) -> Result<u64, StoreError> {
        check_reason(reason)?;
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        lock(&mut write.tx, DOING).await?;
        refuse_while_joining(&mut write.tx, id).await?;
        let row = row_of(&mut write.tx, id).await?;
        let cells = Cells::new(&row, "held_cause.id")?;
        let operations: u64 = cells.count("held_cause.operations")?;
        if expected.is_some_and(|expected| expected != operations) {
            return Err(StoreError::Stale(format!(
                "{id} has {operations} operations now; look at `usher held show {id}` again"
            )));
        }
        let state = held_state(&cells)?;
        if state == to {
            return Ok(operations);
        }
        match state {
            HeldState::Held | HeldState::Rejected => {}
            HeldState::Gathering => {
                return Err(StoreError::Stale(format!(
                    "{id} is still being planned; look again when `usher plan` has nothing due"
                )));
            }
            HeldState::LetGo => {
                return Err(StoreError::Stale(format!("{id} was let go: its operations run")));
            }
        }
        let (released, event) = decision(to);
        query(DECIDE)
            .bind(cells.get::<i64>("held_cause.id")?)
            .bind(to as i64)
            .bind(i64::from(released))
            .bind(why(to, &context.actor, reason))
            .bind(json_of(DOING, &context.actor)?)
            .bind(micros(context.at))
            .bind(reason)
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        write.audit(&Entry {
            event,
            subject: None,
            cause: NO_CAUSE,
            payload: json!({
                "held-cause": id, "target": cells.get::<String>("target.name")?, "kind": counted(&cells)?,
                "cause": cells.get::<String>("held_cause.label")?, "operations": operations, "reason": reason,
            }),
        });
        write
            .commit(Raised {
                facts: false,
                observed: true,
            })
            .await?;
        Ok(operations)
    }

    /// Releases or rejects one operation.
    pub(super) async fn decide_operation(
        &self,
        id: OperationId,
        to: HeldState,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError> {
        check_reason(reason)?;
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        lock(&mut write.tx, DOING).await?;
        let owner = hex(id.uuid().as_bytes());
        lock_owners(&mut write.tx, DOING, OWNER_OF_ONE, Some(&owner)).await?;
        let row = query(ONE)
            .bind(id.uuid().as_bytes().to_vec())
            .fetch_optional(&mut write.tx)
            .await
            .map_err(failed(DOING))?
            .ok_or_else(|| StoreError::NotFound(format!("there is no operation {id}")))?;
        let cells = Cells::new(&row, "operation.id")?;
        let (number, account): (i64, i64) = (cells.get("operation.id")?, cells.get("operation.account")?);
        let held = query(CAUSE_OF)
            .bind(number)
            .fetch_optional(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        let Some(held) = held else {
            return Err(not_held(id, &cells)?);
        };
        let held = Cells::new(&held, "held_cause.id")?;
        let is_single = held.get::<String>("held_cause.cause")? == SINGLE;
        if to == HeldState::Rejected && is_single && held_state(&held)? == HeldState::Rejected {
            return Ok(());
        }
        let event = if to == HeldState::LetGo {
            "operation.released"
        } else {
            "operation.rejected"
        };
        if to == HeldState::LetGo {
            query(RELEASE_ONE)
                .bind(number)
                .bind(micros(context.at))
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
            promote(&mut write.tx, &[account].into()).await?;
        } else {
            let split = HeldCauseId::from_parts(context.at, &self.random());
            let row = query(SPLIT)
                .bind(held.get::<i64>("held_cause.id")?)
                .bind(hex(split.uuid().as_bytes()))
                .bind(SINGLE)
                .bind(why(to, &context.actor, reason))
                .bind(json_of(DOING, &context.actor)?)
                .bind(micros(context.at))
                .bind(reason)
                .fetch_one(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
            query("UPDATE operation SET held_cause = $2 WHERE id = $1")
                .bind(number)
                .bind(row.at::<i64>(0).map_err(failed(DOING))?)
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
        }
        write.audit(&Entry {
            event,
            subject: Some(subject(&cells)?),
            cause: cells.get("operation.cause")?,
            payload: json!({
                "operation": id,
                "account": slot(&cells)?.to_string(),
                "work": cells.get::<String>("operation.work")?,
                "reason": reason,
            }),
        });
        write
            .commit(Raised {
                facts: false,
                observed: true,
            })
            .await?;
        self.place.wake();
        Ok(())
    }
}

/// Whether it is marked as released, and the event.
const fn decision(to: HeldState) -> (bool, &'static str) {
    match to {
        HeldState::LetGo => (true, "held-cause.released"),
        HeldState::Rejected | HeldState::Held | HeldState::Gathering => (false, "held-cause.rejected"),
    }
}

fn why(to: HeldState, by: &Actor, reason: &str) -> String {
    match to {
        HeldState::LetGo => format!("released by {by}: {reason}"),
        HeldState::Rejected | HeldState::Held | HeldState::Gathering => format!("rejected by {by}: {reason}"),
    }
}

fn not_held(id: OperationId, cells: &Cells<'_>) -> Result<StoreError, StoreError> {
    let state = cells.operation_state("operation.state")?;
    Ok(StoreError::Stale(format!(
        "{id} is {state}, and no budget holds it; `usher operations retry` is for what failed or was held for another reason"
    )))
}

fn check_reason(reason: &str) -> Result<(), StoreError> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX || reason.contains('\0') {
        return Err(StoreError::Stale(format!(
            "a reason has 1 to {REASON_BYTES_MAX} bytes and no NUL"
        )));
    }
    Ok(())
}

/// Locks the row of a cause; refuses one whose operations are moved to another, or to which operations are still moved: what is counted after this
/// is what is decided on.
async fn refuse_while_joining(tx: &mut Tx<'_>, id: HeldCauseId) -> Result<(), StoreError> {
    let row = query(LOCKED)
        .bind(id.uuid().as_bytes().to_vec())
        .fetch_optional(tx)
        .await
        .map_err(failed(DOING))?;
    let Some(row) = row else { return Ok(()) };
    let number: i64 = row.at(0).map_err(failed(DOING))?;
    let joins: Option<i64> = row.at(1).map_err(failed(DOING))?;
    if let Some(other) = joins {
        let row = query(JOINED)
            .bind(other)
            .fetch_one(tx)
            .await
            .map_err(failed(DOING))?;
        let other = Cells::new(&row, "held_cause.id")?.uuid("held_cause.public_id")?;
        return Err(StoreError::Stale(format!(
            "{id} was added to {}: decide on that one",
            HeldCauseId::new(other)
        )));
    }
    let joining = query(JOINING)
        .bind(number)
        .fetch_optional(tx)
        .await
        .map_err(failed(DOING))?;
    match joining {
        None => Ok(()),
        Some(_) => Err(StoreError::Stale(format!(
            "more operations are being added to {id}; look at `usher held show {id}` again after the next round of planning"
        ))),
    }
}

async fn row_of(tx: &mut Tx<'_>, id: HeldCauseId) -> Result<Row, StoreError> {
    let uuid: Uuid = id.uuid();
    composed(format!("{COLUMNS} WHERE h.public_id = $1"))
        .bind(uuid.as_bytes().to_vec())
        .fetch_optional(tx)
        .await
        .map_err(failed(DOING))?
        .ok_or_else(|| {
            StoreError::NotFound(format!(
                "nothing is held under {id}: its operations were let go or overtaken, or there never was such a thing"
            ))
        })
}

async fn cause(row: &Row, tx: &mut Tx<'_>) -> Result<HeldCause, StoreError> {
    let cells = Cells::new(row, "held_cause.id")?;
    let rows = query(EXAMPLES)
        .bind(cells.get::<i64>("held_cause.id")?)
        .bind(EXAMPLES_MAX)
        .fetch_all(tx)
        .await
        .map_err(failed(DOING))?;
    let example = |row: &Row| {
        let cells = Cells::new(row, "operation.id")?;
        Ok(HeldExample {
            operation: OperationId::new(cells.uuid("operation.public_id")?),
            identity: IdentityId::new(cells.uuid("identity.public_id")?),
            key: cells
                .get::<Option<String>>("source_record.key")?
                .unwrap_or_default(),
        })
    };
    let decided_by: Option<String> = cells.get("held_cause.decided_by")?;
    let decided_by = decided_by.map(|_| cells.json::<Actor>("held_cause.decided_by"));
    Ok(HeldCause {
        id: HeldCauseId::new(cells.uuid("held_cause.public_id")?),
        target: cells.name("target.name")?,
        counted: counted(&cells)?,
        cause: cells.get("held_cause.label")?,
        state: held_state(&cells)?,
        operations: cells.count("held_cause.operations")?,
        why: cells.get("held_cause.why")?,
        since: cells.time("held_cause.since_us")?,
        decided_by: decided_by.transpose()?,
        decided_at: cells.time_if_any("held_cause.decided_us")?,
        reason: cells.get("held_cause.reason")?,
        examples: rows.iter().map(example).collect::<Result<_, StoreError>>()?,
    })
}
