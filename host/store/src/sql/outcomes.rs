//! Outcomes: what became of attempts, and what is known of their accounts now.

use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;
use serde_json::json;
use usher_lifecycle::account::{AccountState, ObservedAccount};
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::operation::OperationState;

use super::attempts::{Attempt, Links, attempts, link_holders, new_link};
use super::cells::numbers;
use super::cells::{account_state_code, failed, hex, json_of, micros};
use super::db::query;
use super::operations::lock_owners;
use super::outcome_batch::{AccountUpdate, Batch, OperationUpdate};
use super::write::{Entry, Write};
use crate::{Decision, Outcome, StoreError};

/// Longest message kept of an attempt, in characters: a line or two for people; the target's full answer is in the log.
const MESSAGE_CHARS_MAX: usize = 1_000;

pub(crate) const DOING: &str = "recording outcomes";

pub(crate) const ABSENCES: &str = "
    UPDATE operation SET absence_us = $2
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS attempt FROM json_each($1)) AS j
    WHERE operation.id = j.id AND operation.attempts = j.attempt AND operation.state = 2 AND operation.writer = $3
    RETURNING operation.id";

const OWNERS: &str = "
    SELECT i.id FROM identity i WHERE i.id IN (
        SELECT a.identity FROM operation o JOIN account a ON a.id = o.account
        WHERE o.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)))
    ORDER BY i.id FOR NO KEY UPDATE";

/// What was recorded.
pub(super) struct Recorded {
    pub(super) count: usize,
    pub(super) fenced: Vec<i64>,
    /// Somebody is to be planned again.
    pub(super) dirty: bool,
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
    let rows = query(ABSENCES)
        .bind(json_of(DOING, absences)?)
        .bind(micros(at))
        .bind(writer)
        .fetch_all(&mut write.tx)
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
            dirty: false,
        });
    }
    let numbers: BTreeSet<i64> = outcomes.iter().map(|outcome| outcome.number).collect();
    let numbers = json_of(DOING, &numbers)?;
    lock_owners(&mut write.tx, DOING, OWNERS, Some(&numbers)).await?;
    let mut attempts = attempts(write, &numbers).await?;
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
    let dirty = batch.write(write, at).await?;
    Ok(Recorded {
        count: accepted.len(),
        fenced,
        dirty,
    })
}

/// What of an observation no text column of PostgreSQL can hold, if anything. Alike on SQLite, so that a store can move.
fn unstorable(observed: &ObservedAccount) -> Option<&'static str> {
    let holds_nul = |text: &Option<String>| text.as_deref().is_some_and(|text| text.contains('\0'));
    if holds_nul(&observed.external_id) {
        Some("an account id")
    } else if holds_nul(&observed.version) {
        Some("a version")
    } else {
        None
    }
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
    let mut message: String = outcome
        .message
        .chars()
        .take(MESSAGE_CHARS_MAX)
        .collect::<String>()
        .replace('\0', "\u{FFFD}");
    if let Some(what) = observed.and_then(unstorable) {
        // PostgreSQL cannot keep it; without it the account could not be found again, and something may have been made there.
        message = format!(
            "the target answered with {what} that holds a NUL character; nothing was linked ({message})"
        );
        decision = &Decision::Held { settle: true };
        observed = None;
    }
    if let Some(link) = observed.and_then(|observed| new_link(attempt, observed)) {
        let key = (attempt.target, link.to_owned());
        match links.get(&key) {
            Some((account, holder)) if *account != attempt.account => {
                // Two people, one account: nobody but a person can say whose it is. The link stays where it was.
                message = format!(
                    "the target answered with account `{link:.200}`, which is already linked to {}; nothing was linked ({message})",
                    IdentityId::new(*holder)
                );
                decision = &Decision::Held { settle: false };
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
        Decision::Retry { .. } | Decision::Held { .. } => {}
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
        Decision::Held { settle: read_back } => {
            (state, ended) = (OperationState::Held, None);
            settle = *read_back;
            unknown = if settle {
                unknown.or(attempt.claimed_us)
            } else {
                None
            };
        }
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
        i64::from(settle || matches!(decision, Decision::Retry { counts: false, .. })),
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
        Decision::Held { .. } => "operation.held",
        Decision::Failed => "operation.failed",
    };
    write.audit(&Entry {
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
        write.audit(&Entry {
            event: "account.linked",
            subject: Some(attempt.subject),
            cause: &attempt.cause,
            payload,
        });
    }
    if observed.state == AccountState::Absent && attempt.account_state != AccountState::Absent {
        let mut payload = attempt.payload();
        payload["external-id"] = json!(attempt.external_id);
        write.audit(&Entry {
            event: "account.removed",
            subject: Some(attempt.subject),
            cause: &attempt.cause,
            payload,
        });
    }
}
