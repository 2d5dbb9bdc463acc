//! Outcomes: what became of attempts, and what is known of their accounts now.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use usher_lifecycle::account::{AccountState, ObservedAccount};
use usher_lifecycle::ids::{IdentityId, OperationId};
use usher_lifecycle::operation::OperationState;
use uuid::Uuid;

use super::identities::numbers;
use super::operations::{promote, slot, subject};
use super::rows::{Cells, account_state_code, failed, hex, json_of, micros};
use super::write::{Entry, Subject, Write};
use crate::{Decision, Outcome, StoreError};

/// Longest message kept of an attempt, in characters: a line or two for people; the target's full answer is in the log.
const MESSAGE_CHARS_MAX: usize = 1_000;

const DOING: &str = "recording outcomes";

const ABSENCES: &str = "
    UPDATE operation SET absence_us = ?2
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS attempt FROM json_each(?1)) AS j
    WHERE operation.id = j.id AND operation.attempts = j.attempt AND operation.state = 2 AND operation.writer = ?3
    RETURNING operation.id";

const ATTEMPTS: &str = r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", o.account AS "operation.account",
           o.state AS "operation.state", o.writer AS "operation.writer", o.attempts AS "operation.attempts",
           o.settle AS "operation.settle", o.due_us AS "operation.due_us", o.claimed_us AS "operation.claimed_us",
           o.unknown_since_us AS "operation.unknown_since_us", o.cause AS "operation.cause",
           o.work ->> 'do' AS "operation.work", a.kind AS "account.kind", a.target AS "account.target",
           a.state AS "account.state", a.external_id AS "account.external_id", t.name AS "target.name",
           i.id AS "identity.id", i.public_id AS "identity.public_id"
    FROM json_each(?1) AS j CROSS JOIN operation o ON o.id = j.value CROSS JOIN account a ON a.id = o.account
    CROSS JOIN target t ON t.id = a.target CROSS JOIN identity i ON i.id = a.identity"#;

/// Who holds the links that outcomes claim.
const LINKS: &str = r#"
    SELECT a.id AS "account.id", a.target AS "account.target", a.external_id AS "account.external_id",
           i.public_id AS "identity.public_id"
    FROM json_each(?1) AS j CROSS JOIN account a ON a.target = j.value ->> 0 AND a.external_id = j.value ->> 1
    CROSS JOIN identity i ON i.id = a.identity
    WHERE a.state <> 0 AND a.external_id IS NOT NULL"#;

const UPDATE_OPERATIONS: &str = "
    UPDATE operation
    SET state = j.state, due_us = j.due, attempts = j.attempts, settle = j.settle, unknown_since_us = j.unknown,
        ended_us = j.ended, message = j.message
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS state, value ->> 2 AS due, value ->> 3 AS attempts, value ->> 4 AS settle,
                 value ->> 5 AS unknown, value ->> 6 AS ended, value ->> 7 AS message FROM json_each(?1)) AS j
    WHERE operation.id = j.id";

const UPDATE_ACCOUNTS: &str = "
    UPDATE account
    SET state = j.state, external_id = j.external_id, attributes = j.attributes, entitlements = j.entitlements,
        version = j.version, written = j.written, observed_us = ?2
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS state, value ->> 2 AS external_id, value ->> 3 AS attributes,
                 value ->> 4 AS entitlements, value ->> 5 AS version, unhex(value ->> 6) AS written FROM json_each(?1)) AS j
    WHERE account.id = j.id";

const SUPERSEDE_WAITING: &str = r#"
    UPDATE operation SET state = 6, ended_us = ?2, message = 'the operation before it was given up'
    WHERE state = 0 AND state < 4 AND account IN (SELECT value FROM json_each(?1))
    RETURNING id AS "operation.id", account AS "operation.account", public_id AS "operation.public_id",
              cause AS "operation.cause", work ->> 'do' AS "operation.work""#;

