//! `usher audit verify | tail`

use clap::Subcommand;
use serde::Serialize;
use usher_store::{Audit as _, AuditRow};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render;
use crate::render::table::count;
use crate::wiring::app::App;

/// Most rows shown at once: a few MiB.
const ROWS_MAX: i64 = 10_000;

/// The audit.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Recompute the hash chains: finds an edit, a gap, a reorder.
    Verify,
    /// Print the newest rows, oldest first.
    Tail {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=ROWS_MAX))]
        rows: u32,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Verified {
    rows: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Tail {
    rows: Vec<AuditRow>,
}

impl AuditCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::open(global).await?;
        match self {
            Self::Verify => {
                let verified = Verified {
                    rows: app.store.audit_verify().await?,
                };
                output.answer(&verified, |verified, _| {
                    format!(
                        "The audit is whole: {} verified\n",
                        count(verified.rows, "row", "rows")
                    )
                })?;
            }
            Self::Tail { rows } => {
                let tail = Tail {
                    rows: app.store.audit_tail(*rows).await?,
                };
                output.answer(&tail, |tail, ink| render::timeline::audit(&tail.rows, ink))?;
            }
        }
        Ok(Exit::Ok)
    }
}
