//! The server.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::programs::Programs;
use crate::template::{ROLE, SUPERUSER, Template, as_owner, feed, private_folder};
use crate::watchdog::Watchdog;

/// How long a start or a stop may take; both take a fifth of a second on a machine that is not busy.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often it is looked whether the server is ready.
const LOOK: Duration = Duration::from_millis(5);
/// Another program may take the port between the moment it was found free and the moment the server wants it.
const PORT_TRIES: u32 = 10;
/// Lines of the server's log in an error.
const LOG_LINES: usize = 15;

/// What every server is started with; `fsync` stays on, because what a store promises to keep is tested here.
const SETTINGS: [(&str, &str); 8] = [
    ("listen_addresses", "127.0.0.1"),
    ("max_connections", "100"),
    ("shared_buffers", "64MB"),
    ("log_destination", "stderr"),
    ("logging_collector", "off"),
    ("log_lock_waits", "on"),
    ("timezone", "UTC"),
    ("fsync", "on"),
];

/// A PostgreSQL server of this process alone. Dropped: stopped at once and removed; the same happens when the process is killed.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    folder: PathBuf,
    port: u16,
    password: String,
    settings: Vec<(String, String)>,
    postmaster: Mutex<Option<Child>>,
    databases: AtomicU32,
    // Last, so that it is dropped after the server is stopped.
    _watchdog: Watchdog,
}

impl Server {
    /// Starts one with what a careful operator has: everything durable.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one with other settings, such as `("fsync", "off")` where only speed matters.
    pub fn start_with(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let programs = Programs::find().map_err(|reason| anyhow!(reason))?;
        let template = Template::get(&programs)?;
        let folder = private_folder(&programs)?;
        let watchdog = Watchdog::over(&folder)?;
        template.copy_to(&folder)?;
        let all = SETTINGS.iter().chain(settings);
        let mut server = Self {
            settings: all
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            programs,
            folder,
            port: 0,
            password: template.password,
            postmaster: Mutex::new(None),
            databases: AtomicU32::new(0),
            _watchdog: watchdog,
        };
        for _ in 0..PORT_TRIES {
            server.port = free_port()?;
            if server.launch()? {
                return Ok(server);
            }
        }
        bail!("found no free port in {PORT_TRIES} tries")
    }

    /// The URL of a database for `ROLE`, over TCP with a password.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let (password, port) = (&self.password, self.port);
        format!("postgres://{ROLE}:{password}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// Makes an empty database; returns its URL.
    pub fn database(&self, name: &str) -> anyhow::Result<String> {
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\" OWNER {ROLE}"))?;
        Ok(self.url(name))
    }

    /// Makes an empty database with a name of its own; returns its URL.
    pub fn fresh_database(&self) -> anyhow::Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed) + 1;
        self.database(&format!("usher{number}"))
    }

    /// Runs SQL as the superuser; returns the rows, columns parted by `|`.
    pub fn sql(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        let mut psql = self.programs.command("psql");
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--set=ON_ERROR_STOP=1",
        ]);
        psql.args([
            "--username",
            SUPERUSER,
            "--dbname",
            database,
            "--port",
            &self.port.to_string(),
            "--host",
        ]);
        psql.arg(&self.folder);
        feed(psql, sql).map(|rows| rows.trim_end().to_owned())
    }

    /// The folder of its socket, for URLs such as `postgres:///usher1?host=…&user=usher`.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its version, such as `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        self.programs.version()
    }

    /// All it has logged.
    pub fn log(&self) -> anyhow::Result<String> {
        let bytes = std::fs::read(self.log_file()).context("reading the server's log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Stops it as an operator does: connections are cut, everything is written.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.end(Signal::SIGINT)
    }

    /// Stops it as a crash does: the next start recovers from its log.
    pub fn crash(&self) -> anyhow::Result<()> {
        self.end(Signal::SIGQUIT)
    }

    /// Starts it again, on the same port.
    pub fn start_again(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + DEADLINE;
        while !self.launch()? {
            if Instant::now() > deadline {
                bail!("port {} was taken by another program", self.port);
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn postmaster(&self) -> MutexGuard<'_, Option<Child>> {
        // What is in it is whole after a panic elsewhere.
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it and waits until it takes connections. False: somebody else has the port.
    fn launch(&self) -> anyhow::Result<bool> {
        let mut running = self.postmaster();
        if running.is_some() {
            bail!("the server runs already");
        }
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file());
        let log = log.context("opening the server's log")?;
        let logged = log.metadata().map(|metadata| metadata.len()).unwrap_or(0);
        let mut command = as_owner(&self.programs, "postgres");
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-p", &self.port.to_string(), "-k"]);
        command.arg(&self.folder);
        self.settings.iter().for_each(|(name, value)| {
            command.args(["-c", &format!("{name}={value}")]);
        });
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing the log")?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("starting postgres")?;
        let child = running.insert(child);
        let deadline = Instant::now() + DEADLINE;
        while !self.is_ready(child.id()) {
            if let Some(status) = child.try_wait().context("waiting for postgres")? {
                *running = None;
                let text = self.log()?;
                let new = text.get(usize::try_from(logged).unwrap_or(0)..).unwrap_or(&text);
                if new.contains("could not bind IPv4 address")
                    || new.contains("could not create any TCP/IP sockets")
                {
                    return Ok(false);
                }
                bail!("postgres ended with {status}:\n{}", last_lines(new));
            }
            if Instant::now() > deadline {
                bail!(
                    "postgres was not ready after {DEADLINE:?}:\n{}",
                    last_lines(&self.log()?)
                );
            }
            std::thread::sleep(LOOK);
        }
        Ok(true)
    }

    /// The eighth line of its lock file is its state; the first its process.
    fn is_ready(&self, process: u32) -> bool {
        let text = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines();
        lines.next() == Some(process.to_string().as_str())
            && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }

    fn end(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(mut child) = self.postmaster().take() else {
            bail!("the server does not run");
        };
        let pid = Pid::from_raw(i32::try_from(child.id()).context("a process number that is none")?);
        kill(pid, signal).context("stopping postgres")?;
        let deadline = Instant::now() + DEADLINE;
        while child.try_wait().context("waiting for postgres")?.is_none() {
            if Instant::now() > deadline {
                kill(pid, Signal::SIGKILL).context("killing postgres")?;
                child.wait().context("waiting for postgres")?;
                bail!("postgres did not stop for {DEADLINE:?} and was killed");
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stopped already, or the watchdog does it.
        let _ = self.end(Signal::SIGQUIT);
    }
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    Ok(listener.local_addr().context("finding a free port")?.port())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
