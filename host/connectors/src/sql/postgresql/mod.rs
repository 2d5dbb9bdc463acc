//! SQL for guests on PostgreSQL.
//!
//! Each text goes through the extended protocol, which takes one statement and no other; values are sent as text of the type the
//! server inferred. A `query` runs in a transaction that only reads. After each use the session is what it was before: see
//! [`RESET`].

mod error;
mod rights;
mod values;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use usher_lifecycle::targets::SqlAddress;

use super::rows::Rows;
use super::server::{CUT_TIMEOUT, Ended, LOCK_TIMEOUT, Session};
use super::statement::Use;
use super::target_server::Server;
use super::wire::{Meter, Metered, Peer};
use super::{ROW_SET_BYTES_MAX, RowSet, SqlError, SqlErrorKind, SqlValue, Statement};

/// Most bytes read for one step of a call: the rows of a query, what the protocol puts around each of their values, and messages.
const READ_BYTES_MAX: usize = 4 * ROW_SET_BYTES_MAX;
/// Takes back all that a guest's statement can have left in a session: cursors, settings, a role, LISTEN, advisory locks, temporary
/// tables, and what sequences said last. `DISCARD ALL` would also forget the statements with which the client library looks up
/// types, which it keeps using; guests' own statements are closed one by one. It is one message with the rollback.
const RESET: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
     SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// A connection to PostgreSQL.
pub(super) struct PostgresqlSession {
    client: Client,
    /// The task that reads and writes.
    driver: AbortHandle,
    meter: Arc<Meter>,
    peer: Peer,
    tls: Option<(MakeRustlsConnect, String)>,
}

impl Session for PostgresqlSession {
    const ROLLS_BACK_WHEN_CUT: bool = true;

    async fn connect(server: &Server) -> Result<Self, SqlError> {
        let mut config = Config::new();
        config
            .user(&server.grant.user)
            .dbname(&server.grant.database)
            .application_name("usher");
        if let Some(password) = server.password().await? {
            config.password(password.expose());
        }
        let tls = tls(server)?;
        config.ssl_mode(if tls.is_some() {
            SslMode::Require
        } else {
            SslMode::Disable
        });
        let (wire, peer) = server.connect().await?;
        let meter = Meter::new(READ_BYTES_MAX);
        let wire = Metered::new(wire, Arc::clone(&meter));
        let failed = |error| error::connecting(server, &error);
        let (client, driver) = match &tls {
            Some(tls) => {
                let (client, connection) = config.connect_raw(wire, secured(tls)).await.map_err(failed)?;
                (client, drive(connection))
            }
            None => {
                let (client, connection) = config.connect_raw(wire, NoTls).await.map_err(failed)?;
                (client, drive(connection))
            }
        };
        let session = Self {
            client,
            driver,
            meter,
            peer,
            tls,
        };
        rights::check(server, &session.client).await?;
        Ok(session)
    }

    async fn begin(&mut self, used: Use, left: Duration) -> Result<(), SqlError> {
        let access = match used {
            Use::Query => "READ ONLY",
            Use::Execute => "READ WRITE",
        };
        // At least one: zero means no limit.
        let left_ms = left.as_millis().max(1);
        let lock_ms = LOCK_TIMEOUT.min(left).as_millis().max(1);
        let begin = format!(
            "BEGIN {access}; SET LOCAL statement_timeout = {left_ms}; SET LOCAL lock_timeout = {lock_ms}; \
             SET LOCAL idle_in_transaction_session_timeout = {left_ms}; SET LOCAL TimeZone = 'UTC'; \
             SET LOCAL client_min_messages = 'error'"
        );
        self.meter.refill(READ_BYTES_MAX);
        let begun = self.client.batch_execute(&begin).await;
        begun.map_err(|error| error::running(&error, &[]))
    }

