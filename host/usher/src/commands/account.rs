//! `usher account link|unlink|ignore`

use clap::Subcommand;
use serde::Serialize;
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::name::{AccountKind, TargetName};
use usher_store::{FoundAccounts as _, Identities as _};

use super::freeze::reason;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render::escape::word;
use crate::wiring::app::App;

/// Decide whose an account of a target is. Nothing is written to the target by this; the next plan follows from it.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// It is this person's.
    Link {
        /// The target.
        target: TargetName,
        /// The target's id of the account, as `usher accounts` shows it.
        id: String,
        /// The person: the key a source gives them, or their id.
        identity: String,
        /// As which kind of account.
        #[arg(long, default_value = "primary")]
        kind: AccountKind,
        /// How that is known; kept in the audit.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// It is not its owner's: they are to have another one. It stays as it is in the target; no rule links it again. A missing one is made again.
    Unlink {
        /// The target.
        target: TargetName,
        /// The target's id of the account.
        id: String,
        /// How that is known; kept in the audit.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// It is nobody's and stays as it is: a service account, somebody's test. It is not listed any more, and no reaction touches it.
    Ignore {
        /// The target.
        target: TargetName,
        /// The target's id of the account.
        id: String,
        /// Why; kept with the account.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        /// Take that back.
        #[arg(long)]
        undo: bool,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Decided<'a> {
    target: &'a TargetName,
    id: &'a str,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<IdentityId>,
}

impl AccountCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::recovered(global, output).await?;
        let context = app.context();
        let decided = match self {
            Self::Link {
                target,
                id,
                identity,
                kind,
                reason,
            } => {
                let identity = app.store.identity(identity).await?.id;
                let slot = AccountSlot {
                    target: target.clone(),
                    kind: kind.clone(),
                };
                app.store
                    .link_account(&slot, id, identity, reason, &context)
                    .await?;
                Decided {
                    target,
                    id,
                    decision: "linked",
                    identity: Some(identity),
                }
            }
            Self::Unlink { target, id, reason } => {
                let identity = app.store.unlink_account(target, id, reason, &context).await?;
                Decided {
                    target,
                    id,
                    decision: "unlinked",
                    identity: Some(identity),
                }
            }
            Self::Ignore {
                target,
                id,
                reason,
                undo,
            } => {
                app.store
                    .ignore_account(target, id, !undo, reason, &context)
                    .await?;
                Decided {
                    target,
                    id,
                    decision: if *undo { "heeded" } else { "ignored" },
                    identity: None,
                }
            }
        };
        output.answer(&decided, |decided, _| told(decided))?;
        Ok(Exit::Ok)
    }
}

fn told(decided: &Decided<'_>) -> String {
    let account = format!("account {} of {}", word(decided.id), decided.target);
    match (decided.decision, decided.identity) {
        ("linked", Some(identity)) => {
            format!("Linked: {account} is {identity}'s. See what follows with `usher plan`.\n")
        }
        ("unlinked", Some(identity)) => format!(
            "Unlinked: {account} is not {identity}'s any more. It stays as it is there; see what follows with `usher plan`.\n"
        ),
        ("ignored", _) => format!("Ignored: {account} stays as it is.\n"),
        _ => format!("Not ignored any more: {account}.\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn each_decision_is_said_with_what_comes_of_it() {
        let target = "app".parse().unwrap();
        let said: String = ["linked", "unlinked", "ignored", "heeded"]
            .map(|decision| {
                told(&Decided {
                    target: &target,
                    id: "mei\u{1b}[31m",
                    decision,
                    identity: Some(samples::identity_id(7)),
                })
            })
            .concat();
        insta::assert_snapshot!(said);
    }
}
