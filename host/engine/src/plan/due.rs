//! The plan transaction: identities that are due get their state recorded and their operations put into the queue; and those for whom a new
//! document changes something.
//!
//! After a document became active everybody is looked through, page by page, but only who is planned differently is written to. Where the two
//! versions differ in nothing that planning looks at, nobody is. What changes by itself meanwhile goes first.

use std::sync::Arc;

use jiff::Timestamp;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::operation::{Priority, Work};
use usher_lifecycle::plan::Step;
use usher_lifecycle::queue::{Queued, reconcile};
use usher_lifecycle::targets::ApplyMode;
use usher_store::{
    Context, DocumentVersions, IdentityRow, InTheWay, NewOperation, Planned, StoreError, StoreVersions,
};

use super::preview::Thought;
use super::report::PlanProblem;
use super::shown::plan_problem;
use crate::documents::{ActivePolicy, ActiveTargets};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ports::Point;
use crate::progress::{Phase, Progress};
use crate::run::{IN_FLIGHT_WAIT_MS, later};

/// Identities planned in one transaction: short enough to hold the database for about 20 ms.
const BATCH: u32 = 256;
/// Identities looked through at once after a document became active: a few MiB, and what is urgent does not wait long behind it.
const PAGE: u32 = 500;
/// How often documents may become active in between while both are read.
const ACTIVATIONS_MAX: u32 = 10;
/// Batches in a row in which every identity had changed meanwhile, before planning is left for the next round.
const STALE_BATCHES_MAX: u32 = 5;
/// Most problems kept of one round.
const PROBLEMS_MAX: usize = 1_000;

/// The documents a batch is planned under, and the moment.
struct Under {
    policy: Arc<ActivePolicy>,
    targets: Arc<ActiveTargets>,
    versions: StoreVersions,
    context: Context,
}

/// Whether a decision says anything that is not recorded already.
fn is_news(planned: &Planned, thought: &Thought) -> bool {
    let Planned {
        reference: _,
        facts_version: _,
        state,
        // Only told with a change of the state.
        state_cause: _,
        next_change_at,
        held,
        superseded,
        replan,
        in_the_way,
        operations,
    } = planned;
    // The store keeps microseconds.
    let micros = |at: Option<Timestamp>| at.map(Timestamp::as_microsecond);
    let row = &thought.row;
    Some(*state) != row.state
        || micros(*next_change_at) != micros(row.next_change_at)
        || *held != row.held
        || *replan
        || !superseded.is_empty()
        || !in_the_way.is_empty()
        || !operations.is_empty()
}

/// What planning one batch of identities came to.
#[derive(Debug, Default)]
pub(crate) struct PlannedBatch {
    pub(crate) planned: u64,
    /// Identities that a new document does not concern.
    pub(crate) unconcerned: u64,
    /// Identities that had changed meanwhile.
    pub(crate) stale: u64,
    pub(crate) operations: u64,
    pub(crate) problems: Vec<PlanProblem>,
    /// Nothing came of it: all had changed meanwhile.
    pub(crate) in_vain: bool,
}

/// What one round of planning did.
#[derive(Debug, Default)]
pub(crate) struct PlannedDue {
    pub(crate) planned: u64,
    pub(crate) operations: u64,
    pub(crate) problems: Vec<PlanProblem>,
}

impl Engine {
    /// Plans every identity that is due: facts or accounts changed, a date has come, a document is new.
    pub(crate) async fn plan_due(
        &self,
        context: &Context,
        progress: &dyn Progress,
    ) -> Result<PlannedDue, EngineError> {
        let mut round = PlannedDue::default();
        let (mut stale_batches, mut looked_at) = (0, 0);
        while stale_batches < STALE_BATCHES_MAX
            && let Some(batch) = self.plan_batch(&context.actor).await?
        {
            stale_batches = if batch.in_vain { stale_batches + 1 } else { 0 };
            round.planned += batch.planned;
            round.operations += batch.operations;
            let room = PROBLEMS_MAX.saturating_sub(round.problems.len());
            round.problems.extend(batch.problems.into_iter().take(room));
            looked_at += batch.planned + batch.unconcerned;
            progress.at(Phase::Planning, looked_at, 0);
        }
        self.judge_causes(&context.actor).await?;
        Ok(round)
    }

    /// Plans some of the identities that are due; `None` when none is.
    pub(crate) async fn plan_batch(&self, actor: &Actor) -> Result<Option<PlannedBatch>, EngineError> {
        if let Some(batch) = self.plan_urgent(actor).await?
            && batch.planned > 0
        {
            return Ok(Some(batch));
        }
        let under = self.under(actor).await?;
        let now = under.context.at;
        let rows = self.ports.store.due(now, BATCH).await?;
        if rows.is_empty() {
            return self.plan_outdated(&under).await;
        }
        self.plan_rows(rows, Extent::All, &under).await.map(Some)
    }