const TOUCH_IDENTITIES: &str = "
    UPDATE identity SET facts_version = facts_version + 1, dirty = max(identity.dirty, j.dirty)
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS dirty FROM json_each(?1)) AS j
    WHERE identity.id = j.id";

/// What was recorded.
pub(super) struct Recorded {
    pub(super) count: usize,
    pub(super) fenced: Vec<i64>,
}

/// An attempt as the store knows it.
struct Attempt {
    number: i64,
    id: OperationId,
    account: i64,
    target: i64,
    ours: bool,
    attempts: i64,
    settle: bool,
    due_us: i64,
    unknown_since_us: Option<i64>,
    claimed_us: Option<i64>,
    cause: String,
    verb: String,
    slot: String,
    subject: Subject,
    account_state: AccountState,
    external_id: Option<String>,
}

type OperationUpdate = (i64, i64, i64, i64, i64, Option<i64>, Option<i64>, String);
type AccountUpdate = (
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
struct Batch {
    operations: Vec<OperationUpdate>,
    accounts: Vec<AccountUpdate>,
    /// Accounts whose operation ended well: the next becomes ready.
    freed: BTreeSet<i64>,
    /// Accounts whose operation was given up, with whom and where: what waits is superseded.
    given_up: BTreeMap<i64, (Subject, String)>,
    touched: BTreeMap<i64, bool>,
}

/// Records that `find` saw nothing. Returns those that are fenced off.
pub(super) async fn record_absences(
    write: &mut Write<'_>,
    absences: &[(i64, u32)],
    at: Timestamp,
) -> Result<Vec<i64>, StoreError> {
    if absences.is_empty() {
        return Ok(Vec::new());
    }
    let writer = write.writer;
    let rows = sqlx::query(ABSENCES)
        .bind(json_of(DOING, absences)?)
        .bind(micros(at))
        .bind(writer)
        .fetch_all(&mut *write.tx)
        .await
        .map_err(failed(DOING))?;
    let seen: HashSet<i64> = numbers(&rows)?.into_iter().collect();
    Ok(absences
        .iter()
        .map(|(number, _)| *number)
        .filter(|number| !seen.contains(number))
        .collect())
}

/// Records outcomes. Those that are fenced off change nothing.
pub(super) async fn record(
    write: &mut Write<'_>,
    outcomes: &[Outcome],
    at: Timestamp,
) -> Result<Recorded, StoreError> {
    if outcomes.is_empty() {
        return Ok(Recorded {
            count: 0,
            fenced: Vec::new(),
        });
    }
    let mut attempts = attempts(write, outcomes).await?;
    let mut fenced = Vec::new();
    let mut accepted: Vec<(Attempt, &Outcome)> = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        // Taking it out fences a second outcome of the same attempt in one batch.
        match attempts.remove(&outcome.number) {
            Some(attempt) if attempt.ours && attempt.attempts == i64::from(outcome.attempt) => {
                accepted.push((attempt, outcome));
            }
            other => {
                if let Some(attempt) = other {
                    attempts.insert(outcome.number, attempt);
                }
                fenced.push(outcome.number);
            }
        }
    }
    let holders = link_holders(write, &accepted).await?;
    let mut links = holders;
    let mut batch = Batch::default();
    for (attempt, outcome) in &accepted {
        collect(&mut batch, attempt, outcome, &mut links, at, write)?;
    }
    batch.write(write, at).await?;
    Ok(Recorded {
        count: accepted.len(),
        fenced,
    })
}

async fn attempts(write: &mut Write<'_>, outcomes: &[Outcome]) -> Result<HashMap<i64, Attempt>, StoreError> {
    let wanted: BTreeSet<i64> = outcomes.iter().map(|outcome| outcome.number).collect();
    let rows = sqlx::query(ATTEMPTS)
        .bind(json_of(DOING, &wanted)?)
        .fetch_all(&mut *write.tx)
        .await
        .map_err(failed(DOING))?;
    rows.iter()
        .map(|row| attempt(row, write.writer).map(|attempt| (attempt.number, attempt)))
        .collect()
}

