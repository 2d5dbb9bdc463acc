//! The plan transaction.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;
use usher_lifecycle::state::IdentityState;
use uuid::Uuid;

use super::SqlStore;
use super::budgets::{CLOCK, Gathering, due_because, is_timed};
use super::cells::{Cells, failed, identity_state_code, json_of, micros, numbers};
use super::db::{Sql, query};
use super::documents::settled;
use super::identities::{load, versions};
use super::operations::promote;
use super::plan_queue::{Overtaken, add_operations, overtaken, supersede};
use super::snapshots::refuse_while_unabsorbed;
use super::stopping::hasten;
use super::write::{Entry, Raised, Subject, Write};
use crate::{
    Context, IdentityRef, IdentityRow, Outdated, PlanCommit, Planned, Planning, StoreError, StoreVersions,
};

/// Identities recorded in one transaction.
const IDENTITIES_MAX: usize = 512;
/// Operations added in one transaction, unless one identity alone has more: about 20 ms with their audit rows.
const OPERATIONS_MAX: usize = 1_000;
/// Most identities handed out for planning at once.
const DUE_MAX: u32 = 2_000;

pub(crate) const DOING: &str = "recording a plan";

/// Two bounded index ranges.
pub(crate) const DUE: &str = "
    SELECT id FROM (SELECT id FROM identity WHERE dirty = 1 ORDER BY id LIMIT $2) AS changed
    UNION
    SELECT id FROM (SELECT id FROM identity
        WHERE dirty = 0 AND next_change_us IS NOT NULL AND next_change_us <= $1 ORDER BY next_change_us LIMIT $2) AS timed
    ORDER BY id LIMIT $2";

/// Where others work too, the identities are locked by it.
pub(super) const IDENTITIES: Sql = Sql {
    sqlite: r#"
    SELECT i.id AS "identity.id", i.public_id AS "identity.public_id", i.facts_version AS "identity.facts_version",
           i.state AS "identity.state", i.audit_key AS "identity.audit_key", i.held AS "identity.held",
           i.dirty AS "identity.dirty", i.changed_by AS "identity.changed_by", i.next_change_us AS "identity.next_change_us"
    FROM identity i WHERE i.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))"#,
    postgres: r#"
    SELECT i.id AS "identity.id", i.public_id AS "identity.public_id", i.facts_version AS "identity.facts_version",
           i.state AS "identity.state", i.audit_key AS "identity.audit_key", i.held AS "identity.held",
           i.dirty AS "identity.dirty", i.changed_by AS "identity.changed_by", i.next_change_us AS "identity.next_change_us"
    FROM identity i WHERE i.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) ORDER BY i.id FOR NO KEY UPDATE"#,
};

pub(crate) const RECORD: &str = "
    UPDATE identity
    SET dirty = 0, replan = j.replan, state = j.state, next_change_us = j.next_change, planned_under = $2,
        held = coalesce(j.held, identity.held), facts_version = identity.facts_version + j.changed,
        changed_by = coalesce(j.changed_by, identity.changed_by)
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS state, CAST(value ->> 2 AS BIGINT) AS next_change,
                 CAST(value ->> 3 AS BIGINT) AS changed, CAST(value ->> 4 AS BIGINT) AS replan, value ->> 5 AS held,
                 value ->> 6 AS changed_by
          FROM json_each($1)) AS j
    WHERE identity.id = j.id";

#[async_trait]
impl Planning for SqlStore {
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<IdentityRow>, StoreError> {
        let doing = "reading what is due for planning";
        let mut tx = self.read(doing).await?;
        refuse_while_unabsorbed(&mut tx).await?;
        let rows = query(DUE)
            .bind(micros(now))
            .bind(limit.min(DUE_MAX))
            .fetch_all(&mut tx)
            .await
            .map_err(failed(doing))?;
        let numbers = numbers(&rows)?;
        load(&mut tx, &self.keys, &numbers, Some(now)).await
    }

    async fn outdated(
        &self,
        now: Timestamp,
        versions: StoreVersions,
        limit: u32,
    ) -> Result<Option<Outdated>, StoreError> {
        self.read_outdated(now, versions, limit).await
    }

