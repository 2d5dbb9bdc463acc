//! A look into a folder before it is opened: opening needs the time, and in a rehearsal the folder itself holds the time.

use std::path::Path;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};

use super::{BUSY_TIMEOUT, folder};
use crate::StoreError;
use crate::sql::cells::{Cells, failed};
use crate::sql::db::Row as AnyRow;

/// The moment a rehearsal stands at (its newest commit); `None` in a folder that lives by the wall clock. Takes no lock and
/// changes nothing.
pub async fn rehearsal_moment(folder: &Path) -> Result<Option<Timestamp>, StoreError> {
    let doing = "looking into the data folder";
    let options = SqliteConnectOptions::new()
        .filename(folder::database(folder))
        .create_if_missing(false)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("query_only", "true")
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(failed(doing))?;
    // A folder whose making was cut short has no tables yet: opening it finishes the work.
    let made = sqlx::query("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'")
        .fetch_one(&mut connection)
        .await;
    let mut moment = None;
    if made
        .and_then(|row| row.try_get::<i64, _>(0))
        .map_err(failed(doing))?
        == 1
    {
        let sql = r#"SELECT id AS "meta.id", rehearsal AS "meta.rehearsal", high_water_us AS "meta.high_water_us" FROM meta"#;
        if let Some(row) = sqlx::query(sql)
            .fetch_optional(&mut connection)
            .await
            .map_err(failed(doing))?
        {
            let row = AnyRow::Sqlite(row);
            let cells = Cells::new(&row, "meta.id")?;
            if cells.flag("meta.rehearsal")? {
                moment = Some(cells.time("meta.high_water_us")?);
            }
        }
    }
    connection.close().await.map_err(failed(doing))?;
    Ok(moment)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use usher_lifecycle::cause::Actor;

    use super::*;
    use crate::{Context, Randomness};

    struct Zeros;

    impl Randomness for Zeros {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0);
        }
    }

    #[tokio::test]
    async fn only_a_rehearsal_tells_its_moment() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("data");
        let context = Context {
            actor: Actor::Usher,
            at: "2031-03-02T08:00:00Z".parse().unwrap(),
        };
        let store = crate::sqlite::create(&folder, Arc::new(Zeros), &context)
            .await
            .unwrap();
        assert_eq!(rehearsal_moment(&folder).await.unwrap(), None);
        store.set_rehearsal().await.unwrap();
        // Also while the store is open.
        assert_eq!(
            rehearsal_moment(&folder).await.unwrap(),
            Some(context.at)
        );
    }
}
