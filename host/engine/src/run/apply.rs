//! Apply: plan what is due, carry out what is ready, until nothing is left to do now.

use std::collections::BTreeMap;

use jiff::Timestamp;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::operation::OperationState;
use usher_lifecycle::targets::ApplyMode;
use usher_store::{StoreError, StoreVersions, Totals};

use super::hand::{Hand, Which};
use super::report::{ApplyReport, ApplyRequest, Left};
use super::watch::Watch;
use super::worker::later;
use crate::documents::ActiveTargets;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::plan::{PlannedDue, SavedPlan};
use crate::progress::Progress;

/// Rounds of planning and running before an apply ends although something is still due: a target that never agrees with itself must not
/// keep a person waiting for ever.
const ROUNDS_MAX: u32 = 10_000;
/// Rounds in a row that plan and run without any operation coming to an end.
const IDLE_ROUNDS_MAX: u32 = 20;

impl Engine {
    /// Makes every account as it should be, as far as that is possible now: plans what is due, runs what is ready (targets that only
    /// observe excepted), waits at most `wait_ms` for what falls due later.
    ///
    /// # Errors
    /// No policy is active, the expected plan is out of date, the store is frozen, or it fails and does not come back in time. What was done
    /// until then stays done; the next apply goes on from there.
    pub async fn apply(
        &self,
        request: ApplyRequest,
        progress: &dyn Progress,
    ) -> Result<ApplyReport, EngineError> {
        if let Some(freeze) = self.ports.store.frozen().await? {
            return Err(EngineError::Frozen(freeze.reason));
        }
        let mut report = ApplyReport {
            recovered: self.recover().await?,
            ..ApplyReport::default()
        };
        if let Some(expected) = &request.expect {
            self.still_the_plan(expected).await?;
        }
        let context = self.context(request.actor.clone());
        let deadline = later(context.at, request.wait_ms);
        let active = self.targets().await?;
        let watch = Watch::new(progress, open_total(&self.ports.store.operation_totals().await?));
        let mut hand = Hand::new(self, Which::AutoAndManual, &active, &watch);
        let mut idle = 0;
        for _ in 0..ROUNDS_MAX {
            if request.stop.is_requested() {
                break;
            }
            let ended = watch.ended();
            let round = match self.plan_due(&context, progress).await {
                Err(EngineError::Store(StoreError::Fenced(_))) => {
                    hand.forget();
                    PlannedDue::default()
                }
                round => round?,
            };
            watch.expect(round.operations);
            report.planned += round.planned;
            report.queued += round.operations;
            report.problems = merge(report.problems, round.problems);
            hand.run(&context, &request.stop).await?;
            if let Some(reason) = hand.frozen() {
                return Err(EngineError::Frozen(reason.to_owned()));
            }
            idle = if watch.ended() > ended { 0 } else { idle + 1 };
            if (round.planned > 0 || watch.ended() > ended) && idle < IDLE_ROUNDS_MAX {
                // Outcomes may have made identities due again.
                continue;
            }
            let Some(at) = self.next_moment(&mut hand).await?.filter(|at| *at <= deadline) else {
                break;
            };
            tokio::select! {
                () = self.ports.clock.sleep_until(at) => {}
                () = request.stop.requested() => break,
            }
            idle = 0;
        }
        if let Some(mut tally) = hand.tally.take() {
            report.totals = tally.totals();
            report.retries = tally.retries();
            report.troubles = tally.troubles;
            report.paused = tally.paused.into_values().collect();
        }
        report.left = left(&self.ports.store.operation_totals().await?, &active);
        report.next_due = self.ports.store.next_due().await?;
        report.next_change = self.ports.store.next_change().await?;
        Ok(report)
    }

    /// The next moment at which there may be something to do again. What is due already but cannot run (its target rests or only
    /// observes) is not waited for.
    async fn next_moment(&self, hand: &mut Hand<'_>) -> Result<Option<Timestamp>, EngineError> {
        hand.look_ahead().await?;
        let now = self.ports.clock.now();
        let moments = [hand.next_moment(now), self.ports.store.next_change().await?];
        Ok(moments.into_iter().flatten().filter(|at| *at > now).min())
    }

    /// Refuses a saved plan that is out of date.
    async fn still_the_plan(&self, expected: &SavedPlan) -> Result<(), EngineError> {
        let was = &expected.plan;
        let mut changed = changed(was.versions, self.ports.store.versions().await?);
        let now = self.preview().await?;
        if now.digest != was.digest {
            changed.push(format!(
                "it had {} operations, now there would be {}",
                was.operations(),
                now.operations()
            ));
            if changed.len() == 1 {
                changed.push(format!("time has passed since {}", was.made_at));
            }
        }
        if changed.is_empty() {
            Ok(())
        } else {
            Err(EngineError::Stale(changed))
        }
    }
}

fn changed(was: StoreVersions, is: StoreVersions) -> Vec<String> {
    let pairs = [
        ("the facts have changed", was.facts == is.facts),
        ("the policy is another version", was.policy == is.policy),
        (
            "the targets document is another version",
            was.targets == is.targets,
        ),
        ("accounts or the queue have changed", was.observed == is.observed),
    ];
    pairs
        .iter()
        .filter(|(_, same)| !same)
        .map(|(what, _)| (*what).to_owned())
        .collect()
}

/// Problems of the latest round; those of people not planned again stay.
fn merge(
    mut before: Vec<crate::plan::PlanProblem>,
    now: Vec<crate::plan::PlanProblem>,
) -> Vec<crate::plan::PlanProblem> {
    before.retain(|problem| !now.iter().any(|new| new.identity == problem.identity));
    before.extend(now);
    before
}

const fn is_queued(state: OperationState) -> bool {
    match state {
        OperationState::Waiting | OperationState::Ready | OperationState::Claimed => true,
        OperationState::Held | OperationState::Done | OperationState::Failed | OperationState::Superseded => {
            false
        }
    }
}

fn open_total(totals: &[Totals]) -> u64 {
    totals
        .iter()
        .filter(|total| is_queued(total.state))
        .map(|total| total.operations)
        .sum()
}

fn left(totals: &[Totals], active: &ActiveTargets) -> Vec<Left> {
    let mut left: BTreeMap<TargetName, Left> = BTreeMap::new();
    for total in totals
        .iter()
        .filter(|total| total.state.is_open() && total.operations > 0)
    {
        let apply = active
            .facts
            .get(&total.target)
            .map_or(ApplyMode::Observe, |facts| facts.apply);
        let entry = left.entry(total.target.clone()).or_insert_with(|| Left {
            target: total.target.clone(),
            apply,
            open: 0,
            held: 0,
        });
        if is_queued(total.state) {
            entry.open += total.operations;
        } else {
            entry.held += total.operations;
        }
    }
    left.into_values().collect()
}
