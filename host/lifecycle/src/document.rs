//! Errors of the policy and targets documents: every one says where it is.

pub(crate) mod hint;
pub(crate) mod item;
pub(crate) mod reader;

use std::fmt;

use serde::Serialize;

pub use reader::{DOCUMENT_BYTES_MAX, MISTAKES_MAX};

/// One mistake in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DocumentError {
    /// The file, as the operator named it.
    pub file: String,
    /// Line, from 1. 0 when the mistake has no line (an empty document).
    pub line: usize,
    /// Column in characters, from 1. 0 when it has none.
    pub column: usize,
    /// Which item, as a dotted path: `roles.employee.when`.
    pub path: String,
    /// The expression at fault, if it is one.
    pub expression: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}: {}",
            self.file, self.line, self.column, self.path, self.message
        )?;
        if let Some(expression) = &self.expression {
            write!(f, "\n    {expression}")?;
        }
        Ok(())
    }
}

/// All mistakes of a document, in the order of their lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct DocumentErrors(pub Vec<DocumentError>);
