//! SQL for guests. This is host code working with a guest's statements: a least-privileged connection, capped in rows, bytes and
//! time, confined to the granted database. See [`confine`] for what a statement may do.

mod confine;
mod error;
mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;

use usher_lifecycle::targets::SqlGrant;

use crate::journal::{Journal, Refusal};
pub(crate) use error::{SqlError, SqlErrorKind};
use sqlite::SqliteEndpoint;

/// Longest statement, in bytes; the contract says so.
pub(crate) const STATEMENT_BYTES_MAX: usize = 64 * 1024;
/// Statements in one transaction; the contract says so.
const STATEMENTS_MAX: usize = 100;
/// Rows of one query; the contract says so.
const ROWS_MAX: usize = 1_000;
/// Bytes of one query's rows; the contract says so.
const ROW_SET_BYTES_MAX: usize = 4 * 1024 * 1024;

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

/// The SQL endpoints granted to one target.
pub(crate) struct SqlEndpoints {
    target: String,
    endpoints: BTreeMap<String, Arc<SqliteEndpoint>>,
}

impl SqlEndpoints {
    pub(crate) fn new(target: String, grants: &[SqlGrant]) -> Self {
        let endpoints = grants
            .iter()
            .map(|grant| {
                (
                    grant.endpoint.clone(),
                    Arc::new(SqliteEndpoint::new(grant.sqlite.clone().into())),
                )
            })
            .collect();
        Self { target, endpoints }
    }

    /// Whether the endpoint is granted, noting a refusal when it is not.
    pub(crate) fn granted(&self, endpoint: &str, journal: &Journal) -> Result<(), SqlError> {
        self.endpoint(endpoint, journal).map(|_| ())
    }

    fn endpoint(&self, name: &str, journal: &Journal) -> Result<&Arc<SqliteEndpoint>, SqlError> {
        self.endpoints.get(name).ok_or_else(|| {
            let name = crate::guest_text::line_of(name, 100);
            let what = format!("SQL endpoint `{name}` is not granted to target `{}`", self.target);
            let name = name.replace(['"', '\\'], "");
            let grant = format!(
                "[[targets.{}.grants.sql]]\nendpoint = \"{name}\"\nsqlite = \"/path/to/the/database.db\"\n",
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
        let endpoint = Arc::clone(self.endpoint(endpoint, journal)?);
        admit(std::slice::from_ref(&statement), journal)?;
        let deadline = journal.deadline;
        let result = blocking(move || endpoint.query(&statement, deadline)).await;
        self.note_forbidden(result, journal)
    }

    /// Runs statements in one transaction.
    pub(crate) async fn execute(
        &self,
        endpoint: &str,
        statements: Vec<Statement>,
        journal: &Arc<Journal>,
    ) -> Result<Vec<u64>, SqlError> {
        let endpoint = Arc::clone(self.endpoint(endpoint, journal)?);
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
        let result = blocking(move || endpoint.execute(&statements, deadline)).await;
        match &result {
            Ok(_) => journal.write_answered(),
            Err(error) if error.effect_unknown => {}
            Err(_) => journal.write_came_to_nothing(),
        }
        self.note_forbidden(result, journal)
    }

    fn note_forbidden<T>(&self, result: Result<T, SqlError>, journal: &Journal) -> Result<T, SqlError> {
        if let Err(error) = &result
            && error.kind == SqlErrorKind::Forbidden
        {
            let what = format!("SQL of target `{}` refused: {}", self.target, error.message);
            journal.refuse(Refusal { what, grant: None });
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
        Err(_) => Err(SqlError {
            kind: SqlErrorKind::Other("host".to_owned()),
            effect_unknown: true,
            message: "the host failed while running the statement".to_owned(),
        }),
    }
}
