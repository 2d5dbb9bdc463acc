//! The limit on the size of files (`ulimit -f`, a service's `LimitFSIZE`). By default the system ends a process that meets it, in the middle of
//! what it does.

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// From now on a write beyond the limit is an error of that write, which says so, and not the end of the process.
pub(crate) fn is_an_error() {
    // Listened to once, the signal never again does what it does by default. Where it cannot be, the default stays.
    if let Err(error) = signal(SignalKind::from_raw(Signal::SIGXFSZ as i32)) {
        tracing::warn!(%error, "a limit on the size of files would end this process");
    }
}
