//! Freezing and thawing: one row that every claim looks at.

use async_trait::async_trait;
use serde_json::json;

use super::SqlStore;
use super::cells::{Cells, failed, micros};
use super::db::{Tx, query};
use super::restored::refuse_while_marking;
use super::write::{Entry, NO_CAUSE, Raised};
use crate::{Context, Freeze, Freezing, StoreError};

const FROZEN: &str = r#"SELECT id AS "meta.id", frozen AS "meta.frozen", frozen_us AS "meta.frozen_us", frozen_all AS "meta.frozen_all" FROM meta WHERE id = 1"#;

/// A freeze that forbids more than the one in force adds to it.
const FREEZE: &str = "
    UPDATE meta SET frozen = coalesce(frozen, $1), frozen_us = coalesce(frozen_us, $2), frozen_all = $3
    WHERE id = 1 AND (frozen IS NULL OR frozen_all < $3)";

#[async_trait]
impl Freezing for SqlStore {
    async fn frozen(&self) -> Result<Option<Freeze>, StoreError> {
        let mut tx = self.read("reading whether the store is frozen").await?;
        frozen(&mut tx).await
    }

    async fn freeze(&self, reason: &str, context: &Context) -> Result<(), StoreError> {
        self.freeze_as(reason, false, context).await
    }

    async fn freeze_all(&self, reason: &str, context: &Context) -> Result<(), StoreError> {
        self.freeze_as(reason, true, context).await
    }

    async fn thaw(&self, reason: &str, context: &Context) -> Result<(), StoreError> {
        let doing = "thawing the store";
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        refuse_while_marking(&mut write.tx).await?;
        let Some(was) = frozen(&mut write.tx).await? else {
            return Ok(());
        };
        query("UPDATE meta SET frozen = NULL, frozen_us = NULL, frozen_all = 0 WHERE id = 1")
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        write.audit(&Entry {
            event: "store.thawed",
            subject: None,
            cause: NO_CAUSE,
            payload: json!({ "reason": reason, "was": was.reason, "since": was.since }),
        });
        write.commit(Raised::default()).await?;
        self.place.wake();
        Ok(())
    }
}

impl SqlStore {
    async fn freeze_as(&self, reason: &str, all: bool, context: &Context) -> Result<(), StoreError> {
        let doing = "freezing the store";
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        let changed = query(FREEZE)
            .bind(reason)
            .bind(micros(context.at))
            .bind(i64::from(all))
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        if changed == 0 {
            return Ok(());
        }
        write.audit(&Entry {
            event: "store.frozen",
            subject: None,
            cause: NO_CAUSE,
            payload: json!({ "reason": reason, "all": all }),
        });
        write.commit(Raised::default()).await?;
        // Whoever has work in hand learns of it at once.
        self.place.wake();
        Ok(())
    }
}

pub(super) async fn frozen(tx: &mut Tx<'_>) -> Result<Option<Freeze>, StoreError> {
    let row = query(FROZEN)
        .fetch_one(tx)
        .await
        .map_err(failed("reading whether the store is frozen"))?;
    let cells = Cells::new(&row, "meta.id")?;
    let Some(reason) = cells.get::<Option<String>>("meta.frozen")? else {
        return Ok(None);
    };
    Ok(Some(Freeze {
        reason,
        since: cells.time("meta.frozen_us")?,
        all: cells.flag("meta.frozen_all")?,
    }))
}
