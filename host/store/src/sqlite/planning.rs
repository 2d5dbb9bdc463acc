//! The plan transaction.

use std::collections::{BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::operation::{OperationState, Work};
use usher_lifecycle::state::IdentityState;
use uuid::Uuid;

use super::SqliteStore;
use super::facts::refuse_while_unabsorbed;
use super::identities::{load, numbers, versions};
use super::operations::promote;
use super::rows::{Cells, failed, hex, identity_state_code, json_of, micros};
use super::write::{Entry, Raised, Subject, Write};
use crate::{Context, IdentityRow, NewOperation, PlanCommit, Planned, Planning, StoreError, StoreVersions};

/// Identities recorded in one transaction.
const IDENTITIES_MAX: usize = 512;
/// Operations added in one transaction, unless one identity alone has more: about 20 ms with their audit rows.
const OPERATIONS_MAX: usize = 1_000;
/// Most identities handed out for planning at once.
const DUE_MAX: u32 = 2_000;

const DOING: &str = "recording a plan";

/// Three bounded index ranges; `planned_under` is read where the row is not dirty, so that an import does not touch its index.
pub(super) const DUE: &str = "
    SELECT id FROM (SELECT id FROM identity WHERE dirty = 1 ORDER BY id LIMIT ?3)
    UNION
    SELECT id FROM (SELECT id FROM identity
        WHERE dirty = 0 AND next_change_us IS NOT NULL AND next_change_us <= ?1 ORDER BY next_change_us LIMIT ?3)
    UNION
    SELECT id FROM (SELECT id FROM identity WHERE dirty = 0 AND planned_under < ?2 ORDER BY planned_under LIMIT ?3)
    ORDER BY id LIMIT ?3";

const IDENTITIES: &str = r#"
    SELECT i.id AS "identity.id", i.public_id AS "identity.public_id", i.facts_version AS "identity.facts_version",
           i.state AS "identity.state"
    FROM identity i WHERE i.id IN (SELECT value FROM json_each(?1))"#;

const OVERTAKEN: &str = r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", o.account AS "operation.account",
           o.state AS "operation.state", o.settle AS "operation.settle", o.cause AS "operation.cause",
           o.work ->> 'do' AS "operation.work", a.identity AS "account.identity", a.kind AS "account.kind",
           t.name AS "target.name"
    FROM json_each(?1) AS j CROSS JOIN operation o ON o.public_id = unhex(j.value)
    CROSS JOIN account a ON a.id = o.account CROSS JOIN target t ON t.id = a.target"#;

const SUPERSEDE: &str = "
    UPDATE operation SET state = 6, ended_us = ?2, message = 'overtaken by a newer plan'
    WHERE id IN (SELECT value FROM json_each(?1))";

const INSERT_TARGETS: &str =
    "INSERT INTO target (name) SELECT value FROM json_each(?1) WHERE true ON CONFLICT DO NOTHING";

const INSERT_ACCOUNTS: &str = "
    INSERT INTO account (identity, target, kind)
    SELECT j.value ->> 0, t.id, j.value ->> 2 FROM json_each(?1) AS j CROSS JOIN target t ON t.name = j.value ->> 1
    WHERE true ON CONFLICT DO NOTHING";

const ACCOUNTS: &str = r#"
    SELECT a.id AS "account.id", a.identity AS "account.identity", a.target AS "account.target", a.kind AS "account.kind",
           t.name AS "target.name",
           EXISTS (SELECT 1 FROM operation o WHERE o.account = a.id AND o.state < 4) AS "account.busy"
    FROM json_each(?1) AS j CROSS JOIN target t ON t.name = j.value ->> 1
    CROSS JOIN account a ON a.identity = j.value ->> 0 AND a.target = t.id AND a.kind = j.value ->> 2"#;

const INSERT_OPERATIONS: &str = "
    INSERT INTO operation (public_id, account, target, state, priority, due_us, work, cause)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7
    FROM json_each(?1) ORDER BY key";

const RECORD: &str = "
    UPDATE identity
    SET dirty = 0, state = j.state, next_change_us = j.next_change, planned_under = ?2,
        facts_version = identity.facts_version + j.queue_changed
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS state, value ->> 2 AS next_change, value ->> 3 AS queue_changed
          FROM json_each(?1)) AS j
    WHERE identity.id = j.id";

