//! Reconciles: a target's accounts are listed, compared with what is remembered, and whose they are is told by the rules of the policy.
//!
//! Nothing takes effect before the whole list was believed (`guard.rs`): changes are staged page by page (`pages.rs`), what was not listed is asked
//! for one by one (`unlisted.rs`), then one small commit accepts all, and it takes effect in small commits. What is unchanged costs a comparison in
//! the database and nothing else. Reactions that write to the target (`reactions.rs`) come last, in the light of all of it.

mod due;
mod guard;
mod pages;
mod patience;
mod people;
mod reactions;
mod report;
mod seen;
mod unlisted;

use std::collections::BTreeSet;
use std::sync::Arc;

use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::connector::CallError;
use usher_lifecycle::correlation::Matcher;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::plan::TargetFacts;
use usher_lifecycle::policy::{FlowTakes, Policy, UnlinkedReaction};
use usher_lifecycle::targets::Target;
use usher_store::{Context, ReconcileRef};

use crate::documents::{ActivePolicy, ActiveTargets};
use crate::engine::{Engine, Ports};
use crate::error::{EngineError, TargetError};
use crate::ports::Point;
use crate::progress::{Phase, Progress};
use pages::Walk;

pub use guard::Refusal;
pub use report::{NotDisabled, PROBLEMS_LISTED_MAX, ReconcileReport, ReconcileRequest};

/// Staged changes that take effect in one commit: short enough to hold the database for about 20 ms.
const EFFECT_CHUNK: u32 = 300;

/// What a reconcile works with, as the documents say it.
struct Subject {
    name: TargetName,
    target: Target,
    facts: TargetFacts,
    policy: Arc<ActivePolicy>,
    /// Attributes by which something is decided: what differs in them is drift.
    matters: BTreeSet<String>,
}

impl Engine {
    /// Compares a target's accounts with what is remembered of them, and reacts as the policy says. A list that is not believed is
    /// remembered and reported as refused, not as an error: look at [`ReconcileReport::refused`].
    ///
    /// # Errors
    /// No policy is active, there is no such target, it does not answer, or the store fails. Nothing has taken effect then.
    pub async fn reconcile(
        &self,
        request: ReconcileRequest,
        progress: &dyn Progress,
    ) -> Result<ReconcileReport, EngineError> {
        let (policy, targets) = (self.policy().await?, self.targets().await?);
        let subject = subject(&request.target, policy, &targets)?;
        // What was accepted before is compared with, and whose accounts are is told by all facts.
        self.absorb_all(0, progress).await?;
        self.settle_reconciles(progress).await?;
        let unanswered = |reason: String| {
            EngineError::Unanswered(TargetError {
                target: subject.name.clone(),
                reason,
            })
        };
        let connector = self.ports.connectors.connector(&subject.name).await;
        let connector = connector.map_err(unanswered)?;
        let context = self.context(request.actor.clone());
        let policy = Arc::clone(&subject.policy);
        let matcher = Matcher::new(policy.policy.correlation_of(&subject.name), &subject.facts.schema);
        let mut report = ReconcileReport::new(subject.name.clone());
        let people = self
            .people(&matcher, &policy.policy, &mut report, progress)
            .await?;

        let number = self.ports.store.begin_reconcile(&subject.name, &context).await?;
        report.number = Some(number);
        let mut walk = Walk {
            ports: &self.ports,
            subject: &subject,
            connector: &*connector,
            matcher: &matcher,
            people: &people,
            number,
            began_at: context.at,
            seen: seen::Seen::default(),
            seen_found: seen::Seen::default(),
            still: Default::default(),
            report: &mut report,
            progress,
        };
        walk.list().await?;
        let refusal = walk.refusal().await?;
        if let Some(refusal) = refusal.filter(|_| !request.override_guards) {
            let reason = &refusal.reason;
            let store = &self.ports.store;
            store
                .refuse_reconcile(number, report.listed, reason, &self.context(request.actor))
                .await?;
            report.refused = Some(refusal);
            return Ok(report);
        }
        walk.ask_for_the_rest().await?;
        self.accept(number, &subject, &report, &request.actor).await?;
        self.settle_reconciles(progress).await?;
        self.complete(&mut report, number).await?;
        self.react(&subject, &*connector, &request, &mut report).await?;
        Ok(report)
    }

