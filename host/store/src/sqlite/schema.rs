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
        include_str!("../../migrations/sqlite/0004_personal_facts.sql"),
        include_str!("../../migrations/sqlite/0005_whole_lifecycle.sql"),
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
        sqlx::raw_sql("INSERT INTO staged VALUES (1, 'c', 3, NULL, NULL, NULL)")
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

    /// A folder of the third version keeps its people, with nothing set about them yet; a program of then refuses it from now on.
    #[tokio::test]
    async fn people_of_the_third_version_are_kept() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        migrate_to(&mut connection, 3).await.unwrap();
        let people = "
            INSERT INTO meta (id, high_water_us) VALUES (1, 0);
            INSERT INTO identity (id, public_id, state) VALUES (1, zeroblob(16), 1);
            INSERT INTO target (id, name) VALUES (1, 'app');";
        sqlx::raw_sql(people).execute(&mut connection).await.unwrap();
        migrate(&mut connection).await.unwrap();
        let kept = "SELECT count(*) FROM identity WHERE state = 1 AND held = '[]' AND facts_version = 1";
        assert_eq!(pragma(&mut connection, kept).await.unwrap(), 1);
        assert_eq!(
            pragma(&mut connection, "SELECT works_from FROM meta")
                .await
                .unwrap(),
            schema::works_from()
        );
        let old = recognise_as(&mut connection, 3).await;
        assert!(matches!(old, Err(StoreError::Version(_))), "{old:?}");
        // What makes no sense is not taken.
        let fact = |kind: i64, name: &str, origin: &str, from: &str, until: &str| {
            format!(
                "INSERT INTO personal_fact (public_id, identity, kind, name, origin, from_us, until_us, words, added_by, added_us)
                 VALUES (randomblob(16), 1, {kind}, {name}, {origin}, {from}, {until}, x'00', '', 0)"
            )
        };
        let name = |identity: &str, value: &str, digest: u8, barred: &str| {
            format!(
                "INSERT INTO reservation (identity, target, kind, attribute, value, digest, reserved_us, bar_us, barred_until_us)
                 VALUES ({identity}, 1, 'primary', 'login', {value}, x'{}', 0, 0, {barred})",
                format!("{digest:02x}").repeat(32)
            )
        };
        for (sql, fits) in [
            (fact(0, "'vpn'", "0", "NULL", "NULL"), true),
            (fact(0, "NULL", "0", "NULL", "NULL"), false),
            (fact(0, "'vpn'", "NULL", "NULL", "NULL"), false),
            (fact(0, "'vpn'", "0", "5", "5"), false),
            (fact(1, "NULL", "NULL", "5", "6"), true),
            (fact(2, "'vpn'", "NULL", "5", "NULL"), false),
            (fact(2, "NULL", "NULL", "NULL", "NULL"), false),
            (fact(3, "'pay'", "NULL", "NULL", "5"), true),
            (fact(3, "'pay'", "NULL", "NULL", "NULL"), false),
            (fact(4, "NULL", "NULL", "5", "NULL"), false),
            ("UPDATE personal_fact SET ended_us = 1".to_owned(), false),
            (name("1", "'jdoe'", 1, "NULL"), true),
            (name("1", "'jd'", 2, "NULL"), false),
            (name("1", "'jd'", 1, "5"), false),
            (name("1", "'jd'", 2, "5"), true),
            (name("NULL", "NULL", 3, "NULL"), false),
            (name("NULL", "NULL", 3, "5"), true),
            (name("NULL", "'jd'", 4, "5"), false),
        ] {
            let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone()))
                .execute(&mut connection)
                .await;
            assert_eq!(done.is_ok(), fits, "{sql}: {done:?}");
        }
    }
}