#[async_trait]
impl Planning for SqliteStore {
    async fn due(
        &self,
        now: Timestamp,
        versions: StoreVersions,
        limit: u32,
    ) -> Result<Vec<IdentityRow>, StoreError> {
        let doing = "reading what is due for planning";
        let mut tx = self.read(doing).await?;
        refuse_while_unabsorbed(&mut tx).await?;
        let rows = sqlx::query(DUE)
            .bind(micros(now))
            .bind(versions.policy + versions.targets)
            .bind(limit.min(DUE_MAX))
            .fetch_all(&mut *tx)
            .await
            .map_err(failed(doing))?;
        let numbers = numbers(&rows)?;
        load(&mut tx, &numbers).await
    }

    async fn commit_plan(
        &self,
        planned: &[Planned],
        versions: StoreVersions,
        context: &Context,
    ) -> Result<PlanCommit, StoreError> {
        let mut total = PlanCommit::default();
        let mut rest = planned;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_length(rest));
            let done = self.commit_batch(batch, versions, context).await?;
            total.planned += done.planned;
            total.stale += done.stale;
            total.operations += done.operations;
            rest = after;
        }
        Ok(total)
    }
}

/// How many of the decisions go into the next transaction: whole identities, at least one.
fn batch_length(planned: &[Planned]) -> usize {
    let mut operations = 0;
    let fitting = planned
        .iter()
        .take(IDENTITIES_MAX)
        .take_while(|one| {
            operations += one.operations.len();
            operations <= OPERATIONS_MAX
        })
        .count();
    fitting.max(1)
}

/// What the store holds of an identity to be recorded.
struct Current {
    subject: Subject,
    facts_version: i64,
    state: Option<IdentityState>,
}

/// An operation the plan wants to overtake.
struct Overtaken {
    number: i64,
    account: i64,
    identity: i64,
    may_be_overtaken: bool,
    cause: String,
    payload: Value,
}

/// Where an account is and whether something stands in its queue.
struct Place {
    account: i64,
    target: i64,
    busy: bool,
}

impl SqliteStore {
    async fn commit_batch(
        &self,
        planned: &[Planned],
        made_under: StoreVersions,
        context: &Context,
    ) -> Result<PlanCommit, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        let now = versions(&mut write.tx).await?;
        if (now.policy, now.targets) != (made_under.policy, made_under.targets) {
            return Err(StoreError::Stale(
                "the policy or the targets changed while the plan was made; plan again".to_owned(),
            ));
        }
        let current = current(&mut write, planned).await?;
        let overtaken = overtaken(&mut write, planned).await?;
        let (fresh, stale): (Vec<&Planned>, Vec<&Planned>) = planned
            .iter()
            .partition(|one| is_fresh(one, &current, &overtaken));

        let superseded: Vec<&Overtaken> = fresh
            .iter()
            .flat_map(|one| &one.superseded)
            .filter_map(|id| overtaken.get(&id.uuid()))
            .collect();
        supersede(&mut write, &superseded, &current, context.at).await?;
        let operations = add_operations(&mut write, &fresh, &current).await?;
        let freed: BTreeSet<i64> = superseded.iter().map(|one| one.account).collect();
        promote(&mut write.tx, &freed).await?;
        record(&mut write, &fresh, &current, now.policy + now.targets).await?;
        write
            .commit(Raised {
                facts: false,
                observed: operations > 0 || !superseded.is_empty(),
            })
            .await?;
        Ok(PlanCommit {
            planned: fresh.len() as u64,
            stale: stale.len() as u64,
            operations,
        })
    }
}

/// Whether the decision still fits: the same facts, accounts and queue, and nothing it overtakes has started.
fn is_fresh(
    planned: &Planned,
    current: &HashMap<i64, Current>,
    overtaken: &HashMap<Uuid, Overtaken>,
) -> bool {
    let Some(current) = current.get(&planned.reference.0) else {
        return false;
    };
    current.facts_version == planned.facts_version
        && planned.superseded.iter().all(|id| {
            overtaken
                .get(&id.uuid())
                .is_some_and(|one| one.may_be_overtaken && one.identity == planned.reference.0)
        })
}

async fn current(write: &mut Write<'_>, planned: &[Planned]) -> Result<HashMap<i64, Current>, StoreError> {
    let wanted: Vec<i64> = planned.iter().map(|one| one.reference.0).collect();
    let rows = sqlx::query(IDENTITIES)
        .bind(json_of(DOING, &wanted)?)
        .fetch_all(&mut *write.tx)
        .await
        .map_err(failed(DOING))?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(row, "identity.id")?;
            let number = cells.get("identity.id")?;
            let current = Current {
                subject: Subject {
                    number,
                    id: cells.uuid("identity.public_id")?,
                },
                facts_version: cells.get("identity.facts_version")?,
                state: cells.identity_state("identity.state")?,
            };
            Ok((number, current))
        })
        .collect()
}

