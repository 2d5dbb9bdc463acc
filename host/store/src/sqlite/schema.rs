//! The schema on SQLite. The version is kept in `user_version`, in the same transaction.

use sqlx::{Connection, Row, SqliteConnection};

use crate::StoreError;
use crate::schema::{self, Migration};
use crate::sql::cells::failed;

/// Marks a file as Usher's in its header (`PRAGMA application_id`): "Ushr".
const APPLICATION_ID: i64 = 0x5573_6872;

fn migrations() -> Vec<Migration> {
    schema::migrations([
        include_str!("../../migrations/sqlite/0001_first_light.sql"),
        include_str!("../../migrations/sqlite/0002_staged_present.sql"),
        include_str!("../../migrations/sqlite/0003_two_stores.sql"),
    ])
}

/// Brings the schema up to date. A database of a program too new, or of another one, is refused untouched.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    migrate_with(connection, &migrations()).await
}

/// Brings an empty database to a version, or as far as this program knows.
pub(super) async fn migrate_to(connection: &mut SqliteConnection, version: i64) -> Result<(), StoreError> {
    let migrations = migrations();
    let wanted = usize::try_from(version).unwrap_or(0).min(migrations.len());
    migrate_with(connection, &migrations[..wanted]).await
}

/// Refuses a database of a program too new, or of another one. Returns its version, 0 when it is empty.
pub(super) async fn recognise(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    recognise_as(connection, schema::SCHEMA_VERSION).await
}

async fn recognise_as(connection: &mut SqliteConnection, known: i64) -> Result<i64, StoreError> {
    let found = pragma(connection, "PRAGMA user_version").await?;
    let application = pragma(connection, "PRAGMA application_id").await?;
    let fresh = found == 0
        && application == 0
        && pragma(connection, "SELECT count(*) FROM sqlite_schema").await? == 0;
    if !fresh && application != APPLICATION_ID {
        return Err(StoreError::Version(
            "the database was not made by Usher; name another one".to_owned(),
        ));
    }
    // The column came with version 3; what is older works with every later program. Its row is made by the first writer.
    let works_from = if found < 3 {
        found
    } else {
        let sql = "SELECT coalesce(max(works_from), 3) FROM meta";
        pragma(connection, sql).await?
    };
    schema::check(found, works_from, known)?;
    Ok(found)
}

async fn migrate_with(connection: &mut SqliteConnection, migrations: &[Migration]) -> Result<(), StoreError> {
    let doing = "migrating the schema";
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let found = recognise_as(connection, known).await?;
    for (number, migration) in (1_i64..).zip(migrations) {
        if number <= found {
            continue;
        }
        // Nobody else is at work: this process owns the folder.
        let mut transaction = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed(doing))?;
        sqlx::raw_sql(migration.sql)
            .execute(&mut *transaction)
            .await
            .map_err(failed(doing))?;
        // A pragma takes no parameters; all values are our own numbers.
        let works_from = migration.works_from;
        let mut mark = format!("PRAGMA user_version = {number}; PRAGMA application_id = {APPLICATION_ID};");
        if number >= 3 {
            mark.push_str(&format!("UPDATE meta SET works_from = {works_from}"));
        }
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
            migrations()[0].sql
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
            schema::SCHEMA_VERSION
        );
    }
}
