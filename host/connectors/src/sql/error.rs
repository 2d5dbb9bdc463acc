//! What went wrong with guest SQL, sorted by what the connector can do about it. Messages hold no bound values.

use rusqlite::ErrorCode;

/// What kind of error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SqlErrorKind {
    NotGranted,
    Unavailable,
    Busy,
    Constraint,
    InvalidStatement,
    Forbidden,
    LimitExceeded,
    Other(String),
}

/// An error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SqlError {
    pub(crate) kind: SqlErrorKind,
    /// The commit may or may not have happened; otherwise all was rolled back.
    pub(crate) effect_unknown: bool,
    pub(crate) message: String,
}

impl SqlError {
    /// An error that changed nothing.
    pub(crate) fn new(kind: SqlErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            effect_unknown: false,
            message: crate::guest_text::line(&message.into()),
        }
    }
}

impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match error {
            E::SqliteFailure(code, text) => failure(code, text),
            E::SqlInputError { error, msg, .. } => failure(error, Some(msg)),
            E::MultipleStatement => Self::new(SqlErrorKind::InvalidStatement, "one statement at a time"),
            E::ExecuteReturnedResults => Self::new(
                SqlErrorKind::InvalidStatement,
                "a statement that returns rows belongs to `query`",
            ),
            E::NulError(_) => Self::new(
                SqlErrorKind::InvalidStatement,
                "a statement cannot hold a NUL character",
            ),
            E::Utf8Error(..) => Self::new(
                SqlErrorKind::Other("text-encoding".to_owned()),
                "a text of the database is not UTF-8",
            ),
            other => Self::new(SqlErrorKind::Other("sqlite".to_owned()), other.to_string()),
        }
    }
}

fn failure(code: rusqlite::ffi::Error, text: Option<String>) -> SqlError {
    let kind = match code.code {
        ErrorCode::ConstraintViolation => SqlErrorKind::Constraint,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => SqlErrorKind::Busy,
        ErrorCode::AuthorizationForStatementDenied => SqlErrorKind::Forbidden,
        ErrorCode::OperationInterrupted => {
            return SqlError::new(
                SqlErrorKind::LimitExceeded,
                "the statement took longer than the call may",
            );
        }
        ErrorCode::TooBig | ErrorCode::OutOfMemory => SqlErrorKind::LimitExceeded,
        ErrorCode::CannotOpen
        | ErrorCode::NotADatabase
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::SystemIoFailure
        | ErrorCode::PermissionDenied
        | ErrorCode::ReadOnly
        | ErrorCode::DiskFull => SqlErrorKind::Unavailable,
        // The generic code (1): syntax, unknown tables and columns, wrong numbers of arguments.
        ErrorCode::Unknown if code.extended_code == 1 => SqlErrorKind::InvalidStatement,
        ErrorCode::TypeMismatch | ErrorCode::ParameterOutOfRange => SqlErrorKind::InvalidStatement,
        _ => SqlErrorKind::Other(format!("sqlite-{}", code.extended_code)),
    };
    SqlError::new(kind, text.unwrap_or_else(|| code.to_string()))
}
