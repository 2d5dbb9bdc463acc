//! Operations outside the hot path: listing, totals, retry by a person; and the queue of one account.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::ids::{IdentityId, OperationId};
use usher_lifecycle::operation::OperationState;

use super::SqlStore;
use super::cells::{Cells, failed, hex, json_of, micros};
use super::db::{Row, Tx, composed, query};
use super::write::{Entry, Raised, Subject};
use crate::{
    Claim, Context, OperationFilter, OperationRow, Operations, Outcome, Recorded, Rest, StoreError, Totals,
};

/// How often a commit is tried again at once because other writers changed the same rows.
const CONTENDED_MAX: u32 = 5;
/// Most operations in one list.
const LIST_MAX: u32 = 10_000;
/// Beyond this many operations in all, totals leave out the ended ones: counting them would read the whole table.
const COUNTED_MAX: i64 = 100_000;

const RESTING: &str = r#"
    SELECT t.id AS "target.id", t.name AS "target.name", t.paused_until_us AS "target.paused_until_us",
           t.pause_reason AS "target.pause_reason"
    FROM target t WHERE t.paused_until_us > $1 ORDER BY t.name"#;

/// The first open operation of an account, if it waits, becomes ready.
pub(crate) const PROMOTE: &str = "
    UPDATE operation SET state = 1
    WHERE state = 0 AND id IN (
        SELECT (SELECT o.id FROM operation o WHERE o.account = CAST(j.value AS BIGINT) AND o.state < 4 ORDER BY o.id LIMIT 1)
        FROM json_each($1) AS j)";

/// Each target and priority is one bounded look into the index. A security hold does not wait for the end of a rest.
pub(crate) const NEXT_DUE: &str = "
    SELECT min(due) FROM (
        SELECT (SELECT CASE WHEN t.paused_until_us > o.due_us AND o.priority > 0 THEN t.paused_until_us ELSE o.due_us END FROM operation o
                WHERE o.state = 1 AND o.target = t.id AND o.priority = CAST(p.value AS BIGINT) ORDER BY o.due_us LIMIT 1) AS due
        FROM target t CROSS JOIN json_each(CAST('[0,1,2,3,4]' AS TEXT)) AS p) AS q";

/// What is listed of an operation. What a budget holds says why, in place of its last message.
pub(super) const LISTED_COLUMNS: &str = r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", i.public_id AS "identity.public_id",
           (SELECT r.key FROM source_record r WHERE r.identity = i.id ORDER BY r.id LIMIT 1) AS "source_record.key",
           t.name AS "target.name", a.kind AS "account.kind", o.work AS "operation.work", o.state AS "operation.state",
           o.priority AS "operation.priority", o.attempts AS "operation.attempts",
           coalesce(o.ended_us, o.due_us) AS "operation.due_us",
           coalesce((SELECT h.why FROM held_cause h WHERE h.id = o.held_cause), o.message) AS "operation.message",
           o.cause AS "operation.cause"
    FROM operation o JOIN account a ON a.id = o.account JOIN target t ON t.id = a.target JOIN identity i ON i.id = a.identity"#;

const LISTED_ONLY: &str = r#"
    WHERE (CAST($1 AS TEXT) IS NULL OR o.state IN (SELECT CAST(value AS BIGINT) FROM json_each($1))) AND (CAST($2 AS TEXT) IS NULL OR t.name = $2)"#;

const TOTALS: &str = r#"
    SELECT CAST(0 AS BIGINT) AS "operation.id", t.name AS "target.name", o.state AS "operation.state", count(*) AS "operation.count"
    FROM operation o JOIN target t ON t.id = o.target"#;

pub(super) const OWNER_OF_ONE: &str = "
    SELECT i.id FROM identity i WHERE i.id IN (
        SELECT a.identity FROM operation o JOIN account a ON a.id = o.account WHERE o.public_id = unhex($1))
    FOR NO KEY UPDATE";

pub(super) const ONE: &str = r#"
    SELECT o.id AS "operation.id", o.state AS "operation.state", o.account AS "operation.account", o.cause AS "operation.cause",
           o.verb AS "operation.work", a.kind AS "account.kind", t.name AS "target.name",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key",
           CAST(CASE WHEN o.held_cause IS NULL THEN 0 ELSE 1 END AS BIGINT) AS "operation.held_cause",
           (SELECT count(*) FROM operation b WHERE b.account = o.account AND b.state < 4 AND b.id <> o.id) AS "operation.others"
    FROM operation o JOIN account a ON a.id = o.account JOIN target t ON t.id = a.target JOIN identity i ON i.id = a.identity
    WHERE o.public_id = $1"#;

/// Whether it is read back first stands with it. What was seen before it was held is evidence only of an attempt to be read back.
const RELEASE: &str = "
    UPDATE operation
    SET state = 1, due_us = $2, ended_us = NULL, message = 'released by a person', attempts = 0,
        absence_us = CASE WHEN settle = 1 THEN absence_us END
    WHERE id = $1";

