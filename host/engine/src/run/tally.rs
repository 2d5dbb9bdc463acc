//! Counts what a run did.

use std::collections::BTreeMap;

use jiff::Timestamp;
use usher_lifecycle::name::TargetName;
use usher_store::Decision;

use super::attempt::Finished;
use super::report::{
    ApplyTotal, PausedTarget, RETRY_REASONS_LISTED_MAX, RetryReason, TROUBLES_LISTED_MAX, Trouble,
    TroubleState,
};

/// Counts, for the report and for progress.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    totals: BTreeMap<(TargetName, &'static str), ApplyTotal>,
    pub(super) troubles: Vec<Trouble>,
    pub(super) paused: BTreeMap<TargetName, PausedTarget>,
    /// By operation: the target and what its latest attempt said, while it is to be tried again.
    retries: BTreeMap<i64, (TargetName, String)>,
    /// Operations at an end.
    pub(super) ended: u64,
}

impl Tally {
    /// Counts a recorded outcome.
    pub(super) fn count(&mut self, finished: &Finished) {
        let operation = &finished.operation;
        let verb = operation.work.verb();
        let total = self
            .totals
            .entry((operation.slot.target.clone(), verb))
            .or_insert_with(|| ApplyTotal {
                target: operation.slot.target.clone(),
                verb: verb.to_owned(),
                done: 0,
                settled: 0,
                retrying: 0,
                held: 0,
                failed: 0,
            });
        let trouble = match finished.outcome.decision {
            Decision::Done => {
                total.done += 1;
                None
            }
            Decision::Settled => {
                total.settled += 1;
                None
            }
            Decision::Retry { .. } => {
                total.retrying += 1;
                self.retry(finished);
                return;
            }
            Decision::Held { .. } => {
                total.held += 1;
                Some(TroubleState::Held)
            }
            Decision::Failed => {
                total.failed += 1;
                Some(TroubleState::Failed)
            }
        };
        self.ended += 1;
        self.retries.remove(&operation.number);
        if let Some(state) = trouble
            && self.troubles.len() < TROUBLES_LISTED_MAX
        {
            self.troubles.push(Trouble {
                operation: operation.id,
                account: operation.slot.to_string(),
                verb: verb.to_owned(),
                state,
                message: finished.outcome.message.clone(),
            });
        }
    }

    fn retry(&mut self, finished: &Finished) {
        // What was put back unstarted says nothing of its own: its earlier reason, if any, stays.
        if finished.put_back {
            return;
        }
        let why = (
            finished.operation.slot.target.clone(),
            finished.outcome.message.clone(),
        );
        self.retries.insert(finished.operation.number, why);
    }

    /// Why operations are tried again: the reasons of most operations first.
    pub(super) fn retries(&mut self) -> Vec<RetryReason> {
        let mut counts: BTreeMap<(TargetName, String), u64> = BTreeMap::new();
        for why in std::mem::take(&mut self.retries).into_values() {
            *counts.entry(why).or_default() += 1;
        }
        let mut reasons: Vec<RetryReason> = counts
            .into_iter()
            .map(|((target, message), operations)| RetryReason {
                target,
                message,
                operations,
            })
            .collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.operations));
        reasons.truncate(RETRY_REASONS_LISTED_MAX);
        reasons
    }

    /// Notes that a target was paused; the longest pause counts.
    pub(super) fn pause(&mut self, target: &TargetName, until: Option<Timestamp>, reason: &str) {
        let paused = PausedTarget {
            target: target.clone(),
            reason: reason.to_owned(),
            until,
        };
        self.paused.insert(target.clone(), paused);
    }

    /// The totals, by target and verb.
    pub(super) fn totals(&mut self) -> Vec<ApplyTotal> {
        std::mem::take(&mut self.totals).into_values().collect()
    }
}
