//! What went wrong with guest SQL, sorted by what the connector can do about it. Messages hold no bound values.

use rusqlite::ErrorCode;

use crate::journal::Refusal;

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
    /// What only the operator is told: what to change, and where. Names hosts and roles, which are none of the guest's business.
    pub(crate) refusal: Option<Box<Refusal>>,
}

impl SqlError {
    /// An error that changed nothing.
    pub(crate) fn new(kind: SqlErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            effect_unknown: false,
            message: crate::guest_text::line(&message.into()),
            refusal: None,
        }
    }

    /// The endpoint cannot be used before the operator has changed something.
    pub(super) fn refused(kind: SqlErrorKind, message: &str, what: &str) -> Self {
        let what = crate::guest_text::line(what);
        let refusal = Some(Box::new(Refusal { what, grant: None }));
        Self {
            refusal,
            ..Self::new(kind, message)
        }
    }

    /// A fault of the host, which must not happen: nobody knows how far it came.
    pub(super) fn host_failed() -> Self {
        let kind = SqlErrorKind::Other("host".to_owned());
        Self::new(kind, "the host failed while running the statement").with_unknown_effect()
    }

    /// The statement took longer than it may.
    pub(super) fn late() -> Self {
        Self::new(
            SqlErrorKind::LimitExceeded,
            "the statement took longer than the call may",
        )
    }

    /// The commit may have happened.
    pub(super) fn with_unknown_effect(mut self) -> Self {
        self.effect_unknown = true;
        self
    }

    /// The result is larger than a query may return.
    pub(super) fn too_much() -> Self {
        let (rows, bytes) = (super::ROWS_MAX, super::ROW_SET_BYTES_MAX);
        Self::new(
            SqlErrorKind::LimitExceeded,
            format!("the query returns more than {rows} rows or {bytes} bytes; read it in pages"),
        )
    }

    /// A value of a type that no guest can be given.
    pub(super) fn unsupported_type(column: &str, what: &str) -> Self {
        let column = crate::guest_text::line_of(column, 100);
        Self::new(
            SqlErrorKind::InvalidStatement,
            format!(
                "column `{column}` is of type {what}, which has no form here: cast it to text in the query"
            ),
        )
    }
}

/// Takes bound values out of a message of the database: they may be personal, and messages go to logs.
pub(super) fn without_values(message: &str, parameters: &[super::SqlValue]) -> String {
    let mut texts: Vec<String> = parameters.iter().filter_map(shown).collect();
    // The longest first: a shorter one may be a part of it.
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts.dedup();
    texts
        .iter()
        .fold(message.to_owned(), |message, text| message.replace(text, "…"))
}

/// How a database would show a value. One or two characters say nothing of anybody and would tear words apart.
fn shown(value: &super::SqlValue) -> Option<String> {
    let text = match value {
        super::SqlValue::Text(text) => text.clone(),
        super::SqlValue::Integer(number) => number.to_string(),
        super::SqlValue::Real(number) => number.to_string(),
        super::SqlValue::Null | super::SqlValue::Boolean(_) | super::SqlValue::Blob(_) => return None,
    };
    (text.len() > 2).then_some(text)
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
            return SqlError::late();
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