#[async_trait]
impl Operations for SqlStore {
    async fn recover(&self, context: &Context) -> Result<u64, StoreError> {
        self.take_over(context).await
    }

    async fn record_and_claim(
        &self,
        absences: &[(i64, u32)],
        outcomes: &[Outcome],
        claim: &Claim,
        context: &Context,
    ) -> Result<Recorded, StoreError> {
        let mut tries = 0;
        loop {
            match self.record_once(absences, outcomes, claim, context).await {
                // Others were at the same rows; nothing was recorded, and the next look sees what they did.
                Err(StoreError::Contended(_)) if tries < CONTENDED_MAX => tries += 1,
                result => return result,
            }
        }
    }

    async fn resting(&self, now: Timestamp) -> Result<Vec<Rest>, StoreError> {
        let doing = "reading which targets rest";
        let mut tx = self.read(doing).await?;
        let rows = query(RESTING)
            .bind(micros(now))
            .fetch_all(&mut tx)
            .await
            .map_err(failed(doing))?;
        let rests = rows
            .iter()
            .map(|row| super::claim::resting(&Cells::new(row, "target.id")?, now));
        rests.filter_map(Result::transpose).collect()
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let doing = "reading when the next operation is due";
        let row = query(NEXT_DUE)
            .fetch_one(&mut self.read(doing).await?)
            .await
            .map_err(failed(doing))?;
        due_moment(&row, doing)
    }

    async fn operations(&self, filter: &OperationFilter) -> Result<Vec<OperationRow>, StoreError> {
        let doing = "listing operations";
        // Which index leads: the identity's accounts, the open operations, or the newest rows.
        let only_open = !filter.states.is_empty() && filter.states.iter().all(|state| state.is_open());
        let of_identity = if filter.identity.is_some() {
            "AND a.identity = $3"
        } else {
            "AND CAST($3 AS BIGINT) IS NULL"
        };
        let open = if only_open { "AND o.state < 4" } else { "" };
        let unheld = if filter.without_budgets {
            "AND o.held_cause IS NULL"
        } else {
            ""
        };
        let sql = format!(
            "{LISTED_COLUMNS} {LISTED_ONLY} {of_identity} {open} {unheld} ORDER BY o.id DESC LIMIT $4"
        );
        let states: Vec<i64> = filter.states.iter().map(|state| *state as i64).collect();
        let states = if states.is_empty() {
            None
        } else {
            Some(json_of(doing, &states)?)
        };
        let rows = composed(sql)
            .bind(states)
            .bind(filter.target.as_ref().map(|target| target.as_str().to_owned()))
            .bind(filter.identity.map(|identity| identity.0))
            .bind(filter.limit.min(LIST_MAX))
            .fetch_all(&mut self.read(doing).await?)
            .await
            .map_err(failed(doing))?;
        rows.iter().map(listed).collect()
    }

    async fn operation_totals(&self) -> Result<Vec<Totals>, StoreError> {
        let doing = "counting operations";
        let mut tx = self.read(doing).await?;
        let row = query("SELECT coalesce(max(id), 0) FROM operation")
            .fetch_one(&mut tx)
            .await
            .map_err(failed(doing))?;
        let all: i64 = row.at(0).map_err(failed(doing))?;
        let only = if all > COUNTED_MAX {
            "WHERE o.state < 4"
        } else {
            ""
        };
        let sql = format!("{TOTALS} {only} GROUP BY o.target, t.name, o.state ORDER BY t.name, o.state");
        let rows = composed(sql).fetch_all(&mut tx).await.map_err(failed(doing))?;
        rows.iter()
            .map(|row| {
                let cells = Cells::new(row, "operation.id")?;
                Ok(Totals {
                    target: cells.name("target.name")?,
                    state: cells.operation_state("operation.state")?,
                    operations: cells.count("operation.count")?,
                })
            })
            .collect()
    }

