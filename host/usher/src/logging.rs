//! Logging to stderr, for people who look for a cause and for what collects the lines of a server.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What one command says without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// A command: warnings.
    Quiet,
    /// A server: what it does as well, there is no other output.
    Server(LogFormat),
}

/// Starts logging; each `-v` says more: what Usher does, every detail of it, the libraries too.
pub(crate) fn start(voice: Voice, verbose: u8) {
    let (level, format) = match voice {
        Voice::Quiet => (verbose, LogFormat::Text),
        Voice::Server(format) => (verbose.saturating_add(1), format),
    };
    // Colours stay off: log lines go to files and journals.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter(level)))
        .with_writer(io::stderr)
        .with_ansi(false);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

const fn filter(level: u8) -> &'static str {
    match level {
        0 => "warn",
        1 => "warn,usher=info,usher_engine=info,usher_server=info,usher_store=info,usher_connectors=info",
        2 => {
            "info,usher=debug,usher_engine=debug,usher_server=debug,usher_store=debug,usher_connectors=debug"
        }
        _ => "debug",
    }
}
