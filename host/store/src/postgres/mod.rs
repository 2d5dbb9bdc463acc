//! What is PostgreSQL's own: opening, the schema, the lease by which several hosts share one database, wake-ups.
//!
//! The tables live in the first schema of the connection's `search_path`.

pub(crate) mod lease;
mod schema;
mod since_boot;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::lease::Lease;
use crate::sql::cells::failed;
use crate::sql::db::Tx;
use crate::sql::keys;
use crate::sql::write::{Connection, Writer};
use crate::sql::{Place, Readers, SqlStore, refuse_backward_clock};
use crate::{Context, OperatorKey, Randomness, StoreError};

/// Readers at the same time: planning, a status request, the heartbeat, the listener and one to spare.
const READERS_MAX: u32 = 5;
/// How long a connection is waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a statement waits for a row that another writer changes, in milliseconds. Longer than any transaction of ours.
const LOCK_TIMEOUT_MS: u64 = 5_000;
/// How long a statement may take, in milliseconds: beyond this something is wrong, and the coordinator must not hang on it.
const STATEMENT_TIMEOUT_MS: u64 = 60_000;
/// The oldest server that works, as `server_version_num`: PostgreSQL 15, the oldest still maintained that is tested.
const SERVER_VERSION_MIN: i64 = 150_000;

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long others leave this process's work alone after its last heartbeat. Each host's own: the others know it from its row.
    pub lease: Duration,
    /// Who this is, for people: host and process.
    pub name: String,
}

/// The lease where nothing else is said: long enough for a host that swaps or a failover of the database, short enough for a crash.
pub const LEASE: Duration = Duration::from_secs(15);

/// Makes the tables in an empty schema and opens it. `InUse` when there is one already.
pub async fn create(
    url: &str,
    options: Options,
    key: &OperatorKey,
    randomness: Arc<dyn Randomness>,
    context: &Context,
) -> Result<SqlStore, StoreError> {
    let (connect, writing) = connected(url, &options).await?;
    if schema::version(&writing).await?.is_some() {
        return Err(StoreError::InUse(
            "the database already holds Usher's tables; use it, or name another database or schema"
                .to_owned(),
        ));
    }
    with(connect, writing, options, key, randomness, context).await
}

/// Opens a database, brings its schema up to date and becomes one of its writers.
///
/// `NotFound`: it has no tables of ours (see [`create`]). `Version`: it belongs to a newer program, or an older one is still at work.
/// `Stale`: the clock is more than five minutes before the last commit. `Key`: the key does not open it.
pub async fn open(
    url: &str,
    options: Options,
    key: &OperatorKey,
    randomness: Arc<dyn Randomness>,
    context: &Context,
) -> Result<SqlStore, StoreError> {
    let (connect, writing) = connected(url, &options).await?;
    if schema::version(&writing).await?.is_none() {
        return Err(StoreError::NotFound(
            "the database does not hold Usher's tables; make them with `usher init`".to_owned(),
        ));
    }
    with(connect, writing, options, key, randomness, context).await
}

/// A server that will do, and the pool of one that writes.
async fn connected(url: &str, options: &Options) -> Result<(PgConnectOptions, PgPool), StoreError> {
    let connect = connect_options(url, options)?;
    check_server(&connect).await?;
    let writing = pool(connect.clone(), 1);
    Ok((connect, writing))
}

