//! `usher operations` and `usher operations retry`

use clap::{Args, Subcommand};
use serde::Serialize;
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::operation::OperationState;
use usher_store::{Identities as _, OperationFilter, OperationRow, Operations as _};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;

/// Most operations listed at once: a few MiB.
const LIMIT_MAX: u32 = 10_000;

/// List operations, newest first.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct OperationsCommand {
    /// Only in this state; may be given several times.
    #[arg(long, value_parser = parse_state)]
    state: Vec<OperationState>,
    /// Only of this target.
    #[arg(long)]
    target: Option<TargetName>,
    /// Only of this person: the key a source gives them, or their id.
    #[arg(long, value_name = "KEY")]
    identity: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(LIMIT_MAX)))]
    limit: u32,
    #[command(subcommand)]
    command: Option<OperationsSubcommand>,
}

#[derive(Debug, Subcommand)]
enum OperationsSubcommand {
    /// Let a held or failed operation run again with the next apply.
    Retry {
        /// Its id (op_…).
        operation: OperationId,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    operations: Vec<OperationRow>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Released {
    operation: OperationId,
}

impl OperationsCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::recovered(global, output).await?;
        match &self.command {
            Some(OperationsSubcommand::Retry { operation }) => {
                app.store.retry(*operation, &app.context()).await?;
                output.answer(
                    &Released {
                        operation: *operation,
                    },
                    |released, _| format!("{} runs again with the next `usher apply`\n", released.operation),
                )?;
            }
            None => {
                let listed = Listed {
                    operations: self.list(&app).await?,
                };
                output.answer(&listed, |listed, ink| {
                    render::operations::operations(&listed.operations, ink)
                })?;
            }
        }
        Ok(Exit::Ok)
    }

    async fn list(&self, app: &App) -> Result<Vec<OperationRow>, Failure> {
        let identity = match &self.identity {
            Some(key) => Some(app.store.identity(key).await?.reference),
            None => None,
        };
        let filter = OperationFilter {
            states: self.state.clone(),
            target: self.target.clone(),
            identity,
            without_budgets: false,
            limit: self.limit,
        };
        Ok(app.store.operations(&filter).await?)
    }
}

fn parse_state(text: &str) -> Result<OperationState, String> {
    OperationState::ALL
        .into_iter()
        .find(|state| state.to_string() == text)
        .ok_or_else(|| {
            let all = OperationState::ALL.map(|state| state.to_string()).join(", ");
            format!("the states are {all}")
        })
}
