//! `usher audit verify | tail | search | export | checkpoint`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use usher_lifecycle::name::TargetName;
use usher_store::{
    Audit as _, AuditPage, AuditQuery, AuditRow, Checkpoint, Checkpoints as _, Evidence, Identities as _,
    PublicKey, Verified,
};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;
use crate::wiring::clock::parse_bound;
use crate::wiring::files::{self, Lines};

/// Most rows shown at once: a few MiB.
const ROWS_MAX: i64 = 10_000;
/// Rows of an export that are read at once.
const EXPORTED_AT_ONCE: u32 = 1_000;
/// Largest file of exported checkpoints that is read, in bytes: years of them.
const EVIDENCE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The audit.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Recompute the hash chains and check the checkpoints: finds an edit, a gap, a reorder, and what was cut off behind a checkpoint.
    Verify {
        /// A file of exported checkpoints (`usher audit checkpoint --out FILE`), kept off this machine: finds what was cut off before the
        /// last of them, whoever did it.
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// The public key that must have signed every checkpoint (`usher key status`).
        #[arg(long, value_name = "KEY")]
        public_key: Option<PublicKey>,
    },
    /// Print the newest rows, oldest first.
    Tail {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=ROWS_MAX))]
        rows: u32,
    },
    /// Look for rows, newest first.
    Search(Search),
    /// Write rows as JSON Lines, oldest first, each with the hash that chains it.
    Export {
        /// Not before this time; a date is its first moment in UTC.
        #[arg(long, value_name = "TIME", value_parser = parse_bound)]
        since: Option<Timestamp>,
        /// Into this new file, readable by you alone, instead of stdout.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Sign the ends of the chains. Kept off this machine, the checkpoint proves what was there.
    Checkpoint {
        /// Append it to this file, as one line of JSON; without it, it is printed.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// What to look for.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// About this person: the key a source gives them, or their id (idn_…).
    #[arg(long, value_name = "KEY")]
    identity: Option<String>,
    /// This event, or all of its kind: `operation` finds operation.done.
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Whose actor contains this: `ada`, `source hr`, `policy 3`.
    #[arg(long, value_name = "TEXT")]
    actor: Option<String>,
    /// About accounts of this target.
    #[arg(long, value_name = "TARGET")]
    target: Option<TargetName>,
    /// Not before this time; a date is its first moment in UTC.
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    since: Option<Timestamp>,
    /// Before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    until: Option<Timestamp>,
    /// Whose causes or details contain this.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=ROWS_MAX))]
    limit: u32,
    /// Go on where an earlier search ended.
    #[arg(long, value_name = "SEQ")]
    before: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Tail {
    rows: Vec<AuditRow>,
}

impl AuditCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::Verify { against, public_key } => {
                let evidence = Evidence {
                    checkpoints: against.as_deref().map(exported).transpose()?.unwrap_or_default(),
                    public_key: *public_key,
                };
                let app = App::open(global).await?;
                let verified = app.store.audit_verify_against(&evidence).await?;
                output.answer(&verified, |verified: &Verified, ink| {
                    render::audit::verified(verified, ink)
                })?;
            }
            Self::Tail { rows } => {
                let app = App::open(global).await?;
                let tail = Tail {
                    rows: app.store.audit_tail(*rows).await?,
                };
                output.answer(&tail, |tail, ink| render::timeline::audit(&tail.rows, ink))?;
            }
            Self::Search(search) => {
                let app = App::open(global).await?;
                let page = search.run(&app).await?;
                output.answer(&page, render::audit::found)?;
            }
            Self::Export { since, out } => export(&App::open(global).await?, *since, out.as_deref()).await?,
            Self::Checkpoint { out } => checkpoint(&App::open(global).await?, out.as_deref(), output).await?,
        }
        Ok(Exit::Ok)
    }
}

impl Search {
    async fn run(&self, app: &App) -> Result<AuditPage, Failure> {
        let identity = match &self.identity {
            Some(key) => Some(app.store.identity(key).await?.reference),
            None => None,
        };
        let mut wanted = AuditQuery {
            identity,
            event: self.event.clone(),
            actor: self.actor.clone(),
            target: self.target.clone(),
            since: self.since,
            until: self.until,
            text: self.text.clone(),
            before: self.before,
            limit: self.limit,
        };
        let mut found = AuditPage::default();
        loop {
            let page = app.store.audit_search(&wanted).await?;
            wanted.limit -= u32::try_from(page.rows.len())
                .unwrap_or(wanted.limit)
                .min(wanted.limit);
            wanted.before = page.next;
            found.rows.extend(page.rows);
            found.next = page.next;
            if wanted.limit == 0 || found.next.is_none() {
                return Ok(found);
            }
        }
    }
}

/// Reads exported checkpoints, one a line.
fn exported(path: &Path) -> Result<Vec<Checkpoint>, Failure> {
    let text = files::read_text(path, EVIDENCE_BYTES_MAX)?;
    let lines = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            Checkpoint::parse(line).map_err(|reason| {
                Failure::new(Exit::BadInput, format!("{}:{number}: {reason}", path.display()))
            })
        })
        .collect()
}

async fn export(app: &App, since: Option<Timestamp>, out: Option<&Path>) -> Result<(), Failure> {
    let mut lines = Lines::to(out)?;
    let mut after = 0;
    loop {
        let rows = app.store.audit_export(after, since, EXPORTED_AT_ONCE).await?;
        let Some(last) = rows.last() else {
            return lines.finish();
        };
        after = last.row.seq;
        for row in &rows {
            let line = serde_json::to_string(row).map_err(|error| Failure::unexpected(&error))?;
            if !lines.write(&line)? {
                return Ok(());
            }
        }
    }
}

async fn checkpoint(app: &App, out: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let checkpoint = match app.store.seal(&app.context()).await? {
        Some(made) => Some(made),
        // Nothing was recorded since the last one: it is still the truth.
        None => app.store.newest_checkpoint().await?,
    };
    let Some(checkpoint) = checkpoint else {
        return Err(Failure::new(
            Exit::BadInput,
            "nothing was recorded yet, so there is nothing to sign",
        ));
    };
    match out {
        Some(path) => {
            files::append_line(path, &checkpoint.to_line())?;
            output.answer(checkpoint.content(), |content, _| {
                render::audit::checkpoint(content, path)
            })
        }
        None => output.answer(&checkpoint, |checkpoint, _| format!("{}\n", checkpoint.to_line())),
    }
}
