//! PostgreSQL's errors, sorted by what the connector can do about them. Details and hints are left out: they hold values.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity};

use crate::sql::error::without_values;
use crate::sql::target_server::{Server, tls_error};
use crate::sql::{SqlError, SqlErrorKind, SqlValue};

/// Why no connection came about: what the operator must change is told, what may pass is not a fault of anybody.
pub(super) fn connecting(server: &Server, error: &Error) -> SqlError {
    if let Some(why) = tls_error(error) {
        return server.refused(&format!("TLS: {why}"));
    }
    if let Some(said) = error.as_db_error() {
        let code = said.code().code();
        let user = &server.grant.user;
        return match code {
            "28000" | "28P01" => server.refused(&format!(
                "it does not let `{user}` in ({}); look at the password, the role and pg_hba.conf",
                said.message()
            )),
            "3D000" => server.refused("there is no such database"),
            "42501" => server.refused(&format!("`{user}` may not connect to it: {}", said.message())),
            _ => server.unreachable(&format!("{} ({code})", said.message())),
        };
    }
    let text = chain(error);
    // The library's own words for what is not a matter of the network.
    if text.contains("TLS") || text.contains("authentication") || text.contains("invalid configuration") {
        return server.refused(&text);
    }
    server.unreachable(&text)
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What became of a statement.
pub(super) fn running(error: &Error, parameters: &[SqlValue]) -> SqlError {
    match error.as_db_error() {
        Some(said) => said_by_the_database(said, parameters),
        None if error.is_closed() || is_io(error) => {
            SqlError::new(SqlErrorKind::Unavailable, "the connection to the database broke")
        }
        None => SqlError::new(SqlErrorKind::Other("postgresql".to_owned()), error.to_string()),
    }
}

fn is_io(error: &Error) -> bool {
    use std::error::Error as _;
    error
        .source()
        .is_some_and(|cause| cause.downcast_ref::<std::io::Error>().is_some())
}

/// Whether an error of COMMIT says that nothing was committed. A session that is ended (FATAL) may have committed before.
pub(super) fn is_rolled_back(error: &Error) -> bool {
    let severity = error.as_db_error().and_then(DbError::parsed_severity);
    severity == Some(Severity::Error)
}

fn said_by_the_database(said: &DbError, parameters: &[SqlValue]) -> SqlError {
    let code = said.code().code();
    let kind = kind(code);
    let message = match code {
        // The message itself holds the value.
        _ if code.starts_with("22") => match said.column() {
            Some(column) => format!("a value does not fit column `{column}` ({code})"),
            None => format!("a value does not fit where it is to go ({code})"),
        },
        "57014" => return SqlError::late(),
        _ => without_values(said.message(), parameters),
    };
    SqlError::new(kind, message)
}

fn kind(code: &str) -> SqlErrorKind {
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        // Deadlock, serialization, and waiting too long for a lock.
        ("40", _) | (_, "55P03" | "55006") => SqlErrorKind::Busy,
        // P0001 is what an application's own trigger raises.
        ("22" | "23" | "44", _) | (_, "P0001") => SqlErrorKind::Constraint,
        (_, "42501") => SqlErrorKind::Forbidden,
        // A statement that changes rows in a transaction that only reads.
        (_, "25006") => SqlErrorKind::InvalidStatement,
        // What would leave the transaction.
        ("25" | "2D" | "2B" | "3B", _) => SqlErrorKind::Forbidden,
        ("0A" | "21" | "26" | "34" | "3D" | "3F" | "42", _) => SqlErrorKind::InvalidStatement,
        ("53", "53400") | ("54", _) => SqlErrorKind::LimitExceeded,
        ("08" | "53" | "57" | "58" | "XX", _) => SqlErrorKind::Unavailable,
        (_, _) => SqlErrorKind::Other(format!("postgresql-{code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_what_to_do() {
        for (code, expected) in [
            ("23505", SqlErrorKind::Constraint),
            ("22001", SqlErrorKind::Constraint),
            ("P0001", SqlErrorKind::Constraint),
            ("40P01", SqlErrorKind::Busy),
            ("40001", SqlErrorKind::Busy),
            ("55P03", SqlErrorKind::Busy),
            ("42501", SqlErrorKind::Forbidden),
            ("25006", SqlErrorKind::InvalidStatement),
            ("2D000", SqlErrorKind::Forbidden),
            ("42P01", SqlErrorKind::InvalidStatement),
            ("57P01", SqlErrorKind::Unavailable),
            ("53300", SqlErrorKind::Unavailable),
            ("F0000", SqlErrorKind::Other("postgresql-F0000".to_owned())),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
    }
}
