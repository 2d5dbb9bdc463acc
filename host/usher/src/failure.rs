//! Why a command could not do its work: what was wrong, where, what to do.

use std::path::Path;

use serde::Serialize;
use serde::ser::{SerializeStruct as _, Serializer};
use usher_connectors::{LoadError, SandboxError};
use usher_engine::EngineError;
use usher_engine::plan::PlanFileError;
use usher_lifecycle::document::{DocumentError, DocumentErrors};
use usher_store::StoreError;

use crate::commands::freeze::refused;
use crate::exit::Exit;
use crate::render::escape::{safe, safe_lines};
use crate::render::ink::{Ink, Style};
use crate::render::table::{ROWS_MAX, more};

/// Why a command ends without its answer.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    advice: Option<String>,
    mistakes: Vec<DocumentError>,
}

/// Shorthand for what commands return.
pub(crate) type Outcome = Result<Exit, Failure>;

impl Failure {
    /// A failure with a message of our own.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            advice: None,
            mistakes: Vec::new(),
        }
    }

    /// Something nobody expected.
    pub(crate) fn unexpected(error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self::new(Exit::Unexpected, message)
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(
            Exit::BadInput,
            format!("cannot {doing} {}: {error}", path.display()),
        )
    }

    /// With what to do about it.
    #[must_use]
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// With the file it is about.
    #[must_use]
    pub(crate) fn of(mut self, file: &str) -> Self {
        self.message = format!("{file}: {}", self.message);
        self
    }

    /// The exit code.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// For people. Every foreign character is escaped.
    pub(crate) fn text(&self, ink: &Ink) -> String {
        let mut out = format!(
            "{} {}\n",
            ink.paint(Style::Bad, "error:"),
            safe_lines(&self.message)
        );
        for mistake in self.mistakes.iter().take(ROWS_MAX) {
            out.push_str(&mistake_text(mistake, ink));
        }
        out.push_str(&more(self.mistakes.len(), ROWS_MAX, 2));
        if let Some(advice) = &self.advice {
            out.push_str(&format!(
                "{} {}\n",
                ink.paint(Style::Good, "help:"),
                safe_lines(advice)
            ));
        }
        out
    }
}

fn mistake_text(mistake: &DocumentError, ink: &Ink) -> String {
    let mut place = safe(&mistake.file);
    if mistake.line > 0 {
        place.push_str(&format!(":{}", mistake.line));
    }
    if mistake.column > 0 {
        place.push_str(&format!(":{}", mistake.column));
    }
    let mut out = format!("  {}", ink.paint(Style::Bold, &place));
    if !mistake.path.is_empty() {
        out.push_str(&format!(" {}", safe(&mistake.path)));
    }
    out.push_str(&format!(
        "\n      {}\n",
        safe_lines(&mistake.message).replace('\n', "\n      ")
    ));
    if let Some(expression) = &mistake.expression {
        for line in expression.lines() {
            out.push_str(&format!(
                "      {}\n",
                ink.paint(Style::Dim, &format!("| {}", safe(line)))
            ));
        }
    }
    out
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Mistake<'a> {
            file: &'a str,
            line: usize,
            column: usize,
            path: &'a str,
            expression: Option<&'a str>,
            message: &'a str,
        }
        let mistakes = self.mistakes.iter().map(|mistake| Mistake {
            file: &mistake.file,
            line: mistake.line,
            column: mistake.column,
            path: &mistake.path,
            expression: mistake.expression.as_deref(),
            message: &mistake.message,
        });
        let mut fields = serializer.serialize_struct("Failure", 5)?;
        fields.serialize_field("kind", self.exit.name())?;
        fields.serialize_field("exit-code", &self.exit.code())?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("advice", &self.advice)?;
        fields.serialize_field("mistakes", &mistakes.collect::<Vec<_>>())?;
        fields.end()
    }
}

