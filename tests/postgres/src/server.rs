//! The server.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::anyhow;
use nix::sys::signal::Signal;
use usher_test_server::{Kind, Process, Watchdog, feed, on_a_free_port};

use crate::programs::Programs;
use crate::template::{ROLE, STOP, SUPERUSER, Template, as_owner, private_folder};

const KIND: Kind = Kind {
    program: "postgres",
    port_is_taken: &[
        "could not bind IPv4 address",
        "could not create any TCP/IP sockets",
    ],
};

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
    process: Process,
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
        let watchdog = Watchdog::over(&folder, STOP)?;
        template.copy_to(&folder)?;
        let process = Process::new(KIND, &folder);
        let all = SETTINGS.iter().chain(settings);
        let mut server = Self {
            settings: all
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            programs,
            folder,
            port: 0,
            password: template.password,
            process,
            databases: AtomicU32::new(0),
            _watchdog: watchdog,
        };
        on_a_free_port(|port| {
            server.port = port;
            server.launch()
        })?;
        Ok(server)
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
        self.process.log()
    }

    /// Stops it as an operator does: connections are cut, everything is written.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.process.end(Signal::SIGINT)
    }

    /// Stops it as a crash does: the next start recovers from its log.
    pub fn crash(&self) -> anyhow::Result<()> {
        self.process.end(Signal::SIGQUIT)
    }

    /// Starts it again, on the same port.
    pub fn start_again(&self) -> anyhow::Result<()> {
        self.process.start_again(|| self.launch())
    }

    /// Starts it and waits until it takes connections. False: somebody else has the port.
    fn launch(&self) -> anyhow::Result<bool> {
        let mut command = as_owner(&self.programs, "postgres");
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-p", &self.port.to_string(), "-k"]);
        command.arg(&self.folder);
        self.settings.iter().for_each(|(name, value)| {
            command.args(["-c", &format!("{name}={value}")]);
        });
        self.process.start(command, |process, _| self.is_ready(process))
    }

    /// The eighth line of its lock file is its state; the first its process.
    fn is_ready(&self, process: u32) -> bool {
        let text = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines();
        lines.next() == Some(process.to_string().as_str())
            && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stopped already, or the watchdog does it.
        let _ = self.process.end(Signal::SIGQUIT);
    }
}
