//! `usher status`

use clap::Args;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;

/// How everything is: documents, people, targets, what is held, imports.
#[derive(Debug, Args)]
pub(crate) struct Status {}

impl Status {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::recovered(global, output).await?;
        output.answer(&app.engine.status().await?, render::status::status)?;
        Ok(Exit::Ok)
    }
}