impl From<DocumentErrors> for Failure {
    fn from(errors: DocumentErrors) -> Self {
        let number = errors.0.len();
        let message = if number == 1 {
            "1 mistake".to_owned()
        } else {
            format!("{number} mistakes")
        };
        let files: std::collections::BTreeSet<_> =
            errors.0.iter().map(|mistake| mistake.file.clone()).collect();
        let files = files.into_iter().collect::<Vec<_>>().join(", ");
        Self {
            mistakes: errors.0,
            ..Self::new(
                Exit::BadInput,
                format!("{message} in {files}; nothing was changed"),
            )
        }
    }
}

/// What to do about a damaged store.
const RESTORE: &str =
    "nothing was changed; keep a copy of the data folder, then restore a backup or ask for help";

/// Whether these words of SQLite mean that the file itself is broken (SQLITE_CORRUPT, SQLITE_NOTADB): no later try mends that.
fn is_damaged(message: &str) -> bool {
    ["database disk image is malformed", "file is not a database"]
        .iter()
        .any(|words| message.contains(words))
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NotFound(_) => Self::new(Exit::BadInput, message),
            StoreError::Stale(_) => Self::new(Exit::Stale, message),
            StoreError::InUse(_) => {
                Self::new(Exit::Folder, message).advice("wait until the other process is done, or end it")
            }
            StoreError::Version(_) => Self::new(Exit::Folder, message),
            StoreError::Fenced(_) => Self::new(Exit::Unexpected, message).advice(
                "this process could not reach the database in time and others took its work; run the command again",
            ),
            StoreError::Frozen(reason) => refused(&reason),
            StoreError::Key(_) => Self::new(Exit::Folder, message),
            StoreError::Damaged(_) => Self::new(Exit::Damaged, message).advice(RESTORE),
            StoreError::Disk { .. } => Self::new(Exit::Folder, message),
            StoreError::Contended(_) => {
                Self::new(Exit::Unexpected, message).advice("others changed the same rows; run the command again")
            }
            StoreError::Corrupt { .. } => Self::new(Exit::Damaged, message).advice(RESTORE),
            StoreError::Unavailable { ref message, .. } if is_damaged(message) => {
                Self::new(Exit::Damaged, error.to_string()).advice(RESTORE)
            }
            StoreError::Unavailable { .. } => Self::new(Exit::Unexpected, message)
                .advice("is the disk full, or the data folder read-only? The command may be run again"),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Document(errors) => errors.into(),
            EngineError::Unanswered(_) => Self::new(Exit::Target, message).advice(
                "nothing took effect; see what is wrong with `usher target check TARGET`, then try again",
            ),
            EngineError::Targets(_) => Self::new(Exit::Target, message)
                .advice("nothing was activated; correct the document, or add the connector"),
            EngineError::NotActive(_) | EngineError::NotFound(_) => Self::new(Exit::BadInput, message),
            EngineError::Stale(changes) => {
                let changes: String = changes.iter().map(|change| format!("\n  - {change}")).collect();
                Self::new(
                    Exit::Stale,
                    format!("the plan is out of date; nothing was done{changes}"),
                )
                .advice("make a new plan with `usher plan --out FILE`, look at it, then apply that")
            }
            EngineError::Differs { .. } => Self::new(Exit::Stale, message)
                .advice("look at it with `diff`, which ends with the digest to expect"),
            EngineError::Unreadable { .. } => Self::new(Exit::Folder, message)
                .advice("activate a corrected document, or use the version of usher that activated it"),
            EngineError::Frozen(reason) => refused(&reason),
            EngineError::Store(error) => error.into(),
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let exit = match error {
            LoadError::TooLarge { .. }
            | LoadError::NotAComponent(_)
            | LoadError::CompileLimit { .. }
            | LoadError::CompilerFailed { .. }
            | LoadError::Contract(_)
            | LoadError::Description { .. } => Exit::BadInput,
            LoadError::NotGranted { .. }
            | LoadError::Settings(_)
            | LoadError::Configuration(_)
            | LoadError::Call { .. } => Exit::Target,
            LoadError::Host(_) => Exit::Unexpected,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        Self::unexpected(&error)
    }
}

