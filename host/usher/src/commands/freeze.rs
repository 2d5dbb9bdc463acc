//! `usher freeze`

use clap::Args;
use serde::Serialize;
use usher_store::{Freeze as Frozen, Freezing as _, Marked};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;

/// Longest reason, in characters: a paragraph.
const REASON_CHARS_MAX: usize = 1_000;

/// Stop everything: from now on nothing is done in any target, by any host, until `usher thaw`. Files are taken in and plans are made as
/// before. What is under way at this moment comes to its end. Only what a security hold asks for (`usher revoke`) still goes through, unless
/// --all.
#[derive(Debug, Args)]
pub(crate) struct Freeze {
    /// Why; kept in the audit.
    #[arg(long, value_name = "TEXT", required_unless_present = "restored", value_parser = reason)]
    reason: Option<String>,
    /// Security holds wait as well: nobody's access can be revoked until `usher thaw`.
    #[arg(long, conflicts_with = "restored")]
    all: bool,
    /// The database was restored from an earlier moment by its own means: also read every account again before anything is written.
    #[arg(long, conflicts_with = "reason")]
    restored: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Done {
    frozen: Option<Frozen>,
    marked: Option<Marked>,
}

impl Freeze {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::open(global).await?;
        let marked = match &self.reason {
            Some(reason) if self.all => {
                app.store.freeze_all(reason, &app.context()).await?;
                None
            }
            Some(reason) => {
                app.store.freeze(reason, &app.context()).await?;
                None
            }
            None => Some(app.store.mark_restored(&app.context()).await?),
        };
        let done = Done {
            frozen: app.store.frozen().await?,
            marked,
        };
        output.answer(&done, |done, ink| {
            let banner = render::freeze::banner(done.frozen.as_ref(), ink);
            let marked = done.marked.as_ref().map(render::backup::marked);
            format!(
                "{}{}",
                banner.trim_end_matches('\n').to_owned() + "\n",
                marked.unwrap_or_default()
            )
        })?;
        Ok(Exit::Ok)
    }
}

/// Reads a reason from the command line.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > REASON_CHARS_MAX {
        return Err(format!("a reason has 1 to {REASON_CHARS_MAX} characters"));
    }
    Ok(text.to_owned())
}

/// Refuses what may not be done while the store is frozen.
pub(crate) async fn refuse_while_frozen(app: &App) -> Result<(), Failure> {
    match app.store.frozen().await? {
        None => Ok(()),
        Some(frozen) => Err(refused(&format!("{} (since {})", frozen.reason, frozen.since))),
    }
}

/// The failure of what a freeze forbids.
pub(crate) fn refused(reason: &str) -> Failure {
    Failure::new(
        Exit::Frozen,
        format!("the store is frozen, so nothing was done: {reason}"),
    )
    .advice("look at `usher status` and `usher plan`; `usher thaw --reason TEXT` lets it go on")
}
