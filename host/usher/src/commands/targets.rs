//! `usher targets activate | check | show`

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use usher_engine::ports::ResolvedTarget;
use usher_lifecycle::name::TargetName;
use usher_store::{Document, DocumentKind, Documents as _};

use super::policy::Activated;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;
use crate::wiring::files::{DOCUMENT_BYTES_MAX, origin, read_text};

/// The targets document.
#[derive(Debug, Subcommand)]
pub(crate) enum TargetsCommand {
    /// Check a targets file, load every connector under its settings, and make it the active document.
    Activate {
        /// The file (TOML); `-` for stdin.
        file: PathBuf,
    },
    /// Check a targets file as `activate` does. Activates nothing.
    Check {
        /// The file (TOML); `-` for stdin.
        file: PathBuf,
    },
    /// Print the active targets document.
    Show,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Checked {
    file: String,
    targets: BTreeMap<TargetName, ResolvedTarget>,
}

impl TargetsCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::Activate { file } => {
                let (name, text) = (origin(file), read_text(file, DOCUMENT_BYTES_MAX)?);
                let app = App::recovered(global, output).await?;
                let version = app.engine.activate_targets(&name, &text, app.actor()).await?;
                output.answer(&Activated { file: name, version }, |activated, _| {
                    format!(
                        "Targets version {} is active. `usher target check NAME` tries a target.\n",
                        activated.version
                    )
                })?;
            }
            Self::Check { file } => {
                let (name, text) = (origin(file), read_text(file, DOCUMENT_BYTES_MAX)?);
                let app = App::recovered(global, output).await?;
                let targets = app.engine.check_targets(&name, &text).await?;
                output.answer(&Checked { file: name, targets }, |checked, ink| {
                    render::targets::resolved(&checked.targets, ink) + "No mistakes. Nothing was activated.\n"
                })?;
            }
            Self::Show => {
                show(
                    &App::recovered(global, output).await?,
                    DocumentKind::Targets,
                    output,
                )
                .await?
            }
        }
        Ok(Exit::Ok)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    kind: DocumentKind,
    version: i64,
    activated_at: jiff::Timestamp,
    text: String,
}

/// Prints the active document. To a file or pipe it goes as it was written; a terminal gets it made harmless.
pub(super) async fn show(app: &App, kind: DocumentKind, output: &Output) -> Result<(), Failure> {
    let Some(Document {
        kind,
        version,
        text,
        activated_at,
        ..
    }) = app.store.document(kind).await?
    else {
        let (what, command) = match kind {
            DocumentKind::Policy => ("policy", "usher policy activate FILE"),
            DocumentKind::Targets => ("targets document", "usher targets activate FILE"),
        };
        return Err(Failure::new(Exit::BadInput, format!("no {what} is active"))
            .advice(format!("activate one with `{command}`")));
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
