//! Looking everybody through after a document became active: a place in the list of identities that only goes forward, and begins anew with each
//! version. Nobody is written to for whom nothing changes.

use jiff::Timestamp;

use super::SqlStore;
use super::cells::{Cells, failed, numbers};
use super::db::{Tx, query};
use super::identities::load;
use super::snapshots::refuse_while_unabsorbed;
use crate::{DocumentVersions, IdentityRef, Outdated, StoreError, StoreVersions};

/// Most identities handed out at once: a page of 2,000 people with three accounts each is about 10 MiB.
const PAGE_MAX: u32 = 2_000;

const DOING: &str = "looking for people whom a new document concerns";

const REACHED: &str = r#"
    SELECT id AS "replanning.id", policy AS "replanning.policy", targets AS "replanning.targets",
           base_policy AS "replanning.base_policy", base_targets AS "replanning.base_targets", reached AS "replanning.reached"
    FROM replanning WHERE id = 1"#;

/// Who is dirty is planned anyway; who was planned under these documents is as they want them. In the order of the primary key.
pub(crate) const OUTDATED: &str = "
    SELECT id FROM identity WHERE id > $1 AND dirty = 0 AND planned_under < $2 ORDER BY id LIMIT $3";

/// Only forward, and only while these documents are active.
const REACH: &str = "
    UPDATE replanning SET reached = $3 WHERE id = 1 AND policy = $1 AND targets = $2 AND reached < $3";

const FINISH: &str = "
    UPDATE replanning SET reached = NULL, base_policy = policy, base_targets = targets
    WHERE id = 1 AND policy = $1 AND targets = $2 AND reached IS NOT NULL";

impl SqlStore {
    pub(super) async fn read_outdated(
        &self,
        now: Timestamp,
        versions: StoreVersions,
        limit: u32,
    ) -> Result<Option<Outdated>, StoreError> {
        let mut tx = self.read(DOING).await?;
        refuse_while_unabsorbed(&mut tx).await?;
        let (active, base, reached) = reached(&mut tx).await?;
        if active != DocumentVersions::of(versions) {
            return Err(StoreError::Stale(
                "another version of the policy or the targets became active meanwhile".to_owned(),
            ));
        }
        let Some(reached) = reached else { return Ok(None) };
        let rows = query(OUTDATED)
            .bind(reached)
            .bind(versions.policy + versions.targets)
            .bind(limit.min(PAGE_MAX))
            .fetch_all(&mut tx)
            .await
            .map_err(failed(DOING))?;
        let numbers = numbers(&rows)?;
        Ok(Some(Outdated {
            base: base.filter(|_| reached == 0),
            rows: load(&mut tx, &self.keys, &numbers, Some(now)).await?,
        }))
    }

    pub(super) async fn reach(
        &self,
        versions: StoreVersions,
        reached: Option<IdentityRef>,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        let mut tx = writer.plain(DOING).await?;
        let statement = query(if reached.is_some() { REACH } else { FINISH })
            .bind(versions.policy)
            .bind(versions.targets);
        let statement = match reached {
            Some(IdentityRef(number)) => statement.bind(number),
            None => statement,
        };
        statement.execute(&mut tx).await.map_err(failed(DOING))?;
        tx.commit().await.map_err(failed(DOING))
    }
}

/// Whether nobody is left whom the active documents may concern.
pub(super) async fn everybody_was_looked_at(
    tx: &mut Tx<'_>,
    versions: StoreVersions,
) -> Result<bool, StoreError> {
    let (_, _, reached) = reached(tx).await?;
    let Some(reached) = reached else { return Ok(true) };
    let next = query(OUTDATED)
        .bind(reached)
        .bind(versions.policy + versions.targets)
        .bind(1_u32)
        .fetch_optional(tx)
        .await
        .map_err(failed(DOING))?;
    Ok(next.is_none())
}

async fn reached(
    tx: &mut Tx<'_>,
) -> Result<(DocumentVersions, Option<DocumentVersions>, Option<i64>), StoreError> {
    let row = query(REACHED).fetch_one(tx).await.map_err(failed(DOING))?;
    let cells = Cells::new(&row, "replanning.id")?;
    let active = DocumentVersions {
        policy: cells.get("replanning.policy")?,
        targets: cells.get("replanning.targets")?,
    };
    let base = DocumentVersions {
        policy: cells.get("replanning.base_policy")?,
        targets: cells.get("replanning.base_targets")?,
    };
    let known = base.policy >= 0 && base.targets >= 0;
    Ok((active, known.then_some(base), cells.get("replanning.reached")?))
}