    async fn read(&mut self, statement: &Statement) -> Result<RowSet, SqlError> {
        let failed = |error| self.failed(&error, &statement.parameters);
        let prepared = self.client.prepare(&statement.sql).await.map_err(failed)?;
        if prepared.columns().is_empty() {
            let why = "the statement returns no columns, so it is none that reads";
            return Err(SqlError::new(SqlErrorKind::InvalidStatement, why));
        }
        for column in prepared.columns() {
            values::check_type(column.name(), column.type_())?;
        }
        let parameters = values::bind(prepared.params(), &statement.parameters)?;
        let found = self
            .client
            .query_raw(&prepared, parameters)
            .await
            .map_err(failed)?;
        let mut found = pin!(found);
        let columns = prepared.columns();
        let names = columns.iter().map(|column| column.name().to_owned());
        let mut rows = Rows::new(names.collect());
        while let Some(row) = found.try_next().await.map_err(failed)? {
            rows.begin()?;
            for (index, column) in columns.iter().enumerate() {
                let value = values::cell(&row, index, column, &rows)?;
                rows.push(value)?;
            }
        }
        Ok(rows.done())
    }

    async fn write(&mut self, statement: &Statement) -> Result<u64, SqlError> {
        self.meter.refill(READ_BYTES_MAX);
        let failed = |error| self.failed(&error, &statement.parameters);
        let prepared = self.client.prepare(&statement.sql).await.map_err(failed)?;
        if !prepared.columns().is_empty() {
            let why = "a statement that returns rows belongs to `query`";
            return Err(SqlError::new(SqlErrorKind::InvalidStatement, why));
        }
        let parameters = values::bind(prepared.params(), &statement.parameters)?;
        self.client
            .execute_raw(&prepared, parameters)
            .await
            .map_err(failed)
    }

    async fn commit(&mut self) -> Result<(), SqlError> {
        let committed = self.client.batch_execute("COMMIT").await;
        committed.map_err(|error| {
            let sorted = self.failed(&error, &[]);
            if error::is_rolled_back(&error) {
                sorted
            } else {
                sorted.with_unknown_effect()
            }
        })
    }

    async fn clean(&mut self, _: Ended) -> Result<bool, SqlError> {
        self.meter.refill(READ_BYTES_MAX);
        // Outside a transaction ROLLBACK only warns. All tables have transactions.
        let reset = self.client.batch_execute(&format!("ROLLBACK; {RESET}")).await;
        reset.map(|()| true).map_err(|error| error::running(&error, &[]))
    }

    async fn cut(self) {
        let token = self.client.cancel_token();
        let cancelling = async {
            let wire = self.peer.connect().await?;
            let wire = Metered::new(wire, Meter::new(READ_BYTES_MAX));
            let sent = match &self.tls {
                Some(tls) => token.cancel_query_raw(wire, secured(tls)).await,
                None => token.cancel_query_raw(wire, NoTls).await,
            };
            sent.map_err(std::io::Error::other)
        };
        if let Ok(Err(error)) = tokio::time::timeout(CUT_TIMEOUT, cancelling).await {
            tracing::warn!(%error, "a statement could not be cancelled; it ends at its time-out");
        }
        self.driver.abort();
    }
}

impl PostgresqlSession {
    fn failed(&self, error: &tokio_postgres::Error, parameters: &[SqlValue]) -> SqlError {
        if self.meter.is_empty() {
            SqlError::too_much()
        } else {
            error::running(error, parameters)
        }
    }
}

fn tls(server: &Server) -> Result<Option<(MakeRustlsConnect, String)>, SqlError> {
    let config = server.tls()?;
    Ok(match (config, &server.grant.address) {
        (Some(config), SqlAddress::Tcp { host, .. }) => Some((MakeRustlsConnect::new(config), host.clone())),
        (_, SqlAddress::Tcp { .. } | SqlAddress::Socket(_)) => None,
    })
}

/// TLS for one connection, with the name that the certificate must have.
fn secured(
    (tls, host): &(MakeRustlsConnect, String),
) -> <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Metered>>::TlsConnect {
    let made = <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Metered>>::make_tls_connect(
        &mut tls.clone(),
        host,
    );
    match made {
        Ok(connect) => connect,
        Err(never) => match never {},
    }
}

/// Reads and writes until the client is dropped or the connection ends. What the server says unasked is not kept.
fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>) -> AbortHandle
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
{
    let driving = tokio::spawn(async move {
        while let Some(message) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            match message {
                Ok(AsyncMessage::Notice(_) | AsyncMessage::Notification(_)) => {}
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "a connection to PostgreSQL ended");
                    return;
                }
            }
        }
    });
    driving.abort_handle()
}

#[cfg(test)]
mod tests;
