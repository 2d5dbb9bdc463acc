//! `usher thaw`

use clap::Args;
use serde::Serialize;
use usher_lifecycle::name::SourceName;
use usher_lifecycle::policy;
use usher_store::{DocumentKind, Documents as _, Freeze, Freezing as _};

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
            let reason = if stale.is_empty() {
                self.reason.clone()
            } else {
                format!("{} (without fresh files of {})", self.reason, names(&stale))
            };
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

fn names(sources: &[SourceName]) -> String {
    let names: Vec<String> = sources.iter().map(ToString::to_string).collect();
    names.join(", ")
}