async fn overtaken(
    write: &mut Write<'_>,
    planned: &[Planned],
) -> Result<HashMap<Uuid, Overtaken>, StoreError> {
    let wanted: Vec<String> = planned
        .iter()
        .flat_map(|one| &one.superseded)
        .map(|id| hex(id.uuid().as_bytes()))
        .collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(OVERTAKEN)
        .bind(json_of(DOING, &wanted)?)
        .fetch_all(&mut *write.tx)
        .await
        .map_err(failed(DOING))?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        let cells = Cells::new(row, "operation.id")?;
        let id = cells.uuid("operation.public_id")?;
        let slot = AccountSlot {
            target: cells.name("target.name")?,
            kind: cells.name("account.kind")?,
        };
        let may_be_overtaken = match cells.operation_state("operation.state")? {
            // Held and to be read back: the plan saw it so, and decided.
            OperationState::Held => true,
            OperationState::Waiting | OperationState::Ready => !cells.flag("operation.settle")?,
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

async fn supersede(
    write: &mut Write<'_>,
    superseded: &[&Overtaken],
    current: &HashMap<i64, Current>,
    at: Timestamp,
) -> Result<(), StoreError> {
    if superseded.is_empty() {
        return Ok(());
    }
    let numbers: Vec<i64> = superseded.iter().map(|one| one.number).collect();
    sqlx::query(SUPERSEDE)
        .bind(json_of(DOING, &numbers)?)
        .bind(micros(at))
        .execute(&mut *write.tx)
        .await
        .map_err(failed(DOING))?;
    for one in superseded {
        write.audit(Entry {
            event: "operation.superseded",
            subject: current.get(&one.identity).map(|current| current.subject),
            cause: &one.cause,
            payload: one.payload.clone(),
        });
    }
    Ok(())
}

async fn add_operations(
    write: &mut Write<'_>,
    planned: &[&Planned],
    current: &HashMap<i64, Current>,
) -> Result<u64, StoreError> {
    let mut places = places(write, planned).await?;
    let mut rows = Vec::new();
    for one in planned {
        let subject = current.get(&one.reference.0).map(|current| current.subject);
        for operation in &one.operations {
            let slot = (
                one.reference.0,
                operation.slot.target.to_string(),
                operation.slot.kind.to_string(),
            );
            let Some(place) = places.get_mut(&slot) else {
                return Err(StoreError::Unavailable {
                    doing: DOING,
                    message: format!("the account {} could not be recorded", operation.slot),
                });
            };
            let state = if place.busy {
                OperationState::Waiting
            } else {
                OperationState::Ready
            };
            place.busy = true;
            let cause = json_of(DOING, &operation.cause)?;
            write.audit(Entry {
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
            ));
        }
    }
    if !rows.is_empty() {
        sqlx::query(INSERT_OPERATIONS)
            .bind(json_of(DOING, &rows)?)
            .execute(&mut *write.tx)
            .await
            .map_err(failed(DOING))?;
    }
    Ok(rows.len() as u64)
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
    let targets: HashSet<&str> = slots.iter().map(|(_, target, _)| *target).collect();
    let slots = json_of(DOING, &slots)?;
    for (sql, parameter) in [
        (INSERT_TARGETS, json_of(DOING, &targets)?),
        (INSERT_ACCOUNTS, slots.clone()),
    ] {
        sqlx::query(sql)
            .bind(parameter)
            .execute(&mut *write.tx)
            .await
            .map_err(failed(DOING))?;
    }
    let rows = sqlx::query(ACCOUNTS)
        .bind(slots)
        .fetch_all(&mut *write.tx)
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

async fn record(
    write: &mut Write<'_>,
    planned: &[&Planned],
    current: &HashMap<i64, Current>,
    planned_under: i64,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(planned.len());
    for one in planned {
        let queue_changed = !(one.operations.is_empty() && one.superseded.is_empty());
        rows.push((
            one.reference.0,
            identity_state_code(one.state),
            one.next_change_at.map(micros),
            i64::from(queue_changed),
        ));
        let Some(current) = current.get(&one.reference.0) else {
            continue;
        };
        if current.state != Some(one.state) {
            write.audit(Entry {
                event: "identity.state-changed",
                subject: Some(current.subject),
                cause: &json_of(DOING, &one.state_cause)?,
                payload: json!({ "from": current.state, "to": one.state }),
            });
        }
    }
    sqlx::query(RECORD)
        .bind(json_of(DOING, &rows)?)
        .bind(planned_under)
        .execute(&mut *write.tx)
        .await
        .map_err(failed(DOING))?;
    Ok(())
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
