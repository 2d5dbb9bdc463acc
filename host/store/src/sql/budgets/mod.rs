//! Budgets: operations that count under one are *gathered* by cause when they are planned (`gather`), *judged* by cause when planning has come to
//! rest (`judge`), *made ready* in chunks when they are let go (`ready`), and shown, released and rejected by people (`people`).
//!
//! Lock order: who judges or decides takes [`lock`] first, and nobody who holds an identity takes it. A plan commit holds its identities and then a
//! cause; whoever decides holds causes and no identity; chunks hold identities, then operations, then causes.

mod gather;
mod judge;
mod known;
mod people;
mod ready;

use async_trait::async_trait;
use usher_lifecycle::budget::{Counted, Thresholds};
use usher_lifecycle::ids::{HeldCauseId, OperationId};

use super::SqlStore;
use super::cells::{Cells, failed};
use super::db::{Sql, Tx, query};
use crate::{Context, HeldCause, HeldCauses, HeldState, Judged, OperationRow, StoreError, StoreVersions};

pub(super) use gather::{CLOCK, Gathering, due_because, is_timed, set_by};

/// One at a time; ends with the transaction. SQLite has one writer anyway.
const LOCK: Sql = Sql {
    sqlite: "SELECT 1",
    postgres: "SELECT 1 FROM (SELECT pg_advisory_xact_lock(7361645573427)) AS locked",
};

/// The cause of what was held one by one.
const SEVERAL: &str = "several";
/// The cause of what a person took out of another.
const SINGLE: &str = "single";

async fn lock(tx: &mut Tx<'_>, doing: &'static str) -> Result<(), StoreError> {
    query(LOCK).fetch_all(tx).await.map_err(failed(doing))?;
    Ok(())
}

fn counted(cells: &Cells<'_>) -> Result<Counted, StoreError> {
    let code: i64 = cells.get("held_cause.kind")?;
    Counted::ALL
        .into_iter()
        .find(|counted| *counted as i64 == code)
        .ok_or_else(|| cells.corrupt("held_cause.kind", format!("there is no kind {code}")))
}

fn held_state(cells: &Cells<'_>) -> Result<HeldState, StoreError> {
    let code: i64 = cells.get("held_cause.state")?;
    HeldState::ALL
        .into_iter()
        .find(|state| *state as i64 == code)
        .ok_or_else(|| cells.corrupt("held_cause.state", format!("there is no state {code}")))
}

#[async_trait]
impl HeldCauses for SqlStore {
    async fn judge_causes(
        &self,
        thresholds: &Thresholds,
        versions: StoreVersions,
        context: &Context,
    ) -> Result<Judged, StoreError> {
        let mut judged = Judged::default();
        while let Some(more) = self.judge_some(thresholds, versions, context).await? {
            judged.let_go += more.let_go;
            judged.held += more.held;
        }
        self.make_ready(context).await?;
        Ok(judged)
    }

    async fn held_causes(&self, limit: u32) -> Result<Vec<HeldCause>, StoreError> {
        self.list_causes(limit).await
    }

    async fn held_cause(&self, id: HeldCauseId) -> Result<HeldCause, StoreError> {
        self.one_cause(id).await
    }

    async fn held_operations(
        &self,
        id: HeldCauseId,
        after: Option<OperationId>,
        limit: u32,
    ) -> Result<Vec<OperationRow>, StoreError> {
        self.operations_of_cause(id, after, limit).await
    }

    async fn release_cause(
        &self,
        id: HeldCauseId,
        expected: Option<u64>,
        reason: &str,
        context: &Context,
    ) -> Result<u64, StoreError> {
        let released = self
            .decide_cause(id, HeldState::LetGo, expected, reason, context)
            .await?;
        self.make_ready(context).await?;
        Ok(released)
    }

    async fn reject_cause(
        &self,
        id: HeldCauseId,
        expected: Option<u64>,
        reason: &str,
        context: &Context,
    ) -> Result<u64, StoreError> {
        self.decide_cause(id, HeldState::Rejected, expected, reason, context)
            .await
    }

    async fn release_operation(
        &self,
        id: OperationId,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError> {
        self.decide_operation(id, HeldState::LetGo, reason, context).await
    }

    async fn reject_operation(
        &self,
        id: OperationId,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError> {
        self.decide_operation(id, HeldState::Rejected, reason, context)
            .await
    }
}