async fn with(
    connect: PgConnectOptions,
    writing: PgPool,
    options: Options,
    key: &OperatorKey,
    randomness: Arc<dyn Randomness>,
    context: &Context,
) -> Result<SqlStore, StoreError> {
    let doing = "opening the database";
    let mut tx = Tx::Postgres(writing.begin().await.map_err(failed(doing))?);
    keys::check(&mut tx, Some(key)).await?;
    drop(tx);
    schema::migrate(&writing).await?;
    let mut tx = Tx::Postgres(writing.begin().await.map_err(failed(doing))?);
    refuse_backward_clock(&mut tx, context.at).await?;
    drop(tx);
    let tx = Tx::Postgres(writing.begin().await.map_err(failed(doing))?);
    let keys = keys::open(tx, key, randomness, context.at).await?;
    let connection = Connection::Postgres(writing);
    let (name, lease) = (options.name, options.lease);
    let writer = Writer::new(connection, name, lease, Arc::clone(&keys), context.at).await?;
    let readers = pool(connect, READERS_MAX);
    let lease = Lease::start(readers.clone(), writer.id, lease).await?;
    Ok(SqlStore {
        place: Place::Postgres(lease),
        writer: Mutex::new(writer),
        readers: Readers::Postgres(readers),
        keys,
    })
}

/// The moment a rehearsal stands at (its newest commit); `None` in a database that lives by the wall clock, or that is not there yet.
pub async fn rehearsal_moment(url: &str) -> Result<Option<jiff::Timestamp>, StoreError> {
    let doing = "looking into the database";
    let options = Options {
        lease: LEASE,
        name: String::new(),
    };
    let connect = connect_options(url, &options)?;
    check_server(&connect).await?;
    let pool = pool(connect, 1);
    let mut moment = None;
    if schema::version(&pool).await?.is_some() {
        let row: (i64,) = sqlx::query_as("SELECT coalesce(max(rehearsal), 0) FROM meta")
            .fetch_one(&pool)
            .await
            .map_err(failed(doing))?;
        if row.0 == 1 {
            let mut tx = Tx::Postgres(pool.begin().await.map_err(failed(doing))?);
            moment = crate::sql::high_water(&mut tx).await?;
        }
    }
    pool.close().await;
    Ok(moment)
}

fn connect_options(url: &str, options: &Options) -> Result<PgConnectOptions, StoreError> {
    let parsed: PgConnectOptions = url.parse().map_err(|_| {
        // The library's own words could hold the password.
        StoreError::NotFound(
            "the database address is not one; it looks like postgres://user@host:5432/name?sslmode=verify-full".to_owned(),
        )
    })?;
    // A process that is stopped in the middle of a transaction must not hold its rows longer than its lease.
    let idle_ms = u64::try_from(options.lease.as_millis()).unwrap_or(u64::MAX);
    Ok(parsed
        .application_name("usher")
        .options([
            ("idle_in_transaction_session_timeout", idle_ms.to_string()),
            ("lock_timeout", LOCK_TIMEOUT_MS.to_string()),
            ("statement_timeout", STATEMENT_TIMEOUT_MS.to_string()),
            ("synchronous_commit", "on".to_owned()),
            // What the loop touches is in memory or on flash: looking rows up is cheap, reading a whole table is not.
            ("random_page_cost", "1.1".to_owned()),
            ("default_transaction_isolation", "read committed".to_owned()),
            ("timezone", "UTC".to_owned()),
        ])
        .disable_statement_logging())
}

fn pool(options: PgConnectOptions, connections_max: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// Over a connection of its own: a pool tries again until its time is over, and then does not say why it failed.
async fn check_server(connect: &PgConnectOptions) -> Result<(), StoreError> {
    let doing = "connecting to the database";
    let late = |_| StoreError::Unavailable {
        doing,
        message: format!("it does not answer within {} s", ACQUIRE_TIMEOUT.as_secs()),
    };
    let connection = timeout(ACQUIRE_TIMEOUT, connect.connect()).await.map_err(late)?;
    let mut connection = connection.map_err(failed(doing))?;
    let row: (i64,) = sqlx::query_as("SELECT CAST(current_setting('server_version_num') AS BIGINT)")
        .fetch_one(&mut connection)
        .await
        .map_err(failed(doing))?;
    // Nothing was changed through it; a farewell that does not arrive harms nobody.
    let _ = connection.close().await;
    if row.0 < SERVER_VERSION_MIN {
        return Err(StoreError::Version(format!(
            "the server is PostgreSQL {}; 15 or later is needed",
            row.0 / 10_000
        )));
    }
    Ok(())
}
