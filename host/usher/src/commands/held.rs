//! `usher held`, `usher held show`, `usher release` and `usher reject`

use std::str::FromStr;

use clap::{Args, Subcommand};
use serde::Serialize;
use usher_lifecycle::ids::{HeldCauseId, OperationId};
use usher_store::{
    HELD_CAUSES_MAX, HELD_OPERATIONS_MAX, HeldCause, HeldCauses as _, OperationRow, StoreError,
};

use super::freeze::reason;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;

/// What budgets hold: what one cause would do to one target beyond a threshold of the policy. A person releases or rejects it.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Held {
    #[command(subcommand)]
    command: Option<HeldCommand>,
}

#[derive(Debug, Subcommand)]
enum HeldCommand {
    /// The operations of one held cause, with their people and causes.
    Show {
        /// Its id (held_…).
        id: HeldCauseId,
        /// Only what comes after this operation: the last one of the page before.
        #[arg(long, value_name = "OPERATION")]
        after: Option<OperationId>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(HELD_OPERATIONS_MAX)))]
        limit: u32,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    held: Vec<HeldCause>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    held: HeldCause,
    operations: Vec<OperationRow>,
    /// Give it as `--after` for the next page; nothing when this is the last.
    next: Option<OperationId>,
}

impl Held {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::recovered(global, output).await?;
        match &self.command {
            None => {
                let listed = Listed {
                    held: app.store.held_causes(HELD_CAUSES_MAX).await?,
                };
                output.answer(&listed, |listed, ink| render::held::causes(&listed.held, ink))?;
            }
            Some(HeldCommand::Show { id, after, limit }) => {
                let operations = app.store.held_operations(*id, *after, *limit).await?;
                let whole = operations.len() < *limit as usize;
                let shown = Shown {
                    held: app.store.held_cause(*id).await?,
                    next: operations.last().map(|last| last.id).filter(|_| !whole),
                    operations,
                };
                output.answer(&shown, |shown, ink| {
                    render::held::one(&shown.held, &shown.operations, shown.next, ink)
                })?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// A held cause, or one operation of one.
#[derive(Clone, Copy, Debug)]
enum Which {
    Cause(HeldCauseId),
    Operation(OperationId),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let cause = text.parse().map(Self::Cause);
        cause
            .or_else(|_| text.parse().map(Self::Operation))
            .map_err(|_| format!("`{text}` is neither a held cause (held_…) nor an operation (op_…)"))
    }
}

/// Let run what a budget holds, beyond the budget: all of a cause, or one operation.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The held cause (held_…), or one operation of it (op_…).
    id: Which,
    /// Why; kept in the audit.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Only if it has exactly so many operations: what you looked at is what runs.
    #[arg(long, value_name = "N")]
    expect: Option<u64>,
}

/// Keep from running what a budget holds: all of a cause, or one operation. It stays held until facts or policy change and the plan overtakes it.
#[derive(Debug, Args)]
pub(crate) struct Reject {
    /// The held cause (held_…), or one operation of it (op_…).
    id: Which,
    /// Why; kept in the audit, and shown with each operation.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Only if it has exactly so many operations.
    #[arg(long, value_name = "N")]
    expect: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Decided {
    operations: u64,
}

/// `--expect` counts the operations of a cause; one operation has nothing to count.
fn refuse_expect(id: Which, expect: Option<u64>) -> Result<(), Failure> {
    match (id, expect) {
        (Which::Operation(operation), Some(_)) => {
            let message = format!(
                "--expect counts the operations of a held cause (held_…), and {operation} is one operation"
            );
            Err(Failure::new(Exit::Usage, message).advice("leave --expect out"))
        }
        (Which::Operation(_), None) | (Which::Cause(_), _) => Ok(()),
    }
}

impl Release {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        refuse_expect(self.id, self.expect)?;
        let app = App::recovered(global, output).await?;
        let (store, context) = (&app.store, app.context());
        let operations = match self.id {
            Which::Cause(id) => {
                store
                    .release_cause(id, self.expect, &self.reason, &context)
                    .await?
            }
            Which::Operation(id) => one(store.release_operation(id, &self.reason, &context).await)?,
        };
        decided(output, operations, render::held::released)
    }
}

impl Reject {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        refuse_expect(self.id, self.expect)?;
        let app = App::recovered(global, output).await?;
        let (store, context) = (&app.store, app.context());
        let operations = match self.id {
            Which::Cause(id) => {
                store
                    .reject_cause(id, self.expect, &self.reason, &context)
                    .await?
            }
            Which::Operation(id) => one(store.reject_operation(id, &self.reason, &context).await)?,
        };
        decided(output, operations, render::held::rejected)
    }
}

fn one(done: Result<(), StoreError>) -> Result<u64, StoreError> {
    done.map(|()| 1)
}

fn decided(output: &Output, operations: u64, render: fn(u64) -> String) -> Outcome {
    output.answer(&Decided { operations }, |decided, _| render(decided.operations))?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_operation_is_not_counted() {
        let operation: Which = "op_0192f3c4-0000-7000-8000-000000000000".parse().unwrap();
        let cause: Which = "held_0192f3c4-0000-7000-8000-000000000000".parse().unwrap();
        assert_eq!(refuse_expect(operation, Some(1)).unwrap_err().exit(), Exit::Usage);
        assert!(refuse_expect(operation, None).is_ok());
        assert!(refuse_expect(cause, Some(1)).is_ok());
    }

    #[test]
    fn a_cause_or_an_operation_is_meant() {
        let cause: Which = "held_0192f3c4-0000-7000-8000-000000000000".parse().unwrap();
        assert!(matches!(cause, Which::Cause(_)));
        let operation: Which = "op_0192f3c4-0000-7000-8000-000000000000".parse().unwrap();
        assert!(matches!(operation, Which::Operation(_)));
        assert!("idn_x".parse::<Which>().unwrap_err().contains("held_"));
    }
}
