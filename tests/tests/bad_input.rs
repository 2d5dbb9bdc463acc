//! Bad input of every kind: a clear answer, the right exit code, and nothing changed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use usher_tests::programs::{connector, data};
use usher_tests::rehearsal::{Rehearsal, SOURCE};

/// Done.
const OK: i32 = 0;
/// A file, document, key or name is wrong.
const BAD_INPUT: i32 = 3;
/// A target cannot be used.
const TARGET: i32 = 7;

/// A rehearsal after its set-up.
fn rehearsal() -> (Rehearsal, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let rehearsal = Rehearsal::prepare(folder.path(), &[]).unwrap();
    rehearsal.set_up().unwrap();
    (rehearsal, folder)
}

/// Runs a command; it must end with this code and say all of this, to a person and in the JSON answer.
fn assert_answer(rehearsal: &Rehearsal, arguments: &[&str], code: i32, said: &[&str]) {
    let output = rehearsal.run(arguments).unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    for words in said {
        assert!(
            text.contains(words),
            "{arguments:?} does not say `{words}`: {text}"
        );
    }
    assert!(
        !text.contains('\u{1b}') && !text.contains("panicked"),
        "{arguments:?}: {text:?}"
    );
}

/// What would be done, without what every look at it changes.
fn plan(rehearsal: &Rehearsal) -> Value {
    let plan = rehearsal.json(&["plan"]).unwrap();
    Value::Array(
        ["identities", "accounts", "totals", "problems"]
            .map(|part| plan[part].clone())
            .to_vec(),
    )
}

/// File, exit code, what is said.
const FILES: [(&str, i32, &[&str]); 18] = [
    ("empty", BAD_INPUT, &["the file is empty"]),
    ("header-only", BAD_INPUT, &["a header but no rows"]),
    ("missing-column", BAD_INPUT, &["column `start_date` is missing"]),
    ("column-twice", BAD_INPUT, &["column `email` is there twice"]),
    (
        "other-delimiter",
        BAD_INPUT,
        &["column `employee_id` is missing", "delimiter"],
    ),
    ("not-a-table", BAD_INPUT, &["ZIP archive", "CSV"]),
    (
        "a-tenth-of-the-people",
        BAD_INPUT,
        &[
            "18 of the 20 people present are not in the file",
            "shrink-max-percent",
            "--override-guards",
        ],
    ),
    (
        "many-bad-rows",
        BAD_INPUT,
        &[
            "3 of 20 rows are bad",
            "bad-rows-max-percent",
            "line 3, column start_date (key E1002)",
        ],
    ),
    (
        "latin-1",
        BAD_INPUT,
        &[
            "line 2, column family_name (key E1001)",
            "bytes that are not utf-8",
            "encoding",
        ],
    ),
    (
        "quote-never-closed",
        OK,
        &["line 12", "quote", "no absence was counted"],
    ),
    (
        "duplicate-key",
        OK,
        &["line 7 (key E1005)", "also on line 23", "2 set aside"],
    ),
    (
        "row-without-key",
        OK,
        &[
            "line 10, column employee_id",
            "the key is empty",
            "no absence was counted",
        ],
    ),
    (
        "impossible-date",
        OK,
        &[
            "line 8, column start_date (key E1006)",
            "there is no day 2026-02-30",
        ],
    ),
    (
        "other-date-format",
        OK,
        &[
            "line 8, column end_date (key E1006)",
            "`31.12.2026` is not a date",
            "2026-03-02",
        ],
    ),
    (
        "required-value-missing",
        OK,
        &["line 4, column given_name (key E1003)", "required"],
    ),
    ("row-too-short", OK, &["line 12 (key E1010)", "5 fields", "16"]),
    ("row-too-long", OK, &["line 12 (key E1010)", "18 fields", "16"]),
    (
        "unknown-zone",
        OK,
        &["line 9, column zone (key E1007)", "Europe/Atlantis"],
    ),
];

