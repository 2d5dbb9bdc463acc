//! Keys, secrets, the sealed audit and erasing a person, as people meet them at the command line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod common;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::POLICY;

/// A folder above the data folder, and the commands run in it.
struct Place(tempfile::TempDir);

impl Place {
    /// With a rehearsal folder.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.run(0, &["init", "--rehearsal", "--now", "2026-03-02"], "");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// What a command says on stdout and stderr; it must end with this code.
    fn run(&self, code: i32, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new(env!("CARGO_BIN_EXE_usher"))
            .args(arguments)
            .env_clear()
            .env("USHER_DATA", self.path("data"))
            .env("TZ", "UTC")
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read it has closed the pipe already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    fn import(&self, people: &str, now: &str) {
        let file = self.file(
            "people.csv",
            &format!("employee_id,given_name,start_date\n{people}"),
        );
        self.run(0, &["import", &file, "--source", "hr", "--now", now], "");
    }

    /// Whether any file of the data folder holds these bytes.
    fn holds(&self, text: &str) -> bool {
        let files = std::fs::read_dir(self.path("data")).unwrap();
        files
            .map(|file| file.unwrap().path())
            .filter(|path| path.is_file())
            .any(|path| {
                let bytes = std::fs::read(path).unwrap();
                bytes.windows(text.len()).any(|window| window == text.as_bytes())
            })
    }
}

#[test]
fn a_departed_person_is_erased_and_nothing_of_them_is_left() {
    let place = Place::new();
    // One of two people leaves: half of the file.
    let policy = POLICY.replace("shrink-max-percent = 30", "shrink-max-percent = 60");
    let policy = place.file("policy.toml", &policy);
    place.run(0, &["policy", "activate", &policy], "");
    let targets = place.file("targets.toml", "[targets]\n");
    place.run(0, &["targets", "activate", &targets], "");
    place.import("E1,Zebulon,2026-01-01\nE2,Ada,2026-01-01\n", "2026-03-02");
    place.run(0, &["apply"], "");
    assert!(place.holds("Zebulon"));
    let refused = place.run(4, &["identity", "erase", "E1", "--reason", "asked", "--yes"], "");
    assert!(refused.contains("the person is active"), "{refused}");
    place.import("E2,Ada,2026-01-01\n", "2026-03-03");
    place.import("E2,Adele,2026-01-01\n", "2026-03-04");
    place.run(0, &["apply"], "");
    place.run(0, &["apply", "--now", "2026-05-04"], "");
    let shown = place.run(0, &["identity", "show", "E1"], "");
    let id = shown
        .split_whitespace()
        .find(|word| word.starts_with("idn_"))
        .unwrap();
    let unasked = place.run(2, &["identity", "erase", "E1", "--reason", "asked"], "E1\n");
    assert!(unasked.contains("--yes"), "{unasked}");
    place.run(0, &["identity", "erase", "E1", "--reason", "asked", "--yes"], "");
    for trace in ["Zebulon", "\"E1\""] {
        assert!(!place.holds(trace), "{trace} is still in the files");
    }
    place.run(3, &["identity", "show", "E1"], "");
    let left = place.run(0, &["identity", "show", id], "");
    assert!(
        left.contains("identity.facts-changed (erased)") && left.contains("asked"),
        "{left}"
    );
    assert!(place.run(0, &["plan"], "").contains("Nothing to do"));
    assert!(
        place
            .run(0, &["audit", "verify"], "")
            .contains("The audit is whole")
    );
    assert!(place.run(0, &["identity", "show", "E2"], "").contains("Adele"));
}

#[test]
fn a_secret_outlives_every_key() {
    let place = Place::new();
    place.run(0, &["secret", "set", "app-token"], "hunter2\n");
    assert!(!place.holds("hunter2"));
    place.run(0, &["key", "rotate"], "");
    place.run(0, &["key", "rotate", "--data-key"], "");
    place.run(0, &["secret", "set", "app-token"], "hunter3\n");
    assert!(place.run(0, &["secret", "list"], "").contains("app-token"));
    // Under a key of the operator's own, the folder's is put aside.
    place.run(0, &["key", "new", "--out", "operator.key"], "");
    place.run(0, &["key", "rotate", "--new-key-file", "operator.key"], "");
    assert!(place.run(6, &["status"], "").contains("there is no key"));
    place.run(0, &["status", "--key-file", "operator.key"], "");
    place.run(0, &["key", "new", "--out", "wrong.key"], "");
    let refused = place.run(6, &["status", "--key-file", "wrong.key"], "");
    assert!(refused.contains("but the key given is"), "{refused}");
    place.run(3, &["secret", "set", "empty", "--key-file", "operator.key"], "");
    place.run(
        0,
        &["secret", "remove", "app-token", "--key-file", "operator.key"],
        "",
    );
}

#[test]
fn an_exported_checkpoint_tells_what_was_cut_off() {
    let place = Place::new();
    place.run(3, &["audit", "checkpoint", "--out", "checkpoints"], "");
    for value in ["one", "two"] {
        place.run(0, &["secret", "set", "app-token"], value);
        place.run(0, &["audit", "checkpoint", "--out", "checkpoints"], "");
    }
    let verify = ["audit", "verify", "--against", "checkpoints"];
    assert!(
        place
            .run(0, &verify, "")
            .contains("2 checkpoints were found again")
    );
    let exported = place.run(0, &["audit", "export"], "");
    assert_eq!(exported.lines().count(), 2);
    assert!(
        place
            .run(0, &["audit", "search", "--event", "secret"], "")
            .contains("secret.set")
    );
    // Another store, or one that was put back to an earlier state, is not what was exported.
    let other = Place::new();
    other.run(0, &["secret", "set", "app-token"], "one");
    std::fs::copy(place.path("checkpoints"), other.path("checkpoints")).unwrap();
    assert!(other.run(8, &verify, "").contains("checkpoint"));
    place.file("torn", "{\"body\":");
    assert!(
        place
            .run(3, &["audit", "verify", "--against", "torn"], "")
            .contains("torn:1")
    );
}
