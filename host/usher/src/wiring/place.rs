//! Where the store is: a data folder of this machine, or a PostgreSQL database that several hosts share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use usher_connectors::SecretString;
use usher_store::{Context, OperatorKey, SqlStore, StoreError, postgres, sqlite};

use super::folder;
use super::host;
use super::randomness::OsRandomness;
use super::secrets;
use super::serving;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;

/// Where the store is.
#[derive(Debug)]
pub(crate) enum Place {
    /// SQLite in the data folder.
    Folder(PathBuf),
    /// PostgreSQL.
    Database {
        /// Its address; may hold a password.
        url: SecretString,
        /// How long others leave this process's work alone after its last heartbeat.
        lease: Duration,
    },
}

impl Place {
    /// As the options say.
    pub(crate) fn of(global: &Global) -> Result<Self, Failure> {
        let lease = Duration::from_secs(global.lease_seconds);
        let database = global
            .database
            .clone()
            .filter(|url| !url.expose().trim().is_empty());
        match (database, &global.database_file) {
            (None, None) => Ok(Self::Folder(global.data.clone())),
            (Some(url), None) => Ok(Self::Database { url, lease }),
            (None, Some(file)) => {
                let url = secrets::from_file(file)
                    .map_err(|reason| Failure::new(Exit::Usage, format!("--database-file: {reason}")))?;
                Ok(Self::Database { url, lease })
            }
            (Some(_), Some(_)) => Err(Failure::new(
                Exit::Usage,
                "the database is named twice: by --database (or USHER_DATABASE) and by --database-file (or USHER_DATABASE_FILE)",
            )
            .advice("leave one of them out")),
        }
    }

    /// The moment a rehearsal stands at; `None` where the wall clock rules.
    pub(crate) async fn rehearsal_moment(&self) -> Result<Option<Timestamp>, Failure> {
        match self {
            Self::Folder(path) => {
                folder::must_exist(path)?;
                Ok(sqlite::rehearsal_moment(path).await?)
            }
            Self::Database { url, .. } => postgres::rehearsal_moment(url.expose())
                .await
                .map_err(|error| self.failure(error)),
        }
    }

    /// Opens the store.
    pub(crate) async fn open(&self, key: &OperatorKey, context: &Context) -> Result<SqlStore, Failure> {
        match self {
            Self::Folder(path) => sqlite::open(path, key, Arc::new(OsRandomness), context)
                .await
                .map_err(|error| serving::explain(path, error)),
            Self::Database { url, lease } => postgres::open(
                url.expose(),
                options(*lease),
                key,
                Arc::new(OsRandomness),
                context,
            )
            .await
            .map_err(|error| self.failure(error)),
        }
    }

    /// Refuses where something is already.
    pub(crate) fn must_be_free(&self) -> Result<(), Failure> {
        match self {
            Self::Folder(path) => folder::must_be_free(path),
            Self::Database { .. } => Ok(()),
        }
    }

    /// Makes an empty store.
    pub(crate) async fn create(&self, key: &OperatorKey, context: &Context) -> Result<SqlStore, Failure> {
        match self {
            Self::Folder(path) => Ok(sqlite::create(path, key, Arc::new(OsRandomness), context).await?),
            Self::Database { url, lease } => postgres::create(
                url.expose(),
                options(*lease),
                key,
                Arc::new(OsRandomness),
                context,
            )
            .await
            .map_err(|error| self.failure(error)),
        }
    }

    /// For people, without what is secret in it: the folder's path, or `host:port/database`.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Database { url, .. } => shown(url.expose()),
        }
    }

    /// What is wrong with a database at its opening, and what to do.
    fn failure(&self, error: StoreError) -> Failure {
        let name = self.name();
        match error {
            StoreError::NotFound(message) => Failure::new(Exit::Folder, format!("{name}: {message}"))
                .advice("is it the right address? Look at USHER_DATABASE, --database or --database-file"),
            StoreError::InUse(message) => Failure::new(Exit::Folder, format!("{name}: {message}")),
            StoreError::Unavailable { doing, message } => {
                let advice = if message.contains("password authentication failed") {
                    "give the right password: in the file named by --database-file, in USHER_DATABASE, in PGPASSWORD or in ~/.pgpass"
                } else {
                    "is the server up, the address right, and this host let in (pg_hba.conf)?"
                };
                Failure::new(Exit::Folder, format!("{name}: {doing}: {message}")).advice(advice)
            }
            other => other.into(),
        }
    }
}

fn options(lease: Duration) -> postgres::Options {
    postgres::Options {
        lease,
        name: host::process_name(),
    }
}

/// The part of a database's address that is no secret: `host:port/database`. Where it is not plain which part that is, nothing of it.
fn shown(url: &str) -> String {
    const NOTHING: &str = "the database";
    let plain =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || ".-_:[]%".contains(c));
    let Some((_, rest)) = url.split_once("://") else {
        return NOTHING.to_owned();
    };
    let (rest, _query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => host,
        None if url.contains('@') => return NOTHING.to_owned(),
        None => authority,
    };
    // A password that was not escaped may have ended up on the wrong side of any of these.
    if !plain(host) || !(database.is_empty() || plain(database)) || url.matches('@').count() > 1 {
        return NOTHING.to_owned();
    }
    if database.is_empty() {
        host.to_owned()
    } else {
        format!("{host}/{database}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_shown_without_its_secrets() {
        for (url, expected) in [
            (
                "postgres://usher:hunter2@db.example.com:5432/usher?sslmode=verify-full",
                "db.example.com:5432/usher",
            ),
            ("postgresql://db.example.com", "db.example.com"),
            ("postgres://[::1]:5432/usher", "[::1]:5432/usher"),
            (
                "postgres://%2Frun%2Fpostgresql/usher",
                "%2Frun%2Fpostgresql/usher",
            ),
            ("postgres://db/usher?user=a&password=hunter2", "db/usher"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn a_password_that_was_not_escaped_is_not_shown_either() {
        for url in [
            "postgres://usher:hunt/er2@db/usher",
            "postgres://usher:hunt?er2@db/usher",
            "postgres://usher:hunt@er2@db/usher",
            "postgres://usher:hunt#er2@db/usher",
            "postgres://usher:hunt@er/2@db/usher",
            "usher:hunter2@db/usher",
            "host=db password=hunter2",
        ] {
            let shown = shown(url);
            assert!(
                !shown.contains("hunt") && !shown.contains("er2"),
                "{url}: {shown}"
            );
        }
    }
}
