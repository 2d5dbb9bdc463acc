//! `usher accounts`

use clap::Args;
use serde::Serialize;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::situation::Situation;
use usher_store::{FoundAccount, FoundAccounts as _, FoundFilter, FoundTotal};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;

/// Most accounts listed at once.
const LIMIT_MAX: u32 = 1_000;

/// List the accounts of targets that are not plainly linked to a person, as the last reconciles found them.
#[derive(Debug, Args)]
pub(crate) struct Accounts {
    /// Only of this target.
    #[arg(long)]
    target: Option<TargetName>,
    /// Only in this situation: unlinked, unmatched, ambiguous, missing or disputed.
    #[arg(long, value_parser = parse_situation)]
    situation: Option<Situation>,
    /// Also those somebody has decided to ignore.
    #[arg(long)]
    ignored: bool,
    /// Go on behind this one, as the end of the last page says.
    #[arg(long, value_name = "ID", requires = "target")]
    after: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(LIMIT_MAX)))]
    limit: u32,
}

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Listed {
    /// How many there are in all, of all targets.
    pub(crate) totals: Vec<FoundTotal>,
    /// The page.
    pub(crate) accounts: Vec<FoundAccount>,
    /// There are more behind the last one.
    pub(crate) more: bool,
}

impl Accounts {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::recovered(global, output).await?;
        let filter = FoundFilter {
            target: self.target.clone(),
            situation: self.situation,
            decided: self.ignored,
            after: self.target.clone().zip(self.after.clone()),
            // One more tells whether there are more.
            limit: self.limit.saturating_add(1).min(LIMIT_MAX),
        };
        let mut accounts = app.store.found_accounts(&filter).await?;
        let more = accounts.len() > self.limit as usize;
        accounts.truncate(self.limit as usize);
        let listed = Listed {
            totals: app.store.found_totals().await?,
            accounts,
            more,
        };
        output.answer(&listed, render::found::accounts)?;
        Ok(Exit::Ok)
    }
}

fn parse_situation(text: &str) -> Result<Situation, String> {
    let told = |situation: &Situation| *situation != Situation::Linked;
    let all = || Situation::ALL.into_iter().filter(told);
    all().find(|situation| situation.as_str() == text).ok_or_else(|| {
        let all: Vec<&str> = all().map(|situation| situation.as_str()).collect();
        format!("the situations are {}", all.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linked_accounts_are_not_listed() {
        assert_eq!(parse_situation("unmatched"), Ok(Situation::Unmatched));
        assert!(parse_situation("linked").unwrap_err().contains("disputed"));
    }
}