#[test]
fn a_bad_file_is_refused_or_its_bad_rows_are_set_aside_and_nobody_changes() {
    let (rehearsal, _folder) = rehearsal();
    let import = |name: &str, code: i32, said: &[&str]| {
        let file = data().join("bad").join(format!("{name}.csv"));
        assert_answer(
            &rehearsal,
            &["import", file.to_str().unwrap(), "--source", SOURCE],
            code,
            said,
        );
    };
    import("good", OK, &["20 new"]);
    let before = plan(&rehearsal);
    for (name, code, said) in FILES {
        import(name, code, said);
        assert_eq!(plan(&rehearsal), before, "{name} changed somebody");
    }
    import("good", OK, &["20 unchanged"]);
    // Every file in the folder has its line above.
    let mut files: Vec<String> = std::fs::read_dir(data().join("bad"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .filter(|name| name != "good")
        .collect();
    let mut listed: Vec<String> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    files.sort();
    listed.sort();
    assert_eq!(files, listed);
}

#[test]
fn a_policy_that_refuses_bad_rows_refuses_the_file() {
    let (rehearsal, _folder) = rehearsal();
    edit(
        &rehearsal,
        "policy.toml",
        r#"bad-rows = "set-aside""#,
        r#"bad-rows = "refuse""#,
    );
    rehearsal.succeed(&["policy", "activate", "edited.toml"]).unwrap();
    let file = data().join("bad/impossible-date.csv");
    let said = [
        "nothing was changed",
        "line 8, column start_date (key E1006)",
        "there is no day 2026-02-30",
    ];
    assert_answer(
        &rehearsal,
        &["import", file.to_str().unwrap(), "--source", SOURCE],
        BAD_INPUT,
        &said,
    );
    let status = rehearsal.json(&["plan"]).unwrap();
    assert_eq!(status["identities"], 0);
}

#[test]
fn a_file_that_is_not_there_or_for_no_source_is_told_so() {
    let (rehearsal, _folder) = rehearsal();
    assert_answer(
        &rehearsal,
        &["import", "nowhere.csv", "--source", SOURCE],
        BAD_INPUT,
        &["nowhere.csv"],
    );
    assert_answer(
        &rehearsal,
        &["import", "day1.csv", "--source", "payroll"],
        BAD_INPUT,
        &["payroll", "hr"],
    );
    assert_answer(&rehearsal, &["identity", "show", "E9999"], BAD_INPUT, &["E9999"]);
}

/// Writes `edited.toml`: the document with one thing changed.
fn edit(rehearsal: &Rehearsal, document: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(rehearsal.folder().join(document)).unwrap();
    assert!(text.contains(from), "{document} has no `{from}`");
    std::fs::write(rehearsal.folder().join("edited.toml"), text.replacen(from, to, 1)).unwrap();
}

/// Activates a document with one thing changed and sees it refused while the old one stays.
fn assert_refused(rehearsal: &Rehearsal, kind: &str, from: &str, to: &str, code: i32, said: &[&str]) {
    let active = rehearsal.succeed(&[kind, "show"]).unwrap();
    edit(rehearsal, &format!("{kind}.toml"), from, to);
    assert_answer(rehearsal, &[kind, "activate", "edited.toml"], code, said);
    assert_answer(rehearsal, &[kind, "check", "edited.toml"], code, said);
    assert_eq!(
        rehearsal.succeed(&[kind, "show"]).unwrap(),
        active,
        "{from} → {to}"
    );
}

#[test]
fn a_bad_policy_is_refused_with_the_place_and_what_would_be_right() {
    let (rehearsal, _folder) = rehearsal();
    let cases: [(&str, &str, &[&str]); 14] = [
        (
            "retention-days = 30",
            "retention-days = = 30",
            &["edited.toml:3:18", "not TOML"],
        ),
        (
            "retention-days = 30",
            "retention-dayz = 30",
            &[
                "edited.toml:3:1",
                "`retention-dayz`; did you mean `retention-days`",
            ],
        ),
        (
            "retention-days = 30",
            r#"retention-days = "a month""#,
            &["edited.toml:3:18", "whole number"],
        ),
        (
            r#"zone = "Europe/Berlin""#,
            r#"zone = "Europe/Atlantis""#,
            &["edited.toml:2:1", "Europe/Atlantis"],
        ),
        (
            "identity.department == 'Sales'",
            "identity.departement == 'Sales'",
            &[
                "edited.toml:58:9",
                "roles.sales.when",
                "did you mean `department`",
                "identity.departement ==",
            ],
        ),
        (
            "identity.contract == 'contractor'",
            "identity.contract = 'contractor'",
            &["edited.toml:51", "not an expression"],
        ),
        (
            "identity.contract == 'contractor'",
            "identity.contract",
            &["edited.toml:51:9", "true or false"],
        ),
        (
            "identity.title.startsWith",
            "identity.title.beginsWith",
            &["edited.toml:82", "unknown function `beginsWith`"],
        ),
        (
            r#"accounts = ["app"]"#,
            r#"accounts = ["ap"]"#,
            &["edited.toml:90:13", "no target `ap`", "did you mean `app`"],
        ),
        (
            "[mappings.directory]",
            "[mappings.elsewhere]",
            &[
                "edited.toml:43:20",
                "no [mappings.directory]",
                "no target `elsewhere`",
            ],
        ),
        (
            r#"name = "sales""#,
            r#"name = "employee""#,
            &["edited.toml:57:8", "another role `employee`"],
        ),
        (
            r#"end = "endDate""#,
            r#"end = "lastDay""#,
            &["edited.toml:35:7", "no column"],
        ),
        (
            r#"key = "employee_id""#,
            "key = \"employee_id\"\nencoding = \"klingon\"",
            &["edited.toml:10:1", "no encoding `klingon`"],
        ),
        (
            "absent-after-snapshots = 2",
            "absent-after-snapshots = 0",
            &["edited.toml:13", "absent-after-snapshots"],
        ),
    ];
    for (from, to, said) in cases {
        assert_refused(&rehearsal, "policy", from, to, BAD_INPUT, said);
    }
}

#[test]
fn a_bad_targets_document_is_refused_with_the_place_and_what_would_be_right() {
    let (rehearsal, _folder) = rehearsal();
    let cases: [(&str, &str, i32, &[&str]); 9] = [
        (
            r#"apply = "auto""#,
            r#"aply = "auto""#,
            BAD_INPUT,
            &["edited.toml:5:1", "did you mean `apply`"],
        ),
        (
            r#"apply = "auto""#,
            r#"apply = "always""#,
            BAD_INPUT,
            &["edited.toml:5:9", "observe"],
        ),
        (
            r#"scheme = "http""#,
            r#"scheme = "gopher""#,
            BAD_INPUT,
            &["edited.toml:54:10", "https"],
        ),
        (
            "settle-ms = 100",
            "settle-ms = -1",
            BAD_INPUT,
            &["edited.toml:44", "settle-ms"],
        ),
        (
            r#"connector = "sql""#,
            r#"connector = "sqll""#,
            TARGET,
            &["target app", "`sqll`", "usher connector add"],
        ),
        (
            r#"connector = "sql""#,
            r#"connector = "sql@9.0.0""#,
            TARGET,
            &["target app", "`sql@9.0.0`", "sql@0.1.0"],
        ),
        (
            r#"key = ["username"]"#,
            r#"keys = ["username"]"#,
            TARGET,
            &["target app", "settings", "keys"],
        ),
        (
            r#"key = ["username"]"#,
            r#"key = ["login"]"#,
            TARGET,
            &["target app", "`login` is not among users.columns"],
        ),
        (
            r#"base-url = "http://"#,
            r#"base-url = "gopher://"#,
            TARGET,
            &["target directory", "base-url", "http or https"],
        ),
    ];
    for (from, to, code, said) in cases {
        assert_refused(&rehearsal, "targets", from, to, code, said);
    }
}

/// What only the machine can tell is told when the target is tried.
#[test]
fn a_target_that_cannot_be_reached_says_what_is_missing() {
    let (rehearsal, _folder) = rehearsal();
    let cases: [(&str, &str, &str, &[&str]); 3] = [
        ("app.db", "nothing.db", "app", &["nothing.db"]),
        ("SCIM_TOKEN", "NO_SUCH_TOKEN", "directory", &["NO_SUCH_TOKEN"]),
        (
            "private-addresses = true",
            "private-addresses = false",
            "directory",
            &["127.0.0.1", "private"],
        ),
    ];
    for (from, to, target, said) in cases {
        edit(&rehearsal, "targets.toml", from, to);
        rehearsal
            .succeed(&["targets", "activate", "edited.toml"])
            .unwrap();
        assert_answer(&rehearsal, &["target", "check", target], TARGET, said);
    }
}

#[test]
fn a_broken_component_is_refused_by_name_of_what_is_wrong() {
    let (rehearsal, _folder) = rehearsal();
    let whole = std::fs::read(connector("sql").unwrap()).unwrap();
    let mut flipped = whole.clone();
    flipped[40_000..40_004].fill(0xff);
    let cases: [(&str, &[u8], &str); 6] = [
        ("empty", b"", "empty or cut off"),
        (
            "text",
            b"this is not WebAssembly at all",
            "not a WebAssembly component",
        ),
        ("cut", &whole[..5_000], "not a WebAssembly component"),
        ("core", b"\0asm\x01\0\0\0", "core WebAssembly module"),
        ("nothing-exported", b"\0asm\x0d\0\x01\0", "exports nothing"),
        ("flipped", &flipped, "does not compile"),
    ];
    let added = rehearsal.json(&["connector", "list"]).unwrap();
    for (name, bytes, said) in cases {
        let file = format!("{name}.wasm");
        std::fs::write(rehearsal.folder().join(&file), bytes).unwrap();
        assert_answer(
            &rehearsal,
            &["connector", "inspect", &file],
            BAD_INPUT,
            &[&file, said],
        );
        assert_answer(
            &rehearsal,
            &["connector", "add", &file],
            BAD_INPUT,
            &[&file, said],
        );
    }
    assert_eq!(rehearsal.json(&["connector", "list"]).unwrap(), added);
    assert!(
        !Path::new(&rehearsal.folder().join("data/native"))
            .join("text")
            .exists()
    );
}

#[test]
fn a_stale_plan_is_refused() {
    let (rehearsal, _folder) = rehearsal();
    rehearsal.import(usher_tests::rehearsal::DAYS[0]).unwrap();
    rehearsal.succeed(&["plan", "--out", "monday.plan"]).unwrap();
    rehearsal.import(usher_tests::rehearsal::DAYS[1]).unwrap();
    assert_answer(
        &rehearsal,
        &["apply", "monday.plan"],
        4,
        &["out of date", "nothing was done"],
    );
    assert_eq!(
        rehearsal.directory.dump().unwrap()["users"],
        Value::Array(Vec::new())
    );
    std::fs::write(rehearsal.folder().join("torn.plan"), "{\"format\":").unwrap();
    assert_answer(&rehearsal, &["apply", "torn.plan"], BAD_INPUT, &["torn.plan"]);
}
