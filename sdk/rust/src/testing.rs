//! For a connector's own unit tests, run natively with `cargo test`: a [`Target`] that calls the connector the way the
//! host does, [`http`] to answer its requests, and [`sql`] to stand in for its database.

mod http;
pub mod sql;
mod target;

use std::cell::RefCell;

pub(crate) use http::transmit;
pub use http::{HttpGuard, answer, empty, http, scripted};
pub use target::Target;

use crate::bindings::base::usher::host::log::Level;

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn log_line(level: Level, message: &str) {
    let word = match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    LOG.with_borrow_mut(|lines| lines.push(format!("{word}: {message}")));
}

/// The lines this thread's connectors have logged since the last time, as `level: message`.
pub fn take_log() -> Vec<String> {
    LOG.take()
}
