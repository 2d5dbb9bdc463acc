//! What the loop last said of itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use usher_engine::{Ending, Observer, Outcomes, Part, Seen};

use crate::metrics::{FailureLabels, Metrics, OperationLabels, PartLabels, ReconcileLabels, TargetLabels};

/// Told by the loop what happens; counts it, and remembers when each part was last alive.
#[derive(Debug)]
pub struct Board {
    pub(crate) metrics: Metrics,
    parts: Mutex<[PartState; Part::ALL.len()]>,
}

/// One part of the loop.
#[derive(Clone, Debug)]
pub(crate) struct PartState {
    turn: Instant,
    /// What is in its way since its last turn that went well.
    pub(crate) trouble: Option<String>,
}

impl PartState {
    /// How long ago it began a turn.
    pub(crate) fn age(&self) -> Duration {
        self.turn.elapsed()
    }
}

impl Default for Board {
    /// A board on which both parts have just begun.
    fn default() -> Self {
        let begun = PartState {
            turn: Instant::now(),
            trouble: None,
        };
        Self {
            metrics: Metrics::default(),
            parts: Mutex::new([begun.clone(), begun]),
        }
    }
}

impl Board {
    /// How a part is.
    pub(crate) fn part(&self, part: Part) -> PartState {
        self.parts()[place(part)].clone()
    }

    fn parts(&self) -> MutexGuard<'_, [PartState; Part::ALL.len()]> {
        // Nothing that holds it can panic; were it so, what it holds would still be whole.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn went_well(&self, part: Part) {
        self.parts()[place(part)].trouble = None;
    }

    fn in_trouble(&self, part: Part, message: String) {
        self.parts()[place(part)].trouble = Some(message);
    }

    fn count(&self, outcomes: &[Outcomes]) {
        for outcome in outcomes {
            let labels = OperationLabels {
                target: outcome.target.to_string(),
                verb: outcome.verb,
                outcome: Ending::name(outcome.ending),
            };
            self.metrics
                .operations
                .get_or_create(&labels)
                .inc_by(outcome.operations);
        }
    }
}

const fn place(part: Part) -> usize {
    match part {
        Part::Planner => 0,
        Part::Runner => 1,
    }
}

impl Observer for Board {
    fn saw(&self, seen: Seen) {
        let metrics = &self.metrics;
        match seen {
            Seen::Alive(part) => self.parts()[place(part)].turn = Instant::now(),
            Seen::Outcomes(outcomes) => self.count(&outcomes),
            Seen::Committed {
                outcomes,
                claimed,
                took,
            } => {
                self.went_well(Part::Runner);
                metrics.claims.inc_by(claimed);
                metrics.commit_seconds.observe(took.as_secs_f64());
                #[expect(clippy::cast_precision_loss, reason = "a batch has fewer than 2^52 outcomes")]
                metrics.commit_outcomes.observe(outcomes as f64);
            }
            Seen::Fenced { operations } => {
                metrics.fenced.inc_by(operations);
            }
            Seen::Rejoined => {
                metrics.rejoined.inc();
            }
            Seen::Recovered { operations } => {
                metrics.recovered.inc_by(operations);
            }
            Seen::Rest { target, .. } => {
                let target = target.to_string();
                metrics.rests.get_or_create(&TargetLabels { target }).inc();
            }
            Seen::Planned {
                identities,
                operations,
                problems,
                took,
            } => {
                self.went_well(Part::Planner);
                metrics.planned_identities.inc_by(identities);
                metrics.planned_operations.inc_by(operations);
                metrics.plan_problems.inc_by(problems);
                metrics.plan_seconds.observe(took.as_secs_f64());
            }
            Seen::Lag(lag) => {
                if lag.is_zero() {
                    self.went_well(Part::Planner);
                }
                metrics.plan_lag.set(lag.as_secs_f64());
            }
            Seen::StoreFailed { part, kind, message } => {
                let part_name = part.name();
                let labels = FailureLabels {
                    part: part_name,
                    kind,
                };
                metrics.store_failures.get_or_create(&labels).inc();
                self.in_trouble(part, message);
            }
            Seen::Hindered { part, message } => {
                let labels = PartLabels { part: part.name() };
                metrics.hindered.get_or_create(&labels).inc();
                self.in_trouble(part, message);
            }
            Seen::Reconciled {
                target,
                drifted,
                refused,
                ..
            } => {
                let target = target.to_string();
                let outcome = if refused.is_some() { "refused" } else { "done" };
                let labels = ReconcileLabels {
                    target: target.clone(),
                    outcome,
                };
                metrics.reconciles.get_or_create(&labels).inc();
                metrics
                    .drifted
                    .get_or_create(&TargetLabels { target })
                    .inc_by(drifted);
            }
            Seen::NotReconciled { target, .. } => {
                let labels = ReconcileLabels {
                    target: target.to_string(),
                    outcome: "failed",
                };
                metrics.reconciles.get_or_create(&labels).inc();
            }
            Seen::Frozen(reason) => {
                metrics.frozen.set(i64::from(reason.is_some()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_stays_until_a_turn_goes_well() {
        let board = Board::default();
        board.saw(Seen::Hindered {
            part: Part::Planner,
            message: "no policy is active".into(),
        });
        board.saw(Seen::Alive(Part::Planner));
        assert_eq!(
            board.part(Part::Planner).trouble.as_deref(),
            Some("no policy is active")
        );
        assert_eq!(board.part(Part::Runner).trouble, None);
        board.saw(Seen::Lag(Duration::ZERO));
        assert_eq!(board.part(Part::Planner).trouble, None);
    }

    #[test]
    fn outcomes_are_counted_by_target_verb_and_ending() {
        let board = Board::default();
        let outcomes = Outcomes {
            target: "app".parse().unwrap(),
            verb: "create",
            ending: Ending::Done,
            operations: 3,
        };
        board.saw(Seen::Outcomes(vec![outcomes.clone(), outcomes]));
        let labels = OperationLabels {
            target: "app".into(),
            verb: "create",
            outcome: "done",
        };
        assert_eq!(board.metrics.operations.get_or_create(&labels).get(), 6);
    }
}
