//! Tells a person who waits for an apply how far it is.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::observer::{Ending, Observer, Seen};
use crate::progress::{Phase, Progress};

/// Counts what has ended.
pub(super) struct Watch<'a> {
    progress: &'a dyn Progress,
    total: AtomicU64,
    ended: AtomicU64,
}

impl<'a> Watch<'a> {
    /// So many operations are open at the beginning.
    pub(super) fn new(progress: &'a dyn Progress, total: u64) -> Self {
        Self {
            progress,
            total: AtomicU64::new(total),
            ended: AtomicU64::new(0),
        }
    }

    /// So many more are to be done.
    pub(super) fn expect(&self, operations: u64) {
        self.total.fetch_add(operations, Ordering::Relaxed);
    }

    /// Operations at an end.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Observer for Watch<'_> {
    fn saw(&self, seen: Seen) {
        let Seen::Outcomes(outcomes) = seen else { return };
        let ended = outcomes.iter().map(|outcome| match outcome.ending {
            Ending::Done | Ending::Settled | Ending::Held | Ending::Failed => outcome.operations,
            Ending::Retry | Ending::PutBack => 0,
        });
        let ended = ended.sum::<u64>() + self.ended();
        self.ended.store(ended, Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        self.progress.at(Phase::Running, ended, total.max(ended));
    }
}