    /// Plans whom a security hold makes due, before all others and whatever else is going on. While facts are half new, nothing is planned of
    /// them but what the hold asks for.
    pub(crate) async fn plan_urgent(&self, actor: &Actor) -> Result<Option<PlannedBatch>, EngineError> {
        let store = &self.ports.store;
        let rows = store.due_at_once(self.ports.clock.now(), BATCH).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let extent = if store.is_absorbing().await? {
            Extent::Stops
        } else {
            Extent::All
        };
        let under = self.under(actor).await?;
        self.plan_rows(rows, extent, &under).await.map(Some)
    }

    async fn plan_rows(
        &self,
        rows: Vec<IdentityRow>,
        extent: Extent,
        under: &Under,
    ) -> Result<PlannedBatch, EngineError> {
        let thoughts = self.think_of_all(rows, &under.policy, &under.targets, under.context.at);
        let mut batch = PlannedBatch::default();
        let planned = self.decide_all(&thoughts, under, extent, &mut batch).await?;
        self.record(&planned, under, &mut batch).await?;
        batch.in_vain = batch.planned == 0;
        Ok(batch)
    }

    /// The documents of now, with the versions they are.
    async fn under(&self, actor: &Actor) -> Result<Under, EngineError> {
        for _ in 0..ACTIVATIONS_MAX {
            let versions = self.ports.store.versions().await?;
            let (policy, targets) = (self.policy().await?, self.targets().await?);
            if (policy.version, targets.version) == (versions.policy, versions.targets) {
                return Ok(Under {
                    policy,
                    targets,
                    versions,
                    context: self.context(actor.clone()),
                });
            }
        }
        Err(EngineError::Store(StoreError::Contended(
            "documents become active faster than they can be read".to_owned(),
        )))
    }

    /// Looks the next page of identities through for those whom the active documents concern; `None` when there is none left.
    async fn plan_outdated(&self, under: &Under) -> Result<Option<PlannedBatch>, EngineError> {
        let (store, versions) = (&self.ports.store, under.versions);
        let now = under.context.at;
        let Some(outdated) = store.outdated(now, versions, PAGE).await? else {
            return Ok(None);
        };
        let last = outdated.rows.last().map(|row| row.reference);
        let nobody = match outdated.base {
            Some(base) => self.plans_as(base, under).await?,
            None => false,
        };
        if last.is_none() || nobody {
            store.looked_through(versions, None).await?;
            return Ok(None);
        }
        let thoughts = self.think_of_all(outdated.rows, &under.policy, &under.targets, now);
        let mut batch = PlannedBatch::default();
        let mut planned = self.decide_all(&thoughts, under, Extent::All, &mut batch).await?;
        let looked_at = planned.len() as u64;
        let mut thoughts = thoughts.iter();
        planned.retain(|planned| thoughts.next().is_none_or(|thought| is_news(planned, thought)));
        batch.unconcerned = looked_at - planned.len() as u64;
        for some in planned.chunks(BATCH as usize) {
            self.record(some, under, &mut batch).await?;
        }
        // Who changed in between is dirty, or had an operation begun: the page is looked at again.
        batch.in_vain = batch.stale > 0;
        if !batch.in_vain {
            store.looked_through(versions, last).await?;
        }
        Ok(Some(batch))
    }

