//! What operators do about policies, mistakes and strangers, by the commands they have, against the two systems of the demo.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::path::Path;

use serde_json::Value;
use usher_tests::rehearsal::{DAYS, Rehearsal};

/// What one cause may disable in a day.
const THRESHOLD: &str = "\n[thresholds.app]\ndisable = { most = 20, per-hours = 24 }\n";

/// A morning after the first day.
const NEXT: &str = "2026-03-04T08:00:00Z";

/// A company that works: everybody has their accounts.
fn working(folder: &Path) -> Rehearsal {
    let rehearsal = Rehearsal::prepare(folder, &[]).unwrap();
    rehearsal.set_up().unwrap();
    rehearsal.import(DAYS[0]).unwrap();
    rehearsal.expect(&["apply"], &[0, 5]).unwrap();
    rehearsal
}

fn active(rehearsal: &Rehearsal) -> usize {
    let users = rehearsal.application.users().unwrap();
    users.values().filter(|user| user.status == "active").count()
}

/// The first day's file, in which the first so many people without an end have worked their last day.
fn with_leavers(rehearsal: &Rehearsal, count: usize) -> String {
    let mut reader = csv::Reader::from_path(rehearsal.folder().join(DAYS[0].file)).unwrap();
    let header = reader.headers().unwrap().clone();
    let end = header.iter().position(|name| name == "end_date").unwrap();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&header).unwrap();
    let mut left = count;
    for row in reader.records() {
        let mut row: Vec<String> = row.unwrap().iter().map(ToOwned::to_owned).collect();
        if left > 0 && row[end].is_empty() {
            left -= 1;
            row[end] = "2026-03-03".to_owned();
        }
        writer.write_record(&row).unwrap();
    }
    assert_eq!(left, 0);
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

fn held(rehearsal: &Rehearsal) -> Vec<Value> {
    let listed = rehearsal.json(&["held"]).unwrap();
    listed["held"].as_array().unwrap().clone()
}

#[test]
fn a_file_that_ends_forty_people_is_held_whole_until_a_person_decides() {
    let folder = tempfile::tempdir().unwrap();
    let rehearsal = working(folder.path());
    let policy = rehearsal.folder().join("policy.toml");
    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(&policy, format!("{text}{THRESHOLD}")).unwrap();
    rehearsal.succeed(&["policy", "activate", "policy.toml"]).unwrap();
    assert!(held(&rehearsal).is_empty());

    // Some end by their dates in between: few enough.
    let morning = [
        "import",
        DAYS[0].file,
        "--source",
        "hr",
        "--now",
        "2026-03-04T07:00:00Z",
    ];
    rehearsal.succeed(&morning).unwrap();
    rehearsal.expect(&["apply"], &[0, 5]).unwrap();
    assert!(held(&rehearsal).is_empty());
    let before = active(&rehearsal);
    std::fs::write(
        rehearsal.folder().join("leavers.csv"),
        with_leavers(&rehearsal, 40),
    )
    .unwrap();
    let import = ["import", "leavers.csv", "--source", "hr", "--now", NEXT];
    rehearsal.succeed(&import).unwrap();
    rehearsal.expect(&["apply"], &[0, 5]).unwrap();
    assert_eq!(active(&rehearsal), before, "not one of them is disabled");
    let causes = held(&rehearsal);
    assert_eq!(causes.len(), 1, "{causes:?}");
    let cause = &causes[0];
    assert_eq!(
        (&cause["target"], &cause["counted"]),
        (&"app".into(), &"disable".into())
    );
    let operations = cause["operations"].as_u64().unwrap();
    assert!(operations > 20, "{cause}");
    let id = cause["id"].as_str().unwrap();
    let told = rehearsal.succeed(&["status"]).unwrap();
    assert!(told.contains(id), "{told}");

    // Rejected, they stay; the file was wrong after all, and then nothing is left of it.
    rehearsal
        .succeed(&["reject", id, "--reason", "that cannot be"])
        .unwrap();
    rehearsal.expect(&["apply"], &[0, 5]).unwrap();
    assert_eq!(active(&rehearsal), before);
    let again = [
        "import",
        DAYS[0].file,
        "--source",
        "hr",
        "--now",
        "2026-03-04T09:00:00Z",
    ];
    rehearsal.succeed(&again).unwrap();
    rehearsal.expect(&["apply"], &[0, 5]).unwrap();
    assert!(held(&rehearsal).is_empty());
    assert_eq!(active(&rehearsal), before);

    // It was right after all: released, they run.
    let import = [
        "import",
        "leavers.csv",
        "--source",
        "hr",
        "--now",
        "2026-03-04T09:30:00Z",
    ];
    rehearsal.succeed(&import).unwrap();
    rehearsal.expect(&["apply"], &[0, 5]).unwrap();
    let causes = held(&rehearsal);
    let id = causes[0]["id"].as_str().unwrap();
    let stale = rehearsal
        .run(&["release", id, "--reason", "seen", "--expect", "3"])
        .unwrap();
    assert!(!stale.status.success());
    rehearsal
        .succeed(&["release", id, "--reason", "the branch is closed"])
        .unwrap();
    rehearsal.expect(&["apply"], &[0, 5]).unwrap();
    assert_eq!(active(&rehearsal), before - usize::try_from(operations).unwrap());
    assert!(held(&rehearsal).is_empty());
}

