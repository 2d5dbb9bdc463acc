//! `usher target check`

use clap::Subcommand;
use serde::Serialize;
use usher_engine::ports::Connectors as _;
use usher_lifecycle::connector::CheckReport;
use usher_lifecycle::name::TargetName;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;

/// One connected system.
#[derive(Debug, Subcommand)]
pub(crate) enum TargetCommand {
    /// Try the connection: each step, and the permissions found. Changes nothing there. A target that rested and now answers goes on at once.
    Check {
        /// The target, as the active document names it.
        name: TargetName,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Checked<'a> {
    target: &'a TargetName,
    #[serde(flatten)]
    report: CheckReport,
}

impl TargetCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let Self::Check { name } = self;
        let app = App::open(global).await?;
        let connector = app
            .connectors
            .connector(name)
            .await
            .map_err(|reason| Failure::new(Exit::Target, reason))?;
        let report = connector.check().await.map_err(|error| {
            Failure::new(Exit::Target, format!("target {name} cannot be checked: {error}"))
        })?;
        let all_well = !report.steps.is_empty() && report.steps.iter().all(|step| step.ok);
        output.answer(&Checked { target: name, report }, |checked, ink| {
            render::check::check(checked.target, &checked.report, ink)
        })?;
        if all_well && app.engine.end_rest(name, app.actor()).await? {
            output.note(&format!(
                "{name} was left alone for a while; that is over, its operations go on"
            ));
        }
        Ok(if all_well { Exit::Ok } else { Exit::Target })
    }
}
