//! Backup, restore, freezing and thawing as people meet them; and a disk that does not take what is written.

#![expect(clippy::unwrap_used, reason = "helpers of tests may end the test")]

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use usher_store::{Context, Freezing as _, OperatorKey, Randomness, sqlite};

const POLICY: &str = r#"
zone = "Europe/Berlin"
retention-days = 30
unassigned = "disable"

[sources.hr]
kind = "snapshot"
format = "csv"
key = "employee_id"
bad-rows = "set-aside"
bad-rows-max-percent = 50
shrink-max-percent = 30
absent-after-snapshots = 2
[sources.hr.columns]
employee_id = { attribute = "employeeId" }
given_name = { attribute = "givenName", required = true }
"#;

/// Who nobody is, on every system we know.
const NOBODY: u32 = 65_534;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// A rehearsal with a policy and a few people.
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        place.expect(0, &["init", "--rehearsal", "--now", "2026-03-02"]);
        let policy = place.file("policy.toml", POLICY);
        place.expect(0, &["policy", "activate", &policy]);
        place.import(3);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.text(name)
    }

    fn people(&self, n: usize) -> String {
        let rows: String = (0..n).map(|i| format!("e{i},Person {i}\n")).collect();
        self.file("people.csv", &format!("employee_id,given_name\n{rows}"))
    }

    fn import(&self, n: usize) {
        let people = self.people(n);
        self.expect(0, &["import", &people, "--source", "hr"]);
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("USHER_DATA", self.path("data"))
            .env("TZ", "Europe/Berlin")
            .current_dir(self.folder.path());
        command
    }

    fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let output = self
            .command(env!("CARGO_BIN_EXE_usher"))
            .args(arguments)
            .output()
            .unwrap();
        ended(code, &format!("{arguments:?}"), output)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (stdout, _) = self.expect(0, &[arguments, &["--json"]].concat());
        serde_json::from_str(&stdout).unwrap()
    }
}

fn ended(code: i32, what: &str, output: Output) -> (String, String) {
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "usher {what}: {:?}\nstdout: {stdout}\nstderr: {stderr}",
        output.status
    );
    (stdout, stderr)
}

struct Counted(std::sync::atomic::AtomicU8);

impl Randomness for Counted {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    }
}