#[test]
fn a_policy_is_looked_at_before_it_is_taken_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let rehearsal = working(folder.path());
    let file = rehearsal.folder().join("policy.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replace("app = [\"crm\"]", "app = [\"crm\", \"source-code\"]");
    assert_ne!(changed, text);
    std::fs::write(rehearsal.folder().join("next.toml"), &changed).unwrap();

    let same = rehearsal.json(&["policy", "diff", "policy.toml"]).unwrap();
    let digest = |page: &Value| page["digest"].as_str().unwrap_or_default().to_owned();
    let difference = rehearsal.json(&["policy", "diff", "next.toml"]).unwrap();
    let difference = difference.get("difference").unwrap_or(&difference).clone();
    let totals = difference["totals"].to_string();
    assert!(
        totals.contains("grant") && !totals.contains("revoke"),
        "{difference}"
    );
    assert_ne!(digest(&difference), digest(&same));

    let other = rehearsal
        .run(&["policy", "activate", "next.toml", "--expect", &"0".repeat(64)])
        .unwrap();
    assert!(!other.status.success(), "not what was looked at");
    rehearsal
        .succeed(&[
            "policy",
            "activate",
            "next.toml",
            "--expect",
            &digest(&difference),
        ])
        .unwrap();
    rehearsal.expect(&["apply"], &[0, 5]).unwrap();
    let granted = |rehearsal: &Rehearsal| {
        let users = rehearsal.application.users().unwrap();
        users
            .values()
            .filter(|user| {
                ["crm", "source-code"]
                    .iter()
                    .all(|role| user.roles.contains(&(*role).to_owned()))
            })
            .count()
    };
    assert!(granted(&rehearsal) > 0);
    rehearsal
        .succeed(&["policy", "activate", "--version", "1"])
        .unwrap();
    rehearsal.expect(&["apply"], &[0, 5]).unwrap();
    assert_eq!(granted(&rehearsal), 0);
    let history = rehearsal.succeed(&["policy", "history"]).unwrap();
    assert!(history.contains('3'), "{history}");
}

#[test]
fn badges_join_their_people_and_open_a_role() {
    let folder = tempfile::tempdir().unwrap();
    let rehearsal = working(folder.path());
    let file = rehearsal.folder().join("policy.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let key = "key = \"employee_id\"";
    assert!(text.contains(key));
    let badges = "[sources.badges]\nkey = \"badge\"\njoin = \"holder\"\n[sources.badges.columns]\nbadge = { attribute = \"badge\" }\n\
                  holder = { attribute = \"holder\" }\n\n[[roles]]\nname = \"badge-holder\"\nwhen = \"has(identity.badge)\"\n\
                  [roles.entitlements]\napp = [\"project-apollo\"]\n\n[[roles]]";
    let changed = text
        .replacen(key, &format!("{key}\njoin = \"employeeId\""), 1)
        .replacen("[[roles]]", badges, 1);
    std::fs::write(&file, changed).unwrap();
    rehearsal.succeed(&["policy", "activate", "policy.toml"]).unwrap();
    // The policy says what joins from now on: the next file of the people that are known tells their side of it.
    let again = ["import", DAYS[0].file, "--source", "hr", "--now", NEXT];
    rehearsal.succeed(&again).unwrap();
    std::fs::write(
        rehearsal.folder().join("badges.csv"),
        "badge,holder\nB1,e1001\nB2,E1002\nB3,nobody\n",
    )
    .unwrap();
    rehearsal
        .succeed(&["import", "badges.csv", "--source", "badges", "--now", NEXT])
        .unwrap();
    let id = |key: &str| rehearsal.json(&["identity", "show", key]).unwrap()["id"].clone();
    assert_eq!(id("B1"), id("E1001"));
    assert_eq!(id("B2"), id("E1002"));
    assert_ne!(id("B3"), id("E1003"));
    rehearsal
        .succeed(&[
            "identity", "join", "E1003", "--source", "badges", "--record", "B3", "--reason", "seen",
        ])
        .unwrap();
    assert_eq!(id("B3"), id("E1003"));
    rehearsal.expect(&["apply"], &[0, 5]).unwrap();
    let users = rehearsal.application.users().unwrap();
    let mueller = users
        .values()
        .find(|user| user.full_name == "Łukasz Müller")
        .unwrap();
    assert!(
        mueller.roles.contains(&"project-apollo".to_owned()),
        "{mueller:?}"
    );
}
