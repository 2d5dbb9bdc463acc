//! `usher why`

use clap::Args;
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::name::Name;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;

/// Why a person has an account, or why not.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The key a source gives them, or their id (idn_…).
    identity: String,
    /// The target, or TARGET/KIND for an account of another kind than primary.
    #[arg(value_name = "TARGET[/KIND]", value_parser = parse_slot)]
    account: AccountSlot,
}

impl Why {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::recovered(global, output).await?;
        output.answer(
            &app.engine.why(&self.identity, &self.account).await?,
            render::why::why,
        )?;
        Ok(Exit::Ok)
    }
}

fn parse_slot(text: &str) -> Result<AccountSlot, String> {
    let name = |text: &str| text.parse::<Name>().map_err(|error| error.to_string());
    match text.split_once('/') {
        None => Ok(AccountSlot {
            target: name(text)?,
            kind: Name::primary(),
        }),
        Some((target, kind)) => Ok(AccountSlot {
            target: name(target)?,
            kind: name(kind)?,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_a_target_with_or_without_a_kind() {
        assert_eq!(parse_slot("app").unwrap().to_string(), "app");
        assert_eq!(parse_slot("app/primary").unwrap(), parse_slot("app").unwrap());
        assert_eq!(parse_slot("app/admin").unwrap().to_string(), "app/admin");
        for bad in ["", "/", "app/", "/admin", "app/a/b", "App"] {
            assert!(parse_slot(bad).is_err(), "{bad}");
        }
    }
}
