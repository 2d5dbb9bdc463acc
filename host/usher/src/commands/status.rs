//! `usher status`

use clap::Args;
use serde::Serialize;
use usher_engine::views::StatusView;
use usher_store::{Freeze, Freezing as _};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;

/// How everything is: documents, people, targets, what is held, imports.
#[derive(Debug, Args)]
pub(crate) struct Status {}

#[derive(Serialize)]
struct Shown {
    frozen: Option<Freeze>,
    #[serde(flatten)]
    status: StatusView,
}

impl Status {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::recovered(global, output).await?;
        let shown = Shown {
            frozen: app.store.frozen().await?,
            status: app.engine.status().await?,
        };
        output.answer(&shown, |shown, ink| {
            render::freeze::banner(shown.frozen.as_ref(), ink) + &render::status::status(&shown.status, ink)
        })?;
        Ok(Exit::Ok)
    }
}
