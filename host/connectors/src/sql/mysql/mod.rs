//! SQL for guests on MySQL and MariaDB.
//!
//! Each text is prepared by the server, which takes one statement and no other. A `query` runs in a transaction that only reads. After
//! each use the server resets the session (`COM_RESET_CONNECTION`): transaction, variables, temporary tables, user locks, prepared
//! statements, roles.

mod error;
mod rights;
mod values;

use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Error, IoError, Opts, OptsBuilder, SslOpts};
use usher_lifecycle::targets::{SqlAddress, SqlTls};

use super::rows::Rows;
use super::server::{CONNECT_TIMEOUT, CUT_TIMEOUT, Ended, LOCK_TIMEOUT, Session};
use super::statement::Use;
use super::target_server::Server;
use super::{ROW_SET_BYTES_MAX, RowSet, STATEMENT_BYTES_MAX, SqlError, SqlErrorKind, Statement};

/// Largest packet taken or sent, in bytes: one row, which may be as large as all rows together, or the values of a statement; and what
/// stands around each value.
const PACKET_BYTES_MAX: usize = ROW_SET_BYTES_MAX + 2 * STATEMENT_BYTES_MAX;
/// How often it is tried to stop a statement: the way to the server may be broken for a moment, or the server full.
const KILL_TRIES: u32 = 5;
/// Wait after the first try, doubled after each.
const KILL_PAUSE: Duration = Duration::from_millis(500);
/// Finds out that the other end is gone, when nothing else does.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long the server keeps an unused connection; ours are closed much earlier. Said so that it need not be asked for.
const WAIT_SECONDS: usize = 28_800;
/// A value that does not fit is an error, never cut; dates exist; engines are not replaced.
const SQL_MODE: &str = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";

/// A connection to MySQL or MariaDB.
pub(super) struct MysqlSession {
    connection: Conn,
    is_mariadb: bool,
    /// Whether the server rolls back everything, not the one statement, when a lock is waited for too long.
    rolls_back_on_timeout: bool,
    /// Whether a statement of this transaction has changed something.
    wrote: bool,
}

impl Session for MysqlSession {
    /// A table may be of an engine without transactions.
    const ROLLS_BACK_WHEN_CUT: bool = false;

    async fn connect(server: &Server) -> Result<Self, SqlError> {
        let failed = |error| error::connecting(server, &error);
        let mut connection = dial(server).await?;
        let version: Option<String> = connection.query_first("SELECT VERSION()").await.map_err(failed)?;
        let is_mariadb = version.is_some_and(|version| version.contains("MariaDB"));
        let on_timeout = "SHOW VARIABLES LIKE 'innodb_rollback_on_timeout'";
        let on_timeout: Option<(String, String)> =
            connection.query_first(on_timeout).await.map_err(failed)?;
        rights::check(server, &mut connection).await?;
        Ok(Self {
            connection,
            is_mariadb,
            rolls_back_on_timeout: on_timeout.is_some_and(|(_, value)| value.eq_ignore_ascii_case("ON")),
            wrote: false,
        })
    }

    async fn begin(&mut self, used: Use, left: Duration) -> Result<(), SqlError> {
        let access = match used {
            Use::Query => "READ ONLY",
            Use::Execute => "READ WRITE",
        };
        let lock_s = LOCK_TIMEOUT.min(left).as_secs().max(1);
        // At least one millisecond: zero means no limit.
        let left_ms = left.as_millis().max(1);
        let limit = if self.is_mariadb {
            format!("max_statement_time = {}.{:03}", left_ms / 1_000, left_ms % 1_000)
        } else {
            // It limits SELECT only; what else is late is stopped by KILL.
            format!("max_execution_time = {left_ms}")
        };
        // The host's own text, so several statements may stand in it: one round trip.
        let begin = format!(
            "SET NAMES utf8mb4; SET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', autocommit = 1, \
             lock_wait_timeout = {lock_s}, innodb_lock_wait_timeout = {lock_s}, {limit}; START TRANSACTION {access}"
        );
        self.wrote = false;
        let begun = self.connection.query_drop(begin).await;
        begun.map_err(|error| error::running(&error, &[]))
    }

    async fn read(&mut self, statement: &Statement) -> Result<RowSet, SqlError> {
        let failed = |error| error::running(&error, &statement.parameters);
        let prepared = self
            .connection
            .prep(statement.sql.as_str())
            .await
            .map_err(failed)?;
        if prepared.columns().is_empty() {
            let why = "the statement returns no columns, so it is none that reads";
            return Err(SqlError::new(SqlErrorKind::InvalidStatement, why));
        }
        for column in prepared.columns().iter() {
            values::check_type(column)?;
        }
        let parameters = values::bind(&prepared, &statement.parameters)?;
        let mut found = self
            .connection
            .exec_iter(&prepared, parameters)
            .await
            .map_err(failed)?;
        let columns = found.columns_ref().to_vec();
        let names = columns.iter().map(|column| column.name_str().into_owned());
        let mut rows = Rows::new(names.collect());
        while let Some(row) = found.next().await.map_err(failed)? {
            rows.begin()?;
            // Values are moved out of the row, so none is held twice.
            for (value, column) in row.unwrap().into_iter().zip(&columns) {
                rows.push(values::cell(value, column)?)?;
            }
        }
        Ok(rows.done())
    }