    async fn looked_through(
        &self,
        versions: StoreVersions,
        up_to: Option<IdentityRef>,
    ) -> Result<(), StoreError> {
        self.reach(versions, up_to).await
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
            let done = match self.commit_batch(batch, versions, context).await {
                // Others were at the same rows: what they did makes the decisions stale, if it matters.
                Err(StoreError::Contended(_)) => self.commit_batch(batch, versions, context).await?,
                result => result?,
            };
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
pub(super) struct Current {
    pub(super) subject: Subject,
    facts_version: i64,
    state: Option<IdentityState>,
    /// As it is stored.
    held: String,
    /// What makes it due.
    pub(super) cause: String,
    /// That is another than what changed it last.
    cause_is_new: bool,
}

impl SqlStore {
    async fn commit_batch(
        &self,
        planned: &[Planned],
        made_under: StoreVersions,
        context: &Context,
    ) -> Result<PlanCommit, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        settled(&mut write.tx, DOING).await?;
        let now = versions(&mut write.tx).await?;
        if (now.policy, now.targets) != (made_under.policy, made_under.targets) {
            return Err(StoreError::Stale(
                "the policy or the targets changed while the plan was made; plan again".to_owned(),
            ));
        }
        let current = current(&mut write, planned, now.policy + now.targets, context.at).await?;
        let overtaken = overtaken(&mut write, planned).await?;
        let (fresh, stale): (Vec<&Planned>, Vec<&Planned>) = planned
            .iter()
            .partition(|one| is_fresh(one, &current, &overtaken));

        let superseded: Vec<&Overtaken> = fresh
            .iter()
            .flat_map(|one| &one.superseded)
            .filter_map(|id| overtaken.get(&id.uuid()))
            .collect();
        record(&mut write, &fresh, &current, now.policy + now.targets).await?;
        supersede(&mut write, &superseded, &current, context.at).await?;
        let mut gathering = Gathering::default();
        let operations =
            add_operations(&mut write, &fresh, &current, &mut gathering, (self, now, context)).await?;
        let hastened = hasten(&mut write, &fresh, &current, context.at).await?;
        let freed: BTreeSet<i64> = superseded.iter().map(|one| one.account).collect();
        promote(&mut write.tx, &freed).await?;
        write
            .commit(Raised {
                facts: false,
                observed: operations > 0 || !superseded.is_empty(),
            })
            .await?;
        if operations > 0 || !superseded.is_empty() || hastened {
            self.place.wake();
        }
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

async fn current(
    write: &mut Write<'_>,
    planned: &[Planned],
    documents: i64,
    at: Timestamp,
) -> Result<HashMap<i64, Current>, StoreError> {
    let wanted: Vec<i64> = planned.iter().map(|one| one.reference.0).collect();
    let rows = query(IDENTITIES)
        .bind(json_of(DOING, &wanted)?)
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    let states: HashMap<i64, IdentityState> =
        planned.iter().map(|one| (one.reference.0, one.state)).collect();
    rows.iter()
        .map(|row| {
            let cells = Cells::new(row, "identity.id")?;
            let number: i64 = cells.get("identity.id")?;
            let changed_by: Option<String> = cells.get("identity.changed_by")?;
            let recorded = cells.identity_state("identity.state")?;
            // Who was changed by something else too, but whose date has come and changed the state: it is the date that did.
            let by_date = is_timed(&cells, at)?
                && recorded.is_some()
                && states.get(&number).is_some_and(|state| Some(*state) != recorded);
            let cause = if by_date {
                CLOCK.to_owned()
            } else {
                due_because(&cells, documents, at)?
            };
            let current = Current {
                cause_is_new: changed_by.as_ref() != Some(&cause),
                cause,
                subject: Subject {
                    number,
                    id: cells.uuid("identity.public_id")?,
                    key: cells.subject_key("identity.audit_key")?,
                },
                facts_version: cells.get("identity.facts_version")?,
                state: recorded,
                held: cells.get("identity.held")?,
            };
            Ok((number, current))
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
        let Some(current) = current.get(&one.reference.0) else {
            continue;
        };
        let queue_changed = !(one.operations.is_empty() && one.superseded.is_empty());
        let held = Some(json_of(DOING, &one.held)?).filter(|held| *held != current.held);
        rows.push((
            one.reference.0,
            identity_state_code(one.state),
            one.next_change_at.map(micros),
            i64::from(queue_changed || held.is_some()),
            i64::from(one.replan),
            held,
            current.cause_is_new.then_some(&current.cause),
        ));
        if current.state != Some(one.state) {
            write.audit(&Entry {
                event: "identity.state-changed",
                subject: Some(current.subject),
                cause: &json_of(DOING, &one.state_cause)?,
                payload: json!({ "from": current.state, "to": one.state }),
            });
        }
    }
    query(RECORD)
        .bind(json_of(DOING, &rows)?)
        .bind(planned_under)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    Ok(())
}