    async fn accept(
        &self,
        number: ReconcileRef,
        subject: &Subject,
        report: &ReconcileReport,
        actor: &Actor,
    ) -> Result<(), EngineError> {
        let link = match subject.policy.policy.reactions(&subject.name).unlinked {
            UnlinkedReaction::Report => false,
            UnlinkedReaction::Link => true,
        };
        let context = self.context(actor.clone());
        self.ports
            .store
            .accept_reconcile(number, report.listed, link, &context)
            .await?;
        self.ports.probes.reached(Point::ReconcileAccepted);
        Ok(())
    }

    /// Lets everything accepted take effect.
    pub(crate) async fn settle_reconciles(&self, progress: &dyn Progress) -> Result<(), EngineError> {
        let mut chunks = 0;
        loop {
            let context = self.context(Actor::Usher);
            if !self.ports.store.take_effect(EFFECT_CHUNK, &context).await? {
                return Ok(());
            }
            self.ports.probes.reached(Point::TookEffect);
            chunks += 1;
            progress.at(Phase::Settling, chunks * u64::from(EFFECT_CHUNK), 0);
        }
    }

    /// What came of it, as it is on record.
    async fn complete(&self, report: &mut ReconcileReport, number: ReconcileRef) -> Result<(), EngineError> {
        let row = self.ports.store.reconcile(number).await?;
        report.updated = row.updated;
        report.drifted = row.drifted;
        report.missing = row.missing;
        report.linked = row.linked;
        report.put_off = row.put_off;
        let totals = self.ports.store.found_totals().await?;
        report.situations = totals
            .into_iter()
            .filter(|total| total.target == report.target)
            .collect();
        Ok(())
    }
}

fn subject(
    name: &TargetName,
    policy: Arc<ActivePolicy>,
    targets: &ActiveTargets,
) -> Result<Subject, EngineError> {
    let (Some(target), Some(facts)) = (targets.targets.targets.get(name), targets.facts.get(name)) else {
        let known: Vec<&str> = targets.targets.targets.keys().map(TargetName::as_str).collect();
        return Err(EngineError::NotFound(format!(
            "the targets document has no target `{name}`; it has: {}",
            known.join(", ")
        )));
    };
    Ok(Subject {
        name: name.clone(),
        target: target.clone(),
        facts: facts.clone(),
        matters: managed(&policy.policy, name),
        policy,
    })
}

/// The attributes that a mapping gives, of all kinds of account, and those that flow into other accounts.
fn managed(policy: &Policy, target: &TargetName) -> BTreeSet<String> {
    let of = |slot: &AccountSlot| slot.target == *target;
    let mappings = policy.mappings.iter().filter(|(slot, _)| of(slot));
    let flows = policy.flows.iter().filter(|flow| of(&flow.account));
    let flowing = flows.filter_map(|flow| match &flow.takes {
        FlowTakes::Attribute(name) => Some(name.clone()),
        FlowTakes::Id => None,
    });
    mappings
        .flat_map(|(_, mapping)| mapping.managed.keys().cloned())
        .chain(flowing)
        .collect()
}

impl Subject {
    fn failed(&self, error: &CallError) -> EngineError {
        EngineError::Unanswered(TargetError {
            target: self.name.clone(),
            reason: error.to_string(),
        })
    }
}

/// Who asks, and when.
fn context_of(ports: &Ports, actor: &Actor) -> Context {
    Context {
        actor: actor.clone(),
        at: ports.clock.now(),
    }
}
