//! kill -9 at every named point of an operation, with both targets: the run is taken up again and ends as an undisturbed one does,
//! no account is made twice, and the audit verifies.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod expected;

use std::os::unix::process::ExitStatusExt;

use expected::World;
use tempfile::TempDir;
use usher_tests::demo::{nothing_doubled, operations_of};
use usher_tests::rehearsal::{DAYS, Day, Rehearsal, import_arguments};

/// The point and how often it is passed before the kill, read by Usher.
const KILL_AT: &str = "USHER_KILL_AT";
/// SIGKILL.
const KILLED: i32 = 9;

/// People with every kind of change over the three days: few, so that each of the many runs is short.
const PEOPLE: [&str; 20] = [
    "E1003", "E1007", "E1009", "E1012", "E1014", "E1016", "E1022", "E1025", "E1028", "E1029", "E1032",
    "E1037", "E1038", "E1041", "E1044", "E1048", "E1053", "E1086", "E1201", "E1204",
];

/// A rehearsal with the three files cut down to [`PEOPLE`].
struct Run {
    rehearsal: Rehearsal,
    kills: u32,
    // Dropped last: the rehearsal's server writes into it.
    _folder: TempDir,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rehearsal = Rehearsal::prepare(folder.path(), &[]).unwrap();
        for day in DAYS {
            let mut file = csv::Writer::from_path(rehearsal.folder().join(day.file)).unwrap();
            let rows: Vec<_> = rows(&day);
            file.write_record(rows[0].keys()).unwrap();
            rows.iter()
                .for_each(|row| file.write_record(row.values()).unwrap());
            file.flush().unwrap();
        }
        rehearsal.set_up().unwrap();
        Self {
            rehearsal,
            kills: 0,
            _folder: folder,
        }
    }

    /// Runs a command that kills itself at a point; then again, until it ends by itself. Each kill is one more interrupted run.
    fn interrupted(&mut self, arguments: &[&str], kill_at: &str, kills_max: u32) {
        for _ in 0..kills_max {
            let output = self
                .rehearsal
                .usher(arguments)
                .env(KILL_AT, kill_at)
                .output()
                .unwrap();
            if output.status.signal() != Some(KILLED) {
                assert!(
                    output.status.success(),
                    "{arguments:?} with {kill_at}: {output:?}"
                );
                return;
            }
            self.kills += 1;
        }
        self.rehearsal.succeed(arguments).unwrap();
    }

    fn assert_as_undisturbed(&self, days: usize, world: &World, when: &str) {
        world.assert_reached(&self.rehearsal, when);
        nothing_doubled(&self.rehearsal).unwrap();
        let plan = self.rehearsal.json(&["plan"]).unwrap();
        assert_eq!(
            operations_of(&plan).unwrap(),
            0,
            "{when}: something is left after day {days}: {plan}"
        );
        self.rehearsal.succeed(&["audit", "verify"]).unwrap();
    }
}

fn rows(day: &Day) -> Vec<expected::Row> {
    expected::rows(day)
        .into_iter()
        .filter(|row| PEOPLE.contains(&row["employee_id"].as_str()))
        .collect()
}

/// Three days; on each, the import and the apply are killed at the `n`-th passing of the point, up to `kills_max` times each.
fn killed_at(point: &str) {
    let mut kills = 0;
    for (n, kills_max) in [(1, 2), (2, 1), (7, 1)] {
        let mut run = Run::new();
        let kill_at = format!("{point}:{n}");
        let mut world = World::default();
        for (days, day) in (1..).zip(DAYS) {
            run.interrupted(&import_arguments(&day), &kill_at, kills_max);
            run.interrupted(&["apply", "--wait", "30"], &kill_at, kills_max);
            world = world.next(&day, rows(&day));
            run.assert_as_undisturbed(days, &world, &format!("killed at {kill_at}, day {days}"));
        }
        kills += run.kills;
    }
    assert!(kills >= 2, "{point} was hardly ever passed: {kills} kills");
}

#[test]
fn undisturbed() {
    let run = Run::new();
    let mut world = World::default();
    for (days, day) in (1..).zip(DAYS) {
        run.rehearsal.import(day).unwrap();
        run.rehearsal.succeed(&["apply", "--wait", "30"]).unwrap();
        world = world.next(&day, rows(&day));
        run.assert_as_undisturbed(days, &world, &format!("day {days}"));
    }
}

#[test]
fn killed_when_a_chunk_of_an_import_is_staged() {
    killed_at("staged");
}

#[test]
fn killed_when_an_import_is_accepted() {
    killed_at("accepted");
}

#[test]
fn killed_when_a_chunk_has_become_facts() {
    killed_at("absorbed");
}

#[test]
fn killed_before_a_plan_is_recorded() {
    killed_at("before-plan-commit");
}

#[test]
fn killed_after_a_plan_is_recorded() {
    killed_at("after-plan-commit");
}

#[test]
fn killed_before_budgets_judge() {
    killed_at("before-judging");
}

#[test]
fn killed_after_budgets_have_judged() {
    killed_at("after-judging");
}

#[test]
fn killed_before_a_claim() {
    killed_at("before-claim");
}

#[test]
fn killed_after_a_claim() {
    killed_at("after-claim");
}

#[test]
fn killed_after_an_absence_is_recorded() {
    killed_at("after-absence");
}

#[test]
fn killed_before_a_call() {
    killed_at("before-call");
}

#[test]
fn killed_after_a_call() {
    killed_at("after-call");
}

#[test]
fn killed_before_an_outcome_is_recorded() {
    killed_at("before-outcome");
}

#[test]
fn killed_after_an_outcome_is_recorded() {
    killed_at("after-outcome");
}

/// The points of a reconcile: three days of HR files pass none of them. `host/engine/src/tests/reconciling.rs` ends the engine at each.
const OF_RECONCILE: [&str; 5] = [
    "page-staged",
    "reconcile-accepted",
    "took-effect",
    "before-reaction",
    "after-reaction",
];

/// A point without a test above would be a hole: Usher itself says which there are.
#[test]
fn every_point_has_its_test() {
    let run = Run::new();
    let output = run
        .rehearsal
        .usher(&["status"])
        .env(KILL_AT, "nowhere:1")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    let (_, points) = message
        .split_once("the points are ")
        .expect("Usher names its points");
    let points: Vec<&str> = points
        .lines()
        .next()
        .unwrap()
        .split(", ")
        .map(str::trim)
        .collect();
    let source = include_str!("crash.rs");
    for point in points.iter().filter(|point| !OF_RECONCILE.contains(point)) {
        assert!(
            source.contains(&format!("killed_at(\"{point}\")")),
            "{point} has no test"
        );
    }
    assert!(points.len() >= 12, "{points:?}");
}
