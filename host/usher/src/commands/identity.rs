//! `usher identity show | erase`

use std::io::{BufRead as _, IsTerminal as _};

use clap::{Args, Subcommand};
use usher_store::{Erased, Erasure as _};

use super::freeze::reason;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::render::escape::safe;
use crate::wiring::app::App;

/// One person.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Facts, state and when it next changes, roles, accounts, timeline with causes.
    Show {
        /// The key a source gives them, or their id (idn_…).
        key: String,
    },
    /// Erase a departed person's data, for ever: facts, accounts, operations, and what the audit says of them. Their id stays, as a pseudonym.
    Erase(Erase),
}

/// Whom to erase.
#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// The key a source gives them, or their id (idn_…).
    key: String,
    /// Why; stays readable in the audit for ever, so no personal data belongs into it.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Do it without asking.
    #[arg(long)]
    yes: bool,
}

impl IdentityCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::recovered(global, output).await?;
        match self {
            Self::Show { key } => {
                output.answer(&app.engine.show(key).await?, render::identity::identity)?;
            }
            Self::Erase(erase) => {
                let erased = erase.run(&app, output).await?;
                output.answer(&erased, |erased, _| render::identity::erased(erased))?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl Erase {
    async fn run(&self, app: &App, output: &Output) -> Result<Erased, Failure> {
        let id = app.store.erasable(&self.key, app.context().at).await?;
        if !self.yes {
            self.ask(output)?;
        }
        Ok(app.store.erase(id, &self.reason, &app.context()).await?)
    }

    /// A person types the key once more; nobody can be asked in a script.
    fn ask(&self, output: &Output) -> Result<(), Failure> {
        let key = safe(&self.key);
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Err(Failure::new(
                Exit::Usage,
                format!("nothing was erased: there is no way back from erasing {key}"),
            )
            .advice("add --yes if that is what you want"));
        }
        output.note(&format!(
            "There is no way back. To erase everything about {key}, type that key once more:"
        ));
        let mut typed = String::new();
        stdin
            .lock()
            .read_line(&mut typed)
            .map_err(|error| Failure::unexpected(&error))?;
        if typed.trim_end_matches(['\r', '\n']) == self.key {
            return Ok(());
        }
        Err(Failure::new(
            Exit::BadInput,
            "nothing was erased: that is not the key",
        ))
    }
}
