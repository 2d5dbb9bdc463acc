//! The schema on PostgreSQL. The version is kept in a table of its own, in the same transaction.

use sqlx::{Connection as _, PgConnection, PgPool};

use crate::StoreError;
use crate::schema::{self, Migration};
use crate::sql::cells::failed;

/// Whoever migrates holds this advisory lock until the end of the transaction: "Ushr".
const MIGRATION_LOCK: i64 = 0x5573_6872;

const DOING: &str = "migrating the schema";

fn migrations() -> Vec<Migration> {
    schema::migrations([
        include_str!("../../migrations/postgres/0001_first_light.sql"),
        include_str!("../../migrations/postgres/0002_staged_present.sql"),
        include_str!("../../migrations/postgres/0003_two_stores.sql"),
        include_str!("../../migrations/postgres/0004_personal_facts.sql"),
        include_str!("../../migrations/postgres/0005_whole_lifecycle.sql"),
    ])
}

/// The version of the schema; `None` where there are no tables of ours.
pub(super) async fn version(pool: &PgPool) -> Result<Option<i64>, StoreError> {
    let doing = "reading the schema version";
    let mut connection = pool.acquire().await.map_err(failed(doing))?;
    version_of(&mut connection).await
}

async fn version_of(connection: &mut PgConnection) -> Result<Option<i64>, StoreError> {
    let doing = "reading the schema version";
    let there: (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'schema_version' AND relnamespace = current_schema()::regnamespace)",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed(doing))?;
    if !there.0 {
        return Ok(None);
    }
    let row: (Option<i64>,) = sqlx::query_as("SELECT max(version) FROM schema_version")
        .fetch_one(connection)
        .await
        .map_err(failed(doing))?;
    Ok(row.0)
}

/// Brings the schema up to date, whole or not at all. A database of a program too new is refused untouched, and what an older program still at
/// work would not bear waits for it.
pub(super) async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    migrate_with(pool, &migrations()).await
}

async fn migrate_with(pool: &PgPool, migrations: &[Migration]) -> Result<(), StoreError> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let mut connection = pool.acquire().await.map_err(failed(DOING))?;
    let mut tx = connection.begin().await.map_err(failed(DOING))?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *tx)
        .await
        .map_err(failed(DOING))?;
    let found = version_of(&mut tx).await?.unwrap_or(0);
    let mut oldest = None;
    if found >= 3 {
        let row: (i64,) = sqlx::query_as("SELECT works_from FROM meta")
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed(DOING))?
            .unwrap_or((found,));
        schema::check(found, row.0, known)?;
        oldest = oldest_at_work(&mut tx).await?;
    }
    if found >= known {
        return Ok(());
    }
    if found == 0 {
        sqlx::query("CREATE TABLE schema_version (version BIGINT PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())")
            .execute(&mut *tx)
            .await
            .map_err(failed(DOING))?;
    }
    for (number, migration) in (1_i64..).zip(migrations) {
        if number <= found {
            continue;
        }
        schema::may_run(number, migration, oldest)?;
        sqlx::raw_sql(migration.sql)
            .execute(&mut *tx)
            .await
            .map_err(failed(DOING))?;
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind(number)
            .execute(&mut *tx)
            .await
            .map_err(failed(DOING))?;
        if number > 3 {
            sqlx::query("UPDATE meta SET works_from = $1")
                .bind(migration.works_from)
                .execute(&mut *tx)
                .await
                .map_err(failed(DOING))?;
        }
    }
    tx.commit().await.map_err(failed(DOING))
}

