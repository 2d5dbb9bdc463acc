//! The server.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::programs::Programs;
use crate::template::{LOG_FILE_SIZE, as_root, copy_to};
use crate::watchdog::Watchdog;

/// How long a start or a stop may take; both take half a second on a machine that is not busy.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often it is looked whether the server is ready.
const LOOK: Duration = Duration::from_millis(10);
/// Another program may take the port between the moment it was found free and the moment the server wants it.
const PORT_TRIES: u32 = 10;
/// Lines of the server's log in an error.
const LOG_LINES: usize = 15;
/// A socket's path has at most 107 bytes; its name and the folder's own need 30.
const PARENT_BYTES_MAX: usize = 70;

/// A MariaDB server of this process alone. Dropped: stopped at once and removed; the same happens when the process is killed.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    folder: PathBuf,
    port: u16,
    settings: Vec<String>,
    running: Mutex<Option<Child>>,
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
        let folder = private_folder()?;
        let watchdog = Watchdog::over(&folder)?;
        copy_to(&programs, &folder)?;
        let settings = settings.iter().map(|(name, value)| format!("--{name}={value}"));
        let mut server = Self {
            programs,
            folder,
            port: 0,
            settings: settings.collect(),
            running: Mutex::new(None),
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
        let mut child = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting mariadb")?;
        // A test's texts are far smaller than a pipe holds, so this does not wait for what is answered.
        let written = child
            .stdin
            .take()
            .map(|mut stdin| stdin.write_all(sql.as_bytes()));
        let output = child.wait_with_output().context("waiting for mariadb")?;
        if !output.status.success() {
            bail!("mariadb: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        written.transpose().context("writing to mariadb")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
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
        let bytes = std::fs::read(self.log_file()).context("reading the server's log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Stops it as an operator does.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.end(Signal::SIGTERM)
    }

    /// Stops it as a crash does: the next start recovers from its log.
    pub fn crash(&self) -> anyhow::Result<()> {
        self.end(Signal::SIGKILL)
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

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        // What is in it is whole after a panic elsewhere.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it and waits until it takes connections. False: somebody else has the port.
    fn launch(&self) -> anyhow::Result<bool> {
        let mut running = self.running();
        if running.is_some() {
            bail!("the server runs already");
        }
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file());
        let log = log.context("opening the server's log")?;
        let logged = log.metadata().map_or(0, |metadata| metadata.len());
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
            .args(&self.settings)
            .current_dir("/");
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing the log")?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("starting mariadbd")?;
        let child = running.insert(child);
        let deadline = Instant::now() + DEADLINE;
        loop {
            let text = self.log()?;
            let new = text.get(usize::try_from(logged).unwrap_or(0)..).unwrap_or(&text);
            if new.contains("ready for connections") {
                return Ok(true);
            }
            if let Some(status) = child.try_wait().context("waiting for mariadbd")? {
                *running = None;
                if new.contains("Address already in use") {
                    return Ok(false);
                }
                bail!("mariadbd ended with {status}:\n{}", last_lines(new));
            }
            if Instant::now() > deadline {
                bail!("mariadbd was not ready after {DEADLINE:?}:\n{}", last_lines(new));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn end(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(mut child) = self.running().take() else {
            bail!("the server does not run");
        };
        let pid = Pid::from_raw(i32::try_from(child.id()).context("a process number that is none")?);
        kill(pid, signal).context("stopping mariadbd")?;
        let deadline = Instant::now() + DEADLINE;
        while child.try_wait().context("waiting for mariadbd")?.is_none() {
            if Instant::now() > deadline {
                kill(pid, Signal::SIGKILL).context("killing mariadbd")?;
                child.wait().context("waiting for mariadbd")?;
                bail!("mariadbd did not stop for {DEADLINE:?} and was killed");
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stopped already, or the watchdog does it.
        let _ = self.end(Signal::SIGKILL);
    }
}

/// A folder that nobody else may enter.
fn private_folder() -> anyhow::Result<PathBuf> {
    let mut parent = std::env::temp_dir();
    if parent.as_os_str().len() > PARENT_BYTES_MAX {
        parent = PathBuf::from("/tmp");
    }
    let folder = tempfile::Builder::new()
        .prefix("usher-maria-")
        .tempdir_in(&parent);
    let folder = folder.with_context(|| format!("making a folder in {}", parent.display()))?;
    Ok(folder.keep())
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    Ok(listener.local_addr().context("finding a free port")?.port())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
