//! The process of a server.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a start or a stop may take; both take less than a second on a machine that is not busy.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often it is looked whether the server is ready.
const LOOK: Duration = Duration::from_millis(5);
/// Another program may take the port between the moment it was found free and the moment the server wants it.
const PORT_TRIES: u32 = 10;
/// Lines of the server's log in an error.
const LOG_LINES: usize = 15;

/// What tells one kind of server from another.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The program, for messages.
    pub program: &'static str,
    /// What it logs when another program has its port: any of these.
    pub port_is_taken: &'static [&'static str],
}

/// A server's process, or what is left of it. It logs to the file `log` of its folder.
#[derive(Debug)]
pub struct Process {
    kind: Kind,
    log_file: PathBuf,
    running: Mutex<Option<Child>>,
}

impl Process {
    /// None runs yet.
    #[must_use]
    pub fn new(kind: Kind, folder: &std::path::Path) -> Self {
        Self {
            kind,
            log_file: folder.join("log"),
            running: Mutex::new(None),
        }
    }

    /// All it has logged.
    pub fn log(&self) -> anyhow::Result<String> {
        let bytes = std::fs::read(&self.log_file).context("reading the server's log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Starts it and waits until `is_ready` says so of its number and what it has logged since. False: somebody else has its port.
    pub fn start(&self, mut command: Command, is_ready: impl Fn(u32, &str) -> bool) -> anyhow::Result<bool> {
        let program = self.kind.program;
        let mut running = self.running();
        if running.is_some() {
            bail!("the server runs already");
        }
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log_file);
        let log = log.context("opening the server's log")?;
        let logged = log.metadata().map_or(0, |metadata| metadata.len());
        let child = command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing the log")?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let child = running.insert(child);
        let deadline = Instant::now() + DEADLINE;
        loop {
            let text = self.log()?;
            let new = text.get(usize::try_from(logged).unwrap_or(0)..).unwrap_or(&text);
            if is_ready(child.id(), new) {
                return Ok(true);
            }
            if let Some(status) = child
                .try_wait()
                .with_context(|| format!("waiting for {program}"))?
            {
                *running = None;
                if self.kind.port_is_taken.iter().any(|told| new.contains(told)) {
                    return Ok(false);
                }
                bail!("{program} ended with {status}:\n{}", last_lines(new));
            }
            if Instant::now() > deadline {
                bail!("{program} was not ready after {DEADLINE:?}:\n{}", last_lines(new));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Starts it again on its port, which `launch` does; another program may have taken that for a moment.
    pub fn start_again(&self, launch: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let deadline = Instant::now() + DEADLINE;
        while !launch()? {
            if Instant::now() > deadline {
                bail!("the port was taken by another program");
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Ends it by a signal, and waits for that.
    pub fn end(&self, signal: Signal) -> anyhow::Result<()> {
        let program = self.kind.program;
        let Some(mut child) = self.running().take() else {
            bail!("the server does not run");
        };
        let waiting = || format!("waiting for {program}");
        let pid = Pid::from_raw(i32::try_from(child.id()).context("a process number that is none")?);
        kill(pid, signal).with_context(|| format!("stopping {program}"))?;
        let deadline = Instant::now() + DEADLINE;
        while child.try_wait().with_context(waiting)?.is_none() {
            if Instant::now() > deadline {
                kill(pid, Signal::SIGKILL).with_context(|| format!("killing {program}"))?;
                child.wait().with_context(waiting)?;
                bail!("{program} did not stop for {DEADLINE:?} and was killed");
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        // What is in it is whole after a panic elsewhere.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Launches on one free port after the other, until nobody else was faster.
pub fn on_a_free_port(mut launch: impl FnMut(u16) -> anyhow::Result<bool>) -> anyhow::Result<()> {
    for _ in 0..PORT_TRIES {
        let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
        let port = listener.local_addr().context("finding a free port")?.port();
        drop(listener);
        if launch(port)? {
            return Ok(());
        }
    }
    bail!("found no free port in {PORT_TRIES} tries")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
