//! `usher serve` as a supervisor, a probe and a scraper meet it, on a data folder and on PostgreSQL; and commands on PostgreSQL beside those on
//! a data folder. No connector is needed here; replicas at work are in `tests/`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may end the test")]

mod common;
#[path = "serving/postgres.rs"]
mod postgres;
#[path = "serving/sqlite.rs"]
mod sqlite;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::POLICY;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long anything may take on a busy machine before a test gives up.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long between looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const PEOPLE: &str = "employee_id,given_name,start_date\n\
    E1,Mei,2026-01-05\nE2,Ada,2026-01-05\nE3,Jo,2026-12-01\n";

/// A folder for everything of one host, and how Usher is called there.
struct Host {
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Host {
    /// On a data folder.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.toml"), POLICY).unwrap();
        std::fs::write(folder.path().join("people.csv"), PEOPLE).unwrap();
        Self {
            folder,
            environment: Vec::new(),
        }
    }

    /// With this in its environment too.
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("usher.sock")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
        command
            .args(arguments)
            .env_clear()
            .env("USHER_DATA", self.data())
            .env("USHER_LISTEN", format!("unix:{}", self.socket().display()))
            .env("TZ", "Europe/Berlin")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it, wants that exit code, returns stdout and stderr.
    fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "usher {arguments:?}\nstdout: {stdout}\nstderr: {stderr}"
        );
        (stdout, stderr)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (stdout, stderr) = self.expect(0, &[arguments, &["--json"]].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"))
    }

    /// Starts a server and waits until it is ready.
    fn serve(&self) -> Served {
        let log = self.folder.path().join("log");
        let child = self
            .command(&["serve", "--log", "json"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut served = Served {
            child,
            socket: self.socket(),
            log,
        };
        served.until("it is ready", |served| {
            get(&served.socket, "/readyz").is_some_and(|(code, _)| code == 200)
        });
        served
    }
}

/// A running server.
struct Served {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Served {
    /// Waits until that is so.
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("ended with {status} before {what}:\n{}", self.log());
            }
            assert!(
                begun.elapsed() < DEADLINE,
                "{what} takes too long:\n{}\n{:?}",
                self.log(),
                get(&self.socket, "/healthz")
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn health(&self) -> Value {
        let (_, body) = get(&self.socket, "/healthz").unwrap();
        serde_json::from_str(&body).unwrap()
    }

    fn replicas(&self) -> usize {
        self.health()["replicas"].as_array().unwrap().len()
    }

    /// The value of a series, if there is one.
    fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = get(&self.socket, "/metrics")?;
        let line = text.lines().find_map(|line| line.strip_prefix(series))?;
        line.trim().parse().ok()
    }

    fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(process), signal).unwrap();
    }

    /// Waits for its end; returns its exit code and its log.
    fn ended(&mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), self.log());
            }
            assert!(begun.elapsed() < DEADLINE, "does not end:\n{}", self.log());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Asks it to end, as a supervisor does.
    fn terminate(mut self) -> (Option<i32>, String) {
        self.signal(Signal::SIGTERM);
        self.ended()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended already where a test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks a server; `None` while nobody answers.
fn get(socket: &Path, path: &str) -> Option<(u16, String)> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: usher\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}