    /// Whether the active documents plan as those versions did.
    async fn plans_as(&self, base: DocumentVersions, under: &Under) -> Result<bool, EngineError> {
        let (policy, targets) = match self.documents_of(base).await {
            Ok((Some(policy), targets)) => (policy, targets),
            // There was none, or this program cannot read it any more: everybody is looked at.
            Ok((None, _)) | Err(EngineError::Unreadable { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(targets.facts == under.targets.facts && policy.policy.plans_as(&under.policy.policy))
    }

    /// What is recorded of each, in the same order, after the names they ask for are reserved.
    async fn decide_all(
        &self,
        thoughts: &[Thought],
        under: &Under,
        extent: Extent,
        batch: &mut PlannedBatch,
    ) -> Result<Vec<Planned>, EngineError> {
        // Before the plan is recorded: whoever gets a name now is planned again with it, also after a crash in between.
        let without = self.reserve_names(thoughts, &under.context).await?;
        let mut planned = Vec::with_capacity(thoughts.len());
        for thought in thoughts {
            let problems = thought.plan.problems.iter();
            batch
                .problems
                .extend(problems.map(|error| plan_problem(thought, error)));
            planned.extend(self.decide(thought, under, extent));
        }
        batch.problems.extend(without);
        Ok(planned)
    }

    /// The plan transaction.
    async fn record(
        &self,
        planned: &[Planned],
        under: &Under,
        batch: &mut PlannedBatch,
    ) -> Result<(), EngineError> {
        self.ports.probes.reached(Point::BeforePlanCommit);
        let store = &self.ports.store;
        let commit = store.commit_plan(planned, under.versions, &under.context).await?;
        self.ports.probes.reached(Point::AfterPlanCommit);
        batch.planned += commit.planned;
        batch.stale += commit.stale;
        batch.operations += commit.operations;
        Ok(())
    }

    /// What is recorded for one identity; nothing where nothing of what may be planned now is to be done.
    ///
    /// Where steps have to wait for an operation under way, nothing more is recorded than that: its outcome makes the identity due again.
    fn decide(&self, thought: &Thought, under: &Under, extent: Extent) -> Option<Planned> {
        let (policy, targets, now) = (&under.policy.policy, &under.targets, under.context.at);
        let plan = &thought.plan;
        let mut planned = Planned {
            reference: thought.row.reference,
            facts_version: thought.row.facts_version,
            state: plan.state.state,
            state_cause: plan.state_cause.clone(),
            next_change_at: plan.next_change,
            held: plan.held.clone(),
            superseded: Vec::new(),
            // What is left out now is planned when what is begun now has ended.
            replan: plan.replan || extent == Extent::Stops,
            in_the_way: Vec::new(),
            operations: Vec::new(),
        };
        for account in &plan.accounts {
            // What cannot be said is left exactly as it is, its queue too.
            let (Some(_), Some(facts)) = (&account.desired, targets.facts.get(&account.slot.target)) else {
                continue;
            };
            let steps = match (facts.apply, extent) {
                // A security hold passes; nothing else is ever done there.
                (ApplyMode::Observe, Extent::All) => stops(&account.steps),
                (ApplyMode::Manual | ApplyMode::Auto, Extent::All) => account.steps.as_slice(),
                // Also where nothing is to be taken away: what would give access is overtaken.
                (_, Extent::Stops) if !account.urgent => continue,
                (_, Extent::Stops) => stops(&account.steps),
            };
            let open: Vec<Queued<'_>> = thought
                .open(&account.slot)
                .iter()
                .map(|operation| Queued {
                    id: operation.id,
                    work: &operation.work,
                    state: operation.state,
                    priority: operation.priority,
                    settle: operation.settle,
                })
                .collect();
            let change = reconcile(&open, steps);
            planned.replan |= change.deferred;
            if change.deferred && account.urgent {
                planned.in_the_way.extend(in_the_way(&open, steps, now));
            }
            planned.superseded.extend(change.supersede);
            planned
                .operations
                .extend(change.add.into_iter().map(|step| NewOperation {
                    id: OperationId::from_parts(now, &self.random_id()),
                    slot: account.slot.clone(),
                    priority: priority(&step, account.urgent),
                    due_at: now,
                    budgeted: policy.thresholds.holds_back(
                        &account.slot.target,
                        &step.work,
                        priority(&step, account.urgent),
                    ),
                    work: step.work,
                    cause: step.cause,
                }));
        }
        let idle =
            planned.operations.is_empty() && planned.in_the_way.is_empty() && planned.superseded.is_empty();
        (extent == Extent::All || !idle).then_some(planned)
    }
}

/// A read that tells whether access was given passes what a security hold passes.
fn priority(step: &Step, urgent: bool) -> Priority {
    if urgent && step.work == Work::Read {
        Priority::SecurityHold
    } else {
        step.priority
    }
}

/// What of a plan is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// Everything.
    All,
    /// Only what security holds ask for: facts are half new.
    Stops,
}

/// The first steps, as far as a security hold asks for them.
fn stops(steps: &[Step]) -> &[Step] {
    let count = steps
        .iter()
        .take_while(|step| step.priority == Priority::SecurityHold)
        .count();
    &steps[..count]
}

/// The operation under way that keeps a security hold waiting, if it does: there is something to be taken away, or it may give something.
fn in_the_way(open: &[Queued<'_>], steps: &[Step], now: Timestamp) -> Option<InTheWay> {
    let front = open.first()?;
    let gives = match front.work {
        Work::Create { .. } | Work::Enable => true,
        Work::Update { .. }
        | Work::Disable
        | Work::Delete
        | Work::Grant { .. }
        | Work::Revoke { .. }
        | Work::Read => false,
    };
    (gives || !stops(steps).is_empty()).then(|| InTheWay {
        operation: front.id,
        until: later(now, IN_FLIGHT_WAIT_MS),
    })
}
