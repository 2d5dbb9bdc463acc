//! What a guest of this version may call.

use super::wit::usher::host::{log, sql};
use crate::log::Level;
use crate::sql::{Dialect, RowSet, SqlError, SqlErrorKind, SqlValue, Statement};
use crate::state::State;

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.log.write(level, &message);
    }
}

impl sql::Host for State {
    fn dialect_of(&mut self, endpoint: String) -> Result<sql::Dialect, sql::SqlError> {
        let dialect = self.sql.dialect(&endpoint, &self.journal);
        let dialect = dialect.map(|dialect| match dialect {
            Dialect::Sqlite => sql::Dialect::Sqlite,
            Dialect::Postgresql => sql::Dialect::Postgresql,
            Dialect::Mysql => sql::Dialect::Mysql,
        });
        dialect.map_err(error_to_guest)
    }

    async fn query(
        &mut self,
        endpoint: String,
        statement: sql::Statement,
    ) -> Result<sql::RowSet, sql::SqlError> {
        let found = self
            .sql
            .query(&endpoint, from_guest(statement), &self.journal)
            .await;
        found.map(rows_to_guest).map_err(error_to_guest)
    }

    async fn execute(
        &mut self,
        endpoint: String,
        statements: Vec<sql::Statement>,
    ) -> Result<Vec<u64>, sql::SqlError> {
        let statements = statements.into_iter().map(from_guest).collect();
        self.sql
            .execute(&endpoint, statements, &self.journal)
            .await
            .map_err(error_to_guest)
    }
}

fn from_guest(statement: sql::Statement) -> Statement {
    let parameters = statement.parameters.into_iter().map(|value| match value {
        sql::Value::Null => SqlValue::Null,
        sql::Value::Boolean(value) => SqlValue::Boolean(value),
        sql::Value::Integer(value) => SqlValue::Integer(value),
        sql::Value::Real(value) => SqlValue::Real(value),
        sql::Value::Text(value) => SqlValue::Text(value),
        sql::Value::Blob(value) => SqlValue::Blob(value),
    });
    Statement {
        sql: statement.sql,
        parameters: parameters.collect(),
    }
}

fn rows_to_guest(found: RowSet) -> sql::RowSet {
    let rows = found
        .rows
        .into_iter()
        .map(|row| row.into_iter().map(value_to_guest).collect())
        .collect();
    sql::RowSet {
        columns: found.columns,
        rows,
    }
}

fn value_to_guest(value: SqlValue) -> sql::Value {
    match value {
        SqlValue::Null => sql::Value::Null,
        SqlValue::Boolean(value) => sql::Value::Boolean(value),
        SqlValue::Integer(value) => sql::Value::Integer(value),
        SqlValue::Real(value) => sql::Value::Real(value),
        SqlValue::Text(value) => sql::Value::Text(value),
        SqlValue::Blob(value) => sql::Value::Blob(value),
    }
}

fn error_to_guest(error: SqlError) -> sql::SqlError {
    let kind = match error.kind {
        SqlErrorKind::NotGranted => sql::SqlErrorKind::NotGranted,
        SqlErrorKind::Unavailable => sql::SqlErrorKind::Unavailable,
        SqlErrorKind::Busy => sql::SqlErrorKind::Busy,
        SqlErrorKind::Constraint => sql::SqlErrorKind::Constraint,
        SqlErrorKind::InvalidStatement => sql::SqlErrorKind::InvalidStatement,
        SqlErrorKind::Forbidden => sql::SqlErrorKind::Forbidden,
        SqlErrorKind::LimitExceeded => sql::SqlErrorKind::LimitExceeded,
        SqlErrorKind::Other(code) => sql::SqlErrorKind::Other(code),
    };
    let effect = if error.effect_unknown {
        sql::SqlEffect::Unknown
    } else {
        sql::SqlEffect::None
    };
    sql::SqlError {
        kind,
        effect,
        message: error.message,
    }
}
