//! What a guest writes to the log: capped, escaped, and marked with where it came from.

use crate::guest_text::line;

/// Lines one call may write; the contract says so. Further ones are counted, not written.
pub(crate) const LOG_LINES_MAX: u32 = 100;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// The log of one call.
pub(crate) struct GuestLog {
    target: String,
    operation: &'static str,
    written: u32,
    dropped: u32,
}

impl GuestLog {
    pub(crate) fn new(target: String, operation: &'static str) -> Self {
        Self {
            target,
            operation,
            written: 0,
            dropped: 0,
        }
    }

    /// Writes one line, if there may be more.
    pub(crate) fn write(&mut self, level: Level, message: &str) {
        if self.written == LOG_LINES_MAX {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.written += 1;
        let (target, operation, message) = (self.target.as_str(), self.operation, line(message));
        match level {
            Level::Debug => tracing::debug!(target: "usher::connector", target, operation, "{message}"),
            Level::Info => tracing::info!(target: "usher::connector", target, operation, "{message}"),
            Level::Warn => tracing::warn!(target: "usher::connector", target, operation, "{message}"),
            Level::Error => tracing::error!(target: "usher::connector", target, operation, "{message}"),
        }
    }
}

impl Drop for GuestLog {
    fn drop(&mut self) {
        if self.dropped > 0 {
            let (target, operation, dropped) = (self.target.as_str(), self.operation, self.dropped);
            tracing::warn!(target: "usher::connector", target, operation, dropped, "the connector wrote more lines than a call may");
        }
    }
}
