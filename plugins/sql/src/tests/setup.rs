//! Settings, schema and check.

use usher_sdk::ErrorKind;

use super::*;

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut settings = settings();
    change(&mut settings);
    let error = Target::<SqlTables>::new(settings).schema().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misconfigured);
    error.message
}

#[test]
fn wrong_settings_are_named() {
    let messages = [
        refused(|settings| settings["users"]["table"] = json!("")),
        refused(|settings| settings["users"]["id"] = json!("a\0b")),
        refused(|settings| settings["users"]["columns"]["badge"]["column"] = json!("x".repeat(64))),
        refused(|settings| settings["users"]["columns"]["badge"]["type"] = json!("date")),
        refused(|settings| settings["users"]["columns"]["badge"]["column"] = json!("USERNAME")),
        refused(|settings| settings["users"]["columns"]["badge"]["column"] = json!("id")),
        refused(|settings| settings["users"]["marker"] = json!("status")),
        refused(|settings| settings["users"]["columns"] = json!({})),
        refused(|settings| settings["users"]["id-from"] = json!("login")),
        refused(|settings| settings["key"] = json!(["login"])),
        refused(|settings| settings["key"] = json!([])),
        refused(|settings| settings["memberships"] = Value::Null),
        refused(|settings| settings["delete"] = json!("soft")),
        refused(|settings| settings["user"] = json!({})),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
        settings: `users.table`: the name of a table or column must not be empty
        settings: `users.id`: the name of a table or column must not hold a NUL character
        settings: `users.columns.badge`: the name of a table or column may have 63 bytes: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`
        settings: `users.columns.badge.type`: unknown variant `date`, expected one of `text`, `integer`, `boolean`
        settings: `users.columns.username`: has the same column as `users.columns.badge`
        settings: `users.columns.badge`: is the column of the id; only the attribute of users.id-from may be
        settings: `users.marker`: has the same column as `users.status`
        settings: `users.columns`: needs 1 to 200 attributes, has 0
        settings: `users.id-from`: `login` is not among users.columns
        settings: `key`: `login` is not among users.columns
        settings: `key`: give a key, users.id-from or users.marker: a new account could not be recognised otherwise
        settings: `memberships`: is needed when entitlements are given
        settings: `delete`: unknown variant `soft`, expected `row` or `never`
        settings: `user`: unknown field `user`, expected one of `endpoint`, `schema`, `users`, `key`, `memberships`, `entitlements`, `delete`
        ");
}

#[test]
fn the_schema_follows_the_settings() {
    insta::assert_json_snapshot!(target().schema().unwrap()["properties"], @r#"
        {
          "badge": {
            "type": "integer"
          },
          "givenName": {
            "type": "string"
          },
          "staff": {
            "type": "boolean"
          },
          "username": {
            "type": "string",
            "x-usher-unique": true
          }
        }
        "#);
    assert_eq!(target().schema().unwrap()["required"], json!(["username"]));
}

#[test]
fn it_describes_how_a_creation_is_recognised() {
    assert_eq!(
        target().describe().unwrap()["creation"],
        json!({ "unique-key": ["username"] })
    );
    assert_eq!(with_marker().describe().unwrap()["creation"], "marker");
    assert_eq!(
        target().describe().unwrap()["capabilities"],
        json!(["disable", "delete"])
    );
    let mut kept = settings();
    kept["delete"] = json!("never");
    let kept = Target::<SqlTables>::new(kept);
    assert_eq!(kept.describe().unwrap()["capabilities"], json!(["disable"]));
    assert_eq!(kept.delete("1").unwrap_err().kind, ErrorKind::Unsupported);
}

#[test]
fn a_check_changes_nothing_and_names_the_rights() {
    let (database, log) = database(TABLES);
    database.run("INSERT INTO users (id, username, status) VALUES (1, 'a', 'active'); INSERT INTO memberships VALUES (1, 'dev')");
    let report = target().check().unwrap();
    assert!(report.passed(), "{report:?}");
    assert_eq!(
        database.rows("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM memberships)"),
        ["1 1"]
    );
    insta::assert_snapshot!(format!("{}\n{}", report.permissions.join("\n"), log.transcript()), @r"
        users: select
        users: insert
        users: update
        users: delete
        memberships: select
        memberships: insert
        memberships: delete
        entitlements: select
        SELECT 1
          []
        SELECT `id`, `status`, `badge`, `given_name`, `staff`, `username` FROM `users` WHERE 1 = 0
          []
        INSERT INTO `users` (`status`, `badge`, `given_name`, `staff`, `username`) SELECT `status`, `badge`, `given_name`, `staff`, `username` FROM `users` WHERE 1 = 0
          []
        UPDATE `users` SET `status` = `status`, `badge` = `badge`, `given_name` = `given_name`, `staff` = `staff`, `username` = `username` WHERE 1 = 0
          []
        DELETE FROM `users` WHERE 1 = 0
          []
        SELECT DISTINCT `status` FROM `users` WHERE `status` IS NOT NULL LIMIT 10
          []
        SELECT `user_id`, `group_id` FROM `memberships` WHERE 1 = 0
          []
        INSERT INTO `memberships` (`user_id`, `group_id`) SELECT `user_id`, `group_id` FROM `memberships` WHERE 1 = 0
          []
        DELETE FROM `memberships` WHERE 1 = 0
          []
        SELECT `id`, `title` FROM `groups` WHERE 1 = 0
          []
        ");
}

#[test]
fn a_check_names_what_is_missing() {
    let (_database, _log) = database(
        &TABLES
            .replace("given_name TEXT", "first TEXT")
            .replace("TABLE memberships", "TABLE members"),
    );
    let report = target().check().unwrap();
    let failed: Vec<_> = report.steps.iter().filter(|step| !step.ok).collect();
    assert_eq!(failed.len(), 2, "{report:?}");
    assert!(failed[0].detail.contains("given_name"), "{}", failed[0].detail);
    assert!(failed[1].detail.contains("memberships"), "{}", failed[1].detail);
}

#[test]
fn a_check_knows_the_status_values() {
    let step = |rows: &str, status: Value| {
        let (_database, _log) = database(&format!(
            "{}{rows}",
            TABLES.replace("status TEXT NOT NULL", "status")
        ));
        let mut settings = settings();
        settings["users"]["status"] = status;
        let report = Target::<SqlTables>::new(settings).check().unwrap();
        let step = report
            .steps
            .iter()
            .find(|step| step.name == "know the status values");
        let step = step.unwrap_or_else(|| panic!("{report:?}"));
        (step.ok, step.detail.clone())
    };
    let numbers = "INSERT INTO users (username, status) VALUES ('a', 1), ('b', 0), ('c', 1);";
    let unsaid = json!({ "column": "status" });
    let (ok, detail) = step(numbers, unsaid.clone());
    assert!(!ok);
    insta::assert_snapshot!(detail, @r#"column `status` holds 1, 0, neither "enabled" nor "disabled"; set users.status.enabled and users.status.disabled"#);
    assert!(
        step(
            numbers,
            json!({ "column": "status", "enabled": 1, "disabled": 0 })
        )
        .0
    );
    assert!(
        step(
            numbers,
            json!({ "column": "status", "enabled": true, "disabled": false })
        )
        .0
    );
    assert!(step("", unsaid.clone()).0);
    // A table where nobody has been disabled yet.
    assert!(
        step(
            "INSERT INTO users (username, status) VALUES ('a', 'enabled');",
            unsaid
        )
        .0
    );
}

#[test]
fn the_settings_schema_shows_the_defaults() {
    let schema = &target().describe().unwrap()["settings-schema"];
    let status = &schema["$defs"]["StatusColumn"]["properties"];
    assert_eq!(status["enabled"]["default"], "enabled");
    assert_eq!(status["disabled"]["default"], "disabled");
    assert_eq!(schema["properties"]["delete"]["default"], "row");
    assert_eq!(schema["$defs"]["Column"]["properties"]["type"]["default"], "text");
}

#[test]
fn a_database_that_is_not_there_fails_the_check() {
    let _guard = endpoint("app", sqlite::Gone);
    let report = target().check().unwrap();
    assert!(!report.passed());
    assert_eq!(report.steps.len(), 1, "{report:?}");
    assert_eq!(report.steps[0].name, "reach the database");
}

#[test]
fn an_endpoint_that_is_not_granted_fails_the_check() {
    let report = target().check().unwrap();
    assert!(!report.passed());
    assert_eq!(report.steps[0].detail, "database: endpoint `app` is not granted");
    assert_eq!(target().get("1").unwrap_err().kind, ErrorKind::Misconfigured);
}
