//! Logging to stderr, for people who look for a cause.

use std::io;

use tracing_subscriber::EnvFilter;

/// Starts logging: warnings; with `-v` what Usher does, with `-vv` every detail of it, with `-vvv` the libraries too.
pub(crate) fn start(verbose: u8) {
    let filter = match verbose {
        0 => "warn",
        1 => "warn,usher=info,usher_engine=info,usher_store=info,usher_connectors=info",
        2 => "info,usher=debug,usher_engine=debug,usher_store=debug,usher_connectors=debug",
        _ => "debug",
    };
    // Colours stay off: log lines go to files and journals.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
}
