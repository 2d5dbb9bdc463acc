//! The commands, one file each: what they take, what they do, how they end.

pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod connector;
pub(crate) mod identity;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod operations;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod status;
pub(crate) mod target;
pub(crate) mod targets;
pub(crate) mod why;

use crate::cli::{Command, Global};
use crate::failure::Outcome;
use crate::output::Output;

/// Does what was asked.
pub(crate) async fn run(command: Command, global: &Global, output: &Output) -> Outcome {
    match command {
        Command::Init(init) => init.run(global, output).await,
        Command::Policy(policy) => policy.run(global, output).await,
        Command::Targets(targets) => targets.run(global, output).await,
        Command::Connector(connector) => connector.run(global, output).await,
        Command::Import(import) => import.run(global, output).await,
        Command::Plan(plan) => plan.run(global, output).await,
        Command::Apply(apply) => apply.run(global, output).await,
        Command::Status(status) => status.run(global, output).await,
        Command::Identity(identity) => identity.run(global, output).await,
        Command::Why(why) => why.run(global, output).await,
        Command::Operations(operations) => operations.run(global, output).await,
        Command::Target(target) => target.run(global, output).await,
        Command::Audit(audit) => audit.run(global, output).await,
    }
}
