//! The schema and its numbered migrations. The number is kept in SQLite's `user_version`, in the same transaction.

use sqlx::{Connection, Row, SqliteConnection};

use super::rows::failed;
use crate::StoreError;

/// Marks a file as Usher's in its header (`PRAGMA application_id`): "Ushr".
const APPLICATION_ID: i64 = 0x5573_6872;

/// All migrations, in order. Add at the end; a published one never changes.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../migrations/sqlite/0001_first_light.sql"),
    include_str!("../../migrations/sqlite/0002_staged_present.sql"),
];

/// The version of the schema this program works with.
const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings the schema up to date. A database of a newer program, or of another one, is refused untouched.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let doing = "migrating the schema";
    let found = pragma(connection, "PRAGMA user_version").await?;
    let application = pragma(connection, "PRAGMA application_id").await?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::Version(format!(
            "the database has schema version {found}, this program knows versions up to {SCHEMA_VERSION}; use the program that \
             wrote it, or a newer one"
        )));
    }
    let fresh = found == 0
        && application == 0
        && pragma(connection, "SELECT count(*) FROM sqlite_schema").await? == 0;
    if !fresh && application != APPLICATION_ID {
        return Err(StoreError::Version(
            "the database was not made by Usher; name another data folder".to_owned(),
        ));
    }
    for (number, migration) in (1_i64..).zip(MIGRATIONS) {
        if number <= found {
            continue;
        }
        let mut transaction = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed(doing))?;
        sqlx::raw_sql(migration)
            .execute(&mut *transaction)
            .await
            .map_err(failed(doing))?;
        // A pragma takes no parameters; both values are our own numbers.
        let mark = format!("PRAGMA user_version = {number}; PRAGMA application_id = {APPLICATION_ID}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(mark))
            .execute(&mut *transaction)
            .await
            .map_err(failed(doing))?;
        transaction.commit().await.map_err(failed(doing))?;
    }
    Ok(())
}

async fn pragma(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, StoreError> {
    let doing = "reading the schema version";
    let row = sqlx::query(sql)
        .fetch_one(connection)
        .await
        .map_err(failed(doing))?;
    row.try_get(0).map_err(failed(doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of the first version keeps what was staged in it, and takes what the present version stages.
    #[tokio::test]
    async fn what_the_first_version_staged_is_kept() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let first = format!(
            "{}; PRAGMA user_version = 1; PRAGMA application_id = {APPLICATION_ID};
             INSERT INTO source (id, name) VALUES (1, 'hr');
             INSERT INTO snapshot (id, public_id, source, origin, file_digest, rows, state, base, at_us)
             VALUES (1, zeroblob(16), 1, 'people.csv', zeroblob(32), 2, 1, 0, 0);
             INSERT INTO staged VALUES (1, 'a', 0, '{{}}', zeroblob(16)), (1, 'b', 2, NULL, NULL);",
            MIGRATIONS[0]
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(first))
            .execute(&mut connection)
            .await
            .unwrap();
        migrate(&mut connection).await.unwrap();
        sqlx::raw_sql("INSERT INTO staged VALUES (1, 'c', 3, NULL, NULL)")
            .execute(&mut connection)
            .await
            .unwrap();
        let kept = "SELECT count(*) FROM staged WHERE (key, change, digest IS NULL) IN (('a', 0, 0), ('b', 2, 1), ('c', 3, 1))";
        assert_eq!(pragma(&mut connection, kept).await.unwrap(), 3);
        assert_eq!(
            pragma(&mut connection, "PRAGMA user_version").await.unwrap(),
            SCHEMA_VERSION
        );
    }
}
