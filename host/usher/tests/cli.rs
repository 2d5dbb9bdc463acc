//! The binary as people and scripts meet it: exit codes, JSON shapes, what it refuses. No connector is needed here; whole days with
//! connectors are played in `tests/`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may end the test")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::POLICY;
use serde_json::Value;

/// A folder above the data folder, and the commands run in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With a rehearsal folder.
    fn rehearsal(now: &str) -> Self {
        let place = Self::new();
        place.expect(0, &["init", "--rehearsal", "--now", now]);
        place
    }

    /// With an active policy as well.
    fn with_policy() -> Self {
        let place = Self::rehearsal("2026-03-02");
        let policy = place.file("policy.toml", POLICY);
        place.expect(0, &["policy", "activate", &policy]);
        place
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_usher"))
            .args(arguments)
            .env_clear()
            .env("USHER_DATA", self.data())
            .env("TZ", "Europe/Berlin")
            .current_dir(self.folder.path())
            .output()
            .unwrap()
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

    /// Runs it with `--json`: the document on stdout.
    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let (stdout, stderr) = self.expect(code, &[arguments, &["--json"]].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"))
    }

    /// Runs it with `--json`: the error on stderr; stdout stays empty.
    fn json_error(&self, code: i32, arguments: &[&str]) -> Value {
        let (stdout, stderr) = self.expect(code, &[arguments, &["--json"]].concat());
        assert_eq!(stdout, "");
        let error: Value = serde_json::from_str(&stderr).unwrap_or_else(|error| panic!("{error}: {stderr}"));
        assert_eq!(error["error"]["exit-code"], code);
        error["error"].clone()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn init_makes_a_private_folder_and_nothing_else() {
    let place = Place::new();
    let (stdout, _) = place.expect(0, &["init"]);
    assert!(stdout.contains("usher import people.csv"), "{stdout}");
    assert_eq!(
        std::fs::metadata(place.data()).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(names(&place.data()), ["usher.db", "usher.key", "usher.lock"]);
    assert_eq!(
        std::fs::metadata(place.data().join("usher.db"))
            .unwrap()
            .permissions()
            .mode()
            & 0o077,
        0
    );
    let (_, stderr) = place.expect(6, &["init"]);
    assert!(
        stderr.contains("is a data folder already; nothing was changed"),
        "{stderr}"
    );
}

#[test]
fn init_leaves_a_folder_with_something_in_it_alone() {
    let place = Place::new();
    std::fs::create_dir(place.data()).unwrap();
    std::fs::write(place.data().join("letter.txt"), "dear").unwrap();
    place.expect(6, &["init"]);
    assert_eq!(names(&place.data()), ["letter.txt"]);
}

#[test]
fn without_a_data_folder_it_says_what_to_do() {
    let place = Place::new();
    for command in [
        &["status"][..],
        &["plan"],
        &["apply"],
        &["audit", "verify"],
        &["connector", "list"],
        &["policy", "show"],
    ] {
        let (_, stderr) = place.expect(6, command);
        assert!(stderr.contains("usher init"), "{stderr}");
        assert!(!place.data().exists());
    }
}

#[test]
fn a_wrong_command_line_is_told_apart_from_a_wrong_file() {
    let place = Place::new();
    place.expect(0, &["init"]);
    place.expect(2, &["frobnicate"]);
    place.expect(2, &["import", "people.csv"]);
    place.expect(2, &["import", "people.csv", "--source", "HR!"]);
    place.expect(2, &["why", "e1", "APP"]);
    place.expect(2, &["apply", "--wait", "-1"]);
    let error = place.json_error(2, &["operations", "--state", "busy"]);
    assert_eq!(error["kind"], "usage");
    let error = place.json_error(3, &["policy", "activate", "nowhere.toml"]);
    assert!(error["message"].as_str().unwrap().contains("nowhere.toml"));
}

#[test]
fn help_and_version_are_answers() {
    let place = Place::new();
    let (stdout, _) = place.expect(0, &["--help"]);
    assert!(
        stdout.contains("Exit codes:") && stdout.contains("USHER_DATA"),
        "{stdout}"
    );
    let (stdout, _) = place.expect(0, &["--version", "--json"]);
    assert!(stdout.starts_with("usher "), "{stdout}");
}

#[test]
fn help_tells_how_a_rehearsal_starts_and_how_long_apply_waits() {
    let place = Place::new();
    let (stdout, _) = place.expect(0, &["init", "--help"]);
    let stdout = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        stdout.contains("usher --now 2026-01-05 init --rehearsal"),
        "{stdout}"
    );
    let (stdout, _) = place.expect(0, &["apply", "--help"]);
    assert!(stdout.contains("[default: 5]"), "{stdout}");
}

#[test]
fn a_broken_database_is_called_damaged() {
    let place = Place::with_policy();
    let database = place.data().join("usher.db");
    let size = std::fs::metadata(&database).unwrap().len();
    std::fs::write(&database, vec![b'x'; usize::try_from(size).unwrap()]).unwrap();
    let error = place.json_error(8, &["status"]);
    assert!(
        error["advice"].as_str().unwrap().contains("restore a backup"),
        "{error}"
    );
}

#[test]
fn a_policy_with_mistakes_names_file_line_and_expression_and_activates_nothing() {
    let place = Place::rehearsal("2026-03-02");
    let bad = POLICY.to_owned()
        + "[[roles]]\nname = \"employee\"\nwhen = \"identity.contrct == 'permanent'\"\naccounts = [\"app\"]\n";
    let policy = place.file("policy.toml", &bad);
    for command in ["check", "activate"] {
        let error = place.json_error(3, &["policy", command, &policy]);
        let mistake = &error["mistakes"][0];
        assert_eq!(mistake["file"], policy.as_str());
        assert_eq!(mistake["line"], 22, "{mistake}");
        assert!(
            mistake["message"].as_str().unwrap().contains("contrct"),
            "{mistake}"
        );
    }
    let (_, stderr) = place.expect(3, &["policy", "show"]);
    assert!(stderr.contains("no policy is active"), "{stderr}");
    let (_, stderr) = place.expect(3, &["plan"]);
    assert!(stderr.contains("`usher policy activate FILE`"), "{stderr}");
}

#[test]
fn the_active_policy_reads_back_as_it_was_written() {
    let place = Place::with_policy();
    let (stdout, _) = place.expect(0, &["policy", "show"]);
    assert_eq!(stdout, POLICY);
    let shown = place.json(0, &["policy", "show"]);
    assert_eq!(
        (&shown["version"], &shown["kind"]),
        (&Value::from(1), &Value::from("policy"))
    );
    // The same text again is the same version.
    let policy = place.file("again.toml", POLICY);
    assert_eq!(place.json(0, &["policy", "activate", &policy])["version"], 1);
}

#[test]
fn a_policy_is_looked_at_taken_and_taken_back() {
    let place = Place::with_policy();
    let people = place.file(
        "people.csv",
        "employee_id,given_name,start_date\ne1,Ada,2026-01-01\ne2,Bo,2026-01-01\n",
    );
    place.expect(0, &["import", &people, "--source", "hr"]);
    place.expect(0, &["plan"]);
    let wider = format!("{POLICY}\n[[roles]]\nname = \"staff\"\nwhen = \"true\"\n");
    let policy = place.file("wider.toml", &wider);
    let difference = place.json(0, &["policy", "diff", &policy, "--people", "1"]);
    assert_eq!(
        (&difference["concerned"], &difference["people"][0]["key"]),
        (&Value::from(2), &Value::from("e1"))
    );
    let next = difference["next"].as_str().unwrap();
    let (text, _) = place.expect(0, &["policy", "diff", &policy, "--after", next]);
    assert!(
        text.contains("e2") && text.contains("+ staff") && !text.contains("e1"),
        "{text}"
    );
    let refused = place.json_error(4, &["policy", "activate", &policy, "--expect", "0"]);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("not what was looked at"),
        "{refused}"
    );
    let digest = difference["digest"].as_str().unwrap();
    let taken = place.json(0, &["policy", "activate", &policy, "--expect", digest]);
    assert_eq!(taken["version"], 2);
    assert_eq!(
        place.json(0, &["policy", "diff", "--version", "1"])["concerned"],
        2
    );
    assert_eq!(
        place.json(0, &["policy", "activate", "--version", "1"])["version"],
        3
    );
    assert_eq!(place.expect(0, &["policy", "show", "2"]).0, wider);
    place.expect(3, &["policy", "show", "9"]);

    let history = place.json(0, &["policy", "history"]);
    let versions = history["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 3);
    assert_eq!(
        (&versions[0]["same-as"], &versions[0]["lines-removed"]),
        (&Value::from(1), &Value::from(4))
    );
    assert!(versions[1]["activated-by"]["person"].is_string(), "{history}");
    let older = place.json(0, &["policy", "history", "--before", "3", "--limit", "1"]);
    assert_eq!(
        (
            &older["versions"][0]["version"],
            &older["versions"][0]["lines-added"]
        ),
        (&Value::from(2), &Value::from(4))
    );
    place.expect(3, &["targets", "history"]);
}

#[test]
fn a_file_of_people_is_taken_in_and_a_wrong_one_changes_nothing() {
    let place = Place::with_policy();
    let people = place.file(
        "people.csv",
        "employee_id,given_name,start_date\ne1,Zoë,2026-03-01\ne2,Ada,2026-04-01\n",
    );
    let report = place.json(0, &["import", &people, "--source", "hr"]);
    assert_eq!(
        (&report["new"], &report["refused"]),
        (&Value::from(2), &Value::Null)
    );

    let wrong = place.file("wrong.csv", "employee_id,start_date\ne1,2026-03-01\n");
    let report = place.json(3, &["import", &wrong, "--source", "hr"]);
    assert!(
        report["refused"]["reason"]
            .as_str()
            .unwrap()
            .contains("given_name"),
        "{report}"
    );
    place.expect(3, &["import", &people, "--source", "elsewhere"]);

    let view = place.json(0, &["identity", "show", "e1"]);
    assert_eq!(
        (&view["state"], &view["attributes"]["givenName"]),
        (&Value::from("active"), &Value::from("Zoë"))
    );
    assert_eq!(place.json(0, &["identity", "show", "e2"])["state"], "staged");
    place.expect(3, &["identity", "show", "nobody"]);
}

#[test]
fn a_rehearsal_lives_by_its_own_clock() {
    let place = Place::with_policy();
    let people = place.file(
        "people.csv",
        "employee_id,given_name,start_date\ne2,Ada,2026-04-01\n",
    );
    place.expect(0, &["import", &people, "--source", "hr"]);
    assert_eq!(place.json(0, &["identity", "show", "e2"])["state"], "staged");
    assert_eq!(
        place.json(0, &["identity", "show", "e2", "--now", "2026-04-01"])["state"],
        "active"
    );
    // Without --now it goes on from there, and it never goes back.
    assert_eq!(place.json(0, &["identity", "show", "e2"])["state"], "active");
    place.expect(2, &["status", "--now", "2026-03-31"]);
    place.expect(0, &["status", "--now", "2026-04-01T12:00:00Z"]);
    let (stdout, _) = place.expect(0, &["identity", "show", "e2"]);
    assert!(
        stdout.contains("2026-03-02 13:00:0") && stdout.contains(" +01:00"),
        "local times with offset: {stdout}"
    );
}

#[test]
fn the_wall_clock_cannot_be_set() {
    let place = Place::new();
    place.expect(2, &["init", "--now", "2026-03-02"]);
    assert!(!place.data().exists());
    place.expect(0, &["init"]);
    place.expect(2, &["status", "--now", "2036-03-02"]);
    // The refused moment left no trace: the folder still opens by the wall clock.
    place.expect(0, &["status"]);
}

#[test]
fn a_kept_plan_is_refused_once_facts_changed() {
    let place = Place::with_policy();
    let people = place.file(
        "people.csv",
        "employee_id,given_name,start_date\ne1,Zoë,2026-03-01\n",
    );
    place.expect(0, &["import", &people, "--source", "hr"]);
    place.expect(0, &["plan", "--out", "plan.json"]);
    let plan = place.folder.path().join("plan.json");
    assert_eq!(
        std::fs::metadata(&plan).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let more = place.file(
        "more.csv",
        "employee_id,given_name,start_date\ne1,Zoë,2026-03-01\ne2,Ada,2026-03-01\n",
    );
    place.expect(0, &["import", &more, "--source", "hr"]);
    let error = place.json_error(4, &["apply", "plan.json"]);
    assert_eq!(error["kind"], "stale");
    place.expect(3, &["apply", &more]);
    place.expect(0, &["plan", "--out", "plan.json"]);
    let report = place.json(0, &["apply", "plan.json"]);
    assert_eq!(
        (&report["planned"], &report["stopped"]),
        (&Value::from(2), &Value::Bool(false))
    );
}

#[test]
fn every_list_is_one_json_document() {
    let place = Place::with_policy();
    assert!(
        place.json(0, &["operations"])["operations"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(
        place.json(0, &["connector", "list"])["connectors"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let tail = place.json(0, &["audit", "tail", "-n", "5"]);
    let last = tail["rows"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["event"], "document.activated", "{tail}");
    assert!(place.json(0, &["audit", "verify"])["rows"].as_u64().unwrap() >= 1);
    let status = place.json(0, &["status"]);
    assert_eq!(status["policy"]["version"], 1);
    assert!(
        place.json(0, &["plan"])["accounts"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_folder_in_use_is_refused() {
    let place = Place::with_policy();
    let lock = std::fs::File::open(place.data().join("usher.lock")).unwrap();
    lock.lock().unwrap();
    let error = place.json_error(6, &["status"]);
    assert!(error["message"].as_str().unwrap().contains("in use"), "{error}");
    drop(lock);
    place.expect(0, &["status"]);
}

#[test]
fn a_database_that_a_newer_program_has_only_added_to_is_used_as_it_is() {
    let place = Place::with_policy();
    let database = place.data().join("usher.db");
    let mut bytes = std::fs::read(&database).unwrap();
    // The schema version is the big-endian number at byte 60 of a SQLite file.
    bytes[60..64].copy_from_slice(&4_000_u32.to_be_bytes());
    std::fs::write(&database, &bytes).unwrap();
    place.expect(0, &["status"]);
    let version = &std::fs::read(&database).unwrap()[60..64];
    assert_eq!(version, 4_000_u32.to_be_bytes());
}

#[test]
fn a_broken_component_is_refused_by_name() {
    let place = Place::new();
    let text = place.file("notes.wasm", "not a component");
    let (_, stderr) = place.expect(3, &["connector", "inspect", &text]);
    assert!(
        stderr.contains("notes.wasm") && stderr.contains("not a WebAssembly component"),
        "{stderr}"
    );
    place.expect(0, &["init"]);
    place.expect(3, &["connector", "add", &text]);
    assert!(
        place.json(0, &["connector", "list"])["connectors"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_targets_file_that_names_an_unknown_connector_activates_nothing() {
    let place = Place::with_policy();
    let targets = place.file("targets.toml", "[targets.app]\nconnector = \"sql\"\n");
    for command in ["check", "activate"] {
        let error = place.json_error(7, &["targets", command, &targets]);
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("app") && message.contains("usher connector add"),
            "{message}"
        );
    }
    place.expect(3, &["targets", "show"]);
    place.expect(7, &["target", "check", "app"]);
}

#[test]
fn a_misspelt_kill_point_is_an_error_not_a_silence() {
    let place = Place::with_policy();
    let output = Command::new(env!("CARGO_BIN_EXE_usher"))
        .args(["status"])
        .env("USHER_DATA", place.data())
        .env("USHER_KILL_AT", "after-cal:1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("after-call"));
}

#[test]
fn a_killed_import_is_taken_up_by_the_next_command() {
    use std::os::unix::process::ExitStatusExt as _;
    let place = Place::with_policy();
    let people = place.file(
        "people.csv",
        "employee_id,given_name,start_date\ne1,Zoë,2026-03-01\n",
    );
    let output = Command::new(env!("CARGO_BIN_EXE_usher"))
        .args(["import", &people, "--source", "hr"])
        .env("USHER_DATA", place.data())
        .env("USHER_KILL_AT", "accepted:1")
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(9), "{output:?}");
    let (stdout, _) = place.expect(0, &["identity", "show", "e1"]);
    assert!(stdout.contains("Zoë"), "{stdout}");
    assert_eq!(place.json(0, &["status"])["imports"][0]["state"], "absorbed");
}

#[test]
fn what_nobody_reads_any_more_is_no_error() {
    let place = Place::with_policy();
    let usher = env!("CARGO_BIN_EXE_usher");
    let status = Command::new("sh")
        .args(["-c", &format!("{usher} policy show; echo $? > code"), "sh"])
        .env("USHER_DATA", place.data())
        .current_dir(place.folder.path())
        .stdout(closed_pipe())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(
        std::fs::read_to_string(place.folder.path().join("code")).unwrap(),
        "0\n"
    );
}

/// A pipe that nobody reads.
fn closed_pipe() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

#[test]
fn what_people_set_about_somebody_is_shown_and_can_be_ended() {
    let place = Place::with_policy();
    let people = place.file(
        "people.csv",
        "employee_id,given_name,start_date\ne1,Ada,2026-01-01\n",
    );
    place.expect(0, &["import", &people, "--source", "hr"]);
    let set = place.json(
        0,
        &[
            "identity",
            "hold",
            "e1",
            "--kind",
            "security",
            "--reason",
            "ticket \u{1b}[31m4711",
        ],
    );
    let id = set["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("hold_"), "{set}");
    let (shown, _) = place.expect(0, &["identity", "show", "e1"]);
    assert!(
        shown.contains("suspended") && shown.contains("security hold"),
        "{shown}"
    );
    assert!(shown.contains(&id) && !shown.contains('\u{1b}'), "{shown}");

    let (done, _) = place.expect(0, &["identity", "end", &id, "--reason", "cleared"]);
    assert!(done.contains("is ended"), "{done}");
    let view = place.json(0, &["identity", "show", "e1"]);
    assert_eq!(view["state"], "active");
    assert_eq!(view["set"][0]["ended"]["reason"], "cleared");

    let error = place.json_error(3, &["identity", "assign", "e1", "boss", "--reason", "why not"]);
    assert!(
        error["message"].as_str().unwrap().contains("no role `boss`"),
        "{error}"
    );
    let error = place.json_error(
        4,
        &[
            "identity",
            "hold",
            "e1",
            "--until",
            "2020-01-01",
            "--reason",
            "too late",
        ],
    );
    assert!(
        error["message"].as_str().unwrap().contains("before it begins"),
        "{error}"
    );
    place.expect(2, &["identity", "end", "idn_x", "--reason", "no fact"]);
}

#[test]
fn what_budgets_hold_is_listed_and_decided_on_with_a_reason() {
    let place = Place::with_policy();
    let (stdout, _) = place.expect(0, &["held"]);
    assert_eq!(stdout, "nothing is held by a budget\n");
    assert_eq!(place.json(0, &["held"])["held"].as_array().unwrap().len(), 0);
    let id = "held_0192f3c4-0000-7000-8000-000000000000";
    for command in ["release", "reject"] {
        place.expect(2, &[command, id]);
        place.expect(2, &[command, "idn_x", "--reason", "why"]);
        let error = place.json_error(3, &[command, id, "--reason", "why"]);
        assert!(error["message"].as_str().unwrap().contains(id), "{error}");
    }
    place.json_error(3, &["held", "show", id]);
}

#[test]
fn a_revoke_sets_one_hold_and_shows_how_far_it_is() {
    let place = Place::with_policy();
    let file = place.file(
        "people.csv",
        "employee_id,given_name,start_date\ne1,Zoë,2026-03-01\n",
    );
    place.expect(0, &["import", &file, "--source", "hr"]);
    let (_, said) = place.expect(2, &["revoke", "e1"]);
    assert!(said.contains("--reason"), "{said}");
    place.expect(3, &["revoke", "e2", "--reason", "stolen"]);
    let first = place.json(0, &["revoke", "e1", "--reason", "laptop stolen"]);
    assert_eq!((&first["new"], &first["ended"]), (&true.into(), &true.into()));
    assert_eq!(first["accounts"], serde_json::json!([]));
    let hold = first["hold"]["id"].as_str().unwrap();
    let (again, _) = place.expect(0, &["revoke", "e1", "--reason", "once more", "--wait", "0"]);
    assert!(
        again.contains("in force already") && again.contains(hold),
        "{again}"
    );
    assert!(
        again.contains("laptop stolen") && !again.contains("once more"),
        "{again}"
    );
    let (shown, _) = place.expect(0, &["identity", "show", "e1"]);
    assert!(
        shown.contains("Access has ended") && shown.contains("suspended"),
        "{shown}"
    );
    place.expect(0, &["identity", "end", hold, "--reason", "found"]);
    let shown = place.json(0, &["identity", "show", "e1"]);
    assert_eq!(shown["stop"], Value::Null);
}

#[test]
fn a_freeze_of_everything_says_so() {
    let place = Place::with_policy();
    let (said, _) = place.expect(0, &["freeze", "--reason", "HR sent nonsense"]);
    assert!(said.contains("but what a security hold"), "{said}");
    let (said, _) = place.expect(0, &["freeze", "--all", "--reason", "looked at"]);
    assert!(
        said.contains("not even for a security hold") && said.contains("HR sent nonsense"),
        "{said}"
    );
    assert_eq!(place.json(0, &["status"])["frozen"]["all"], true);
    place.expect(2, &["freeze", "--all", "--restored"]);
}
