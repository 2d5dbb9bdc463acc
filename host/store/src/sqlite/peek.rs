//! A look into a database file without becoming its writer: takes no lock that lasts, and changes nothing.

use std::path::Path;

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};

use super::{folder, options};
use crate::sql::cells::{Cells, failed};
use crate::sql::db::{Row as AnyRow, Tx};
use crate::sql::keys;
use crate::{Fingerprint, StoreError};

const DOING: &str = "looking into the database";

/// The moment a rehearsal stands at (its newest commit); `None` in a folder that lives by the wall clock. Opening needs the time, and in a
/// rehearsal the folder itself holds the time.
pub async fn rehearsal_moment(folder: &Path) -> Result<Option<Timestamp>, StoreError> {
    rehearsal_moment_of_file(&folder::database(folder)).await
}

/// The same for a database file, such as a backup.
pub async fn rehearsal_moment_of_file(file: &Path) -> Result<Option<Timestamp>, StoreError> {
    let mut look = Look::into(file).await?;
    let moment = if look.is_rehearsal().await? {
        look.high_water().await?
    } else {
        None
    };
    look.close().await?;
    Ok(moment)
}

/// The fingerprint of the operator's key that the database of a folder is sealed under; `None` when it has no keys yet.
pub async fn sealed_under(folder: &Path) -> Result<Option<Fingerprint>, StoreError> {
    let mut look = Look::into(&folder::database(folder)).await?;
    let tx = look.connection.begin().await.map_err(failed(DOING))?;
    let fingerprint = keys::check(&mut Tx::Sqlite(tx), None).await?;
    look.close().await?;
    Ok(fingerprint)
}

/// A connection that only reads.
pub(super) struct Look {
    pub(super) connection: SqliteConnection,
    /// The version of its schema; 0 when it holds nothing yet.
    pub(super) version: i64,
}

impl Look {
    /// Opens a database file. Read-only: closing it does not even fold the write-ahead log into the file.
    pub(super) async fn into(file: &Path) -> Result<Self, StoreError> {
        let connection = options(file)
            .read_only(true)
            .connect()
            .await
            .map_err(failed(DOING))?;
        let mut look = Self {
            connection,
            version: 0,
        };
        look.version = look.number("PRAGMA user_version").await?;
        Ok(look)
    }

    pub(super) async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await.map_err(failed(DOING))
    }

    /// The first column of the first row.
    pub(super) async fn number(&mut self, sql: &'static str) -> Result<i64, StoreError> {
        let row = sqlx::query(sql)
            .fetch_one(&mut self.connection)
            .await
            .map_err(failed(DOING))?;
        row.try_get(0).map_err(failed(DOING))
    }

    /// All rows.
    pub(super) async fn rows(&mut self, sql: String) -> Result<Vec<SqliteRow>, StoreError> {
        sqlx::query(AssertSqlSafe(sql))
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed(DOING))
    }

    /// Whether nobody writes it and its last writer left in order. Before version 3 that was not recorded.
    pub(super) async fn was_left_in_order(&mut self) -> Result<bool, StoreError> {
        if self.version < 3 {
            return Ok(self.version == 0);
        }
        let open = self
            .number("SELECT count(*) FROM writer WHERE closed_us IS NULL")
            .await?;
        Ok(open == 0)
    }

    /// The time of the newest commit.
    pub(super) async fn high_water(&mut self) -> Result<Option<Timestamp>, StoreError> {
        if self.version == 0 {
            return Ok(None);
        }
        // Writers count for themselves since version 3.
        let writers = if self.version < 3 {
            ""
        } else {
            "UNION ALL SELECT high_water_us FROM writer WHERE closed_us IS NULL"
        };
        let sql = format!(
            r#"SELECT 1 AS "meta.id", max(h.us) AS "meta.high_water_us" FROM (SELECT high_water_us AS us FROM meta {writers}) AS h"#
        );
        let Some(row) = self.rows(sql).await?.pop() else {
            return Ok(None);
        };
        let row = AnyRow::Sqlite(row);
        Cells::new(&row, "meta.id")?.time_if_any("meta.high_water_us")
    }

    async fn is_rehearsal(&mut self) -> Result<bool, StoreError> {
        // A folder whose making was cut short has no tables yet: opening it finishes the work.
        Ok(self.version > 0
            && self
                .number("SELECT count(*) FROM meta WHERE rehearsal = 1")
                .await?
                > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use usher_lifecycle::cause::Actor;

    use super::*;
    use crate::{Context, Freezing as _, OperatorKey, Randomness};

    struct Zeros;

    impl Randomness for Zeros {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0);
        }
    }

    fn at(time: &str) -> Context {
        Context {
            actor: Actor::Usher,
            at: time.parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn only_a_rehearsal_tells_its_moment() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("data");
        let key = OperatorKey::from_bytes([7; 32]);
        let context = at("2031-03-02T08:00:00Z");
        let store = crate::sqlite::create(&folder, &key, Arc::new(Zeros), &context)
            .await
            .unwrap();
        assert_eq!(rehearsal_moment(&folder).await.unwrap(), None);
        store.set_rehearsal().await.unwrap();
        // Also while the store is open.
        assert_eq!(rehearsal_moment(&folder).await.unwrap(), Some(context.at));
        // Also when its writer has gone on and is killed.
        let later = at("2031-03-02T09:00:00Z");
        store.freeze("to see", &later).await.unwrap();
        drop(store);
        assert_eq!(rehearsal_moment(&folder).await.unwrap(), Some(later.at));
    }
}
