//! What is known while causes are judged: what is used of each budget, and how many accounts its share is of.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use usher_lifecycle::budget::{Budget, Counted, Usage, Verdict};

use crate::StoreError;
use crate::sql::cells::{Cells, failed, micros};
use crate::sql::db::{Tx, query};

const DOING: &str = "judging what counts under a budget";

/// For how long a count of the accounts of a target serves, unless something would be held by it.
const COUNT_SERVES: SignedDuration = SignedDuration::from_mins(10);

/// Let go and not at an end, or ended within the window after an attempt.
const USED: &str = "
    SELECT (SELECT count(*) FROM operation o WHERE o.target = $1 AND o.verb = $2 AND o.verb IN ('create', 'delete', 'disable')
              AND o.held_cause IS NULL AND o.released = 0 AND o.ended_us IS NULL)
         + (SELECT count(*) FROM operation o WHERE o.target = $1 AND o.verb = $2 AND o.verb IN ('create', 'delete', 'disable')
              AND o.held_cause IS NULL AND o.released = 0 AND o.ended_us > $3 AND o.attempts > 0)
         + (SELECT count(*) FROM held_cause h JOIN operation o ON o.held_cause = h.id
            WHERE h.target = $1 AND h.kind = $4 AND h.state = 2 AND h.released = 0)";

const COUNTED: &str = r#"
    SELECT t.id AS "target.id", t.accounts_counted AS "target.accounts_counted", t.accounts_counted_us AS "target.accounts_counted_us"
    FROM target t WHERE t.id = $1"#;

const COUNT: &str =
    "SELECT count(*) FROM account WHERE target = $1 AND external_id IS NOT NULL AND state <> 0";

const KEEP_COUNT: &str = "UPDATE target SET accounts_counted = $2, accounts_counted_us = $3 WHERE id = $1";

/// What is known in one judging transaction.
pub(super) struct Known {
    /// Of each budget, with what was let go since.
    used: BTreeMap<(i64, Counted), u64>,
    /// Accounts of each target, counted for this: once.
    accounts: BTreeMap<i64, u64>,
}

impl Known {
    pub(super) const fn new(accounts: BTreeMap<i64, u64>) -> Self {
        Self {
            used: BTreeMap::new(),
            accounts,
        }
    }

    /// More is let go of a target and kind.
    pub(super) fn let_go(&mut self, place: (i64, Counted), operations: u64) {
        *self.used.entry(place).or_default() += operations;
    }

    /// Whether `asked` operations fit. A share is of a count that may be some minutes old, but nothing is held by an old one: `None` asks for a
    /// new one.
    pub(super) async fn verdict(
        &mut self,
        tx: &mut Tx<'_>,
        place: (i64, Counted),
        budget: Budget,
        asked: u64,
        now: Timestamp,
    ) -> Result<Option<Verdict>, StoreError> {
        let used = match self.used.get(&place) {
            Some(used) => *used,
            None => used_now(tx, place, budget.window_start(now)).await?,
        };
        self.used.insert(place, used);
        let judge = |accounts| budget.judge(Usage { accounts, used }, asked);
        if budget.percent.is_none() {
            return Ok(Some(judge(0)));
        }
        if let Some(accounts) = self.accounts.get(&place.0) {
            return Ok(Some(judge(*accounts)));
        }
        let row = query(COUNTED)
            .bind(place.0)
            .fetch_one(tx)
            .await
            .map_err(failed(DOING))?;
        let cells = Cells::new(&row, "target.id")?;
        let counted_at = cells.time_if_any("target.accounts_counted_us")?;
        if !counted_at.is_some_and(|at| at <= now && now.duration_since(at) < COUNT_SERVES) {
            return Ok(None);
        }
        let verdict = judge(cells.count("target.accounts_counted")?);
        Ok(Some(verdict).filter(|verdict| *verdict == Verdict::Fits))
    }

    /// Keeps what was counted for this, for the next.
    pub(super) async fn keep(&self, tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
        for (target, accounts) in &self.accounts {
            query(KEEP_COUNT)
                .bind(*target)
                .bind(i64::try_from(*accounts).unwrap_or(i64::MAX))
                .bind(micros(now))
                .execute(tx)
                .await
                .map_err(failed(DOING))?;
        }
        Ok(())
    }
}

/// The accounts of a target: reads each of them.
pub(super) async fn count_accounts(tx: &mut Tx<'_>, target: i64) -> Result<u64, StoreError> {
    number(tx, COUNT, target).await
}

async fn used_now(
    tx: &mut Tx<'_>,
    (target, counted): (i64, Counted),
    since: Timestamp,
) -> Result<u64, StoreError> {
    let row = query(USED)
        .bind(target)
        .bind(counted.verb())
        .bind(micros(since))
        .bind(counted as i64)
        .fetch_one(tx)
        .await
        .map_err(failed(DOING))?;
    let used: i64 = row.at(0).map_err(failed(DOING))?;
    Ok(used.unsigned_abs())
}

/// A count of something of one row.
pub(super) async fn number(tx: &mut Tx<'_>, sql: &'static str, of: i64) -> Result<u64, StoreError> {
    let row = query(sql).bind(of).fetch_one(tx).await.map_err(failed(DOING))?;
    let number: i64 = row.at(0).map_err(failed(DOING))?;
    Ok(number.unsigned_abs())
}