    async fn retry(&self, id: OperationId, context: &Context) -> Result<(), StoreError> {
        let doing = "releasing an operation";
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        lock_owners(
            &mut write.tx,
            doing,
            OWNER_OF_ONE,
            Some(&hex(id.uuid().as_bytes())),
        )
        .await?;
        let row = query(ONE)
            .bind(id.uuid().as_bytes().to_vec())
            .fetch_optional(&mut write.tx)
            .await
            .map_err(failed(doing))?
            .ok_or_else(|| StoreError::NotFound(format!("there is no operation {id}")))?;
        let cells = Cells::new(&row, "operation.id")?;
        match cells.operation_state("operation.state")? {
            OperationState::Held if cells.flag("operation.held_cause")? => {
                return Err(StoreError::Stale(format!(
                    "a budget holds {id}: let it run with `usher release {id} --reason TEXT`, or all of its cause (`usher held`)"
                )));
            }
            OperationState::Held => {}
            OperationState::Failed if cells.get::<i64>("operation.others")? == 0 => {}
            OperationState::Failed => {
                return Err(StoreError::Stale(format!(
                    "{id} is overtaken: its account has newer operations; release those"
                )));
            }
            state @ (OperationState::Waiting
            | OperationState::Ready
            | OperationState::Claimed
            | OperationState::Done
            | OperationState::Superseded) => {
                return Err(StoreError::Stale(format!(
                    "{id} is {state}; only a held or failed operation can be released"
                )));
            }
        }
        let subject = subject(&cells)?;
        query(RELEASE)
            .bind(cells.get::<i64>("operation.id")?)
            .bind(micros(context.at))
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        query("UPDATE identity SET facts_version = facts_version + 1 WHERE id = $1")
            .bind(subject.number)
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        write.audit(&Entry {
            event: "operation.released",
            subject: Some(subject),
            cause: cells.get("operation.cause")?,
            payload: json!({
                "operation": id,
                "account": slot(&cells)?.to_string(),
                "work": cells.get::<String>("operation.work")?,
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

impl SqlStore {
    async fn record_once(
        &self,
        absences: &[(i64, u32)],
        outcomes: &[Outcome],
        claim: &Claim,
        context: &Context,
    ) -> Result<Recorded, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin("recording outcomes and claiming", context).await?;
        // Outcomes lock identities, absences operations: in this order nobody waits in a circle.
        let recorded = super::outcomes::record(&mut write, outcomes, context.at).await?;
        let mut fenced = super::outcomes::record_absences(&mut write, absences, context.at).await?;
        fenced.extend(recorded.fenced);
        super::claim::rest(&mut write, &claim.rests).await?;
        let claimed = super::claim::claim(&mut write, claim, context.at).await?;
        let is_idle = recorded.count == 0 && claimed.operations.is_empty();
        let done = Recorded {
            claimed: claimed.operations,
            fenced,
            resting: claimed.resting,
            frozen: claimed.frozen,
        };
        if is_idle && absences.is_empty() && claim.rests.is_empty() {
            // Nothing to keep: an idle look at the queue costs no disk write.
            return Ok(done);
        }
        write
            .commit(Raised {
                facts: false,
                observed: recorded.count > 0,
            })
            .await?;
        if recorded.dirty {
            self.place.wake();
        }
        Ok(done)
    }
}

/// Lets the first open operation of each account be claimed, if it waits. A held one lets nothing past.
pub(super) async fn promote(connection: &mut Tx<'_>, accounts: &BTreeSet<i64>) -> Result<(), StoreError> {
    let doing = "making the next operation ready";
    if accounts.is_empty() {
        return Ok(());
    }
    query(PROMOTE)
        .bind(json_of(doing, accounts)?)
        .execute(connection)
        .await
        .map_err(failed(doing))?;
    Ok(())
}

/// The moment in the only column of a row, if there is one.
pub(super) fn due_moment(row: &Row, doing: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let due: Option<i64> = row.at(0).map_err(failed(doing))?;
    due.map(Timestamp::from_microsecond)
        .transpose()
        .map_err(|error| StoreError::Corrupt {
            table: "operation",
            column: "due_us",
            row: 0,
            reason: error.to_string(),
        })
}

/// Locks the identities that a statement names, in the order of their numbers, where others may be at work too.
pub(super) async fn lock_owners(
    tx: &mut Tx<'_>,
    doing: &'static str,
    owners: &'static str,
    of: Option<&str>,
) -> Result<(), StoreError> {
    if tx.is_shared() {
        let statement = query(owners);
        let statement = match of {
            Some(of) => statement.bind(of),
            None => statement,
        };
        statement.fetch_all(tx).await.map_err(failed(doing))?;
    }
    Ok(())
}

/// The identity of a row, from columns named `identity.…`.
pub(super) fn subject(cells: &Cells<'_>) -> Result<Subject, StoreError> {
    Ok(Subject {
        number: cells.get("identity.id")?,
        id: cells.uuid("identity.public_id")?,
        key: cells.subject_key("identity.audit_key")?,
    })
}

/// The account of a row, from `target.name` and `account.kind`.
pub(super) fn slot(cells: &Cells<'_>) -> Result<AccountSlot, StoreError> {
    Ok(AccountSlot {
        target: cells.name("target.name")?,
        kind: cells.name("account.kind")?,
    })
}

pub(super) fn listed(row: &Row) -> Result<OperationRow, StoreError> {
    let cells = Cells::new(row, "operation.id")?;
    Ok(OperationRow {
        id: OperationId::new(cells.uuid("operation.public_id")?),
        identity: IdentityId::new(cells.uuid("identity.public_id")?),
        key: cells
            .get::<Option<String>>("source_record.key")?
            .unwrap_or_default(),
        slot: slot(&cells)?,
        work: cells.json("operation.work")?,
        state: cells.operation_state("operation.state")?,
        priority: cells.priority("operation.priority")?,
        attempts: cells.count("operation.attempts")?,
        at: cells.time("operation.due_us")?,
        message: cells.get("operation.message")?,
        cause: cells.json("operation.cause")?,
    })
}
