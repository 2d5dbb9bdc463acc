//! A granted SQLite database, as guests use it.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

use super::confine::Confined;
use super::rows::Rows;
use super::{RowSet, SqlError, SqlErrorKind, SqlValue, Statement};
use crate::journal::lock;

/// Connections kept open: opening one costs more than most statements. Only one writes at a time anyway.
const IDLE_CONNECTIONS_MAX: usize = 4;

/// One database with its connections.
pub(super) struct SqliteEndpoint {
    path: PathBuf,
    idle: Mutex<Vec<Confined>>,
}

impl SqliteEndpoint {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Runs one statement that reads; blocks.
    pub(super) fn query(&self, statement: &Statement, deadline: Instant) -> Result<RowSet, SqlError> {
        let database = self.take(deadline)?;
        let result = database.as_guest(|connection| read(connection, statement));
        self.give_back(database);
        result
    }

    /// Runs statements in one transaction; blocks. On an error everything is rolled back, unless it says otherwise.
    pub(super) fn execute(&self, statements: &[Statement], deadline: Instant) -> Result<Vec<u64>, SqlError> {
        let database = self.take(deadline)?;
        // Takes the write lock at once: a transaction that reads first and then cannot write would have to be repeated.
        database.connection.execute_batch("BEGIN IMMEDIATE")?;
        let changed: Result<Vec<u64>, SqlError> = database.as_guest(|connection| {
            statements
                .iter()
                .map(|statement| write(connection, statement))
                .collect()
        });
        let result = match changed {
            Ok(changed) => commit(&database.connection).map(|()| changed),
            Err(error) => Err(error),
        };
        if !database.connection.is_autocommit() && database.connection.execute_batch("ROLLBACK").is_err() {
            // Closing the connection rolls back as well; it is just not used again.
            return result;
        }
        self.give_back(database);
        result
    }

    fn take(&self, deadline: Instant) -> Result<Confined, SqlError> {
        let idle = lock(&self.idle).pop();
        let database = match idle {
            Some(database) => database,
            None => Confined::open(&self.path, deadline).map_err(|error| self.unavailable(&error))?,
        };
        database.begin(deadline)?;
        Ok(database)
    }

    fn give_back(&self, database: Confined) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(database);
        }
    }

    fn unavailable(&self, error: &rusqlite::Error) -> SqlError {
        // The path is the operator's, not the guest's: it goes to the log only.
        tracing::warn!(path = %self.path.display(), %error, "a granted SQLite database cannot be opened");
        SqlError::new(
            SqlErrorKind::Unavailable,
            "the database cannot be opened; the host's log says why",
        )
    }
}

/// A commit that fails for a lock or a deferred constraint has changed nothing; after any other failure nobody can say.
fn commit(connection: &Connection) -> Result<(), SqlError> {
    connection.execute_batch("COMMIT").map_err(|error| {
        let mut error = SqlError::from(error);
        error.effect_unknown = !matches!(error.kind, SqlErrorKind::Busy | SqlErrorKind::Constraint);
        error
    })
}

fn read(connection: &Connection, statement: &Statement) -> Result<RowSet, SqlError> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    if !prepared.readonly() {
        return Err(SqlError::new(
            SqlErrorKind::InvalidStatement,
            "a statement that changes rows belongs to `execute`",
        ));
    }
    bind(&mut prepared, &statement.parameters)?;
    let columns: Vec<String> = prepared.column_names().into_iter().map(str::to_owned).collect();
    let width = columns.len();
    let mut rows = Rows::new(columns);
    let mut found = prepared.raw_query();
    while let Some(row) = found.next()? {
        rows.begin()?;
        for index in 0..width {
            let value = row.get_ref(index)?;
            if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = value {
                rows.room_for(bytes.len())?;
            }
            rows.push(cell(value)?)?;
        }
    }
    Ok(rows.done())
}

fn write(connection: &Connection, statement: &Statement) -> Result<u64, SqlError> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    bind(&mut prepared, &statement.parameters)?;
    let changed = prepared.raw_execute()?;
    Ok(changed as u64)
}

fn bind(prepared: &mut rusqlite::Statement<'_>, parameters: &[SqlValue]) -> Result<(), SqlError> {
    let wanted = prepared.parameter_count();
    if wanted != parameters.len() {
        let why = format!(
            "the statement has {wanted} placeholders and {} values",
            parameters.len()
        );
        return Err(SqlError::new(SqlErrorKind::InvalidStatement, why));
    }
    for (index, value) in parameters.iter().enumerate() {
        prepared.raw_bind_parameter(index + 1, value)?;
    }
    Ok(())
}

impl ToSql for SqlValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Boolean(value) => ValueRef::Integer(i64::from(*value)),
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

fn cell(value: ValueRef<'_>) -> Result<SqlValue, SqlError> {
    Ok(match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(value) => SqlValue::Integer(value),
        ValueRef::Real(value) => SqlValue::Real(value),
        ValueRef::Blob(value) => SqlValue::Blob(value.to_vec()),
        ValueRef::Text(value) => SqlValue::Text(String::from_utf8(value.to_vec()).map_err(|_| {
            SqlError::new(
                SqlErrorKind::Other("text-encoding".to_owned()),
                "a text of the database is not UTF-8",
            )
        })?),
    })
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
