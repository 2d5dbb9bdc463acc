//! Judging: does what a cause would do fit what is left of its budget?

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use usher_lifecycle::budget::{Budget, Counted, Thresholds, Verdict};
use usher_lifecycle::ids::HeldCauseId;
use usher_lifecycle::name::TargetName;

use super::known::{Known, count_accounts, number};
use super::{SEVERAL, counted, held_state, lock};
use crate::sql::SqlStore;
use crate::sql::cells::{Cells, failed, json_of, micros};
use crate::sql::db::{Row, Sql, Tx, query};
use crate::sql::identities::versions as versions_now;
use crate::sql::outdated::everybody_was_looked_at;
use crate::sql::planning::DUE;
use crate::sql::snapshots::refuse_while_unabsorbed;
use crate::sql::write::{Entry, NO_CAUSE, Raised, Write};
use crate::{Context, HeldState, Judged, StoreError, StoreVersions};

const DOING: &str = "judging what counts under a budget";

/// Causes judged in one transaction: about 20 ms.
const CAUSES_MAX: usize = 100;
/// A cause of at most so many operations that does not fit joins the others like it: a trickle is one entry for people, not hundreds.
const SMALL_MAX: u64 = 10;
/// What may have to be judged, oldest first.
const OPEN: &str = r#"
    SELECT h.id AS "held_cause.id", h.public_id AS "held_cause.public_id", h.target AS "held_cause.target", t.name AS "target.name",
           h.kind AS "held_cause.kind", h.state AS "held_cause.state", h.cause AS "held_cause.cause", h.label AS "held_cause.label",
           h.budget AS "held_cause.budget"
    FROM held_cause h CROSS JOIN target t WHERE t.id = h.target AND h.state IN (0, 1) AND h.joins IS NULL ORDER BY h.id"#;

/// Where others work too: a plan that is adding to it is waited for, and counted.
const LOCKED: Sql = Sql {
    sqlite: "SELECT 1",
    postgres: "SELECT 1 FROM held_cause WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) ORDER BY id FOR NO KEY UPDATE",
};

const OPERATIONS: &str = "SELECT count(*) FROM operation WHERE held_cause = $1";

const DECIDE: &str = "
    UPDATE held_cause SET state = $2, cause = $3, label = $4, budget = $5, why = $6, joins = $7 WHERE id = $1";

/// The entry of what is held one by one, if there is one under the same budget.
const ONE_BY_ONE: &str = "
    SELECT id FROM held_cause WHERE cause = 'several' AND target = $1 AND kind = $2 AND state = 1 AND joins IS NULL ORDER BY id LIMIT 1";

/// What judging came to.
enum Came {
    /// Nothing to judge, or planning is not at rest.
    Nothing,
    /// A share is of the accounts of this target, and they were not counted lately.
    Uncounted(i64),
    Judged(Judged),
}

/// A cause to judge.
struct Open {
    number: i64,
    id: HeldCauseId,
    target: i64,
    name: TargetName,
    counted: Counted,
    state: HeldState,
    cause: String,
    label: String,
    judged_under: Option<String>,
}

impl SqlStore {
    /// Judges some of what is open. `None` when there is nothing to judge, or planning is not at rest.
    pub(super) async fn judge_some(
        &self,
        thresholds: &Thresholds,
        versions: StoreVersions,
        context: &Context,
    ) -> Result<Option<Judged>, StoreError> {
        // A look first: mostly there is nothing.
        if waiting(&mut self.read(DOING).await?, thresholds)
            .await?
            .is_empty()
        {
            return Ok(None);
        }
        let mut accounts = BTreeMap::new();
        loop {
            match self
                .judge_once(thresholds, versions, accounts.clone(), context)
                .await?
            {
                Came::Nothing => return Ok(None),
                Came::Judged(judged) => return Ok(Some(judged)),
                // Counting reads every account of the target: nobody waits for it, and each target is counted once.
                Came::Uncounted(target) => {
                    let mut tx = self.read(DOING).await?;
                    accounts.insert(target, count_accounts(&mut tx, target).await?);
                }
            }
        }
    }

    async fn judge_once(
        &self,
        thresholds: &Thresholds,
        versions: StoreVersions,
        accounts: BTreeMap<i64, u64>,
        context: &Context,
    ) -> Result<Came, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        lock(&mut write.tx, DOING).await?;
        if !is_at_rest(&mut write.tx, versions, context.at).await? {
            return Ok(Came::Nothing);
        }
        let mut waiting = waiting(&mut write.tx, thresholds).await?;
        if waiting.is_empty() {
            return Ok(Came::Nothing);
        }
        waiting.truncate(CAUSES_MAX);
        if write.tx.is_shared() {
            let numbers: Vec<i64> = waiting.iter().map(|open| open.number).collect();
            query(LOCKED)
                .bind(json_of(DOING, &numbers)?)
                .fetch_all(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
        }
        let mut judged = Judged::default();
        let mut known = Known::new(accounts);
        for open in &waiting {
            if let Some(target) =
                judge(&mut write, open, thresholds, &mut known, &mut judged, context.at).await?
            {
                return Ok(Came::Uncounted(target));
            }
        }
        known.keep(&mut write.tx, context.at).await?;
        write
            .commit(Raised {
                facts: false,
                observed: true,
            })
            .await?;
        Ok(Came::Judged(judged))
    }
}

