//! How an attempt came to its end.

use jiff::Timestamp;
use usher_lifecycle::account::ObservedAccount;
use usher_lifecycle::connector::CallError;
use usher_store::{ClaimedOperation, Decision, Outcome};

use super::target::Ask;

/// How a worker came back.
pub(super) enum Returned {
    /// `find` saw nothing: that must be recorded before the account is created.
    Absent(Box<ClaimedOperation>),
    /// The attempt is over.
    Finished(Box<Finished>),
}

/// An attempt that is over.
pub(super) struct Finished {
    pub(super) operation: ClaimedOperation,
    pub(super) outcome: Outcome,
    /// The whole target must rest until then, and why.
    pub(super) pause: Option<(Timestamp, Ask)>,
    /// The target could not be reached, or gave no answer in time.
    pub(super) unreachable: bool,
    /// Given back before it started.
    pub(super) put_back: bool,
}

impl Finished {
    /// Claimed and given back before it began: ready again at that moment, as it was.
    pub(super) fn put_back(operation: ClaimedOperation, at: Timestamp, why: &str) -> Self {
        let outcome = Outcome {
            number: operation.number,
            attempt: operation.attempt,
            decision: Decision::Retry {
                at,
                settle: operation.settle,
                counts: false,
            },
            observed: None,
            dirty: false,
            message: why.to_owned(),
        };
        Self {
            operation,
            outcome,
            pause: None,
            unreachable: false,
            put_back: true,
        }
    }
}

/// What was learned in an attempt.
pub(super) struct Learned {
    pub(super) decision: Decision,
    pub(super) observed: Option<ObservedAccount>,
    pub(super) dirty: bool,
    pub(super) message: String,
}

/// Why an attempt ended early.
pub(super) enum Ended {
    /// The absence of the account must be recorded first.
    Absent,
    /// This is what becomes of it.
    Learned(Box<Learned>),
    /// This host's lease does not hold: somebody else may do the same work, so nothing may be written.
    NotOurs,
    /// A call failed.
    Failed {
        error: CallError,
        /// An earlier attempt's outcome is still unknown.
        unknown: bool,
    },
}

impl Ended {
    /// A person must decide. `unknown`: an attempt's outcome is still not known.
    pub(super) fn held(unknown: bool, message: impl Into<String>) -> Self {
        Self::Learned(Box::new(Learned {
            decision: Decision::Held { settle: unknown },
            observed: None,
            dirty: false,
            message: message.into(),
        }))
    }
}
