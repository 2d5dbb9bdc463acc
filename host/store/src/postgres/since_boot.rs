//! Time since this machine was started.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A moment as time since this machine was started. It goes on while the machine sleeps, where the system has such a clock, so that a lease is
/// over after a night with the lid closed; the usual monotonic clock stands still meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SinceBoot(Duration);

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
/// On Apple's systems this one goes on.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

impl SinceBoot {
    pub(super) fn now() -> Self {
        // Fails for clocks that a kernel does not know; then every lease is over, which is the safe side.
        Self(clock_gettime(CLOCK).map_or(Duration::MAX, Duration::from))
    }

    pub(super) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on() {
        let before = SinceBoot::now();
        assert!(before < before.after(Duration::from_millis(1)));
        assert!(before <= SinceBoot::now());
        assert!(SinceBoot::now() < before.after(Duration::from_secs(3_600)));
    }
}
