//! This writer among others.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::SqlStore;
use super::cells::failed;
use super::db::{Sql, query};
use crate::postgres::lease::Lease;
use crate::sqlite::folder::Folder;
use crate::{Context, Duty, Membership, Replicas, StoreError, Wakes};

/// Where the store is and who else may be there.
pub(crate) enum Place {
    /// A folder that this process owns.
    Sqlite {
        wakes: watch::Sender<u64>,
        own: i64,
        _folder: Folder,
    },
    /// A database that others share.
    Postgres(Lease),
}

impl Place {
    /// Something is ready or dirty: here at once, elsewhere soon. Never inside a transaction.
    pub(crate) fn wake(&self) {
        match self {
            Self::Sqlite { wakes, .. } => wakes.send_modify(|count| *count += 1),
            Self::Postgres(lease) => lease.wake(),
        }
    }
}

/// A duty is free when nobody has it, its time is over, or its holder is closed. By the database's clock.
pub(crate) const TAKE_DUTY: Sql = Sql {
    sqlite: "INSERT INTO duty (name, writer, until_us) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET writer = excluded.writer, until_us = excluded.until_us",
    postgres: "INSERT INTO duty (name, writer, until_us)
               VALUES ($1, $2, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) + $3)
               ON CONFLICT (name) DO UPDATE SET writer = excluded.writer, until_us = excluded.until_us
               WHERE duty.writer = excluded.writer
                  OR duty.until_us < CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)
                  OR EXISTS (SELECT 1 FROM writer w WHERE w.id = duty.writer AND w.closed_us IS NOT NULL)",
};

#[async_trait]
impl Replicas for SqlStore {
    fn membership(&self) -> Membership {
        match &self.place {
            Place::Sqlite { own, .. } => Membership {
                own: *own,
                writers: vec![*own],
                settled: true,
            },
            Place::Postgres(lease) => lease.membership(),
        }
    }

    async fn take_part(&self) -> Result<(), StoreError> {
        let Place::Postgres(lease) = &self.place else {
            return Ok(());
        };
        let doing = "taking part in the work";
        let mut writer = self.writer.lock().await;
        if writer.serves {
            return Ok(());
        }
        let own = writer.id;
        let mut tx = writer.plain(doing).await?;
        query("UPDATE writer SET serves = 1 WHERE id = $1")
            .bind(own)
            .execute(&mut tx)
            .await
            .map_err(failed(doing))?;
        tx.commit().await.map_err(failed(doing))?;
        writer.serves = true;
        lease.takes_part();
        Ok(())
    }

    fn lease(&self) -> Option<Duration> {
        match &self.place {
            Place::Sqlite { .. } => None,
            Place::Postgres(lease) => Some(lease.duration()),
        }
    }

    fn lease_holds(&self) -> bool {
        match &self.place {
            Place::Sqlite { .. } => true,
            Place::Postgres(lease) => lease.holds(),
        }
    }

    async fn rejoin(&self, context: &Context) -> Result<(), StoreError> {
        match &self.place {
            Place::Sqlite { .. } => Ok(()),
            Place::Postgres(lease) => {
                let mut writer = self.writer.lock().await;
                writer.register(context.at).await?;
                lease.begin(writer.id);
                Ok(())
            }
        }
    }

    async fn take_duty(&self, duty: Duty) -> Result<bool, StoreError> {
        let Place::Postgres(lease) = &self.place else {
            return Ok(true);
        };
        let doing = "taking a duty";
        let mut writer = self.writer.lock().await;
        let own = writer.id;
        let mut tx = writer.plain(doing).await?;
        let taken = query(TAKE_DUTY)
            .bind(duty.name())
            .bind(own)
            .bind(i64::try_from(lease.duration().as_micros()).unwrap_or(i64::MAX))
            .execute(&mut tx)
            .await
            .map_err(failed(doing))?;
        tx.commit().await.map_err(failed(doing))?;
        Ok(taken > 0)
    }

    fn wakes(&self) -> Wakes {
        match &self.place {
            Place::Sqlite { wakes, .. } => Wakes(wakes.subscribe()),
            Place::Postgres(lease) => Wakes(lease.subscribe()),
        }
    }
}
