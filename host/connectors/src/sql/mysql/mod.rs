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
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use usher_lifecycle::targets::{SqlAddress, SqlTls};

use super::rows::Rows;
use super::server::{CUT_TIMEOUT, LOCK_TIMEOUT, Session};
use super::statement::Use;
use super::target_server::Server;
use super::{ROW_SET_BYTES_MAX, RowSet, STATEMENT_BYTES_MAX, SqlError, SqlErrorKind, SqlValue, Statement};

/// Largest packet taken or sent, in bytes: one row, which may be as large as all rows together, or the values of a statement; and what
/// stands around each value.
const PACKET_BYTES_MAX: usize = ROW_SET_BYTES_MAX + 2 * STATEMENT_BYTES_MAX;
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
}

impl Session for MysqlSession {
    async fn connect(server: &Server) -> Result<Self, SqlError> {
        let failed = |error| error::connecting(server, &error);
        let mut connection = Conn::new(options(server).await?).await.map_err(failed)?;
        let version: Option<String> = connection.query_first("SELECT VERSION()").await.map_err(failed)?;
        let is_mariadb = version.is_some_and(|version| version.contains("MariaDB"));
        rights::check(server, &mut connection).await?;
        Ok(Self {
            connection,
            is_mariadb,
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
        let done = self
            .connection
            .exec_iter(&prepared, parameters)
            .await
            .map_err(failed)?;
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
            if error::is_rolled_back(&error) {
                sorted
            } else {
                sorted.with_unknown_effect()
            }
        })
    }

    async fn clean(&mut self) -> Result<bool, SqlError> {
        let failed = |error| error::running(&error, &[]);
        self.connection.query_drop("ROLLBACK").await.map_err(failed)?;
        // The only warning a rollback has: a table of an engine without transactions was changed, and stays so.
        let all_back = self.connection.get_warnings() == 0;
        if self.connection.reset().await.map_err(failed)? {
            Ok(all_back)
        } else {
            let why = "the server is too old to reset a session";
            Err(SqlError::new(SqlErrorKind::Unavailable, why))
        }
    }

    async fn cut(self) {
        // Before the connection is dropped: the library reads to the end what the server still sends.
        let (id, options) = (self.connection.id(), self.connection.opts().clone());
        let killing = async {
            let mut other = Conn::new(options).await?;
            other.query_drop(format!("KILL {id}")).await?;
            other.disconnect().await
        };
        if let Ok(Err(error)) = tokio::time::timeout(CUT_TIMEOUT, killing).await
            && !error::is_unknown_thread(&error)
        {
            tracing::warn!(%error, "a statement could not be stopped; it ends at its time-out");
        }
    }
}

/// How to connect: to the addresses that were checked, and nowhere else.
async fn options(server: &Server) -> Result<Opts, SqlError> {
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
            let checked: Vec<_> = server
                .addresses()
                .await?
                .iter()
                .map(std::net::SocketAddr::ip)
                .collect();
            options
                .ip_or_hostname(host)
                .tcp_port(*port)
                .resolved_ips(Some(checked))
                .ssl_opts(ssl(tls))
        }
    };
    Ok(options.into())
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
