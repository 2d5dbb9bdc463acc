//! SQL on endpoints the operator granted. The host connects, authenticates and pools.
//!
//! ```no_run
//! # fn main() -> Result<(), usher_sdk::Error> {
//! use usher_sdk::sql::Sql;
//! let rows = Sql::endpoint("app").query("SELECT name FROM users WHERE id = ?", vec![7.into()])?.rows;
//! # Ok(()) }
//! ```

mod quote;
mod value;

pub use quote::{MAX_IDENTIFIER_BYTES, placeholder, quote_identifier};
pub use value::Value;

use crate::{Effect, Error};

/// Which SQL an endpoint speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgresql,
    /// MySQL and MariaDB.
    Mysql,
    /// Another one, by name.
    Other(String),
}

/// One statement with its bound values, in the order of the placeholders.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The text. One statement; no values in it.
    pub sql: String,
    /// The values.
    pub parameters: Vec<Value>,
}

impl Statement {
    /// A statement and its values.
    pub fn new(sql: impl Into<String>, parameters: Vec<Value>) -> Self {
        Self {
            sql: sql.into(),
            parameters,
        }
    }
}

/// What a query returned.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowSet {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

/// What kind of error it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlErrorKind {
    /// The endpoint is not granted to this target.
    NotGranted,
    /// The database cannot be reached.
    Unavailable,
    /// Locked by someone else for longer than the call may wait.
    Busy,
    /// A unique, foreign-key, check or not-null constraint refused.
    Constraint,
    /// The statement is wrong, or names what is not there.
    InvalidStatement,
    /// The endpoint may not do this.
    Forbidden,
    /// Too many rows or bytes, or too long.
    LimitExceeded,
    /// Anything else, with the database's code.
    Other(String),
}

/// An error of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// What kind.
    pub kind: SqlErrorKind,
    /// Whether the transaction may have been committed.
    pub effect: Effect,
    /// One line for people, without bound values.
    pub message: String,
}

impl From<SqlError> for Error {
    fn from(error: SqlError) -> Self {
        let message = format!("database: {}", crate::error::quoted(&error.message));
        let mapped = match error.kind {
            SqlErrorKind::NotGranted | SqlErrorKind::InvalidStatement => Self::misconfigured(message),
            SqlErrorKind::Unavailable | SqlErrorKind::Busy => Self::unavailable(message),
            SqlErrorKind::Constraint => Self::policy_rejected(message),
            SqlErrorKind::Forbidden => Self::forbidden(message),
            SqlErrorKind::LimitExceeded => Self::other("sql-limit-exceeded", message),
            SqlErrorKind::Other(code) => Self::other(format!("sql-{code}"), message),
        };
        mapped.effect(error.effect)
    }
}

/// A granted endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sql {
    endpoint: String,
}

impl Sql {
    /// The endpoint with this name in the target's grants.
    pub fn endpoint(name: impl Into<String>) -> Self {
        Self {
            endpoint: name.into(),
        }
    }

    /// Which SQL it speaks.
    pub fn dialect(&self) -> Result<Dialect, SqlError> {
        backend::dialect_of(&self.endpoint)
    }

    /// Runs one query that reads.
    pub fn query(&self, sql: impl Into<String>, parameters: Vec<Value>) -> Result<RowSet, SqlError> {
        backend::query(&self.endpoint, Statement::new(sql, parameters))
    }

    /// Runs statements in one transaction: all or none. Returns how many rows each changed.
    pub fn execute(&self, statements: &[Statement]) -> Result<Vec<u64>, SqlError> {
        backend::execute(&self.endpoint, statements)
    }
}

#[cfg(not(target_family = "wasm"))]
use crate::testing::sql as backend;

#[cfg(target_family = "wasm")]
mod backend {
    use super::{Dialect, RowSet, SqlError, SqlErrorKind, Statement, Value};
    use crate::Effect;
    use crate::bindings::sql::usher::host::sql as host;

    pub(super) fn dialect_of(endpoint: &str) -> Result<Dialect, SqlError> {
        Ok(match host::dialect_of(endpoint)? {
            host::Dialect::Sqlite => Dialect::Sqlite,
            host::Dialect::Postgresql => Dialect::Postgresql,
            host::Dialect::Mysql => Dialect::Mysql,
            host::Dialect::Other(name) => Dialect::Other(name),
        })
    }

    pub(super) fn query(endpoint: &str, statement: Statement) -> Result<RowSet, SqlError> {
        let set = host::query(endpoint, &out(statement))?;
        let rows = set
            .rows
            .into_iter()
            .map(|row| row.into_iter().map(Value::from).collect())
            .collect();
        Ok(RowSet {
            columns: set.columns,
            rows,
        })
    }

    pub(super) fn execute(endpoint: &str, statements: &[Statement]) -> Result<Vec<u64>, SqlError> {
        let statements: Vec<_> = statements.iter().cloned().map(out).collect();
        Ok(host::execute(endpoint, &statements)?)
    }

    fn out(statement: Statement) -> host::Statement {
        let parameters = statement.parameters.into_iter().map(host::Value::from).collect();
        host::Statement {
            sql: statement.sql,
            parameters,
        }
    }

    impl From<host::Value> for Value {
        fn from(value: host::Value) -> Self {
            match value {
                host::Value::Null => Self::Null,
                host::Value::Boolean(value) => Self::Boolean(value),
                host::Value::Integer(value) => Self::Integer(value),
                host::Value::Real(value) => Self::Real(value),
                host::Value::Text(value) => Self::Text(value),
                host::Value::Blob(value) => Self::Blob(value),
            }
        }
    }

    impl From<Value> for host::Value {
        fn from(value: Value) -> Self {
            match value {
                Value::Null => Self::Null,
                Value::Boolean(value) => Self::Boolean(value),
                Value::Integer(value) => Self::Integer(value),
                Value::Real(value) => Self::Real(value),
                Value::Text(value) => Self::Text(value),
                Value::Blob(value) => Self::Blob(value),
            }
        }
    }

    impl From<host::SqlError> for SqlError {
        fn from(error: host::SqlError) -> Self {
            let kind = match error.kind {
                host::SqlErrorKind::NotGranted => SqlErrorKind::NotGranted,
                host::SqlErrorKind::Unavailable => SqlErrorKind::Unavailable,
                host::SqlErrorKind::Busy => SqlErrorKind::Busy,
                host::SqlErrorKind::Constraint => SqlErrorKind::Constraint,
                host::SqlErrorKind::InvalidStatement => SqlErrorKind::InvalidStatement,
                host::SqlErrorKind::Forbidden => SqlErrorKind::Forbidden,
                host::SqlErrorKind::LimitExceeded => SqlErrorKind::LimitExceeded,
                host::SqlErrorKind::Other(code) => SqlErrorKind::Other(code),
            };
            let effect = match error.effect {
                host::SqlEffect::None => Effect::None,
                host::SqlEffect::Unknown => Effect::Unknown,
            };
            Self {
                kind,
                effect,
                message: error.message,
            }
        }
    }
}
