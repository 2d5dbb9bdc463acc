//! Attempts as the store knows them, and who holds the links their outcomes claim.

use std::collections::HashMap;

use serde_json::{Value, json};
use usher_lifecycle::account::{AccountState, ObservedAccount};
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::operation::OperationState;
use uuid::Uuid;

use super::cells::{Cells, failed, json_of};
use super::db::{Row, query};
use super::operations::{slot, subject};
use super::outcomes::DOING;
use super::write::{Subject, Write};
use crate::{Outcome, StoreError};

pub(crate) const ATTEMPTS: &str = r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", o.account AS "operation.account",
           o.state AS "operation.state", o.writer AS "operation.writer", o.attempts AS "operation.attempts",
           o.settle AS "operation.settle", o.due_us AS "operation.due_us", o.claimed_us AS "operation.claimed_us",
           o.unknown_since_us AS "operation.unknown_since_us", o.cause AS "operation.cause",
           o.verb AS "operation.work", a.kind AS "account.kind", a.target AS "account.target",
           a.state AS "account.state", a.external_id AS "account.external_id", t.name AS "target.name",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key"
    FROM json_each($1) AS j CROSS JOIN operation o CROSS JOIN account a CROSS JOIN target t CROSS JOIN identity i
    WHERE o.id = CAST(j.value AS BIGINT) AND a.id = o.account AND t.id = a.target AND i.id = a.identity"#;

/// Who holds the links that outcomes claim.
pub(crate) const LINKS: &str = r#"
    SELECT a.id AS "account.id", a.target AS "account.target", a.external_id AS "account.external_id",
           i.public_id AS "identity.public_id"
    FROM json_each($1) AS j CROSS JOIN account a CROSS JOIN identity i
    WHERE a.target = CAST(j.value ->> 0 AS BIGINT) AND a.external_id = j.value ->> 1 AND i.id = a.identity
      AND a.state <> 0 AND a.external_id IS NOT NULL"#;

/// An attempt as the store knows it.
pub(super) struct Attempt {
    pub(super) number: i64,
    pub(super) id: OperationId,
    pub(super) account: i64,
    pub(super) target: i64,
    pub(super) ours: bool,
    pub(super) attempts: i64,
    pub(super) settle: bool,
    pub(super) due_us: i64,
    pub(super) unknown_since_us: Option<i64>,
    pub(super) claimed_us: Option<i64>,
    pub(super) cause: String,
    pub(super) verb: String,
    pub(super) slot: String,
    pub(super) subject: Subject,
    pub(super) account_state: AccountState,
    pub(super) external_id: Option<String>,
}

pub(super) async fn attempts(
    write: &mut Write<'_>,
    numbers: &str,
) -> Result<HashMap<i64, Attempt>, StoreError> {
    let rows = query(ATTEMPTS)
        .bind(numbers)
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    rows.iter()
        .map(|row| attempt(row, write.writer).map(|attempt| (attempt.number, attempt)))
        .collect()
}

fn attempt(row: &Row, writer: i64) -> Result<Attempt, StoreError> {
    let cells = Cells::new(row, "operation.id")?;
    let claimed = cells.operation_state("operation.state")? == OperationState::Claimed;
    Ok(Attempt {
        number: cells.get("operation.id")?,
        id: OperationId::new(cells.uuid("operation.public_id")?),
        account: cells.get("operation.account")?,
        target: cells.get("account.target")?,
        ours: claimed && cells.get::<Option<i64>>("operation.writer")? == Some(writer),
        attempts: cells.get("operation.attempts")?,
        settle: cells.flag("operation.settle")?,
        due_us: cells.get("operation.due_us")?,
        unknown_since_us: cells.get("operation.unknown_since_us")?,
        claimed_us: cells.get("operation.claimed_us")?,
        cause: cells.get("operation.cause")?,
        verb: cells.get("operation.work")?,
        slot: slot(&cells)?.to_string(),
        subject: subject(&cells)?,
        account_state: cells.account_state("account.state")?,
        external_id: cells.get("account.external_id")?,
    })
}

/// Target and external id → the account that holds the link, and whose it is.
pub(super) type Links = HashMap<(i64, String), (i64, Uuid)>;

/// The links an outcome newly makes; the others stand in the store already.
pub(super) fn new_link<'a>(attempt: &Attempt, observed: &'a ObservedAccount) -> Option<&'a str> {
    let id = observed.external_id.as_deref()?;
    let held = attempt.account_state != AccountState::Absent && attempt.external_id.as_deref() == Some(id);
    (observed.state != AccountState::Absent && !held).then_some(id)
}

pub(super) async fn link_holders(
    write: &mut Write<'_>,
    accepted: &[(Attempt, &Outcome)],
) -> Result<Links, StoreError> {
    let wanted: Vec<(i64, &str)> = accepted
        .iter()
        .filter_map(|(attempt, outcome)| {
            let id = new_link(attempt, outcome.observed.as_ref()?)?;
            // One with a NUL is nobody's: the outcome is held.
            Some((attempt.target, id)).filter(|(_, id)| !id.contains('\0'))
        })
        .collect();
    if wanted.is_empty() {
        return Ok(Links::new());
    }
    let rows = query(LINKS)
        .bind(json_of(DOING, &wanted)?)
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(row, "account.id")?;
            let link = (cells.get("account.target")?, cells.get("account.external_id")?);
            Ok((
                link,
                (cells.get("account.id")?, cells.uuid("identity.public_id")?),
            ))
        })
        .collect()
}

impl Attempt {
    /// What an audit row about the operation starts with.
    pub(super) fn payload(&self) -> Value {
        json!({ "operation": self.id, "account": self.slot, "work": self.verb })
    }
}
