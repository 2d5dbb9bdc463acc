//! When each phase of a run began and ended.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use usher_engine::{Phase, Progress};

/// Notes the first and last report of each phase.
#[derive(Default)]
pub(crate) struct Phases(Mutex<BTreeMap<Phase, (Instant, Instant)>>);

impl Phases {
    /// Time from the first to the last report of a phase.
    pub(crate) fn took(&self, phase: Phase) -> Duration {
        let phases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        phases
            .get(&phase)
            .map_or(Duration::ZERO, |(first, last)| last.duration_since(*first))
    }
}

impl Progress for Phases {
    fn at(&self, phase: Phase, _done: u64, _total: u64) {
        let now = Instant::now();
        let mut phases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        phases.entry(phase).or_insert((now, now)).1 = now;
    }
}
