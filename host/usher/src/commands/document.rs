//! `usher policy …` and `usher targets …`: check, look at what would change, activate, history, show. One command for the two documents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use usher_engine::Proposed;
use usher_engine::plan::{DIFFERENCE_PEOPLE_MAX, DifferencePage};
use usher_engine::ports::ResolvedTarget;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::name::TargetName;
use usher_store::{Document, DocumentKind, Documents as _, VERSIONS_MAX};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::render::history::Version;
use crate::render::table::count;
use crate::wiring::app::App;
use crate::wiring::files::{DOCUMENT_BYTES_MAX, origin, read_text};

/// People of a difference shown when nothing is said: about two screens.
const PEOPLE_SHOWN: u64 = 20;
/// Versions shown when nothing is said.
const VERSIONS_SHOWN: u32 = 10;

/// What can be done with a document.
#[derive(Debug, Subcommand)]
pub(crate) enum DocumentCommand {
    /// Check a file and make it the active document.
    Activate {
        #[command(flatten)]
        which: Which,
        /// Only if what it changes is what was looked at: the digest that `diff` ends with.
        #[arg(long, value_name = "DIGEST")]
        expect: Option<String>,
    },
    /// Check a file as `activate` does, also against the other document. Activates nothing.
    Check {
        /// The file (TOML); `-` for stdin.
        file: PathBuf,
    },
    /// Show for everybody which accounts and entitlements a file would change, and why. Activates nothing.
    Diff {
        #[command(flatten)]
        which: Which,
        /// Show so many people; all are counted.
        #[arg(long, value_name = "COUNT", default_value_t = PEOPLE_SHOWN, value_parser = clap::value_parser!(u64).range(0..=DIFFERENCE_PEOPLE_MAX as u64))]
        people: u64,
        /// Show the people after this one (idn_…), as the page before says.
        #[arg(long, value_name = "ID")]
        after: Option<IdentityId>,
    },
    /// List its versions: when, by whom, what changed in the text.
    History {
        /// Show so many, the newest first.
        #[arg(long, value_name = "COUNT", default_value_t = VERSIONS_SHOWN, value_parser = clap::value_parser!(u32).range(1..=i64::from(VERSIONS_MAX - 1)))]
        limit: u32,
        /// Show those before this version.
        #[arg(long, value_name = "VERSION")]
        before: Option<i64>,
    },
    /// Print the active document, or an older version.
    Show {
        /// The version.
        version: Option<i64>,
    },
}

/// A file, or a version that was active before.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The file (TOML); `-` for stdin.
    #[arg(required_unless_present = "version")]
    file: Option<PathBuf>,
    /// An older version instead of a file; it becomes a new one.
    #[arg(long, value_name = "VERSION", conflicts_with = "file")]
    version: Option<i64>,
}

