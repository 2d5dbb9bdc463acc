//! `usher plan`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use usher_engine::plan::SavedPlan;
use usher_store::{Freeze, Freezing as _};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;
use crate::wiring::files::write_private;

/// Show what would be done, per person and in all, and why. Changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Keep the plan in a file, for `usher apply FILE`. It holds personal data: only you can read it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Shown<'a> {
    frozen: Option<Freeze>,
    #[serde(flatten)]
    plan: &'a usher_engine::plan::Plan,
}

impl Plan {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::recovered(global, output).await?;
        let plan = app.engine.preview().await?;
        let saved = SavedPlan::new(plan);
        if let Some(path) = &self.out {
            write_private(path, &saved.to_json())?;
        }
        let shown = Shown {
            frozen: app.store.frozen().await?,
            plan: &saved.plan,
        };
        output.answer(&shown, |shown, ink| {
            render::freeze::banner(shown.frozen.as_ref(), ink)
                + &render::plan::plan(shown.plan, shown.frozen.is_some(), ink)
        })?;
        if let Some(path) = &self.out {
            let path = path.display();
            output.note(&format!(
                "kept in {path}; `usher apply {path}` does exactly this, or nothing if things have changed"
            ));
        }
        Ok(Exit::Ok)
    }
}
