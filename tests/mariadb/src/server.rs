//! The server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::anyhow;
use nix::sys::signal::Signal;
use usher_test_server::{Kind, Process, Watchdog, feed, on_a_free_port, private_folder};

use crate::programs::Programs;
use crate::template::{LOG_FILE_SIZE, as_root, copy_to};

const KIND: Kind = Kind {
    program: "mariadbd",
    port_is_taken: &["Address already in use"],
};

/// Nothing in a test's server is worth an orderly end.
const STOP: &str = r#"
pid=$(cat "$1/pid" 2>/dev/null)
[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null
"#;

/// A MariaDB server of this process alone. Dropped: stopped at once and removed; the same happens when the process is killed.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    folder: PathBuf,
    port: u16,
    settings: Vec<String>,
    process: Process,
    databases: AtomicU32,
    // Last, so that it is dropped after the server is stopped.
    _watchdog: Watchdog,
}

impl Server {
    /// Starts one.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one with other settings, such as `("ssl-ca", "/path")`.
    pub fn start_with(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let programs = Programs::find().map_err(|reason| anyhow!(reason))?;
        let folder = private_folder("usher-maria-")?;
        let watchdog = Watchdog::over(&folder, STOP)?;
        let process = Process::new(KIND, &folder);
        copy_to(&programs, &folder)?;
        let settings = settings.iter().map(|(name, value)| format!("--{name}={value}"));
        let mut server = Self {
            programs,
            folder,
            port: 0,
            settings: settings.collect(),
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

    /// Makes an empty database with a name of its own; returns the name.
    pub fn fresh_database(&self) -> anyhow::Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("usher{number}");
        self.sql("", &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"))?;
        Ok(name)
    }

    /// Runs SQL as `root`; returns the rows, columns parted by tabs.
    pub fn sql(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        let mut client = Command::new(&self.programs.client);
        client
            .args([
                "--no-defaults",
                "--user=root",
                "--batch",
                "--skip-column-names",
                "--default-character-set=utf8mb4",
            ])
            .arg(format!("--socket={}", self.socket().display()))
            .args((!database.is_empty()).then_some(database))
            .current_dir("/");
        feed(client, sql).map(|rows| rows.trim_end().to_owned())
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its version, such as `10.11.14-MariaDB`.
    #[must_use]
    pub fn version(&self) -> &str {
        self.programs.version()
    }

    /// All it has logged.
    pub fn log(&self) -> anyhow::Result<String> {
        self.process.log()
    }

    /// Stops it as an operator does.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.process.end(Signal::SIGTERM)
    }

    /// Stops it as a crash does: the next start recovers from its log.
    pub fn crash(&self) -> anyhow::Result<()> {
        self.process.end(Signal::SIGKILL)
    }

    /// Starts it again, on the same port.
    pub fn start_again(&self) -> anyhow::Result<()> {
        self.process.start_again(|| self.launch())
    }

    /// Starts it and waits until it takes connections. False: somebody else has the port.
    fn launch(&self) -> anyhow::Result<bool> {
        let path = |name: &str, file: &Path| format!("--{name}={}", file.display());
        let mut command = Command::new(&self.programs.server);
        command
            .arg("--no-defaults")
            .args([
                "--bind-address=127.0.0.1",
                "--skip-log-bin",
                LOG_FILE_SIZE,
                "--innodb-buffer-pool-size=32M",
            ])
            .args(["--performance-schema=OFF", "--default-time-zone=+00:00"])
            .arg(format!("--port={}", self.port))
            .arg(path("datadir", &self.folder.join("data")))
            .arg(path("socket", &self.socket()))
            .arg(path("pid-file", &self.folder.join("pid")))
            .arg(path("tmpdir", &self.folder))
            .args(as_root())
            .args(&self.settings);
        self.process
            .start(command, |_, logged| logged.contains("ready for connections"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stopped already, or the watchdog does it.
        let _ = self.process.end(Signal::SIGKILL);
    }
}
