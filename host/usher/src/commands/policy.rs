//! `usher policy activate | check | show`

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use usher_lifecycle::policy::Policy;
use usher_store::DocumentKind;

use super::targets::show;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render::table::count;
use crate::wiring::app::App;
use crate::wiring::files::{DOCUMENT_BYTES_MAX, origin, read_text};

/// The policy document.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check a policy file and make it the active policy.
    Activate {
        /// The file (TOML); `-` for stdin.
        file: PathBuf,
    },
    /// Check a policy file, also against the active targets. Activates nothing.
    Check {
        /// The file (TOML); `-` for stdin.
        file: PathBuf,
    },
    /// Print the active policy.
    Show,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Checked {
    file: String,
    sources: usize,
    roles: usize,
    mappings: usize,
}

/// A document that is active now.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Activated {
    pub(super) file: String,
    pub(super) version: i64,
}

impl PolicyCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::Activate { file } => {
                let (name, text) = (origin(file), read_text(file, DOCUMENT_BYTES_MAX)?);
                let app = App::recovered(global, output).await?;
                let version = app.engine.activate_policy(&name, &text, app.actor()).await?;
                output.answer(&Activated { file: name, version }, |activated, _| {
                    format!(
                        "Policy version {} is active. `usher plan` shows what follows from it.\n",
                        activated.version
                    )
                })?;
            }
            Self::Check { file } => {
                let (name, text) = (origin(file), read_text(file, DOCUMENT_BYTES_MAX)?);
                let app = App::recovered(global, output).await?;
                let policy = app.engine.check_policy(&name, &text).await?;
                output.answer(&checked(name, &policy), |checked, _| {
                    let parts = [
                        count(checked.sources as u64, "source", "sources"),
                        count(checked.roles as u64, "role", "roles"),
                        count(checked.mappings as u64, "mapping", "mappings"),
                    ];
                    format!("No mistakes: {}. Nothing was activated.\n", parts.join(", "))
                })?;
            }
            Self::Show => {
                show(
                    &App::recovered(global, output).await?,
                    DocumentKind::Policy,
                    output,
                )
                .await?
            }
        }
        Ok(Exit::Ok)
    }
}

fn checked(file: String, policy: &Policy) -> Checked {
    Checked {
        file,
        sources: policy.sources.len(),
        roles: policy.roles.len(),
        mappings: policy.mappings.len(),
    }
}
