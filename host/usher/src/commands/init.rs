//! `usher init`

use clap::Args;
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render::escape::safe;
use crate::wiring::app::App;
use crate::wiring::keys::KeySource;
use crate::wiring::place::Place;

/// Make a data folder: private to you, with an empty database and nothing else. With --database make the tables there instead.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// A store to rehearse in: its clock is set with --now, here and with each command, and runs on only while commands
    /// run. It starts at the present unless --now says otherwise: `usher --now 2026-01-05 init --rehearsal`. There is no
    /// way back.
    #[arg(long)]
    rehearsal: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Made {
    data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    rehearsal: bool,
    /// Where the key is.
    key: String,
}

impl Init {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let place = App::create(global, self.rehearsal).await?;
        let made = Made {
            data: global.data.display().to_string(),
            database: match &place {
                Place::Folder(_) => None,
                Place::Database { .. } => Some(place.name()),
            },
            rehearsal: self.rehearsal,
            key: KeySource::of(global, &place)?.name(),
        };
        output.answer(&made, |made, _| {
            let (what, name) = match (&made.database, made.rehearsal) {
                (Some(name), true) => ("the tables of a rehearsal in", name),
                (Some(name), false) => ("the tables in", name),
                (None, true) => ("the rehearsal folder", &made.data),
                (None, false) => ("the data folder", &made.data),
            };
            format!(
                "Made {what} {}\n\
                 What is secret there opens only with its key, from {}. Backups do not hold the key: keep a copy elsewhere.\n\n\
                 Next:\n  \
                 usher connector add FILE.wasm           add the connectors of your systems\n  \
                 usher targets activate targets.toml     say which systems there are\n  \
                 usher policy activate policy.toml       say who gets what\n  \
                 usher import people.csv --source NAME   tell it who works here\n  \
                 usher plan                              look at what it would do\n",
                safe(name),
                safe(&made.key)
            )
        })?;
        Ok(Exit::Ok)
    }
}
