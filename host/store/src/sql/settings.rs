//! Small things about the store as a whole: the rehearsal mark, the high-water time, settings.

use jiff::{SignedDuration, Timestamp};

use super::SqlStore;
use super::cells::{Cells, failed};
use super::db::{Tx, query};
use crate::StoreError;

/// How far the clock may have gone back since the last commit: more than clock corrections do, less than a time-zone mistake.
const CLOCK_BACKWARD_MAX: SignedDuration = SignedDuration::from_mins(5);

/// `meta` holds what closed writers counted.
const HIGH_WATER: &str = r#"
    SELECT CAST(1 AS BIGINT) AS "meta.id", max(h.us) AS "meta.high_water_us"
    FROM (SELECT high_water_us AS us FROM meta UNION ALL SELECT high_water_us FROM writer WHERE closed_us IS NULL) AS h"#;

impl SqlStore {
    /// Marks the store as a rehearsal: its clock may be set by hand. There is no way back.
    pub async fn set_rehearsal(&self) -> Result<(), StoreError> {
        let doing = "marking the store as a rehearsal";
        let mut writer = self.writer.lock().await;
        let mut tx = writer.plain(doing).await?;
        query("UPDATE meta SET rehearsal = 1 WHERE id = 1")
            .execute(&mut tx)
            .await
            .map_err(failed(doing))?;
        tx.commit().await.map_err(failed(doing))
    }

    /// Whether the store is a rehearsal.
    pub async fn is_rehearsal(&self) -> Result<bool, StoreError> {
        let doing = "reading whether the store is a rehearsal";
        let mut tx = self.read(doing).await?;
        let row = query("SELECT rehearsal FROM meta WHERE id = 1")
            .fetch_one(&mut tx)
            .await
            .map_err(failed(doing))?;
        row.at::<i64>(0)
            .map(|rehearsal| rehearsal == 1)
            .map_err(failed(doing))
    }

    /// The time of the newest commit: the clock of a rehearsal goes on from here.
    pub async fn high_water(&self) -> Result<Timestamp, StoreError> {
        let mut tx = self.read("reading the high-water time").await?;
        high_water(&mut tx)
            .await?
            .ok_or_else(|| StoreError::NotFound("nothing was ever written".to_owned()))
    }

    /// A small setting of the store, if set.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let doing = "reading a setting";
        let mut tx = self.read(doing).await?;
        let row = query("SELECT value FROM setting WHERE name = $1")
            .bind(name)
            .fetch_optional(&mut tx)
            .await
            .map_err(failed(doing))?;
        row.map(|row| row.at(0).map_err(failed(doing))).transpose()
    }

    /// Sets a small setting of the store.
    pub async fn set_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let doing = "writing a setting";
        let mut writer = self.writer.lock().await;
        let mut tx = writer.plain(doing).await?;
        query("INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
            .bind(name)
            .bind(value)
            .execute(&mut tx)
            .await
            .map_err(failed(doing))?;
        tx.commit().await.map_err(failed(doing))
    }
}

/// The time of the newest commit, if there ever was one.
pub(crate) async fn high_water(tx: &mut Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    let row = query(HIGH_WATER)
        .fetch_one(tx)
        .await
        .map_err(failed("reading the high-water time"))?;
    Cells::new(&row, "meta.id")?.time_if_any("meta.high_water_us")
}

/// A clock that went back, or a store from the future, would let yesterday's decisions run again.
pub(crate) async fn refuse_backward_clock(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
    match high_water(tx).await? {
        Some(high_water) if high_water.duration_since(now) > CLOCK_BACKWARD_MAX => {
            Err(StoreError::Stale(format!(
                "the clock says {now}, but the store was last written at {high_water}; set the clock right, then try again"
            )))
        }
        _ => Ok(()),
    }
}
