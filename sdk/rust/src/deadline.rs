//! How long the current call may still take.

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Taken off the deadline, so that an answer about a timeout still reaches the host.
const RESERVE: Duration = Duration::from_millis(50);

/// Notes when the call that begins now must be done.
pub(crate) fn start(deadline_ms: u32) {
    DEADLINE.set(Instant::now().checked_add(Duration::from_millis(u64::from(deadline_ms))));
}

/// The time left in this call, with a little kept back for the answer; `None` outside a call.
pub fn time_left() -> Option<Duration> {
    DEADLINE.get().map(|end| {
        end.saturating_duration_since(Instant::now())
            .saturating_sub(RESERVE)
    })
}
