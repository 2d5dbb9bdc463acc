//! A database under test.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;
use usher_store::{OperatorKey, Randomness, SqlStore, StoreError, postgres, sqlite};
use usher_test_postgres::Server;

use super::{Counted, context};

/// An empty database, with random numbers of its own that are the same in every run.
pub(crate) struct Database {
    place: Place,
    randomness: Arc<dyn Randomness>,
}

enum Place {
    Sqlite(TempDir),
    Postgres { server: &'static Server, url: String },
}

#[allow(dead_code, reason = "each test file uses what its database has")]
impl Database {
    pub(crate) fn sqlite() -> Self {
        Self {
            place: Place::Sqlite(tempfile::tempdir().unwrap()),
            randomness: Arc::new(Counted::default()),
        }
    }

    /// `None` where there is no PostgreSQL and it is not required.
    pub(crate) fn postgres() -> Option<Self> {
        let server = usher_test_postgres::shared().unwrap()?;
        let url = server.fresh_database().unwrap();
        Some(Self {
            place: Place::Postgres { server, url },
            randomness: Arc::new(Counted::default()),
        })
    }

    /// Opens the database, empty the first time, then with what is in it: dropping a store and opening it again is a crash that was
    /// long enough ago for everybody to know.
    pub(crate) async fn open(&self, at: Timestamp) -> SqlStore {
        if self.exists().await {
            if let Place::Postgres { .. } = &self.place {
                self.raw("UPDATE writer SET seen_us = 0 WHERE closed_us IS NULL")
                    .await
                    .unwrap();
            }
            return self.join(at).await.unwrap();
        }
        let (randomness, context) = (
            Arc::clone(&self.randomness),
            usher_store::Context { at, ..context(0) },
        );
        match &self.place {
            Place::Sqlite(folder) => sqlite::create(folder.path(), &key(), randomness, &context).await,
            Place::Postgres { url, .. } => {
                postgres::create(url, options(postgres::LEASE), &key(), randomness, &context).await
            }
        }
        .unwrap()
    }

    /// Opens the database as one more writer.
    pub(crate) async fn join(&self, at: Timestamp) -> Result<SqlStore, StoreError> {
        self.join_with(at, postgres::LEASE).await
    }

    /// Opens the database under another operator's key.
    pub(crate) async fn join_under(&self, key: &OperatorKey, at: Timestamp) -> Result<SqlStore, StoreError> {
        let (randomness, context) = (
            Arc::clone(&self.randomness),
            usher_store::Context { at, ..context(0) },
        );
        match &self.place {
            Place::Sqlite(folder) => sqlite::open(folder.path(), key, randomness, &context).await,
            Place::Postgres { url, .. } => {
                postgres::open(url, options(postgres::LEASE), key, randomness, &context).await
            }
        }
    }

    /// Opens the database as one more writer, with this lease.
    pub(crate) async fn join_with(&self, at: Timestamp, lease: Duration) -> Result<SqlStore, StoreError> {
        let (randomness, context) = (
            Arc::clone(&self.randomness),
            usher_store::Context { at, ..context(0) },
        );
        match &self.place {
            Place::Sqlite(folder) => sqlite::open(folder.path(), &key(), randomness, &context).await,
            Place::Postgres { url, .. } => {
                postgres::open(url, options(lease), &key(), randomness, &context).await
            }
        }
    }

    /// Runs SQL past the store.
    pub(crate) async fn raw(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.place {
            Place::Sqlite(folder) => {
                let url = format!("sqlite://{}", folder.path().join("usher.db").display());
                let mut connection = SqliteConnection::connect(&url).await?;
                sqlx::raw_sql(sql).execute(&mut connection).await?;
                connection.close().await
            }
            Place::Postgres { url, .. } => {
                let mut connection = PgConnection::connect(url).await?;
                sqlx::raw_sql(sql).execute(&mut connection).await?;
                connection.close().await
            }
        }
    }

    /// Ends the test unless a condition on the tables is true.
    pub(crate) async fn must_hold(&self, condition: &str) {
        let sql = format!(
            "CREATE TABLE held (n INTEGER NOT NULL CHECK (n = 1));
             INSERT INTO held SELECT CASE WHEN {condition} THEN 1 ELSE 0 END; DROP TABLE held;"
        );
        let held = self.raw(&sql).await;
        held.unwrap_or_else(|error| panic!("does not hold: {condition}: {error}"));
    }

    /// The URL and the server, on PostgreSQL.
    pub(crate) fn shared(&self) -> Option<(&'static Server, &str)> {
        match &self.place {
            Place::Sqlite(_) => None,
            Place::Postgres { server, url } => Some((*server, url)),
        }
    }

    async fn exists(&self) -> bool {
        match &self.place {
            Place::Sqlite(folder) => sqlite::exists(folder.path()),
            Place::Postgres { .. } => self.raw("SELECT 1 FROM schema_version").await.is_ok(),
        }
    }
}

/// The operator's key of every database under test.
pub(crate) fn key() -> OperatorKey {
    OperatorKey::from_bytes([7; 32])
}

fn options(lease: Duration) -> postgres::Options {
    postgres::Options {
        lease,
        name: "a test".to_owned(),
    }
}
