//! What was not listed is asked for by its id: absence counts only when the target says so.

use futures::stream::{self, StreamExt as _};
use usher_lifecycle::connector::{AccountRecord, CallError};
use usher_store::{AccountChange, AccountRef, KnownKind, StagedAccount, Unlisted};

use super::pages::Walk;
use super::patience::{passes, patiently};
use crate::error::EngineError;
use crate::progress::Phase;

/// Known accounts looked through at once.
const PAGE: u32 = 1_000;
/// Accounts asked for at once, unless the target bears fewer calls.
const AT_ONCE_MAX: u32 = 8;

impl Walk<'_> {
    /// Asks for every account that was known when the walk began and was not listed.
    pub(super) async fn ask_for_the_rest(&mut self) -> Result<(), EngineError> {
        for kind in [KnownKind::Linked, KnownKind::Found] {
            let mut after: Option<String> = None;
            loop {
                let page = self
                    .ports
                    .store
                    .known_page(&self.subject.name, kind, self.began_at, after.as_deref(), PAGE)
                    .await?;
                let Some(last) = page.last() else { break };
                after = Some(last.external_id.clone());
                let seen = match kind {
                    KnownKind::Linked => &self.seen,
                    KnownKind::Found => &self.seen_found,
                };
                let unlisted: Vec<Unlisted> = page
                    .into_iter()
                    .filter(|one| !seen.contains(one.number))
                    .collect();
                self.ask_for(kind, unlisted).await?;
            }
        }
        Ok(())
    }

    async fn ask_for(&mut self, kind: KnownKind, unlisted: Vec<Unlisted>) -> Result<(), EngineError> {
        let at_once = self.subject.target.limits.concurrency.clamp(1, AT_ONCE_MAX) as usize;
        let (ports, connector) = (self.ports, self.connector);
        let mut answers = stream::iter(unlisted)
            .map(|one| async move {
                let answer = patiently(ports, || connector.get(&one.external_id)).await;
                (one, answer)
            })
            .buffered(at_once);
        let mut gone = Vec::new();
        let mut there: Vec<AccountRecord> = Vec::new();
        let mut failed: Vec<CallError> = Vec::new();
        while let Some((one, answer)) = answers.next().await {
            match answer {
                Ok(None) => gone.push(one),
                Ok(Some(record)) => there.push(record),
                // The whole target does not answer: that says nothing of this account.
                Err(error) if passes(&error.kind) => return Err(self.subject.failed(&error)),
                Err(error) => failed.push(error),
            }
        }
        drop(answers);
        for error in failed {
            let problem = format!("an account that was not listed could not be read: {error}");
            self.report.problem(problem);
        }
        let changes: Vec<StagedAccount> = gone
            .into_iter()
            .map(|one| StagedAccount {
                external_id: one.external_id,
                change: match kind {
                    KnownKind::Linked => AccountChange::Missing {
                        account: AccountRef(one.number),
                    },
                    KnownKind::Found => AccountChange::Forget,
                },
            })
            .collect();
        self.ports
            .store
            .stage_accounts(self.number, &[], &changes)
            .await?;
        self.report.unlisted += there.len() as u64;
        self.progress
            .at(Phase::Listing, self.report.listed + self.report.unlisted, 0);
        if !there.is_empty() {
            self.take(there, false).await?;
        }
        Ok(())
    }
}