/// The oldest schema version known by a program that is at work now.
async fn oldest_at_work(connection: &mut PgConnection) -> Result<Option<i64>, StoreError> {
    let row: (Option<i64>,) = sqlx::query_as(
        "SELECT min(schema_version) FROM writer
         WHERE closed_us IS NULL AND seen_us > CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) - lease_us",
    )
    .fetch_one(connection)
    .await
    .map_err(failed(DOING))?;
    Ok(row.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use usher_lifecycle::cause::Actor;

    use super::super::{LEASE, Options, connected, create};
    use super::*;
    use crate::{Context, OperatorKey, Randomness};

    struct Numbers;

    impl Randomness for Numbers {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(7);
        }
    }

    /// Hosts are upgraded one after the other: what only adds goes in while an old program works, what takes away waits for it.
    #[tokio::test]
    async fn hosts_are_upgraded_one_after_the_other() {
        let Some(server) = usher_test_postgres::shared().unwrap() else {
            return;
        };
        let url = server.fresh_database().unwrap();
        let options = Options {
            lease: LEASE,
            name: "an old program".to_owned(),
        };
        let context = Context {
            actor: Actor::Usher,
            at: "2026-03-02T08:00:00Z".parse().unwrap(),
        };
        let key = OperatorKey::from_bytes([7; 32]);
        let old = create(&url, options.clone(), &key, Arc::new(Numbers), &context)
            .await
            .unwrap();
        let (_, pool) = connected(&url, &options).await.unwrap();
        let known = migrations();
        let (expand, contract) = (
            Migration {
                sql: "ALTER TABLE meta ADD COLUMN next_year TEXT",
                works_from: schema::works_from(),
            },
            Migration {
                sql: "ALTER TABLE meta DROP COLUMN rehearsal",
                works_from: schema::SCHEMA_VERSION + 2,
            },
        );
        let newer = [known.as_slice(), &[expand]].concat();
        migrate_with(&pool, &newer).await.unwrap();
        assert_eq!(version(&pool).await.unwrap(), Some(schema::SCHEMA_VERSION + 1));
        // The old program opens what only grew.
        migrate_with(&pool, &known).await.unwrap();

        let newest = [newer.as_slice(), &[contract]].concat();
        let waits = migrate_with(&pool, &newest).await;
        assert!(
            matches!(&waits, Err(StoreError::Version(message)) if message.contains("still at work")),
            "{waits:?}"
        );
        assert_eq!(
            version(&pool).await.unwrap(),
            Some(schema::SCHEMA_VERSION + 1),
            "nothing was changed"
        );
        old.close().await.unwrap();
        migrate_with(&pool, &newest).await.unwrap();
        let refused = migrate_with(&pool, &known).await;
        assert!(
            matches!(&refused, Err(StoreError::Version(message)) if message.contains(&format!("version {}", schema::SCHEMA_VERSION + 2))),
            "{refused:?}"
        );
    }

    /// People of the third version are kept, with nothing set about them yet. It waits for programs of then: they know nothing of holds.
    #[tokio::test]
    async fn people_of_the_third_version_are_kept() {
        let Some(server) = usher_test_postgres::shared().unwrap() else {
            return;
        };
        let url = server.fresh_database().unwrap();
        let options = Options {
            lease: LEASE,
            name: "a test".to_owned(),
        };
        let (_, pool) = connected(&url, &options).await.unwrap();
        let known = migrations();
        migrate_with(&pool, &known[..3]).await.unwrap();
        let old = "
            INSERT INTO meta (id, high_water_us) VALUES (1, 0);
            INSERT INTO identity (public_id, state) VALUES (decode(repeat('00', 16), 'hex'), 1);
            INSERT INTO writer (opened_us, genesis, schema_version, seen_us, lease_us)
            VALUES (0, decode(repeat('00', 32), 'hex'), 3, 0, 9000000000000000000);";
        sqlx::raw_sql(old).execute(&pool).await.unwrap();
        let waits = migrate_with(&pool, &known).await;
        assert!(
            matches!(&waits, Err(StoreError::Version(message)) if message.contains("still at work")),
            "{waits:?}"
        );
        sqlx::raw_sql("UPDATE writer SET closed_us = 1")
            .execute(&pool)
            .await
            .unwrap();
        migrate_with(&pool, &known).await.unwrap();
        let kept: (i64, i64) = sqlx::query_as(
            "SELECT count(*), (SELECT works_from FROM meta) FROM identity WHERE state = 1 AND held = '[]' AND facts_version = 1",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!(kept, (1, schema::works_from()));
        let refused = migrate_with(&pool, &known[..3]).await;
        assert!(matches!(refused, Err(StoreError::Version(_))), "{refused:?}");
    }
}
