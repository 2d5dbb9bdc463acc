//! A fresh, empty store on either database, with what it lives in.

use std::sync::Arc;

use tempfile::TempDir;
use usher_lifecycle::cause::Actor;
use usher_store::{Context, OperatorKey, SqlStore, postgres, sqlite};
use usher_test_postgres::Server;

use crate::world::{Counted, WallClock};
use usher_engine::ports::Clock as _;

/// Which database.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Database {
    /// SQLite with `synchronous=FULL`.
    Sqlite,
    /// PostgreSQL with `fsync=on`, on this machine.
    Postgres,
}

impl Database {
    /// How tables name it, with what makes it durable.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite, synchronous=FULL",
            Self::Postgres => "PostgreSQL, fsync=on, synchronous_commit=on, on the same machine",
        }
    }
}

/// A store and what it lives in.
pub(crate) struct Bed {
    /// The store.
    pub(crate) store: Arc<SqlStore>,
    _folder: Option<TempDir>,
    _server: Option<Server>,
}

impl Bed {
    /// An empty one.
    pub(crate) async fn new(database: Database) -> anyhow::Result<Self> {
        let context = Context {
            actor: Actor::Usher,
            at: WallClock.now(),
        };
        let randomness = Arc::new(Counted::default());
        let key = OperatorKey::from_bytes([7; 32]);
        match database {
            Database::Sqlite => {
                let folder = tempfile::tempdir()?;
                let store = sqlite::create(&folder.path().join("data"), &key, randomness, &context).await?;
                Ok(Self {
                    store: Arc::new(store),
                    _folder: Some(folder),
                    _server: None,
                })
            }
            Database::Postgres => {
                let server = Server::start()?;
                let options = postgres::Options {
                    lease: postgres::LEASE,
                    name: "bench".to_owned(),
                };
                let store =
                    postgres::create(&server.fresh_database()?, options, &key, randomness, &context).await?;
                Ok(Self {
                    store: Arc::new(store),
                    _folder: None,
                    _server: Some(server),
                })
            }
        }
    }
}
