//! Lives of people, from everyday to nasty, in files that who writes policies can read: see README.md beside this.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod document;
mod play;
mod shown;
mod told;
mod world;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use usher_lifecycle::account::AccountState;
use usher_lifecycle::state::IdentityState;
use usher_lifecycle::table::DesiredKind;
use usher_lifecycle::transitions::transition;

use document::{parse, read};
use play::{Seen, play};

/// Fewer, and lives have been lost.
const SCENARIOS_MIN: usize = 60;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Plays a file and shows all that goes wrong.
fn hold(file: &str) {
    let file = read(&folder().join(file)).unwrap_or_else(|mistake| panic!("{file}: {mistake}"));
    let failures = play(&file, &mut Seen::default());
    assert!(
        failures.is_empty(),
        "{} of {} scenarios go wrong:\n\n{}\n",
        failures.len(),
        file.scenarios.len(),
        failures.join("\n\n")
    );
}

#[test]
fn protected_accounts() {
    hold("protected_accounts.toml");
}

#[test]
fn joiners() {
    hold("joiners.toml");
}

#[test]
fn movers() {
    hold("movers.toml");
}

#[test]
fn leavers() {
    hold("leavers.toml");
}

#[test]
fn rehires() {
    hold("rehires.toml");
}

#[test]
fn leave_and_holds() {
    hold("leave_and_holds.toml");
}

#[test]
fn contracts_and_sources() {
    hold("contracts_and_sources.toml");
}

#[test]
fn roles() {
    hold("roles.toml");
}

#[test]
fn policy_changes() {
    hold("policy_changes.toml");
}

#[test]
fn accounts() {
    hold("accounts.toml");
}

#[test]
fn names() {
    hold("names.toml");
}

#[test]
fn dependencies() {
    hold("dependencies.toml");
}

/// Files that hold scenarios: each has a test of its name above.
fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_file_has_a_test_and_every_scenario_a_name_of_its_own() {
    let tests = std::fs::read_to_string(folder().join("main.rs")).unwrap();
    let mut names = BTreeSet::new();
    for file in files() {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(
            tests.contains(&format!("    hold(\"{name}\");")),
            "{name} has no test"
        );
        for scenario in read(&file)
            .unwrap_or_else(|mistake| panic!("{name}: {mistake}"))
            .scenarios
        {
            assert!(
                !scenario.steps.is_empty(),
                "{name}: {} has no step",
                scenario.name
            );
            assert!(
                names.insert(scenario.name.clone()),
                "{name}: another is called `{}`",
                scenario.name
            );
        }
    }
    assert!(names.len() >= SCENARIOS_MIN, "only {}", names.len());
}

/// Everything TRANSITIONS.md says of states, and each of its rows of accounts, comes about in some scenario.
#[test]
fn every_transition_is_reached() {
    let mut seen = Seen::default();
    for file in files() {
        play(&read(&file).unwrap(), &mut seen);
    }
    let pairs = IdentityState::ALL
        .into_iter()
        .flat_map(|from| IdentityState::ALL.map(|to| (from, to)));
    let missed: Vec<String> = pairs
        .filter(|(from, to)| transition(*from, *to).is_some() != seen.transitions.contains(&(*from, *to)))
        .map(|(from, to)| format!("{from} → {to}"))
        .collect();
    assert!(
        missed.is_empty(),
        "reached by none, or by one and not in the table: {missed:?}"
    );
    let rows = AccountState::ALL
        .into_iter()
        .flat_map(|state| DesiredKind::ALL.map(|kind| (state, kind)));
    let missed: Vec<String> = rows
        .filter(|row| !seen.accounts.contains(row))
        .map(|(state, kind)| format!("{state}, wanted {}", kind.as_str()))
        .collect();
    assert!(missed.is_empty(), "reached by none: {missed:?}");
}

/// The runner finds fault: a wrong expectation, an unknown word, a time that goes back.
#[test]
fn a_wrong_scenario_is_told_by_name_and_moment() {
    let text = |step: &str| {
        format!(
            "policy = \"company\"\n[given.hr]\nemployeeId = \"1\"\ngivenName = \"A\"\nfamilyName = \"B\"\ncontract = \"external\"\n\
             [[scenario]]\nname = \"x\"\n[[scenario.step]]\nat = \"2026-03-02T09:00:00Z\"\n{step}"
        )
    };
    let failure = |step: &str| match parse(&text(step)) {
        Ok(file) => play(&file, &mut Seen::default()).join("\n"),
        Err(mistake) => mistake,
    };
    assert_eq!(failure("plan = [\"create app\", \"grant app visitors\"]"), "");
    assert_eq!(
        failure("plan = \"create app\""),
        "scenario `x`\n  at 2026-03-02T09:00:00Z\n    plan\n      expected:\n        create app\n      found:\n        create app\n        \
         grant app visitors"
    );
    for (step, said) in [
        (
            "plan = \"nothing\"\nplam = 1",
            "scenario `x`, step 1: unknown field `plam`",
        ),
        (
            "plan = \"nothing\"\nhr.born = \"1\"",
            "scenario `x`\n  at 2026-03-02T09:00:00Z\n    source hr has no attribute `born`",
        ),
        (
            "plan = \"nothing\"\nhrr.zone = \"UTC\"",
            "`hrr` is neither a word of scenarios nor a source",
        ),
        (
            "plan = \"nothing\"\nhold = [{ kind = \"security\", why = \"\" }]",
            "scenario `x`, step 1: unknown field `why`",
        ),
        ("hr.zone = \"UTC\"", "scenario `x`, step 1: missing field `plan`"),
        (
            "plan = [\"create app\", \"grant app visitors\"]\n[[scenario.step]]\nat = \"2026-03-01T09:00:00Z\"\nplan = \"nothing\"",
            "scenario `x`: time goes back",
        ),
    ] {
        let found = failure(step);
        assert!(found.contains(said), "{step}: {found}");
    }
}
