//! SQL for guests. This is host code working with a guest's statements: a least-privileged connection, capped in rows, bytes and
//! time, confined to the granted database. For SQLite see [`confine`] for what a statement may do. For servers see [`statement`], the
//! rights of each kind of server, and [`server`] for how a call ends in time and leaves nothing behind.

mod confine;
mod error;
pub(crate) mod fuzzing;
mod idle;
mod mysql;
mod postgresql;
mod rows;
mod server;
mod sqlite;
mod statement;
mod target_server;
#[cfg(test)]
mod testing;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use usher_lifecycle::targets::{SqlDatabase, Target};

use crate::journal::{Journal, Refusal};
use crate::secrets::Secrets;
pub(crate) use error::{SqlError, SqlErrorKind};
use mysql::MysqlSession;
use postgresql::PostgresqlSession;
use server::ServerEndpoint;
use sqlite::SqliteEndpoint;
use target_server::{Server, check_files};

/// Longest statement, in bytes; the contract says so.
pub(crate) const STATEMENT_BYTES_MAX: usize = 64 * 1024;
/// Statements in one transaction; the contract says so.
const STATEMENTS_MAX: usize = 100;
/// Rows of one query; the contract says so.
const ROWS_MAX: usize = 1_000;
/// Bytes of one query's rows; the contract says so.
const ROW_SET_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Values of one statement: no table has as many columns.
const PARAMETERS_MAX: usize = 1_000;
/// Bytes of the values of one call of `query` or `execute`: as many as a query may return.
const PARAMETER_BYTES_MAX: usize = ROW_SET_BYTES_MAX;

/// A value, bound or returned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SqlValue {
    Null,
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl SqlValue {
    /// What any value weighs: nothing in a column takes room as well, here and in the guest's memory.
    const OWN_BYTES: usize = 8;

    /// What it weighs in a row set, in bytes.
    fn bytes(&self) -> usize {
        let held = match self {
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Real(_) => 0,
            Self::Text(value) => value.len(),
            Self::Blob(value) => value.len(),
        };
        held + Self::OWN_BYTES
    }
}

/// Which SQL an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgresql,
    Mysql,
}

/// One statement with its values.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) parameters: Vec<SqlValue>,
}

/// What a query returned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowSet {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<SqlValue>>,
}

/// One granted endpoint.
#[derive(Clone)]
enum Endpoint {
    Sqlite(Arc<SqliteEndpoint>),
    Postgresql(Arc<ServerEndpoint<PostgresqlSession>>),
    Mysql(Arc<ServerEndpoint<MysqlSession>>),
}

/// The SQL endpoints granted to one target.
pub(crate) struct SqlEndpoints {
    target: String,
    endpoints: BTreeMap<String, Endpoint>,
}

impl SqlEndpoints {
    /// Checks the files of a target's endpoints first: an error says which cannot be used, before anything is done with the target.
    pub(crate) fn load(target: &Target, secrets: &Arc<dyn Secrets>) -> Result<Self, String> {
        for grant in &target.grants.sql {
            let endpoint = &grant.endpoint;
            match &grant.database {
                // It is made by whom it belongs to, perhaps later.
                SqlDatabase::Sqlite(_) => {}
                SqlDatabase::Postgresql(server) | SqlDatabase::Mysql(server) => {
                    check_files(server).map_err(|why| format!("SQL endpoint `{endpoint}`: `ca`: {why}"))?
                }
            }
        }
        Ok(Self::new(target, secrets))
    }

    fn new(target: &Target, secrets: &Arc<dyn Secrets>) -> Self {
        let connections_max = target.limits.concurrency.max(1) as usize;
        let endpoints = target.grants.sql.iter().map(|grant| {
            let secrets = Arc::clone(secrets);
            let endpoint = match &grant.database {
                SqlDatabase::Sqlite(path) => Endpoint::Sqlite(Arc::new(SqliteEndpoint::new(path.into()))),
                SqlDatabase::Postgresql(server) => {
                    let server = Server::new("PostgreSQL", server.clone(), secrets);
                    Endpoint::Postgresql(ServerEndpoint::new(server, connections_max))
                }
                SqlDatabase::Mysql(server) => {
                    let server = Server::new("MySQL", server.clone(), secrets);
                    Endpoint::Mysql(ServerEndpoint::new(server, connections_max))
                }
            };
            (grant.endpoint.clone(), endpoint)
        });
        Self {
            target: target.name.to_string(),
            endpoints: endpoints.collect(),
        }
    }

    /// Which SQL the endpoint speaks, noting a refusal when it is not granted.
    pub(crate) fn dialect(&self, endpoint: &str, journal: &Journal) -> Result<Dialect, SqlError> {
        Ok(match self.endpoint(endpoint, journal)? {
            Endpoint::Sqlite(_) => Dialect::Sqlite,
            Endpoint::Postgresql(_) => Dialect::Postgresql,
            Endpoint::Mysql(_) => Dialect::Mysql,
        })
    }

