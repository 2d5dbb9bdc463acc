//! `usher import`

use std::path::PathBuf;

use clap::Args;
use usher_engine::import::ImportRequest;
use usher_lifecycle::name::SourceName;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;
use crate::wiring::files::{PEOPLE_BYTES_MAX, origin, read};
use crate::wiring::progress::Bars;

/// Take in a file of people: all of it or nothing. Accounts change only with `usher apply`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; `-` for stdin.
    file: PathBuf,
    /// The source it comes from, as the policy names it.
    #[arg(long, value_name = "NAME")]
    source: SourceName,
    /// Take the file although a guard refused it (too many bad rows, too few people). Look at the report first.
    #[arg(long)]
    override_guards: bool,
}

impl Import {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let (origin, bytes) = (origin(&self.file), read(&self.file, PEOPLE_BYTES_MAX)?);
        let app = App::recovered(global, output).await?;
        let request = ImportRequest {
            source: &self.source,
            origin: &origin,
            bytes: &bytes,
            override_guards: self.override_guards,
            actor: app.actor(),
        };
        let bars = Bars::new(output);
        let report = app.engine.import(request, &bars).await?;
        drop(bars);
        output.answer(&report, render::import::import)?;
        Ok(if report.refused.is_some() {
            Exit::BadInput
        } else {
            Exit::Ok
        })
    }
}
