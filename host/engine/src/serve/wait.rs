//! Waiting for something to do.

use std::time::Duration;

use jiff::Timestamp;
use usher_store::Wakes;

use crate::ports::Clock;
use crate::run::{Stop, later};

/// Why a wait was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Somebody has made something ready or dirty.
    Called,
    /// A moment has come, or it is time to look.
    Time,
    /// Asked to stop.
    Stop,
}

/// Waits until somebody calls, until `next`, until it is time to look, or until asked to stop.
pub(super) async fn wait(
    clock: &dyn Clock,
    wakes: &mut Wakes,
    next: Option<Timestamp>,
    poll_ms: u64,
    stop: &Stop,
) -> Woken {
    let poll = later(clock.now(), poll_ms);
    let at = next.map_or(poll, |next| next.min(poll));
    tokio::select! {
        biased;
        () = stop.requested() => Woken::Stop,
        () = wakes.next() => Woken::Called,
        () = clock.sleep_until(at) => Woken::Time,
        // A clock that was set back must not keep it asleep.
        () = tokio::time::sleep(Duration::from_millis(poll_ms)) => Woken::Time,
    }
}