    async fn write(&mut self, statement: &Statement) -> Result<u64, SqlError> {
        let failed = |error| error::running(&error, &statement.parameters);
        let prepared = self
            .connection
            .prep(statement.sql.as_str())
            .await
            .map_err(failed)?;
        let parameters = values::bind(&prepared, &statement.parameters)?;
        let on_timeout = self.rolls_back_on_timeout;
        let failed = |error| {
            let sorted = error::running(&error, &statement.parameters);
            // The server has rolled back by itself, and tells nobody what it could not roll back. The first statement too may have
            // changed a table without transactions: by a trigger.
            if error::has_rolled_back(&error, on_timeout) {
                sorted.with_unknown_effect()
            } else {
                sorted
            }
        };
        let done = self
            .connection
            .exec_iter(&prepared, parameters)
            .await
            .map_err(failed)?;
        self.wrote = true;
        // MariaDB does not say before it runs that a statement with RETURNING has columns. It is rolled back now.
        if !done.columns_ref().is_empty() {
            let why = "a statement that returns rows belongs to `query`";
            return Err(SqlError::new(SqlErrorKind::InvalidStatement, why));
        }
        let changed = done.affected_rows();
        done.drop_result().await.map_err(failed)?;
        Ok(changed)
    }

    async fn commit(&mut self) -> Result<(), SqlError> {
        let committed = self.connection.query_drop("COMMIT").await;
        committed.map_err(|error| {
            let sorted = error::running(&error, &[]);
            // What was written to a table without transactions is there all the same, and the rollback that has been cannot be asked.
            if error::is_rolled_back(&error) && !self.wrote {
                sorted
            } else {
                sorted.with_unknown_effect()
            }
        })
    }

    async fn clean(&mut self, ended: Ended) -> Result<bool, SqlError> {
        let failed = |error| error::running(&error, &[]);
        let all_back = match ended {
            // The reset ends the transaction as well, without a round trip of its own.
            Ended::Well => true,
            Ended::Failed => {
                self.connection.query_drop("ROLLBACK").await.map_err(failed)?;
                // The only warning a rollback has (1196): a table of an engine without transactions was changed, and stays so.
                self.connection.get_warnings() == 0
            }
        };
        if self.connection.reset().await.map_err(failed)? {
            Ok(all_back)
        } else {
            let why = "the server is too old to reset a session";
            Err(SqlError::new(SqlErrorKind::Unavailable, why))
        }
    }

    async fn cut(self) {
        // Before the connection is dropped: the library reads to the end what the server still sends.
        let (id, options) = (self.connection.id(), self.connection.opts());
        let mut pause = KILL_PAUSE;
        for tries_left in (0..KILL_TRIES).rev() {
            let why = match tokio::time::timeout(CUT_TIMEOUT, kill(options, id)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) if error::is_unknown_thread(&error) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            if tries_left == 0 {
                tracing::warn!(%why, "a statement could not be stopped; it ends at its time-out, if it has one");
            } else {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
}

/// Ends another connection of the account and what it does. The options lead to the one address the other has gone to: another
/// server behind the same name would end somebody else's.
async fn kill(options: &Opts, id: u32) -> Result<(), mysql_async::Error> {
    let mut other = Conn::new(options.clone()).await?;
    other.query_drop(format!("KILL {id}")).await?;
    other.disconnect().await
}

/// Connects to the first of the checked addresses that answers; each gets its share of the time, so that a dead one does not use up
/// all of it.
async fn dial(server: &Server) -> Result<Conn, SqlError> {
    let options = options(server).await?;
    let addresses = server.addresses().await?;
    let failed = |error| error::connecting(server, &error);
    let Some((last, others)) = addresses.split_last() else {
        return Conn::new(options).await.map_err(failed);
    };
    let to = |address: &std::net::SocketAddr| {
        let one = options.clone().resolved_ips(Some(vec![address.ip()]));
        Conn::new(one)
    };
    let share = CONNECT_TIMEOUT / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in others {
        match tokio::time::timeout(share, to(address)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(Error::Io(IoError::Io(_)))) | Err(_) => {}
            Ok(Err(error)) => return Err(failed(error)),
        }
    }
    to(last).await.map_err(failed)
}

/// How to connect, but not yet to which of the addresses.
async fn options(server: &Server) -> Result<OptsBuilder, SqlError> {
    let password = server.password().await?;
    let options = OptsBuilder::default()
        .user(Some(&server.grant.user))
        .pass(password.as_ref().map(|secret| secret.expose()))
        .db_name(Some(&server.grant.database))
        // The library would ask a server on this machine for its socket and go there.
        .prefer_socket(false)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(KEEPALIVE))
        // How many rows a statement was about, as the other databases count, not how many it changed.
        .client_found_rows(true)
        .max_allowed_packet(Some(PACKET_BYTES_MAX))
        .wait_timeout(Some(WAIT_SECONDS))
        .stmt_cache_size(0);
    let options = match &server.grant.address {
        SqlAddress::Socket(path) => options.socket(Some(path)),
        SqlAddress::Tcp { host, port, tls, .. } => {
            // Read here for a message that names the file; the library reads it again.
            server.tls()?;
            options.ip_or_hostname(host).tcp_port(*port).ssl_opts(ssl(tls))
        }
    };
    Ok(options)
}

fn ssl(tls: &SqlTls) -> Option<SslOpts> {
    match tls {
        SqlTls::Off => None,
        SqlTls::Public => Some(SslOpts::default()),
        SqlTls::Ca(path) => Some(
            SslOpts::default()
                .with_root_certs(vec![std::path::PathBuf::from(path).into()])
                .with_disable_built_in_roots(true),
        ),
    }
}

#[cfg(test)]
mod tests;