    fn endpoint(&self, name: &str, journal: &Journal) -> Result<Endpoint, SqlError> {
        self.endpoints.get(name).cloned().ok_or_else(|| {
            let name = crate::guest_text::line_of(name, 100);
            let what = format!("SQL endpoint `{name}` is not granted to target `{}`", self.target);
            let name = name.replace(['"', '\\'], "");
            let grant = format!(
                "[[targets.{}.grants.sql]]\nendpoint = \"{name}\"\nsqlite = \"/path/to/the/database.db\"\n\
                 # or, instead of `sqlite`, a server (or mysql = {{ … }}, for MariaDB too):\n\
                 # postgresql = {{ host = \"db.example.com\", database = \"…\", user = \"…\", password = {{ store = \"…\" }} }}\n",
                self.target
            );
            journal.refuse(Refusal {
                what: what.clone(),
                grant: Some(grant),
            });
            SqlError::new(SqlErrorKind::NotGranted, what)
        })
    }

    /// Runs one statement that reads.
    pub(crate) async fn query(
        &self,
        endpoint: &str,
        statement: Statement,
        journal: &Arc<Journal>,
    ) -> Result<RowSet, SqlError> {
        let endpoint = self.endpoint(endpoint, journal)?;
        admit(std::slice::from_ref(&statement), journal)?;
        let deadline = journal.deadline;
        let result = match endpoint {
            Endpoint::Sqlite(file) => blocking(move || file.query(&statement, deadline)).await,
            Endpoint::Postgresql(server) => server.query(statement, deadline).await,
            Endpoint::Mysql(server) => server.query(statement, deadline).await,
        };
        self.note_refusal(result, journal)
    }

    /// Runs statements in one transaction.
    pub(crate) async fn execute(
        &self,
        endpoint: &str,
        statements: Vec<Statement>,
        journal: &Arc<Journal>,
    ) -> Result<Vec<u64>, SqlError> {
        let endpoint = self.endpoint(endpoint, journal)?;
        if statements.len() > STATEMENTS_MAX {
            let why = format!(
                "{} statements in one transaction; at most {STATEMENTS_MAX} are accepted",
                statements.len()
            );
            return Err(SqlError::new(SqlErrorKind::LimitExceeded, why));
        }
        admit(&statements, journal)?;
        let deadline = journal.deadline;
        journal.write_leaves();
        let result = match endpoint {
            Endpoint::Sqlite(file) => blocking(move || file.execute(&statements, deadline)).await,
            Endpoint::Postgresql(server) => server.execute(statements, deadline).await,
            Endpoint::Mysql(server) => server.execute(statements, deadline).await,
        };
        match &result {
            Ok(_) => journal.write_answered(),
            Err(error) if error.effect_unknown => {}
            Err(_) => journal.write_came_to_nothing(),
        }
        self.note_refusal(result, journal)
    }

    fn note_refusal<T>(&self, result: Result<T, SqlError>, journal: &Journal) -> Result<T, SqlError> {
        if let Err(error) = &result {
            let refusal = match &error.refusal {
                Some(refusal) => Some(refusal.as_ref().clone()),
                None if error.kind == SqlErrorKind::Forbidden => Some(Refusal {
                    what: format!("SQL of target `{}` refused: {}", self.target, error.message),
                    grant: None,
                }),
                None => None,
            };
            if let Some(refusal) = refusal {
                journal.refuse(refusal);
            }
        }
        result
    }
}

/// Checks lengths and takes the statements from what the call may do.
fn admit(statements: &[Statement], journal: &Journal) -> Result<(), SqlError> {
    if statements
        .iter()
        .any(|statement| statement.sql.len() > STATEMENT_BYTES_MAX)
    {
        let why = format!("a statement longer than {STATEMENT_BYTES_MAX} bytes");
        return Err(SqlError::new(SqlErrorKind::LimitExceeded, why));
    }
    let values = || statements.iter().map(|statement| &statement.parameters);
    let bytes: usize = values().flatten().map(SqlValue::bytes).sum();
    if values().any(|values| values.len() > PARAMETERS_MAX) || bytes > PARAMETER_BYTES_MAX {
        let why = format!(
            "more than {PARAMETERS_MAX} values for a statement, or {PARAMETER_BYTES_MAX} bytes of values"
        );
        return Err(SqlError::new(SqlErrorKind::LimitExceeded, why));
    }
    let count = u32::try_from(statements.len()).unwrap_or(u32::MAX);
    if journal.take_requests(count) {
        Ok(())
    } else {
        Err(SqlError::new(
            SqlErrorKind::LimitExceeded,
            "the call has made all the requests and statements it may",
        ))
    }
}

/// Runs database work where it may block. The work ends by itself at the deadline, so an abandoned call leaves nothing running.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SqlError> + Send + 'static,
) -> Result<T, SqlError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(SqlError::host_failed()),
    }
}
