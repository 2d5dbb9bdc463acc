//! The command line: one place that says what can be asked. What each command does is in `commands/`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use usher_connectors::SecretString;

use crate::commands;
use crate::exit::Exit;
use crate::logging::Voice;

const ABOUT: &str =
    "Shows people in, and out: keeps the accounts of every connected system as your HR data and policy say.";

const LONG_ABOUT: &str = "\
Shows people in, and out: keeps the accounts of every connected system as your HR data and policy say.

A first day:
  usher init                              make a data folder
  usher connector add sql.wasm            add a connector
  usher targets activate targets.toml     say which systems there are
  usher policy activate policy.toml       say who gets what
  usher import people.csv --source hr     tell it who works here
  usher plan                              look at what it would do
  usher apply                             do it";

/// The argument that makes this program the one that compiles a component, for itself: no command, since nobody is to type it.
pub(crate) const COMPILE_COMPONENT: &str = "compile-component";

/// Longest lease, in seconds: for so long the work of a crashed host lies still.
const LEASE_SECONDS_MAX: u64 = 3_600;

/// Usher's command line.
#[derive(Debug, Parser)]
#[command(name = "usher", version, about = ABOUT, long_about = LONG_ABOUT, after_long_help = Exit::table())]
#[command(
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
pub(crate) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The data folder. With --database it keeps compiled connectors only, and is made when it is missing.
    #[arg(
        long,
        global = true,
        env = "USHER_DATA",
        value_name = "DIR",
        default_value = "./usher-data"
    )]
    pub(crate) data: PathBuf,
    /// A PostgreSQL database instead of the data folder: postgres://user@host/name?sslmode=verify-full.
    ///
    /// Several hosts may share it. A password on the command line is visible to everybody on this machine: set USHER_DATABASE, use
    /// --database-file, or leave the password out and give it as PGPASSWORD or in ~/.pgpass.
    #[arg(long, global = true, env = "USHER_DATABASE", hide_env_values = true, value_name = "URL", value_parser = secret)]
    pub(crate) database: Option<SecretString>,
    /// A file that holds the address of the database, readable by you alone.
    #[arg(long, global = true, env = "USHER_DATABASE_FILE", value_name = "FILE")]
    pub(crate) database_file: Option<PathBuf>,
    /// A file that holds the key of the store, readable by you alone. Without it: USHER_KEY, USHER_KEY_COMMAND, or usher.key in the data folder.
    #[arg(long, global = true, env = "USHER_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// How long other hosts leave this one's work alone when the database does not hear from it.
    ///
    /// Each host's own: the others learn it from the database. Longer than a failover of the database takes, shorter than you would wait for a crashed host.
    #[arg(long, global = true, env = "USHER_LEASE_SECONDS", value_name = "SECONDS", hide_short_help = true, default_value_t = usher_store::postgres::LEASE.as_secs(), value_parser = clap::value_parser!(u64).range(1..=LEASE_SECONDS_MAX))]
    pub(crate) lease_seconds: u64,
    /// Print one JSON document on stdout; errors are JSON on stderr.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Set the clock of a rehearsal.
    ///
    /// Only in a folder or database made with `usher init --rehearsal`: for trying what the coming weeks would bring, and for tests. Takes an RFC 3339
    /// time (2026-03-02T09:00:00+01:00) or a date (noon UTC of that day). The clock runs on from there; later commands without --now
    /// go on where it stood. It cannot be set to before what was already recorded.
    #[arg(long, global = true, value_name = "TIME", value_parser = crate::wiring::clock::parse_moment)]
    pub(crate) now: Option<jiff::Timestamp>,
    /// Log to stderr; -vv logs more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// No colours. (NO_COLOR in the environment does the same.)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

