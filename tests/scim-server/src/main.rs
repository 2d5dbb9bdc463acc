//! A small SCIM 2.0 server (RFC 7643, RFC 7644) for tests and the demo: users, groups and the service provider
//! configuration in memory, a journal of every request, and faults on request. Not a product.

mod answer;
mod attribute;
mod directory;
mod error;
mod faults;
mod filter;
mod http;
mod journal;
mod patch;
mod requests;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;

use crate::directory::Directory;
use crate::faults::Faults;
use crate::http::{Inner, Server, router};
use crate::journal::Journal;

/// Serves SCIM 2.0 on the loopback address. The first line on standard output is `{"port": …}`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Port; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The environment variable that holds the bearer token.
    #[arg(long, default_value = "SCIM_TOKEN", value_name = "NAME")]
    token_env: String,
    /// Appends one JSON line per request.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Writes the same lines to standard output.
    #[arg(long)]
    announce: bool,
    /// Loads everything from here at start, saves it here after each write.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Makes a group with this name, unless there is one. May be given several times.
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Waits before each answer.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    delay_ms: u64,
    /// Applies every N-th write and answers it with 500.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    fail_every: Option<u32>,
    /// Answers 429 beyond N requests a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate_limit: Option<u32>,
    /// Ends when standard input closes: then no server outlives the test that started it.
    #[arg(long)]
    until_stdin_closes: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let token = std::env::var(&arguments.token_env).with_context(|| {
        format!(
            "the environment variable {} must hold the bearer token",
            arguments.token_env
        )
    })?;
    if token.is_empty() {
        bail!("the environment variable {} is empty", arguments.token_env);
    }
    let mut directory = load(arguments.state.as_ref())?;
    arguments.group.iter().for_each(|name| directory.seed_group(name));
    let inner = Inner {
        directory,
        faults: Faults::new(arguments.fail_every, arguments.rate_limit),
        journal: Journal::open(arguments.journal.as_deref(), arguments.announce)?,
    };
    let server = Server {
        token,
        delay: Duration::from_millis(arguments.delay_ms),
        state_file: arguments.state,
        inner: Mutex::new(inner),
    };
    if arguments.until_stdin_closes {
        std::thread::spawn(end_with_stdin);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(serve(arguments.port, server))
}

fn load(state: Option<&PathBuf>) -> anyhow::Result<Directory> {
    let Some(file) = state.filter(|file| file.exists()) else {
        return Ok(Directory::default());
    };
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let directory: Directory =
        serde_json::from_slice(&text).with_context(|| format!("in {}", file.display()))?;
    Ok(directory.reindexed())
}

async fn serve(port: u16, server: Server) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .context("binding the port")?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{}",
        serde_json::json!({"port": listener.local_addr()?.port()})
    )?;
    out.flush()?;
    axum::serve(listener, router(server)).await.context("serving")
}

fn end_with_stdin() {
    let mut buffer = [0_u8; 64];
    while matches!(std::io::stdin().read(&mut buffer), Ok(1..)) {}
    std::process::exit(0);
}
