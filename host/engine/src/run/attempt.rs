//! How an attempt came to its end.

use jiff::Timestamp;
use usher_lifecycle::account::ObservedAccount;
use usher_lifecycle::connector::CallError;
use usher_lifecycle::operation::Work;
use usher_store::{ClaimedOperation, Decision, Outcome};

use super::target::Ask;
use super::worker::later;

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

/// How long an operation that makes way for a security hold is left alone, in milliseconds: the plan that supersedes it is made by then.
const MAKE_WAY_MS: u64 = 10_000;

impl Finished {
    /// Claimed and not begun, and a security hold has come: ready again later, so that it is planned before.
    pub(super) fn give_way(operation: ClaimedOperation, now: Timestamp) -> Self {
        Self::put_back(
            operation,
            later(now, MAKE_WAY_MS),
            "put back: a security hold has come",
        )
    }

    /// Cut short in the middle, because a security hold waits for this account: what it has done is read back.
    pub(super) fn cut_short(operation: ClaimedOperation, now: Timestamp) -> Self {
        let at = match operation.work {
            // Settled by looking for the account, which makes nothing for somebody who is on hold.
            Work::Create { .. } => now,
            Work::Update { .. }
            | Work::Disable
            | Work::Enable
            | Work::Delete
            | Work::Grant { .. }
            | Work::Revoke { .. }
            | Work::Read => later(now, MAKE_WAY_MS),
        };
        let outcome = Outcome {
            number: operation.number,
            attempt: operation.attempt,
            decision: Decision::Retry {
                at,
                settle: operation.settle || operation.work != Work::Read,
                counts: true,
            },
            observed: None,
            dirty: true,
            message: "cut short: a security hold waits for this account; what it has done is read back"
                .to_owned(),
        };
        Self {
            operation,
            outcome,
            pause: None,
            unreachable: false,
            put_back: false,
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
