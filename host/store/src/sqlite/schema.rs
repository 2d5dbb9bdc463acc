//! The schema and its numbered migrations. The number is kept in SQLite's `user_version`, in the same transaction.

use sqlx::{Connection, Row, SqliteConnection};

use super::rows::failed;
use crate::StoreError;

/// Marks a file as Usher's in its header (`PRAGMA application_id`): "Ushr".
const APPLICATION_ID: i64 = 0x5573_6872;

/// All migrations, in order. Add at the end; a published one never changes.
const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/sqlite/0001_first_light.sql")];

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