impl From<PlanFileError> for Failure {
    fn from(error: PlanFileError) -> Self {
        Self::new(Exit::BadInput, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes() -> Failure {
        Failure::from(DocumentErrors(vec![
            DocumentError {
                file: "policy.toml".into(),
                line: 14,
                column: 8,
                path: "roles.employee.when".into(),
                expression: Some("identity.contrct == 'permanent'".into()),
                message: "`contrct` is not a declared attribute; did you mean `contract`?".into(),
            },
            DocumentError {
                file: "policy.toml".into(),
                line: 0,
                column: 0,
                path: "sources".into(),
                expression: None,
                message: "there is no source\u{1b}[2J".into(),
            },
        ]))
    }

    #[test]
    fn mistakes_say_where_they_are() {
        insta::assert_snapshot!(mistakes().text(&Ink::plain()), @r"
        error: 2 mistakes in policy.toml; nothing was changed
          policy.toml:14:8 roles.employee.when
              `contrct` is not a declared attribute; did you mean `contract`?
              | identity.contrct == 'permanent'
          policy.toml sources
              there is no source\u{1b}[2J
        ");
    }

    #[test]
    fn errors_as_json() {
        insta::assert_json_snapshot!(mistakes(), @r#"
        {
          "kind": "bad-input",
          "exit-code": 3,
          "message": "2 mistakes in policy.toml; nothing was changed",
          "advice": null,
          "mistakes": [
            {
              "file": "policy.toml",
              "line": 14,
              "column": 8,
              "path": "roles.employee.when",
              "expression": "identity.contrct == 'permanent'",
              "message": "`contrct` is not a declared attribute; did you mean `contract`?"
            },
            {
              "file": "policy.toml",
              "line": 0,
              "column": 0,
              "path": "sources",
              "expression": null,
              "message": "there is no source\u001b[2J"
            }
          ]
        }
        "#);
    }

    #[test]
    fn a_stale_plan_has_its_own_code_and_says_what_changed() {
        let failure = Failure::from(EngineError::Stale(vec![
            "facts: 4 → 5".into(),
            "policy: 1 → 2".into(),
        ]));
        assert_eq!(failure.exit(), Exit::Stale);
        insta::assert_snapshot!(failure.text(&Ink::plain()), @r"
        error: the plan is out of date; nothing was done
          - facts: 4 → 5
          - policy: 1 → 2
        help: make a new plan with `usher plan --out FILE`, look at it, then apply that
        ");
    }

    #[test]
    fn every_store_error_has_its_code() {
        let code = |error: StoreError| Failure::from(error).exit();
        assert_eq!(code(StoreError::NotFound(String::new())), Exit::BadInput);
        assert_eq!(code(StoreError::Stale(String::new())), Exit::Stale);
        assert_eq!(code(StoreError::InUse(String::new())), Exit::Folder);
        assert_eq!(code(StoreError::Version(String::new())), Exit::Folder);
        let corrupt = StoreError::Corrupt {
            table: "t",
            column: "c",
            row: 1,
            reason: String::new(),
        };
        assert_eq!(code(corrupt), Exit::Damaged);
        assert_eq!(
            code(StoreError::Unavailable {
                doing: "d",
                message: String::new()
            }),
            Exit::Unexpected
        );
        for message in ["database disk image is malformed", "file is not a database"] {
            let damaged = Failure::from(StoreError::Unavailable {
                doing: "open the store",
                message: message.into(),
            });
            assert_eq!(damaged.exit(), Exit::Damaged);
            assert!(damaged.text(&Ink::plain()).contains("restore a backup"));
        }
    }
}