fn attempt(row: &SqliteRow, writer: i64) -> Result<Attempt, StoreError> {
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
type Links = HashMap<(i64, String), (i64, Uuid)>;

/// The links an outcome newly makes; the others stand in the store already.
fn new_link<'a>(attempt: &Attempt, observed: &'a ObservedAccount) -> Option<&'a str> {
    let id = observed.external_id.as_deref()?;
    let held = attempt.account_state != AccountState::Absent && attempt.external_id.as_deref() == Some(id);
    (observed.state != AccountState::Absent && !held).then_some(id)
}

async fn link_holders(write: &mut Write<'_>, accepted: &[(Attempt, &Outcome)]) -> Result<Links, StoreError> {
    let wanted: Vec<(i64, &str)> = accepted
        .iter()
        .filter_map(|(attempt, outcome)| {
            let id = new_link(attempt, outcome.observed.as_ref()?)?;
            Some((attempt.target, id))
        })
        .collect();
    if wanted.is_empty() {
        return Ok(Links::new());
    }
    let rows = sqlx::query(LINKS)
        .bind(json_of(DOING, &wanted)?)
        .fetch_all(&mut *write.tx)
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

fn collect(
    batch: &mut Batch,
    attempt: &Attempt,
    outcome: &Outcome,
    links: &mut Links,
    at: Timestamp,
    write: &mut Write<'_>,
) -> Result<(), StoreError> {
    let mut decision = &outcome.decision;
    let mut observed = outcome.observed.as_ref();
    let mut message: String = outcome.message.chars().take(MESSAGE_CHARS_MAX).collect();
    if let Some(link) = observed.and_then(|observed| new_link(attempt, observed)) {
        let key = (attempt.target, link.to_owned());
        match links.get(&key) {
            Some((account, holder)) if *account != attempt.account => {
                // Two people, one account: nobody but a person can say whose it is. The link stays where it was.
                message = format!(
                    "the target answered with account `{link:.200}`, which is already linked to {}; nothing was linked ({message})",
                    IdentityId::new(*holder)
                );
                decision = &Decision::Held;
                observed = None;
            }
            _ => {
                links.insert(key, (attempt.account, attempt.subject.id));
            }
        }
    }
    batch
        .operations
        .push(operation_update(attempt, decision, &message, at));
    if let Some(observed) = observed {
        batch.accounts.push(account_update(attempt.account, observed)?);
    }
    match decision {
        Decision::Done | Decision::Settled => {
            batch.freed.insert(attempt.account);
        }
        Decision::Failed => {
            batch
                .given_up
                .insert(attempt.account, (attempt.subject, attempt.slot.clone()));
        }
        Decision::Retry { .. } | Decision::Held => {}
    }
    let dirty = outcome.dirty || matches!(decision, Decision::Failed);
    // A plan made before this outcome saw an older account or queue: its guard must not hold any more.
    *batch.touched.entry(attempt.subject.number).or_default() |= dirty;
    audit(attempt, decision, observed, &message, write);
    Ok(())
}

fn operation_update(attempt: &Attempt, decision: &Decision, message: &str, at: Timestamp) -> OperationUpdate {
    let (mut state, mut due, mut attempts) = (OperationState::Done, attempt.due_us, attempt.attempts);
    let (mut settle, mut unknown, mut ended) = (attempt.settle, attempt.unknown_since_us, Some(micros(at)));
    match decision {
        Decision::Done | Decision::Settled => (settle, unknown) = (false, None),
        Decision::Retry {
            at: due_at,
            settle: read_back,
            counts,
        } => {
            state = OperationState::Ready;
            due = micros(*due_at);
            settle = *read_back;
            unknown = if settle {
                unknown.or(attempt.claimed_us)
            } else {
                None
            };
            attempts -= i64::from(!counts);
            ended = None;
        }
        Decision::Held => (state, ended) = (OperationState::Held, None),
        Decision::Failed => state = OperationState::Failed,
    }
    (
        attempt.number,
        state as i64,
        due,
        attempts,
        i64::from(settle),
        unknown,
        ended,
        message.to_owned(),
    )
}

fn account_update(account: i64, observed: &ObservedAccount) -> Result<AccountUpdate, StoreError> {
    let written = observed
        .written
        .map(|written| hex(&[written.desired, written.observed].concat()));
    Ok((
        account,
        account_state_code(observed.state),
        observed.external_id.clone(),
        json_of(DOING, &observed.attributes)?,
        json_of(DOING, &observed.entitlements)?,
        observed.version.clone(),
        written,
    ))
}

fn audit(
    attempt: &Attempt,
    decision: &Decision,
    observed: Option<&ObservedAccount>,
    message: &str,
    write: &mut Write<'_>,
) {
    let mut payload = attempt.payload();
    payload["attempt"] = json!(attempt.attempts);
    payload["message"] = json!(message);
    let event = match decision {
        Decision::Done => "operation.done",
        Decision::Settled => "operation.settled",
        Decision::Retry { at, settle, .. } => {
            payload["again-at"] = json!(at);
            payload["read-back"] = json!(settle);
            "operation.retry"
        }
        Decision::Held => "operation.held",
        Decision::Failed => "operation.failed",
    };
    write.audit(Entry {
        event,
        subject: Some(attempt.subject),
        cause: &attempt.cause,
        payload,
    });
    let Some(observed) = observed else { return };
    let linked = new_link(attempt, observed);
    if let Some(id) = linked {
        let mut payload = attempt.payload();
        payload["external-id"] = json!(id);
        write.audit(Entry {
            event: "account.linked",
            subject: Some(attempt.subject),
            cause: &attempt.cause,
            payload,
        });
    }
    if observed.state == AccountState::Absent && attempt.account_state != AccountState::Absent {
        let mut payload = attempt.payload();
        payload["external-id"] = json!(attempt.external_id);
        write.audit(Entry {
            event: "account.removed",
            subject: Some(attempt.subject),
            cause: &attempt.cause,
            payload,
        });
    }
}

impl Attempt {
    fn payload(&self) -> Value {
        json!({ "operation": self.id, "account": self.slot, "work": self.verb })
    }
}

impl Batch {
    async fn write(self, write: &mut Write<'_>, at: Timestamp) -> Result<(), StoreError> {
        if self.operations.is_empty() {
            return Ok(());
        }
        sqlx::query(UPDATE_OPERATIONS)
            .bind(json_of(DOING, &self.operations)?)
            .execute(&mut *write.tx)
            .await
            .map_err(failed(DOING))?;
        if !self.accounts.is_empty() {
            sqlx::query(UPDATE_ACCOUNTS)
                .bind(json_of(DOING, &self.accounts)?)
                .bind(micros(at))
                .execute(&mut *write.tx)
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
        sqlx::query(TOUCH_IDENTITIES)
            .bind(json_of(DOING, &touched)?)
            .execute(&mut *write.tx)
            .await
            .map_err(failed(DOING))?;
        Ok(())
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
    let rows = sqlx::query(SUPERSEDE_WAITING)
        .bind(json_of(DOING, &accounts)?)
        .bind(micros(at))
        .fetch_all(&mut *write.tx)
        .await
        .map_err(failed(DOING))?;
    for row in &rows {
        let cells = Cells::new(row, "operation.id")?;
        let Some((subject, slot)) = given_up.get(&cells.get::<i64>("operation.account")?) else {
            continue;
        };
        let operation = OperationId::new(cells.uuid("operation.public_id")?);
        write.audit(Entry {
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
