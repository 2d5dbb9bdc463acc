//! A rehearsal: a fresh folder with the two systems of the demo and a data folder of Usher, driven by the commands a user has.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::application::Application;
use crate::programs::{connector, data, program};
use crate::scim_server::{ScimServer, TOKEN, TOKEN_ENV};

/// The source of the HR files.
pub const SOURCE: &str = "hr";
/// The groups the directory has from the start.
pub const GROUPS: [&str; 6] = [
    "All Staff",
    "Contractors",
    "Sales",
    "Engineering",
    "Finance",
    "Heads",
];

/// One day of the HR file: its file and the moment it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// The file in `tests/data`.
    pub file: &'static str,
    /// When it is imported.
    pub now: &'static str,
}

/// Three days: a first file, the next morning, six weeks later.
pub const DAYS: [Day; 3] = [
    Day {
        file: "day1.csv",
        now: "2026-03-02T08:00:00Z",
    },
    Day {
        file: "day2.csv",
        now: "2026-03-03T08:00:00Z",
    },
    Day {
        file: "day3.csv",
        now: "2026-04-15T08:00:00Z",
    },
];

/// The systems, the files, and how Usher is called.
pub struct Rehearsal {
    folder: PathBuf,
    usher: PathBuf,
    /// What every call finds in its environment beside the usual.
    environment: Vec<(&'static str, String)>,
    /// The application.
    pub application: Application,
    /// The directory.
    pub directory: ScimServer,
}

impl Rehearsal {
    /// Makes the folder's contents and starts the SCIM server. Nothing of Usher runs yet.
    pub fn prepare(folder: &Path, server_options: &[&str]) -> anyhow::Result<Self> {
        let folder = folder
            .canonicalize()
            .with_context(|| format!("finding {}", folder.display()))?;
        let application = Application::create(&folder)?;
        let directory = ScimServer::start(&folder, &GROUPS, server_options)?;
        let template =
            std::fs::read_to_string(data().join("targets.toml")).context("reading targets.toml")?;
        let targets = template
            .replace("@APP_DB@", &application.file().display().to_string())
            .replace("@SCIM_PORT@", &directory.port().to_string());
        std::fs::write(folder.join("targets.toml"), targets)?;
        for name in ["policy.toml", "day1.csv", "day2.csv", "day3.csv"] {
            std::fs::copy(data().join(name), folder.join(name)).with_context(|| format!("copying {name}"))?;
        }
        for name in ["sql", "scim"] {
            std::fs::copy(connector(name)?, folder.join(format!("{name}.wasm")))?;
        }
        Ok(Self {
            folder,
            usher: program("usher")?,
            environment: Vec::new(),
            application,
            directory,
        })
    }

    /// The folder everything is in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the environment gives Usher.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("USHER_DATA", self.folder.join("data").display().to_string()),
            (TOKEN_ENV, TOKEN.to_owned()),
        ]
    }

    /// From now on every call of Usher finds this in its environment too.
    pub fn give(&mut self, name: &'static str, value: impl Into<String>) {
        self.environment.push((name, value.into()));
    }

    /// One call of Usher, in the folder.
    pub fn usher(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.usher);
        command
            .args(arguments)
            .envs(self.environment())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// Runs Usher to its end.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.usher(arguments).output().context("starting usher")
    }

    /// Runs Usher to its end and takes nothing but one of these exit codes for an answer.
    pub fn expect(&self, arguments: &[&str], codes: &[i32]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        match output.status.code() {
            Some(code) if codes.contains(&code) => Ok(out.into_owned()),
            _ => bail!(
                "usher {} ended with {}\n{out}\n{err}",
                arguments.join(" "),
                output.status
            ),
        }
    }

    /// Runs Usher to its end; it must succeed.
    pub fn succeed(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.expect(arguments, &[0])
    }

    /// What Usher answers as JSON.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let arguments = [arguments, &["--json"]].concat();
        let text = self.succeed(&arguments)?;
        serde_json::from_str(&text)
            .with_context(|| format!("usher {} did not print JSON: {text}", arguments.join(" ")))
    }

    /// Starts Usher and does not wait.
    pub fn start(&self, arguments: &[&str]) -> anyhow::Result<Child> {
        let mut command = self.usher(arguments);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting usher")
    }

    /// The set-up of a first day, up to and without the first import.
    pub fn set_up(&self) -> anyhow::Result<()> {
        SET_UP
            .iter()
            .try_for_each(|arguments| self.succeed(arguments).map(drop))
    }

    /// Imports a day's file at its moment.
    pub fn import(&self, day: Day) -> anyhow::Result<String> {
        self.succeed(&import_arguments(&day))
    }
}

/// The commands of the set-up.
pub const SET_UP: [&[&str]; 5] = [
    &["init", "--rehearsal", "--now", DAYS[0].now],
    &["connector", "add", "sql.wasm"],
    &["connector", "add", "scim.wasm"],
    &["targets", "activate", "targets.toml"],
    &["policy", "activate", "policy.toml"],
];

/// The command that takes in a day's file.
pub fn import_arguments(day: &Day) -> [&'static str; 6] {
    ["import", day.file, "--source", SOURCE, "--now", day.now]
}
