//! The plan transaction: identities that are due get their state recorded and their operations put into the queue.

use jiff::Timestamp;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::queue::{Queued, reconcile};
use usher_lifecycle::targets::ApplyMode;
use usher_store::{Context, NewOperation, Planned};

use super::preview::{Thought, plan_problem};
use super::report::PlanProblem;
use crate::documents::ActiveTargets;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ports::Point;
use crate::progress::{Phase, Progress};

/// Identities planned in one transaction: short enough to hold the database for about 20 ms.
const BATCH: u32 = 256;
/// Batches in a row in which every identity had changed meanwhile, before planning is left for the next round.
const STALE_BATCHES_MAX: u32 = 5;
/// Most problems kept of one round.
const PROBLEMS_MAX: usize = 1_000;

/// What planning one batch of identities came to.
#[derive(Debug, Default)]
pub(crate) struct PlannedBatch {
    pub(crate) planned: u64,
    /// Identities that had changed meanwhile.
    pub(crate) stale: u64,
    pub(crate) operations: u64,
    pub(crate) problems: Vec<PlanProblem>,
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
        let mut stale_batches = 0;
        while stale_batches < STALE_BATCHES_MAX
            && let Some(batch) = self.plan_batch(&context.actor).await?
        {
            stale_batches = if batch.planned == 0 { stale_batches + 1 } else { 0 };
            round.planned += batch.planned;
            round.operations += batch.operations;
            let room = PROBLEMS_MAX.saturating_sub(round.problems.len());
            round.problems.extend(batch.problems.into_iter().take(room));
            progress.at(Phase::Planning, round.planned, 0);
        }
        Ok(round)
    }

    /// Plans some of the identities that are due; `None` when none is.
    pub(crate) async fn plan_batch(&self, actor: &Actor) -> Result<Option<PlannedBatch>, EngineError> {
        let (policy, targets) = (self.policy().await?, self.targets().await?);
        let versions = self.ports.store.versions().await?;
        let now = self.ports.clock.now();
        let rows = self.ports.store.due(now, versions, BATCH).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let context = Context {
            actor: actor.clone(),
            at: now,
        };
        let thoughts: Vec<Thought> = rows
            .into_iter()
            .map(|row| self.think(row, &policy, &targets, now))
            .collect();
        // Before the plan is recorded: whoever gets a name now is planned again with it, also after a crash in between.
        let without = self.reserve_names(&thoughts, &context).await?;
        let mut batch = PlannedBatch::default();
        let mut planned = Vec::with_capacity(thoughts.len());
        for thought in &thoughts {
            let problems = thought.plan.problems.iter();
            batch
                .problems
                .extend(problems.map(|error| plan_problem(thought, error)));
            planned.push(self.decide(thought, &targets, now));
        }
        batch.problems.extend(without);
        self.ports.probes.reached(Point::BeforePlanCommit);
        let commit = self.ports.store.commit_plan(&planned, versions, &context).await?;
        self.ports.probes.reached(Point::AfterPlanCommit);
        batch.planned = commit.planned;
        batch.stale = commit.stale;
        batch.operations = commit.operations;
        Ok(Some(batch))
    }

    /// What is recorded for one identity.
    ///
    /// Where steps have to wait for an operation under way, nothing more is recorded than that: its outcome makes the identity due again.
    fn decide(&self, thought: &Thought, targets: &ActiveTargets, now: Timestamp) -> Planned {
        let plan = &thought.plan;
        let mut planned = Planned {
            reference: thought.row.reference,
            facts_version: thought.row.facts_version,
            state: plan.state.state,
            state_cause: plan.state_cause.clone(),
            next_change_at: plan.next_change,
            held: plan.held.clone(),
            superseded: Vec::new(),
            replan: false,
            operations: Vec::new(),
        };
        for account in &plan.accounts {
            // What cannot be said is left exactly as it is, its queue too.
            let (Some(_), Some(facts)) = (&account.desired, targets.facts.get(&account.slot.target)) else {
                continue;
            };
            let steps = match facts.apply {
                ApplyMode::Observe => &[],
                ApplyMode::Manual | ApplyMode::Auto => account.steps.as_slice(),
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
            planned.superseded.extend(change.supersede);
            planned
                .operations
                .extend(change.add.into_iter().map(|step| NewOperation {
                    id: OperationId::from_parts(now, &self.random_id()),
                    slot: account.slot.clone(),
                    work: step.work,
                    priority: step.priority,
                    due_at: now,
                    cause: step.cause,
                }));
        }
        planned
    }
}
