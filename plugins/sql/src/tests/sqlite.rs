//! A SQLite database in memory behind the SDK's hook.

use std::rc::Rc;

use rusqlite::types::{Value as Lite, ValueRef};
use rusqlite::{Connection, ErrorCode, params_from_iter};
use usher_sdk::Effect;
use usher_sdk::sql::{Dialect, RowSet, SqlError, SqlErrorKind, Statement, Value};
use usher_sdk::testing::sql::Backend;

/// A database that tests can look into as well.
#[derive(Clone)]
pub(super) struct Database(Rc<Connection>);

impl Database {
    pub(super) fn new(sql: &str) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        Self(Rc::new(connection))
    }

    pub(super) fn run(&self, sql: &str) {
        self.0.execute_batch(sql).unwrap();
    }

    /// All rows of a query, one line each.
    pub(super) fn rows(&self, sql: &str) -> Vec<String> {
        let set = self.clone().query(&Statement::new(sql, vec![])).unwrap();
        let line = |row: &Vec<Value>| {
            row.iter()
                .map(|value| value.to_json().unwrap().to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        set.rows.iter().map(line).collect()
    }
}

impl Backend for Database {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn query(&mut self, statement: &Statement) -> Result<RowSet, SqlError> {
        let mut prepared = self.0.prepare(&statement.sql).map_err(error)?;
        let columns: Vec<String> = prepared.column_names().into_iter().map(str::to_owned).collect();
        assert!(prepared.readonly(), "a query must only read: {}", statement.sql);
        let mut rows = prepared.query(params_from_iter(bind(statement))).map_err(error)?;
        let mut set = RowSet {
            columns,
            rows: Vec::new(),
        };
        while let Some(row) = rows.next().map_err(error)? {
            let cells = (0..set.columns.len()).map(|at| value(row.get_ref(at).unwrap()));
            set.rows.push(cells.collect());
        }
        Ok(set)
    }

    fn execute(&mut self, statements: &[Statement]) -> Result<Vec<u64>, SqlError> {
        let transaction = self.0.unchecked_transaction().map_err(error)?;
        let mut changed = Vec::new();
        for statement in statements {
            let rows = transaction
                .execute(&statement.sql, params_from_iter(bind(statement)))
                .map_err(error)?;
            changed.push(rows as u64);
        }
        transaction.commit().map_err(error)?;
        Ok(changed)
    }
}

/// A database whose file does not exist: its dialect is known all the same.
pub(super) struct Gone;

impl Gone {
    fn error() -> SqlError {
        SqlError {
            kind: SqlErrorKind::Unavailable,
            effect: Effect::None,
            message: "unable to open database file".to_owned(),
        }
    }
}

impl Backend for Gone {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn query(&mut self, _: &Statement) -> Result<RowSet, SqlError> {
        Err(Self::error())
    }

    fn execute(&mut self, _: &[Statement]) -> Result<Vec<u64>, SqlError> {
        Err(Self::error())
    }
}

fn bind(statement: &Statement) -> impl Iterator<Item = Lite> {
    statement.parameters.iter().map(|value| match value {
        Value::Null => Lite::Null,
        Value::Boolean(value) => Lite::Integer(i64::from(*value)),
        Value::Integer(value) => Lite::Integer(*value),
        Value::Real(value) => Lite::Real(*value),
        Value::Text(value) => Lite::Text(value.clone()),
        Value::Blob(value) => Lite::Blob(value.clone()),
    })
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => Value::Blob(value.to_vec()),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "given to map_err")]
fn error(error: rusqlite::Error) -> SqlError {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => SqlErrorKind::Constraint,
        Some(_) | None => SqlErrorKind::InvalidStatement,
    };
    SqlError {
        kind,
        effect: Effect::None,
        message: error.to_string(),
    }
}
