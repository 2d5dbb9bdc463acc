//! `usher identity show`

use clap::Subcommand;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;

/// One person.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Facts, state and when it next changes, roles, accounts, timeline with causes.
    Show {
        /// The key a source gives them, or their id (idn_…).
        key: String,
    },
}

impl IdentityCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let Self::Show { key } = self;
        let app = App::recovered(global, output).await?;
        output.answer(&app.engine.show(key).await?, render::identity::identity)?;
        Ok(Exit::Ok)
    }
}
