//! Randomness, crash points and the place where simulated connectors come from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use usher_connectors::Connector;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::targets::Target;

use super::SimTarget;
use crate::ports::{Connectors, Point, Probes, Randomness, ResolvedTarget};

/// A lock that a simulated crash may have poisoned.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seeded randomness (xorshift): good enough to be unlike itself, and the same for the same seed.
#[derive(Debug)]
pub struct SimRandomness(Mutex<u64>);

impl SimRandomness {
    /// A sequence of its own for each seed.
    pub fn seeded(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)))
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        let mut state = lock(&self.0);
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

impl Randomness for SimRandomness {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// What a simulated crash panics with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash(pub Point);

/// Counts the points reached, and crashes at one of them: the run panics with [`Crash`], as if the process had been killed there.
#[derive(Debug, Default)]
pub struct SimProbes {
    reached: Mutex<BTreeMap<Point, u32>>,
    crash_at: Mutex<Option<(Point, u32)>>,
    /// How often the store goes on failing at a point.
    failing: Mutex<BTreeMap<Point, u32>>,
}

impl SimProbes {
    /// Crashes nowhere.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Crashes when this point is reached for the n-th time from now, n from 1.
    pub fn crash_at(&self, point: Point, times: u32) {
        lock(&self.reached).clear();
        *lock(&self.crash_at) = Some((point, times));
    }

    /// The store fails at this point so many times from now on.
    pub fn fail_store(&self, point: Point, times: u32) {
        lock(&self.failing).insert(point, times);
    }

    /// How often a point was reached.
    pub fn times(&self, point: Point) -> u32 {
        lock(&self.reached).get(&point).copied().unwrap_or(0)
    }
}

impl Probes for SimProbes {
    fn reached(&self, point: Point) {
        let times = {
            let mut reached = lock(&self.reached);
            let times = reached.entry(point).or_default();
            *times += 1;
            *times
        };
        if self
            .crash_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take_if(|at| *at == (point, times))
            .is_some()
        {
            std::panic::panic_any(Crash(point));
        }
    }

    fn store_fails(&self, point: Point) -> bool {
        let mut failing = lock(&self.failing);
        let Some(left) = failing.get_mut(&point).filter(|left| **left > 0) else {
            return false;
        };
        *left -= 1;
        true
    }
}

/// Simulated targets by name.
#[derive(Default)]
pub struct SimConnectors {
    targets: Mutex<BTreeMap<TargetName, Arc<SimTarget>>>,
    broken: Mutex<BTreeMap<TargetName, String>>,
}

impl SimConnectors {
    /// Without targets.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Adds a target, or puts another in its place.
    pub fn add(&self, name: &TargetName, target: Arc<SimTarget>) {
        lock(&self.targets).insert(name.clone(), target);
    }

    /// The connector of this target cannot be loaded any more, for this reason.
    pub fn break_loading(&self, name: &TargetName, reason: &str) {
        lock(&self.broken).insert(name.clone(), reason.to_owned());
    }

    /// It can be loaded again.
    pub fn mend_loading(&self, name: &TargetName) {
        lock(&self.broken).remove(name);
    }

    fn find(&self, name: &TargetName) -> Result<Arc<SimTarget>, String> {
        if let Some(reason) = lock(&self.broken).get(name) {
            return Err(reason.clone());
        }
        lock(&self.targets)
            .get(name)
            .cloned()
            .ok_or_else(|| format!("there is no simulated target {name}"))
    }
}

#[async_trait]
impl Connectors for SimConnectors {
    async fn resolve(&self, target: &Target) -> Result<ResolvedTarget, String> {
        Ok(self.find(&target.name)?.resolved())
    }

    async fn connector(&self, target: &TargetName) -> Result<Arc<dyn Connector>, String> {
        Ok(self.find(target)?)
    }
}
