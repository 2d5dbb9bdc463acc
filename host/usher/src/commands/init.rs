//! `usher init`

use clap::Args;
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render::escape::safe;
use crate::wiring::app::App;

/// Make a data folder: private to you, with an empty database and nothing else.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// A folder to rehearse in: its clock is set with --now, here and with each command, and runs on only while commands
    /// run. It starts at the present unless --now says otherwise: `usher --now 2026-01-05 init --rehearsal`. There is no
    /// way back.
    #[arg(long)]
    rehearsal: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Made {
    data: String,
    rehearsal: bool,
}

impl Init {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        App::create(&global.data, self.rehearsal, global.now).await?;
        let made = Made {
            data: global.data.display().to_string(),
            rehearsal: self.rehearsal,
        };
        output.answer(&made, |made, _| {
            let kind = if made.rehearsal {
                "rehearsal folder"
            } else {
                "data folder"
            };
            format!(
                "Made the {kind} {}\n\n\
                 Next:\n  \
                 usher connector add FILE.wasm           add the connectors of your systems\n  \
                 usher targets activate targets.toml     say which systems there are\n  \
                 usher policy activate policy.toml       say who gets what\n  \
                 usher import people.csv --source NAME   tell it who works here\n  \
                 usher plan                              look at what it would do\n",
                safe(&made.data)
            )
        })?;
        Ok(Exit::Ok)
    }
}