#[expect(clippy::unnecessary_wraps, reason = "what the parser of an option looks like")]
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::new(text))
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a data folder, or the tables in a database.
    Init(commands::init::Init),
    /// The policy document: sources, roles, mappings.
    #[command(subcommand)]
    Policy(commands::document::DocumentCommand),
    /// The targets document: connected systems, grants, limits.
    #[command(subcommand)]
    Targets(commands::document::DocumentCommand),
    /// Connectors: the WebAssembly components that speak to systems.
    #[command(subcommand)]
    Connector(commands::connector::ConnectorCommand),
    /// Take in a file of people: all of it or nothing.
    Import(commands::import::Import),
    /// Show what would be done, and why. Changes nothing.
    Plan(commands::plan::Plan),
    /// Do it.
    Apply(commands::apply::Apply),
    /// Keep it so, by itself, until stopped.
    Serve(commands::serve::Serve),
    /// How everything is.
    Status(commands::status::Status),
    /// One person: facts, state, accounts, timeline.
    #[command(subcommand)]
    Identity(commands::identity::IdentityCommand),
    /// Why a person has an account, or why not.
    Why(commands::why::Why),
    /// Operations: the queue and what became of them.
    Operations(commands::operations::OperationsCommand),
    /// What budgets hold: what one cause would do beyond a threshold.
    Held(commands::held::Held),
    /// Let run what a budget holds.
    Release(commands::held::Release),
    /// Keep from running what a budget holds.
    Reject(commands::held::Reject),
    /// Compare a target's accounts with what is remembered of them.
    Reconcile(commands::reconcile::Reconcile),
    /// Accounts of targets that are not plainly linked to a person.
    Accounts(commands::accounts::Accounts),
    /// Decide whose an account is.
    #[command(subcommand)]
    Account(commands::account::AccountCommand),
    /// One connected system.
    #[command(subcommand)]
    Target(commands::target::TargetCommand),
    /// What was done, by whom, why.
    #[command(subcommand)]
    Audit(commands::audit::AuditCommand),
    /// Secrets of targets, encrypted in the store.
    #[command(subcommand)]
    Secret(commands::secret::SecretCommand),
    /// The key of the store.
    #[command(subcommand)]
    Key(commands::key::KeyCommand),
    /// End all access of a person now, before everything else.
    Revoke(commands::revoke::Revoke),
    /// Stop everything.
    Freeze(commands::freeze::Freeze),
    /// Let a frozen store go on.
    Thaw(commands::thaw::Thaw),
    /// Copy the data folder's database into a file, also while it is in use.
    Backup(commands::backup::Backup),
    /// Make a new data folder of a backup; it begins frozen.
    Restore(commands::restore::Restore),
}

impl Command {
    /// What it says of its work without being asked.
    pub(crate) const fn voice(&self) -> Voice {
        match self {
            Self::Serve(serve) => Voice::Server(serve.log),
            _ => Voice::Quiet,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_long_help_tells_the_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("Exit codes:"), "{help}");
        assert!(help.contains("\n    4  the saved plan"), "{help}");
    }

    #[test]
    fn options_of_every_command_are_taken_after_the_command() {
        let cli =
            Cli::try_parse_from(["usher", "plan", "--json", "--now", "2026-03-02", "--data", "/x"]).unwrap();
        assert!(cli.global.json);
        assert_eq!(cli.global.now.unwrap().to_string(), "2026-03-02T12:00:00Z");
        assert_eq!(cli.global.data, PathBuf::from("/x"));
    }

    #[test]
    fn operations_takes_filters_or_a_subcommand() {
        Cli::try_parse_from([
            "usher",
            "operations",
            "--state",
            "held",
            "--state",
            "failed",
            "--target",
            "app",
        ])
        .unwrap();
        Cli::try_parse_from([
            "usher",
            "operations",
            "retry",
            "op_0192f3c4-0000-7000-8000-000000000000",
        ])
        .unwrap();
        assert!(Cli::try_parse_from(["usher", "operations", "retry", "idn_x"]).is_err());
        assert!(Cli::try_parse_from(["usher", "operations", "--state", "busy"]).is_err());
    }
}