/// Nothing is due, nothing is half taken in, and the budgets are those of the active policy. What is planned after this sees a cause that is
/// judged, and begins another.
async fn is_at_rest(tx: &mut Tx<'_>, versions: StoreVersions, now: Timestamp) -> Result<bool, StoreError> {
    match refuse_while_unabsorbed(tx).await {
        Ok(()) => {}
        Err(StoreError::Stale(_)) => return Ok(false),
        Err(error) => return Err(error),
    }
    let active = versions_now(tx).await?;
    if (active.policy, active.targets) != (versions.policy, versions.targets) {
        return Ok(false);
    }
    let due = query(DUE)
        .bind(micros(now))
        .bind(1_u32)
        .fetch_optional(tx)
        .await
        .map_err(failed(DOING))?;
    Ok(due.is_none() && everybody_was_looked_at(tx, versions).await?)
}

/// What was gathered, and what is held under a budget that is another now.
async fn waiting(tx: &mut Tx<'_>, thresholds: &Thresholds) -> Result<Vec<Open>, StoreError> {
    let rows = query(OPEN).fetch_all(tx).await.map_err(failed(DOING))?;
    let mut waiting = Vec::new();
    for row in &rows {
        let open = open(row)?;
        let is_waiting = match open.state {
            HeldState::Gathering => true,
            HeldState::Held => open.judged_under != budget_text(thresholds.budget(&open.name, open.counted))?,
            HeldState::LetGo | HeldState::Rejected => false,
        };
        if is_waiting {
            waiting.push(open);
        }
    }
    Ok(waiting)
}

fn open(row: &Row) -> Result<Open, StoreError> {
    let cells = Cells::new(row, "held_cause.id")?;
    Ok(Open {
        number: cells.get("held_cause.id")?,
        id: HeldCauseId::new(cells.uuid("held_cause.public_id")?),
        target: cells.get("held_cause.target")?,
        name: cells.name("target.name")?,
        counted: counted(&cells)?,
        state: held_state(&cells)?,
        cause: cells.get("held_cause.cause")?,
        label: cells.get("held_cause.label")?,
        judged_under: cells.get("held_cause.budget")?,
    })
}

fn budget_text(budget: Option<Budget>) -> Result<Option<String>, StoreError> {
    budget.map(|budget| json_of(DOING, &budget)).transpose()
}

/// What becomes of a cause.
struct Decided {
    state: HeldState,
    cause: String,
    label: String,
    budget: Option<String>,
    why: String,
    joins: Option<i64>,
}

/// Returns a target whose accounts must be counted first, if there is one; everything is begun anew then.
async fn judge(
    write: &mut Write<'_>,
    open: &Open,
    thresholds: &Thresholds,
    known: &mut Known,
    judged: &mut Judged,
    now: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let asked = number(&mut write.tx, OPERATIONS, open.number).await?;
    let budget = thresholds.budget(&open.name, open.counted);
    let verdict = match budget {
        None => Verdict::Fits,
        Some(budget) => {
            match known
                .verdict(&mut write.tx, (open.target, open.counted), budget, asked, now)
                .await?
            {
                Some(verdict) => verdict,
                None => return Ok(Some(open.target)),
            }
        }
    };
    let mut decided = Decided {
        state: HeldState::LetGo,
        cause: open.cause.clone(),
        label: open.label.clone(),
        budget: budget_text(budget)?,
        why: "let go: it runs next".to_owned(),
        joins: None,
    };
    match (verdict, budget) {
        (Verdict::Fits, _) | (Verdict::Exceeds { .. }, None) => {
            judged.let_go += asked;
            known.let_go((open.target, open.counted), asked);
        }
        (Verdict::Exceeds { allowed, used }, Some(budget)) => {
            hold(write, open, asked, &mut decided).await?;
            decided.why = format!(
                "held beyond the budget of {} ({} {budget}: {allowed} allowed, {used} used): {} ({})",
                open.name, open.counted, decided.label, open.id
            );
            if open.state == HeldState::Gathering {
                judged.held += asked;
                write.audit(&Entry {
                    event: "held-cause.held",
                    subject: None,
                    cause: NO_CAUSE,
                    payload: json!({
                        "held-cause": open.id, "target": open.name, "kind": open.counted, "cause": open.label,
                        "operations": asked, "budget": budget, "allowed": allowed, "used": used,
                    }),
                });
            }
        }
    }
    query(DECIDE)
        .bind(open.number)
        .bind(decided.state as i64)
        .bind(decided.cause)
        .bind(decided.label)
        .bind(decided.budget)
        .bind(decided.why)
        .bind(decided.joins)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    Ok(None)
}

/// A cause is held as it is; a small one with the others that were held one by one.
async fn hold(
    write: &mut Write<'_>,
    open: &Open,
    asked: u64,
    decided: &mut Decided,
) -> Result<(), StoreError> {
    decided.state = HeldState::Held;
    if asked > SMALL_MAX || open.cause == SEVERAL {
        return Ok(());
    }
    let others = query(ONE_BY_ONE)
        .bind(open.target)
        .bind(open.counted as i64)
        .fetch_optional(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    match others {
        Some(row) => {
            decided.joins = Some(row.at(0).map_err(failed(DOING))?).filter(|other| *other != open.number)
        }
        None => {
            SEVERAL.clone_into(&mut decided.cause);
            "small changes, one after the other".clone_into(&mut decided.label);
        }
    }
    Ok(())
}
