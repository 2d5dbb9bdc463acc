//! `usher identity show | hold | assign | except | join | end | erase`

use std::io::{BufRead as _, IsTerminal as _};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use usher_engine::RecordKey;
use usher_lifecycle::assignment::Origin;
use usher_lifecycle::facts::HoldKind;
use usher_lifecycle::name::{Name, RoleName, SourceName};
use usher_store::{Erased, Erasure as _, FactId, NewFact};

use super::freeze::reason;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::render::escape::safe;
use crate::wiring::app::App;
use crate::wiring::clock::parse_bound;

/// One person.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Facts, state and when it next changes, roles, accounts, timeline with causes.
    Show {
        /// The key a source gives them, or their id (idn_…).
        key: String,
    },
    /// Keep a person from their accounts, whatever dates and rules say, until it is ended or its time is over.
    ///
    /// Disables what they have at the next apply. A security hold goes before everything queued; but a target that only observes stays as it is, and nothing
    /// runs while the store is frozen.
    Hold(Hold),
    /// Give a person a role, whatever its rule says.
    Assign(Assign),
    /// Let a person have what a separation of duties keeps apart, for a time.
    Except(Except),
    /// Say whose a source record is: it moves to this person, with all it says.
    ///
    /// For what no `join` of the policy can tell. Whoever had it is left with their other records; nobody with accounts is left with none.
    Join(Join),
    /// End a hold, an assignment or an exception. It stays on record.
    End {
        /// Its id: hold_…, asg_… or exc_…, as `usher identity show` tells it.
        id: FactId,
        /// Why.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// Erase a departed person's data, for ever: facts, accounts, operations, and what the audit says of them. Their id stays, as a pseudonym.
    Erase(Erase),
}

/// Whom to hold, and what for.
#[derive(Debug, Args)]
pub(crate) struct Hold {
    /// The key a source gives them, or their id (idn_…).
    key: String,
    /// What for.
    #[arg(long, value_enum, default_value_t = Kind::Manual)]
    kind: Kind,
    /// Why.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Begins then; at once when not given.
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    from: Option<Timestamp>,
    /// Ends by itself then.
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    until: Option<Timestamp>,
}

/// What a hold is for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Access must stop now.
    Security,
    /// Any other reason.
    Manual,
}

/// Whom to give which role.
#[derive(Debug, Args)]
pub(crate) struct Assign {
    /// The key a source gives them, or their id (idn_…).
    key: String,
    /// The role, by its name in the policy.
    role: RoleName,
    /// They asked for it, and somebody agreed.
    #[arg(long)]
    requested: bool,
    /// Why.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Counts from then on; at once when not given.
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    from: Option<Timestamp>,
    /// Counts until then.
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    until: Option<Timestamp>,
}

/// Whom to except from which separation.
#[derive(Debug, Args)]
pub(crate) struct Except {
    /// The key a source gives them, or their id (idn_…).
    key: String,
    /// The separation, by its name in the policy.
    separation: Name,
    /// Until when.
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    until: Timestamp,
    /// Why.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

/// Whose a record is.
#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The key a source gives them, or their id (idn_…): of the person the record belongs to.
    key: String,
    /// The source of the record.
    #[arg(long, value_name = "SOURCE")]
    source: SourceName,
    /// The key of the record in that source.
    #[arg(long, value_name = "KEY")]
    record: String,
    /// How you know.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

/// Whom to erase.
#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// The key a source gives them, or their id (idn_…).
    key: String,
    /// Why; stays readable in the audit for ever, so no personal data belongs into it.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Do it without asking.
    #[arg(long)]
    yes: bool,
}

impl IdentityCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::recovered(global, output).await?;
        match self {
            Self::Show { key } => {
                output.answer(&app.engine.show(key).await?, render::identity::identity)?;
            }
            Self::Hold(hold) => {
                let kind = match hold.kind {
                    Kind::Security => HoldKind::Security,
                    Kind::Manual => HoldKind::Manual,
                };
                let fact = NewFact::Hold {
                    kind,
                    from: hold.from.unwrap_or_else(|| app.clock().now()),
                    until: hold.until,
                };
                set(&app, output, &hold.key, &fact, &hold.reason).await?;
            }
            Self::Assign(assign) => {
                let fact = NewFact::Assignment {
                    role: assign.role.clone(),
                    origin: if assign.requested {
                        Origin::Request
                    } else {
                        Origin::Manual
                    },
                    valid_from: assign.from,
                    valid_until: assign.until,
                };
                set(&app, output, &assign.key, &fact, &assign.reason).await?;
            }
            Self::Except(except) => {
                let fact = NewFact::Exception {
                    separation: except.separation.clone(),
                    until: except.until,
                };
                set(&app, output, &except.key, &fact, &except.reason).await?;
            }
            Self::Join(join) => {
                let record = RecordKey {
                    source: join.source.clone(),
                    key: join.record.clone(),
                };
                let joined = app
                    .engine
                    .join_record(&join.key, &record, &join.reason, app.actor())
                    .await?;
                output.answer(&joined, |joined, _| render::personal_facts::joined(joined))?;
            }
            Self::End { id, reason } => {
                let ended = app.engine.end_fact(*id, reason, app.actor()).await?;
                output.answer(&ended, |ended, _| render::personal_facts::ended(ended))?;
            }
            Self::Erase(erase) => {
                let erased = erase.run(&app, output).await?;
                output.answer(&erased, |erased, _| render::identity::erased(erased))?;
            }
        }
        Ok(Exit::Ok)
    }
}

async fn set(app: &App, output: &Output, key: &str, fact: &NewFact, reason: &str) -> Result<(), Failure> {
    let set = app.engine.set_fact(key, fact, reason, app.actor()).await?;
    output.answer(&set, |set, _| render::personal_facts::added(set))
}

impl Erase {
    async fn run(&self, app: &App, output: &Output) -> Result<Erased, Failure> {
        let id = app.store.erasable(&self.key, app.context().at).await?;
        if !self.yes {
            self.ask(output)?;
        }
        Ok(app.store.erase(id, &self.reason, &app.context()).await?)
    }

    /// A person types the key once more; nobody can be asked in a script.
    fn ask(&self, output: &Output) -> Result<(), Failure> {
        let key = safe(&self.key);
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Err(Failure::new(
                Exit::Usage,
                format!("nothing was erased: there is no way back from erasing {key}"),
            )
            .advice("add --yes if that is what you want"));
        }
        output.note(&format!(
            "There is no way back. To erase everything about {key}, type that key once more:"
        ));
        let mut typed = String::new();
        stdin
            .lock()
            .read_line(&mut typed)
            .map_err(|error| Failure::unexpected(&error))?;
        if typed.trim_end_matches(['\r', '\n']) == self.key {
            return Ok(());
        }
        Err(Failure::new(
            Exit::BadInput,
            "nothing was erased: that is not the key",
        ))
    }
}
