//! The commands, one file each: what they take, what they do, how they end.

pub(crate) mod account;
pub(crate) mod accounts;
pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod connector;
pub(crate) mod document;
pub(crate) mod freeze;
pub(crate) mod held;
pub(crate) mod identity;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod operations;
pub(crate) mod plan;
pub(crate) mod reconcile;
pub(crate) mod restore;
pub(crate) mod revoke;
pub(crate) mod secret;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod target;
pub(crate) mod thaw;
pub(crate) mod why;

use usher_store::DocumentKind;

use crate::cli::{Command, Global};
use crate::failure::Outcome;
use crate::output::Output;
use crate::wiring::file_limit;

/// Does what was asked.
pub(crate) async fn run(command: Command, global: &Global, output: &Output) -> Outcome {
    file_limit::is_an_error();
    match command {
        Command::Init(init) => init.run(global, output).await,
        Command::Policy(policy) => policy.run(DocumentKind::Policy, global, output).await,
        Command::Targets(targets) => targets.run(DocumentKind::Targets, global, output).await,
        Command::Connector(connector) => connector.run(global, output).await,
        Command::Import(import) => import.run(global, output).await,
        Command::Plan(plan) => plan.run(global, output).await,
        Command::Apply(apply) => apply.run(global, output).await,
        Command::Serve(serve) => serve.run(global).await,
        Command::Status(status) => status.run(global, output).await,
        Command::Identity(identity) => identity.run(global, output).await,
        Command::Why(why) => why.run(global, output).await,
        Command::Operations(operations) => operations.run(global, output).await,
        Command::Held(held) => held.run(global, output).await,
        Command::Release(release) => release.run(global, output).await,
        Command::Reject(reject) => reject.run(global, output).await,
        Command::Reconcile(reconcile) => reconcile.run(global, output).await,
        Command::Accounts(accounts) => accounts.run(global, output).await,
        Command::Account(account) => account.run(global, output).await,
        Command::Target(target) => target.run(global, output).await,
        Command::Audit(audit) => audit.run(global, output).await,
        Command::Secret(secret) => secret.run(global, output).await,
        Command::Key(key) => key.run(global, output).await,
        Command::Revoke(revoke) => revoke.run(global, output).await,
        Command::Freeze(freeze) => freeze.run(global, output).await,
        Command::Thaw(thaw) => thaw.run(global, output).await,
        Command::Backup(backup) => backup.run(global, output).await,
        Command::Restore(restore) => restore.run(global, output).await,
    }
}
