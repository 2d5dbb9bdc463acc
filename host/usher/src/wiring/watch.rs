//! What the loop does, told twice: counted on the board, and the notable part of it in the log.

use std::sync::{Arc, Mutex, PoisonError};

use usher_engine::{Ending, Observer, Outcomes, Seen};
use usher_server::Board;

/// Watches the loop.
#[derive(Debug)]
pub(crate) struct Watch {
    board: Arc<Board>,
    /// What hinders the loop is told once, not once for each turn.
    hindered: Mutex<Option<String>>,
}

impl Watch {
    /// Beside this board.
    pub(crate) fn new(board: Arc<Board>) -> Self {
        Self {
            board,
            hindered: Mutex::default(),
        }
    }

    fn is_new(&self, message: &str) -> bool {
        let mut hindered = self.hindered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = hindered.as_deref() != Some(message);
        *hindered = Some(message.to_owned());
        is_new
    }

    fn log(&self, seen: &Seen) {
        match seen {
            Seen::Alive(_) | Seen::Lag(_) => {}
            Seen::Outcomes(outcomes) => outcomes.iter().for_each(log_outcomes),
            Seen::Committed {
                outcomes,
                claimed,
                took,
            } => tracing::debug!(outcomes, claimed, ?took, "committed"),
            Seen::Fenced { operations } => {
                tracing::warn!(
                    operations,
                    "outcomes refused: other hosts have taken these operations"
                );
            }
            Seen::Rejoined => {
                tracing::warn!("the database had not heard of this host for too long; it has begun anew");
            }
            Seen::Recovered { operations } => {
                tracing::info!(operations, "took over operations of hosts that are gone");
            }
            Seen::Rest {
                target,
                until,
                reason,
            } => {
                let until = until.map(tracing::field::display);
                tracing::warn!(%target, until, reason, "the target rests");
            }
            Seen::Planned {
                identities,
                operations,
                problems,
                took,
            } => tracing::info!(identities, operations, problems, ?took, "planned"),
            Seen::StoreFailed { part, kind, message } => {
                tracing::error!(
                    part = part.name(),
                    kind,
                    message,
                    "the store failed; trying again"
                );
            }
            Seen::Hindered { part, message } => {
                if self.is_new(message) {
                    tracing::warn!(part = part.name(), message, "cannot go on; trying again");
                }
            }
            Seen::Reconciled {
                target,
                listed,
                drifted,
                refused,
                took,
            } => match refused {
                None => tracing::info!(%target, listed, drifted, ?took, "reconciled"),
                Some(reason) => {
                    tracing::error!(%target, listed, reason, "a list of accounts was not believed: nothing took effect");
                }
            },
            Seen::NotReconciled { target, message } => {
                tracing::warn!(%target, message, "not reconciled; tried again when its time comes");
            }
            Seen::Frozen(Some(reason)) => {
                tracing::warn!(reason, "frozen: nothing runs until somebody thaws it")
            }
            Seen::Frozen(None) => tracing::info!("thawed"),
        }
    }
}

fn log_outcomes(outcomes: &Outcomes) {
    let Outcomes {
        target,
        verb,
        ending,
        operations,
    } = outcomes;
    let ended = ending.name();
    match ending {
        Ending::Done | Ending::Settled | Ending::PutBack => {
            tracing::debug!(%target, verb, operations, ended, "operations");
        }
        Ending::Retry => tracing::info!(%target, verb, operations, ended, "operations"),
        Ending::Held | Ending::Failed => tracing::warn!(%target, verb, operations, ended, "operations"),
    }
}

impl Observer for Watch {
    fn saw(&self, seen: Seen) {
        self.log(&seen);
        self.board.saw(seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hindrance_is_told_once() {
        let watch = Watch::new(Arc::default());
        assert!(watch.is_new("no policy is active"));
        assert!(!watch.is_new("no policy is active"));
        assert!(watch.is_new("no targets are active"));
    }
}
