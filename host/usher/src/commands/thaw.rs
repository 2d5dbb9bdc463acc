//! `usher thaw`

use clap::Args;
use serde::Serialize;
use usher_lifecycle::account::AccountState;
use usher_lifecycle::name::{Name, SourceName, TargetName};
use usher_lifecycle::{policy, targets};
use usher_store::{
    DocumentKind, Documents as _, Freeze, Freezing as _, Identities as _, ReconcileState, Reconciles as _,
};

use super::freeze::reason;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render::escape::message;
use crate::wiring::app::App;

/// Let a frozen store go on. Every source of the policy must have given a fresh file since the freeze: what is decided on old facts gives
/// yesterday's leavers their access back.
#[derive(Debug, Args)]
pub(crate) struct Thaw {
    /// Why that is safe; kept in the audit.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Go on without fresh files; the reason must say why the facts are right as they are.
    #[arg(long)]
    without_sources: bool,
    /// Go on without a reconcile of the targets whose accounts are not known since a restore; each is then read before it is written to.
    #[arg(long)]
    without_reconcile: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Thawed {
    was: Option<Freeze>,
    reason: String,
}

impl Thaw {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::recovered(global, output).await?;
        let was = app.store.frozen().await?;
        if let Some(freeze) = &was {
            let stale = stale_sources(&app, freeze).await?;
            if !stale.is_empty() && !self.without_sources {
                return Err(needs_sources(&stale, freeze));
            }
            let unknown = unknown_targets(&app, freeze).await?;
            if !unknown.is_empty() && !self.without_reconcile {
                return Err(needs_reconciles(&unknown, freeze));
            }
            let mut reason = self.reason.clone();
            if !stale.is_empty() {
                reason.push_str(&format!(" (without fresh files of {})", names(&stale)));
            }
            if !unknown.is_empty() {
                reason.push_str(&format!(" (without a reconcile of {})", names(&unknown)));
            }
            app.store.thaw(&reason, &app.context()).await?;
        }
        let thawed = Thawed {
            was,
            reason: self.reason.clone(),
        };
        output.answer(&thawed, |thawed, ink| match &thawed.was {
            None => "The store is not frozen\n".to_owned(),
            Some(was) => format!(
                "Thawed; it was frozen since {}: {}\nWork goes on with the next `usher apply`, or at once where a host serves.\n",
                ink.time(was.since),
                message(&was.reason)
            ),
        })?;
        Ok(Exit::Ok)
    }
}

/// Sources of the active policy that gave nothing since the freeze.
async fn stale_sources(app: &App, freeze: &Freeze) -> Result<Vec<SourceName>, Failure> {
    let Some(document) = app.store.document(DocumentKind::Policy).await? else {
        return Ok(Vec::new());
    };
    let policy = policy::parse("the active policy", &document.text)?;
    let accepted = app.store.imports_accepted().await?;
    let is_fresh = |source: &SourceName| {
        accepted
            .iter()
            .any(|(name, at)| name == source && *at >= freeze.since)
    };
    let sources = policy.sources.into_iter().map(|source| source.name);
    Ok(sources.filter(|source| !is_fresh(source)).collect())
}

/// Targets of the active document with accounts that are not known, and no reconcile since the freeze.
async fn unknown_targets(app: &App, freeze: &Freeze) -> Result<Vec<TargetName>, Failure> {
    let Some(document) = app.store.document(DocumentKind::Targets).await? else {
        return Ok(Vec::new());
    };
    let targets = targets::parse("the active targets", &document.text)?.targets;
    let reconciled = app.store.reconciles().await?;
    let totals = app.store.account_totals().await?;
    let is_fresh = |target: &TargetName| {
        reconciled.iter().any(|row| {
            row.target == *target && row.state == ReconcileState::Done && row.began_at >= freeze.since
        })
    };
    let unknown = totals
        .into_iter()
        .filter(|(_, state, accounts)| *state == AccountState::Unknown && *accounts > 0)
        .map(|(target, ..)| target);
    Ok(unknown
        .filter(|target| targets.contains_key(target) && !is_fresh(target))
        .collect())
}

fn needs_reconciles(unknown: &[TargetName], freeze: &Freeze) -> Failure {
    let message = format!(
        "it stays frozen: how the accounts of {} are is not known, and there was no reconcile since {}",
        names(unknown),
        freeze.since
    );
    Failure::new(Exit::Frozen, message).advice(
        "run `usher reconcile TARGET` for each; if a target cannot be listed now, add --without-reconcile: its accounts are then read one by one",
    )
}

fn needs_sources(stale: &[SourceName], freeze: &Freeze) -> Failure {
    let named = names(stale);
    let message = format!(
        "it stays frozen: since {} no import was accepted of {named}",
        freeze.since
    );
    Failure::new(Exit::Frozen, message).advice(
        "import a fresh file of each with `usher import FILE --source NAME`; if the facts are right as they are, add --without-sources",
    )
}

fn names(all: &[Name]) -> String {
    let names: Vec<String> = all.iter().map(ToString::to_string).collect();
    names.join(", ")
}
