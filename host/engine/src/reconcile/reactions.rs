//! What a reconcile does in the target itself: accounts that nobody owns are disabled, where the policy says so.

use usher_connectors::Connector;
use usher_lifecycle::account::AccountState;
use usher_lifecycle::connector::WriteContext;
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::policy::{Reactions, UNMATCHED_MAX, UnmatchedReaction};
use usher_lifecycle::situation::Situation;
use usher_lifecycle::targets::ApplyMode;
use usher_store::{FoundAccount, FoundFilter, StoreError};

use super::report::NotDisabled;
use super::{ReconcileReport, ReconcileRequest, Subject, context_of};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ports::Point;

/// Accounts read at once.
const PAGE: u32 = 500;

impl Engine {
    /// Reacts to accounts that nobody owns.
    pub(super) async fn react(
        &self,
        subject: &Subject,
        connector: &dyn Connector,
        request: &ReconcileRequest,
        report: &mut ReconcileReport,
    ) -> Result<(), EngineError> {
        let reactions = subject.policy.policy.reactions(&subject.name);
        match reactions.unmatched {
            UnmatchedReaction::Report => return Ok(()),
            UnmatchedReaction::Disable => {}
        }
        let most = if request.override_guards {
            UNMATCHED_MAX
        } else {
            reactions.unmatched_max
        };
        let orphans = self.enabled_orphans(subject, most as usize).await?;
        if orphans.is_empty() {
            return Ok(());
        }
        if let Some(reason) = self.not_now(subject, request, &reactions, orphans.len()).await? {
            report.not_disabled = Some(NotDisabled {
                accounts: orphans.len() as u64,
                reason,
            });
            return Ok(());
        }
        let all = orphans.len();
        for (done, orphan) in orphans.into_iter().take(most as usize).enumerate() {
            // It may take hours, and somebody may see what is wrong with it.
            if let Some(freeze) = self.ports.store.frozen().await? {
                report.not_disabled = Some(NotDisabled {
                    accounts: (all - done) as u64,
                    reason: format!("the store is frozen: {}", freeze.reason),
                });
                break;
            }
            self.disable_orphan(connector, &orphan, request, report).await?;
        }
        Ok(())
    }

    /// Those that can be used to sign in and are not protected; at most one more than `most`.
    async fn enabled_orphans(
        &self,
        subject: &Subject,
        most: usize,
    ) -> Result<Vec<FoundAccount>, EngineError> {
        let mut orphans = Vec::new();
        let mut filter = FoundFilter {
            target: Some(subject.name.clone()),
            situation: Some(Situation::Unmatched),
            decided: false,
            after: None,
            limit: PAGE,
        };
        loop {
            let page = self.ports.store.found_accounts(&filter).await?;
            let Some(last) = page.last() else {
                return Ok(orphans);
            };
            filter.after = Some((last.target.clone(), last.external_id.clone()));
            let protection = &subject.facts.protection;
            orphans.extend(page.into_iter().filter(|account| {
                account.state != AccountState::Disabled
                    && protection.of(&account.external_id, &account.attributes).is_none()
            }));
            if orphans.len() > most {
                orphans.truncate(most.saturating_add(1));
                return Ok(orphans);
            }
        }
    }

    /// Why nothing is disabled now, if so.
    async fn not_now(
        &self,
        subject: &Subject,
        request: &ReconcileRequest,
        reactions: &Reactions,
        orphans: usize,
    ) -> Result<Option<String>, EngineError> {
        if !subject.facts.capabilities.disable {
            return Ok(Some("the target cannot disable accounts".to_owned()));
        }
        if let Some(freeze) = self.ports.store.frozen().await? {
            return Ok(Some(format!("the store is frozen: {}", freeze.reason)));
        }
        let waits = match subject.facts.apply {
            ApplyMode::Observe => Some("the target is only observed (apply = \"observe\")"),
            ApplyMode::Manual if !request.by_person => {
                Some("apply = \"manual\": a person must run `usher reconcile`")
            }
            ApplyMode::Manual | ApplyMode::Auto => None,
        };
        if let Some(waits) = waits {
            return Ok(Some(waits.to_owned()));
        }
        let too_many = !request.override_guards && orphans > reactions.unmatched_max as usize;
        Ok(too_many.then(|| {
            format!(
                "more than unmatched-max = {} accounts are nobody's: none is disabled. Are the rules right? Then override the guards",
                reactions.unmatched_max
            )
        }))
    }

    /// One account. That it is about to be disabled is on record first; disabling it twice is the same as once.
    async fn disable_orphan(
        &self,
        connector: &dyn Connector,
        orphan: &FoundAccount,
        request: &ReconcileRequest,
        report: &mut ReconcileReport,
    ) -> Result<(), EngineError> {
        let (store, id) = (&self.ports.store, orphan.external_id.as_str());
        let context = context_of(&self.ports, &request.actor);
        match store.record_disabling(&orphan.target, id, None, &context).await {
            Ok(()) => {}
            // Somebody has decided about it meanwhile.
            Err(StoreError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if !store.lease_holds() {
            return Err(StoreError::Fenced("this host was not heard of for too long".to_owned()).into());
        }
        let write = WriteContext {
            intent_id: OperationId::from_parts(context.at, &self.random_id()).to_string(),
            attempt: 1,
            reason: "nobody owns this account".to_owned(),
        };
        self.ports.probes.reached(Point::BeforeReaction);
        let answer = connector.disable(&write, id).await;
        self.ports.probes.reached(Point::AfterReaction);
        let context = context_of(&self.ports, &request.actor);
        let went = match &answer {
            Ok(record) if record.state == AccountState::Enabled => {
                Err("the target answered that the account is still enabled".to_owned())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        let told = match &went {
            Ok(()) => (true, ""),
            Err(message) => (false, message.as_str()),
        };
        match store
            .record_disabling(&orphan.target, id, Some(told), &context)
            .await
        {
            Ok(()) | Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        match went {
            Ok(()) => report.disabled += 1,
            Err(message) => report.problem(format!("an account nobody owns was not disabled: {message}")),
        }
        Ok(())
    }
}
