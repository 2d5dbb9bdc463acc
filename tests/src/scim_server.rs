//! The SCIM server as a process of its own, and what it saw.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::programs::program;

/// The token it asks for. Not a secret: it guards a server that only listens on loopback, for as long as a test runs.
pub const TOKEN: &str = "rehearsal-token";
/// The environment variable that holds it, for the server and for Usher.
pub const TOKEN_ENV: &str = "SCIM_TOKEN";
/// How long an answer may take before something must be wrong.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A running server. Ends when dropped, and when this process ends.
pub struct ScimServer {
    process: Child,
    port: u16,
    journal: PathBuf,
    lines: Receiver<Value>,
}

/// One request, as the journal tells it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The status it was answered with.
    pub status: u64,
    /// The body.
    pub body: Value,
}

impl Seen {
    fn of(line: &Value) -> Self {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        Self {
            method: text("method"),
            path: text("path"),
            status: line["status"].as_u64().unwrap_or_default(),
            body: line["body"].clone(),
        }
    }

    /// The user name, when the request made a user.
    pub fn created_user(&self) -> Option<&str> {
        let made = self.method == "POST" && self.path == "/Users" && self.status == 201;
        made.then(|| self.body["userName"].as_str().unwrap_or_default())
    }
}

impl ScimServer {
    /// Starts a server that keeps its journal in `folder` and has these groups.
    pub fn start(folder: &Path, groups: &[&str], options: &[&str]) -> anyhow::Result<Self> {
        let journal = folder.join("scim-journal.jsonl");
        let mut command = Command::new(program("usher-scim-server")?);
        command
            .args(["--announce", "--until-stdin-closes", "--journal"])
            .arg(&journal);
        groups.iter().for_each(|group| {
            command.args(["--group", group]);
        });
        command
            .args(options)
            .env(TOKEN_ENV, TOKEN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().context("starting the SCIM server")?;
        let out = process
            .stdout
            .take()
            .context("its standard output was asked for")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if send
                    .send(serde_json::from_str(&line).unwrap_or_default())
                    .is_err()
                {
                    break;
                }
            }
        });
        let first: Value = lines
            .recv_timeout(ANSWER_TIMEOUT)
            .context("the SCIM server did not start")?;
        let port = first["port"].as_u64().and_then(|port| port.try_into().ok());
        Ok(Self {
            process,
            port: port.context("the SCIM server told no port")?,
            journal,
            lines,
        })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the journal is.
    pub fn journal(&self) -> &Path {
        &self.journal
    }

    /// Waits until it has made so many users from now on; false when nothing came for a while.
    pub fn await_creations(&self, wanted: usize) -> bool {
        let mut made = 0;
        while made < wanted {
            match self.lines.recv_timeout(ANSWER_TIMEOUT) {
                Ok(line) => made += usize::from(Seen::of(&line).created_user().is_some()),
                Err(_) => return false,
            }
        }
        true
    }

    /// Every request so far, in order.
    pub fn seen(&self) -> anyhow::Result<Vec<Seen>> {
        let text = std::fs::read_to_string(&self.journal).context("reading the journal")?;
        text.lines()
            .map(|line| Ok(Seen::of(&serde_json::from_str(line)?)))
            .collect()
    }

    /// All users and groups.
    pub fn dump(&self) -> anyhow::Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let head = format!("Host: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n");
        write!(stream, "GET /__dump HTTP/1.1\r\n{head}")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer).context("the dump is not UTF-8")?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(serde_json::from_str(body)?),
            _ => bail!(
                "the SCIM server answered the dump with {:?}",
                answer.lines().next()
            ),
        }
    }
}

impl Drop for ScimServer {
    fn drop(&mut self) {
        // It may have ended already; there is nothing to do about either.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
