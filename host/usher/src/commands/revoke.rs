//! `usher revoke`

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use clap::Args;
use usher_engine::run::RevokeRequest;
use usher_engine::views::StopView;

use super::freeze::reason;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render::escape::safe;
use crate::render::ink::Ink;
use crate::render::stops::{Shown, revoked, words};
use crate::wiring::app::App;
use crate::wiring::interrupt;

/// Most seconds to wait: an hour. What takes longer goes on by itself.
const WAIT_SECONDS_MAX: u64 = 3_600;
/// Seconds waited unless said: a target that answers has answered by then, also after a call in its way was cut short and read back.
const WAIT_SECONDS_DEFAULT: u64 = 60;

/// End all access of a person now: sets a security hold and disables every account, before everything queued, also in targets that observe,
/// wait for a person or rest, and while the store is frozen (but not after `usher freeze --all`).
///
/// The same command again shows how far it is and sets nothing more. Accounts that their target protects are never touched. Entitlements are
/// taken away and accounts deleted in their usual turn. `usher identity end HOLD --reason TEXT` ends the hold: what policy gives comes back.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// Public id, or the key of any source record.
    identity: String,
    /// Why; kept with the hold.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Wait up to so many seconds until all access has ended; 0 waits for none of what is not done at once.
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS_DEFAULT, value_parser = clap::value_parser!(u64).range(..=WAIT_SECONDS_MAX))]
    wait: u64,
}

impl Revoke {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        // Not recovered first: taking in the rest of a large import would keep it waiting.
        let app = App::open(global).await?;
        let stop = interrupt::listen(output).map_err(|error| Failure::unexpected(&error))?;
        let request = RevokeRequest {
            key: self.identity.clone(),
            reason: self.reason.clone(),
            wait_ms: self.wait * 1_000,
            stop,
            actor: app.actor(),
        };
        let told = Told::new(output);
        let done = app.engine.revoke(request, &|view| told.tell(view)).await?;
        output.answer(&Shown::of(&done), revoked)?;
        Ok(exit(&done.view))
    }
}

fn exit(view: &StopView) -> Exit {
    match (view.ended, &view.frozen) {
        (true, _) => Exit::Ok,
        (false, Some(_)) => Exit::Frozen,
        (false, None) => Exit::LeftOver,
    }
}

/// Says once what is new of each account.
struct Told<'a> {
    output: &'a Output,
    ink: Ink,
    last: Mutex<BTreeMap<String, String>>,
}

impl<'a> Told<'a> {
    fn new(output: &'a Output) -> Self {
        Self {
            output,
            ink: output.notes_ink(),
            last: Mutex::default(),
        }
    }

    fn tell(&self, view: &StopView) {
        if !self.output.shows_progress() {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for account in &view.accounts {
            let (slot, words) = (account.slot.to_string(), words(&account.progress, &self.ink));
            if last.get(&slot) != Some(&words) {
                self.output.note(&format!("{}: {words}", safe(&slot)));
                last.insert(slot, words);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use usher_store::Freeze;

    use super::*;
    use crate::render::samples;

    #[test]
    fn the_exit_code_tells_whether_access_has_ended() {
        let left = samples::stop();
        assert_eq!(exit(&left), Exit::LeftOver);
        let ended = StopView {
            ended: true,
            ..left.clone()
        };
        assert_eq!(exit(&ended), Exit::Ok);
        let frozen = StopView {
            frozen: Some(Freeze {
                reason: "wait".to_owned(),
                since: left.at,
                all: true,
            }),
            ..left
        };
        assert_eq!(exit(&frozen), Exit::Frozen);
    }
}
