//! What an import is asked for and what it answers.

use serde::Serialize;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::ids::SnapshotId;
use usher_lifecycle::name::SourceName;

/// Most problems listed in a report; all are counted. Enough to see what is wrong, little enough to read.
pub const PROBLEMS_LISTED_MAX: usize = 200;

/// A file to import.
#[derive(Clone, Debug)]
pub struct ImportRequest<'a> {
    /// The source it comes from.
    pub source: &'a SourceName,
    /// For people: the file's name.
    pub origin: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// A person has seen the report and accepts the file although a guard refused it (too many bad rows, too few people).
    pub override_guards: bool,
    /// Who imports.
    pub actor: Actor,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImportReport {
    /// The source.
    pub source: SourceName,
    /// The file's name.
    pub origin: String,
    /// The import's id.
    pub snapshot: SnapshotId,
    /// Why the file was refused as a whole; `None` when it was accepted. A refused file changes nothing.
    pub refused: Option<Refusal>,
    /// Rows read, bad ones included, the header not.
    pub rows: u64,
    /// Records never seen before.
    pub new: u64,
    /// Records whose attributes differ.
    pub changed: u64,
    /// Records as they were.
    pub unchanged: u64,
    /// Records that were missing in earlier files and are back.
    pub returned: u64,
    /// Records not in this file (without those long confirmed as gone).
    pub missing: u64,
    /// Of these: records whose absence counts from now on.
    pub confirmed_missing: u64,
    /// Bad rows. The people in them stay as they were.
    pub set_aside: u64,
    /// Why no absence was counted, if none was though records are missing.
    pub absence_not_counted: Option<String>,
    /// All problems found.
    pub problems_total: u64,
    /// The first of them, by line; at most [`PROBLEMS_LISTED_MAX`].
    pub problems: Vec<RowProblem>,
}

/// Why a file was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Refusal {
    /// What is wrong and what to do.
    pub reason: String,
    /// A guard refused it, not the file's form: a person may accept it with `override_guards`.
    pub may_be_overridden: bool,
}

/// One thing wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RowProblem {
    /// The line in the file on which the row starts, from 1 (the header is usually line 1).
    pub line: u64,
    /// The column's header, if one column is at fault.
    pub column: Option<String>,
    /// The row's key, if it could be read.
    pub key: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl std::fmt::Display for RowProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        if let Some(key) = &self.key {
            write!(f, " (key {})", super::cells::shown(key))?;
        }
        write!(f, ": {}", self.message)
    }
}
