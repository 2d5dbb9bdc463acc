//! A database for connectors on this thread.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use crate::sql::{Dialect, RowSet, SqlError, SqlErrorKind, Statement};

/// What stands in for a granted endpoint.
pub trait Backend {
    /// Which SQL it speaks.
    fn dialect(&self) -> Dialect;
    /// Runs one query.
    fn query(&mut self, statement: &Statement) -> Result<RowSet, SqlError>;
    /// Runs statements in one transaction.
    fn execute(&mut self, statements: &[Statement]) -> Result<Vec<u64>, SqlError>;
}

struct Installed {
    endpoint: String,
    backend: Box<dyn Backend>,
    seen: Rc<RefCell<Vec<Statement>>>,
}

thread_local! {
    static SQL: RefCell<Option<Installed>> = const { RefCell::new(None) };
}

/// Grants connectors on this thread one endpoint until the guard is dropped.
pub fn endpoint(name: &str, backend: impl Backend + 'static) -> SqlGuard {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let installed = Installed {
        endpoint: name.to_owned(),
        backend: Box::new(backend),
        seen: Rc::clone(&seen),
    };
    SQL.set(Some(installed));
    SqlGuard { seen }
}

/// Keeps the endpoint in place, and what was run.
pub struct SqlGuard {
    seen: Rc<RefCell<Vec<Statement>>>,
}

impl SqlGuard {
    /// The statements since the last time, as text to compare: the SQL, then the bound values.
    pub fn transcript(&self) -> String {
        let mut text = String::new();
        for statement in self.seen.borrow_mut().drain(..) {
            let values: Vec<String> = statement
                .parameters
                .iter()
                .map(|value| format!("{value:?}"))
                .collect();
            let _ = writeln!(text, "{}\n  [{}]", statement.sql, values.join(", "));
        }
        text
    }
}

impl Drop for SqlGuard {
    fn drop(&mut self) {
        SQL.set(None);
    }
}

pub(crate) fn dialect_of(endpoint: &str) -> Result<Dialect, SqlError> {
    with(endpoint, &[], |backend| Ok(backend.dialect()))
}

pub(crate) fn query(endpoint: &str, statement: Statement) -> Result<RowSet, SqlError> {
    let statements = [statement];
    with(endpoint, &statements, |backend| backend.query(&statements[0]))
}

pub(crate) fn execute(endpoint: &str, statements: &[Statement]) -> Result<Vec<u64>, SqlError> {
    with(endpoint, statements, |backend| backend.execute(statements))
}

fn with<T>(
    endpoint: &str,
    statements: &[Statement],
    run: impl FnOnce(&mut dyn Backend) -> Result<T, SqlError>,
) -> Result<T, SqlError> {
    match SQL.take() {
        Some(mut installed) if installed.endpoint == endpoint => {
            installed.seen.borrow_mut().extend_from_slice(statements);
            let result = run(installed.backend.as_mut());
            SQL.set(Some(installed));
            result
        }
        other => {
            SQL.set(other);
            Err(SqlError {
                kind: SqlErrorKind::NotGranted,
                effect: crate::Effect::None,
                message: format!("endpoint `{endpoint}` is not granted"),
            })
        }
    }
}