#[test]
fn a_backup_is_taken_while_another_process_has_the_folder() {
    let place = Place::new();
    let key = std::fs::read_to_string(place.path("data/usher.key")).unwrap();
    let key = OperatorKey::parse(&key).unwrap();
    let context = Context {
        actor: usher_lifecycle::cause::Actor::Usher,
        at: "2026-03-02T13:00:00Z".parse().unwrap(),
    };
    let randomness = Arc::new(Counted(7.into()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime
        .block_on(sqlite::open(&place.path("data"), &key, randomness, &context))
        .unwrap();
    let busy = place.expect(6, &["status"]).1;
    assert!(busy.contains("in use by process"), "{busy}");

    runtime
        .block_on(store.freeze("to be seen in the backup", &context))
        .unwrap();
    let made = place.json(&["backup", "monday.backup"]);
    assert_eq!(made["moment"], "2026-03-02T13:00:00Z");
    let file = std::fs::metadata(place.path("monday.backup")).unwrap();
    assert_eq!(made["size-bytes"], file.len());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    // The host goes on.
    runtime.block_on(store.thaw("seen", &context)).unwrap();
    runtime.block_on(store.close()).unwrap();
    place.expect(0, &["audit", "verify"]);

    let again = place.expect(3, &["backup", "monday.backup"]).1;
    assert!(again.contains("--force"), "{again}");
    let (told, _) = place.expect(0, &["backup", "monday.backup", "--force"]);
    assert!(told.contains("Not in it: the key"), "{told}");
}

#[test]
fn a_restored_folder_stays_frozen_until_fresh_files_are_in() {
    let place = Place::new();
    place.expect(0, &["backup", "monday.backup"]);
    let new = place.text("new");
    let at_new = |code, arguments: &[&str]| place.expect(code, &[arguments, &["--data", &new]].concat());

    let (_, refused) = at_new(6, &["restore", "monday.backup"]);
    assert!(refused.contains("usher.key"), "{refused}");
    std::fs::create_dir_all(&new).unwrap();
    std::fs::copy(place.path("data/usher.key"), place.path("new/usher.key")).unwrap();
    let (told, _) = at_new(0, &["restore", "monday.backup"]);
    assert!(told.contains("It is frozen"), "{told}");
    let (_, refused) = at_new(6, &["restore", "monday.backup"]);
    assert!(refused.contains("already"), "{refused}");

    for look in ["status", "plan"] {
        let (told, _) = at_new(0, &[look]);
        assert!(told.starts_with("FROZEN since 2026-03-02"), "{told}");
        let (json, _) = at_new(0, &[look, "--json"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert!(
            json["frozen"]["reason"]
                .as_str()
                .unwrap()
                .starts_with("restored to the state of 2026-03-02"),
            "{json}"
        );
    }
    let (_, refused) = at_new(9, &["apply"]);
    assert!(
        refused.contains("frozen") && refused.contains("usher thaw"),
        "{refused}"
    );
    let (_, refused) = at_new(9, &["thaw", "--reason", "it looks right"]);
    assert!(refused.contains("no import was accepted of hr"), "{refused}");

    let people = place.people(3);
    at_new(0, &["import", &people, "--source", "hr"]);
    let (told, _) = at_new(0, &["thaw", "--reason", "a fresh file is in"]);
    assert!(told.contains("Thawed"), "{told}");
    at_new(0, &["apply"]);
    at_new(0, &["audit", "verify"]);
    let (told, _) = at_new(0, &["thaw", "--reason", "again"]);
    assert!(told.contains("not frozen"), "{told}");
}

#[test]
fn a_person_freezes_and_thaws() {
    let place = Place::new();
    place.expect(2, &["freeze"]);
    place.expect(2, &["freeze", "--reason", " "]);
    let (told, _) = place.expect(0, &["freeze", "--reason", "HR sent nonsense"]);
    assert!(
        told.starts_with("FROZEN") && told.contains("HR sent nonsense"),
        "{told}"
    );
    place.expect(9, &["apply"]);
    place.expect(9, &["thaw", "--reason", "HR says all is well"]);
    place.expect(
        0,
        &["thaw", "--reason", "HR says all is well", "--without-sources"],
    );
    assert_eq!(place.json(&["status"])["frozen"], Value::Null);
    let (rows, _) = place.expect(0, &["audit", "tail", "--json"]);
    assert!(
        rows.contains("HR says all is well (without fresh files of hr)"),
        "{rows}"
    );
    let marked = place.json(&["freeze", "--restored"]);
    assert_eq!(marked["marked"]["accounts"], 0);
    place.expect(9, &["apply"]);
}

#[test]
fn a_restore_that_failed_is_not_in_the_way_of_the_next() {
    let place = Place::new();
    let backup = place.text("backup.db");
    place.expect(0, &["backup", &backup]);
    let new = place.text("new");
    std::fs::create_dir_all(&new).unwrap();
    let (other, _) = place.expect(0, &["key", "new"]);
    let other = place.file("other.key", &other);
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (_, refused) = place.expect(6, &["restore", &backup, "--data", &new, "--key-file", &other]);
    assert!(refused.contains("key"), "{refused}");
    let key = place.text("data/usher.key");
    place.expect(0, &["restore", &backup, "--data", &new, "--key-file", &key]);
    assert!(sqlite::exists(Path::new(&new)));
}

#[test]
fn what_is_no_backup_is_not_restored() {
    let place = Place::new();
    let new = place.text("new");
    std::fs::create_dir_all(&new).unwrap();
    std::fs::copy(place.path("data/usher.key"), place.path("new/usher.key")).unwrap();
    let (_, missing) = place.expect(3, &["restore", "nowhere", "--data", &new]);
    assert!(missing.contains("nowhere"), "{missing}");
    let nonsense = place.file("nonsense", &"not a database ".repeat(100));
    let (_, refused) = place.expect(3, &["restore", &nonsense, "--data", &new]);
    assert!(refused.contains("is not a backup"), "{refused}");
    let header = format!("SQLite format 3\0{}", "not a database ".repeat(100));
    let broken = place.file("broken", &header);
    let (_, refused) = place.expect(8, &["restore", &broken, "--data", &new]);
    assert!(refused.contains("nothing was restored"), "{refused}");
    let (_, homeless) = place.expect(3, &["backup", "no/such/folder/backup.db"]);
    assert!(homeless.contains("no/such/folder"), "{homeless}");
    assert!(!sqlite::exists(Path::new(&new)));
}

/// A limit on the size of files stands for a disk that is full: the command fails with words, and the same command succeeds afterwards.
#[test]
fn a_disk_without_room_costs_one_command_and_nothing_else() {
    let place = Place::new();
    let people = place.people(8_000);
    let limited = place
        .command("/bin/sh")
        .args([
            "-c",
            "ulimit -f 1000; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_usher"),
        ])
        .args(["import", &people, "--source", "hr"])
        .output()
        .unwrap();
    let (_, refused) = ended(6, "import", limited);
    assert!(refused.contains("limits on the size of files"), "{refused}");
    assert!(refused.contains("nothing of it was recorded"), "{refused}");
    place.expect(0, &["audit", "verify"]);
    assert_eq!(place.json(&["status"])["identities"]["new"], 3);

    place.expect(0, &["import", &people, "--source", "hr"]);
    place.expect(0, &["audit", "verify"]);
    assert_eq!(place.json(&["status"])["identities"]["new"], 8_000);

    // A backup that finds no room leaves nothing behind.
    let limited = place
        .command("/bin/sh")
        .args([
            "-c",
            "ulimit -f 1000; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_usher"),
        ])
        .args(["backup", "monday.backup"])
        .output()
        .unwrap();
    ended(6, "backup", limited);
    let left = |name: &str| place.path(name).exists();
    assert!(!left("monday.backup") && !left("monday.backup.partial"));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = Place::new();
    let key = std::fs::read_to_string(place.path("data/usher.key")).unwrap();
    let mode =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(place.folder.path(), 0o755);
    for entry in std::fs::read_dir(place.path("data")).unwrap() {
        let entry = entry.unwrap().path();
        mode(&entry, if entry.is_dir() { 0o555 } else { 0o444 });
    }
    mode(&place.path("data"), 0o555);
    // Where nobody may look into the build folder.
    let program = place.path("usher");
    std::fs::copy(env!("CARGO_BIN_EXE_usher"), &program).unwrap();
    mode(&program, 0o755);
    let mut command = place.command(&program);
    command.env("USHER_KEY", key.trim()).args(["status"]);
    if nix::unistd::Uid::effective().is_root() {
        // Nothing binds the superuser.
        command.uid(NOBODY).gid(NOBODY);
    }
    let (_, refused) = ended(6, "status", command.output().unwrap());
    assert!(
        refused.contains("cannot be written") && refused.contains("make"),
        "{refused}"
    );

    mode(&place.path("data"), 0o700);
    for entry in std::fs::read_dir(place.path("data")).unwrap() {
        let entry = entry.unwrap().path();
        mode(&entry, if entry.is_dir() { 0o700 } else { 0o600 });
    }
    place.expect(0, &["status"]);
}