/// A document that is active now.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Activated {
    file: String,
    version: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct CheckedPolicy {
    file: String,
    sources: usize,
    roles: usize,
    mappings: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct CheckedTargets {
    file: String,
    targets: BTreeMap<TargetName, ResolvedTarget>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    kind: DocumentKind,
    version: i64,
    activated_at: jiff::Timestamp,
    text: String,
}

#[derive(Serialize)]
struct History {
    kind: DocumentKind,
    versions: Vec<Version>,
}

impl DocumentCommand {
    /// Runs it.
    pub(crate) async fn run(&self, kind: DocumentKind, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::Activate { which, expect } => {
                let (app, file, text) = which.read(kind, global, output).await?;
                let proposed = Proposed {
                    kind,
                    file: &file,
                    text: &text,
                };
                let activate = app.engine.activate(&proposed, expect.as_deref(), app.actor());
                let version = activate.await?;
                output.answer(&Activated { file, version }, |activated, _| {
                    activated_text(kind, activated.version)
                })?;
            }
            Self::Check { file } => check(kind, file, global, output).await?,
            Self::Diff { which, people, after } => {
                let (app, file, text) = which.read(kind, global, output).await?;
                let proposed = Proposed {
                    kind,
                    file: &file,
                    text: &text,
                };
                let page = DifferencePage {
                    after: *after,
                    people_max: usize::try_from(*people).unwrap_or(DIFFERENCE_PEOPLE_MAX),
                };
                let difference = app.engine.difference(&proposed, &page).await?;
                output.answer(&difference, |difference, ink| {
                    render::difference::difference(difference, &which.as_typed(), ink)
                })?;
            }
            Self::History { limit, before } => {
                let app = App::recovered(global, output).await?;
                // One more: what the oldest that is shown is compared with.
                let documents = app.store.document_versions(kind, *before, limit + 1).await?;
                if documents.is_empty() && before.is_none() {
                    return Err(none_active(kind));
                }
                let versions = render::history::versions(&documents, *limit as usize);
                output.answer(&History { kind, versions }, |history, ink| {
                    render::history::history(&history.versions, ink)
                })?;
            }
            Self::Show { version } => {
                let app = App::recovered(global, output).await?;
                show(&app, kind, *version, output).await?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl Which {
    /// Opens the store, and reads the file or the older version: what mistakes call it, and the text.
    async fn read(
        &self,
        kind: DocumentKind,
        global: &Global,
        output: &Output,
    ) -> Result<(App, String, String), Failure> {
        let file = match &self.file {
            Some(file) => Some((origin(file), read_text(file, DOCUMENT_BYTES_MAX)?)),
            None => None,
        };
        let app = App::recovered(global, output).await?;
        if let Some((name, text)) = file {
            return Ok((app, name, text));
        }
        let version = self.version.unwrap_or_default();
        let document = app.engine.document_version(kind, version).await?;
        Ok((app, format!("{} version {version}", word(kind)), document.text))
    }

    /// As it stands on the command line.
    fn as_typed(&self) -> String {
        match (&self.file, self.version) {
            (Some(file), _) => file.display().to_string(),
            (None, version) => format!("--version {}", version.unwrap_or_default()),
        }
    }
}

async fn check(kind: DocumentKind, file: &Path, global: &Global, output: &Output) -> Result<(), Failure> {
    let (file, text) = (origin(file), read_text(file, DOCUMENT_BYTES_MAX)?);
    let app = App::recovered(global, output).await?;
    match kind {
        DocumentKind::Policy => {
            let policy = app.engine.check_policy(&file, &text).await?;
            let checked = CheckedPolicy {
                file,
                sources: policy.sources.len(),
                roles: policy.roles.len(),
                mappings: policy.mappings.len(),
            };
            output.answer(&checked, |checked, _| {
                let parts = [
                    count(checked.sources as u64, "source", "sources"),
                    count(checked.roles as u64, "role", "roles"),
                    count(checked.mappings as u64, "mapping", "mappings"),
                ];
                format!("No mistakes: {}. Nothing was activated.\n", parts.join(", "))
            })
        }
        DocumentKind::Targets => {
            let targets = app.engine.check_targets(&file, &text).await?;
            output.answer(&CheckedTargets { file, targets }, |checked, ink| {
                render::targets::resolved(&checked.targets, ink) + "No mistakes. Nothing was activated.\n"
            })
        }
    }
}

fn activated_text(kind: DocumentKind, version: i64) -> String {
    match kind {
        DocumentKind::Policy => {
            format!("Policy version {version} is active. `usher plan` shows what follows from it.\n")
        }
        DocumentKind::Targets => {
            format!("Targets version {version} is active. `usher target check NAME` tries a target.\n")
        }
    }
}

const fn word(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Policy => "policy",
        DocumentKind::Targets => "targets",
    }
}

fn none_active(kind: DocumentKind) -> Failure {
    let what = match kind {
        DocumentKind::Policy => "policy",
        DocumentKind::Targets => "targets document",
    };
    Failure::new(Exit::BadInput, format!("no {what} is active"))
        .advice(format!("activate one with `usher {} activate FILE`", word(kind)))
}

/// Prints a document. To a file or pipe it goes as it was written; a terminal gets it made harmless.
async fn show(app: &App, kind: DocumentKind, version: Option<i64>, output: &Output) -> Result<(), Failure> {
    let found = match version {
        None => app.store.document(kind).await?,
        Some(version) => Some(app.store.document_version(kind, version).await?),
    };
    let Some(Document {
        kind,
        version,
        text,
        activated_at,
        ..
    }) = found
    else {
        return Err(none_active(kind));
    };
    output.answer(
        &Shown {
            kind,
            version,
            activated_at,
            text,
        },
        |shown, _| output.verbatim(&shown.text),
    )
}
