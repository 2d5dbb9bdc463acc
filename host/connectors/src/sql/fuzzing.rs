//! Guest SQL for fuzz targets: see `crate::fuzzing`.

use std::path::PathBuf;
use std::time::Instant;

use super::Statement;
use super::sqlite::SqliteEndpoint;
use super::statement::{Use, permit};

pub(crate) fn permitted(statement: &str) -> (bool, bool) {
    let as_one = |used| permit(statement, used).is_ok();
    (as_one(Use::Query), as_one(Use::Execute))
}

pub(crate) struct Sqlite(SqliteEndpoint);

impl Sqlite {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(SqliteEndpoint::new(path))
    }

    pub(crate) fn query(&self, statement: &str, deadline: Instant) -> Option<Vec<Vec<String>>> {
        let found = self.0.query(&plain(statement), deadline).ok()?;
        let rows = found.rows.iter();
        Some(
            rows.map(|row| row.iter().map(|value| format!("{value:?}")).collect())
                .collect(),
        )
    }

    pub(crate) fn execute(&self, statement: &str, deadline: Instant) -> bool {
        self.0.execute(&[plain(statement)], deadline).is_ok()
    }
}

fn plain(statement: &str) -> Statement {
    Statement {
        sql: statement.to_owned(),
        parameters: Vec::new(),
    }
}
