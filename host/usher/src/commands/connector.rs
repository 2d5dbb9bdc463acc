//! `usher connector add | list | inspect`

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use usher_connectors::{Inspection, Sandbox};
use usher_lifecycle::name::Name;
use usher_store::{ArtifactInfo, Documents as _};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::render::escape::safe;
use crate::wiring::app::App;
use crate::wiring::connectors::compiler;
use crate::wiring::files::{COMPONENT_BYTES_MAX, origin, read};

/// Connectors.
#[derive(Debug, Subcommand)]
pub(crate) enum ConnectorCommand {
    /// Add a connector to the data folder. Targets use it once a targets document that names it is activated.
    Add {
        /// The component.
        file: PathBuf,
    },
    /// List the connectors of the data folder, newest first.
    List,
    /// Show what a component is and what it wants. Needs no data folder.
    Inspect {
        /// The component.
        file: PathBuf,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    connectors: Vec<ArtifactInfo>,
}

impl ConnectorCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::Add { file } => add(file, global, output).await?,
            Self::List => {
                let app = App::open(global).await?;
                let listed = Listed {
                    connectors: app.store.artifacts().await?,
                };
                output.answer(&listed, |listed, ink| {
                    render::connectors::list(&listed.connectors, ink)
                })?;
            }
            Self::Inspect { file } => {
                let found = inspect(
                    &Sandbox::new(compiler()?, None)?,
                    file,
                    read(file, COMPONENT_BYTES_MAX)?,
                )
                .await?;
                output.answer(&found, render::connectors::inspection)?;
            }
        }
        Ok(Exit::Ok)
    }
}

async fn inspect(sandbox: &Sandbox, file: &Path, bytes: Vec<u8>) -> Result<Inspection, Failure> {
    sandbox
        .inspect(bytes)
        .await
        .map_err(|error| Failure::from(error).of(&origin(file)))
}

async fn add(file: &Path, global: &Global, output: &Output) -> Result<(), Failure> {
    let bytes = read(file, COMPONENT_BYTES_MAX)?;
    let app = App::open(global).await?;
    let inspection = inspect(app.connectors.sandbox().await?, file, bytes.clone()).await?;
    let found = &inspection.descriptor;
    if let Err(error) = found.name.parse::<Name>() {
        return Err(Failure::new(
            Exit::BadInput,
            format!("the connector's own name cannot be used: {error}"),
        )
        .of(&origin(file)));
    }
    let known = app.store.artifacts().await?;
    let info = app
        .store
        .add_artifact(&found.name, &found.version, &bytes, &app.context())
        .await?;
    let same_version = |other: &&ArtifactInfo| {
        other.name == info.name && other.version == info.version && other.digest != info.digest
    };
    if known.iter().any(|other| same_version(&other)) {
        output.note(&format!(
            "another component calls itself {} {} too; `{}@{}` now means this one, active targets keep theirs",
            info.name, info.version, info.name, info.version
        ));
    }
    output.answer(&info, |info, ink| {
        format!(
            "Added {} {}\n  sha256:{}\n{}",
            safe(&info.name),
            safe(&info.version),
            safe(&info.digest),
            render::connectors::to_grant(&inspection, &info.name, ink)
        )
    })
}
