//! Accounts: each operation, repeats, errors, hostile values.

use proptest::prelude::*;
use usher_sdk::{Change, Effect, ErrorKind, Status};

use super::*;

#[test]
fn an_account_lives_its_whole_life_and_repeats_change_nothing() {
    let (database, log) = database(TABLES);
    let zoe = target()
        .create(json!({ "username": "zoe", "givenName": "Zoë 佐枝", "badge": 7, "staff": true }))
        .unwrap();
    assert_eq!((zoe.id.as_str(), zoe.status), ("1", Status::Enabled));
    assert_eq!(
        zoe.attributes.to_json(),
        json!({ "username": "zoe", "givenName": "Zoë 佐枝", "badge": 7, "staff": true })
    );
    target().grant("1", "staff").unwrap();
    for _ in 0..2 {
        let changed = target()
            .replace("1", json!({ "givenName": "Zoe", "badge": null, "staff": false }))
            .unwrap();
        assert_eq!(
            changed.attributes.to_json(),
            json!({ "username": "zoe", "givenName": "Zoe", "staff": false })
        );
    }
    for _ in 0..2 {
        assert_eq!(target().disable("1").unwrap().status, Status::Disabled);
    }
    for _ in 0..2 {
        assert_eq!(target().enable("1").unwrap().status, Status::Enabled);
    }
    assert_eq!(
        database.rows("SELECT username, given_name, badge, staff, status FROM users"),
        [r#""zoe" "Zoe" null 0 "active""#]
    );
    for _ in 0..2 {
        target().delete("1").unwrap();
    }
    assert_eq!(target().get("1").unwrap(), None);
    assert!(database.rows("SELECT * FROM memberships").is_empty());
    insta::assert_snapshot!(log.transcript(), @r#"
        INSERT INTO `users` (`badge`, `given_name`, `staff`, `username`, `status`) SELECT ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM `users` WHERE (`username` = ?))
          [Integer(7), Text("Zoë 佐枝"), Integer(1), Text("zoe"), Text("active"), Text("zoe")]
        SELECT `id`, `status`, `badge`, `given_name`, `staff`, `username` FROM `users` WHERE `username` = ? ORDER BY `id` LIMIT ?
          [Text("zoe"), Integer(10)]
        INSERT INTO `memberships` (`user_id`, `group_id`) SELECT u.`id`, e.`id` FROM `users` u, `groups` e WHERE e.`id` = ? AND u.`id` = ? AND NOT EXISTS (SELECT 1 FROM `memberships` WHERE `user_id` = ? AND `group_id` = ?)
          [Text("staff"), Integer(1), Integer(1), Text("staff")]
        SELECT `id`, `status`, `badge`, `given_name`, `staff`, `username` FROM `users` WHERE `id` = ? ORDER BY `id` LIMIT ?
          [Integer(1), Integer(10)]
        SELECT `id`, `status`, `badge`, `given_name`, `staff`, `username` FROM `users` WHERE `username` = ? ORDER BY `id` LIMIT ?
          [Text("zoe"), Integer(10)]
        UPDATE `users` SET `badge` = ?, `given_name` = ?, `staff` = ? WHERE `id` = ?
          [Null, Text("Zoe"), Integer(0), Integer(1)]
        SELECT `id`, `status`, `badge`, `given_name`, `staff`, `username` FROM `users` WHERE `id` = ? ORDER BY `id` LIMIT ?
          [Integer(1), Integer(10)]
        SELECT `id`, `status`, `badge`, `given_name`, `staff`, `username` FROM `users` WHERE `id` = ? ORDER BY `id` LIMIT ?
          [Integer(1), Integer(10)]
        UPDATE `users` SET `status` = ? WHERE `id` = ?
          [Text("locked"), Integer(1)]
        SELECT `id`, `status`, `badge`, `given_name`, `staff`, `username` FROM `users` WHERE `id` = ? ORDER BY `id` LIMIT ?
          [Integer(1), Integer(10)]
        UPDATE `users` SET `status` = ? WHERE `id` = ?
          [Text("locked"), Integer(1)]
        SELECT `id`, `status`, `badge`, `given_name`, `staff`, `username` FROM `users` WHERE `id` = ? ORDER BY `id` LIMIT ?
          [Integer(1), Integer(10)]
        UPDATE `users` SET `status` = ? WHERE `id` = ?
          [Text("active"), Integer(1)]
        SELECT `id`, `status`, `badge`, `given_name`, `staff`, `username` FROM `users` WHERE `id` = ? ORDER BY `id` LIMIT ?
          [Integer(1), Integer(10)]
        UPDATE `users` SET `status` = ? WHERE `id` = ?
          [Text("active"), Integer(1)]
        SELECT `id`, `status`, `badge`, `given_name`, `staff`, `username` FROM `users` WHERE `id` = ? ORDER BY `id` LIMIT ?
          [Integer(1), Integer(10)]
        DELETE FROM `memberships` WHERE `user_id` = ?
          [Integer(1)]
        DELETE FROM `users` WHERE `id` = ?
          [Integer(1)]
        DELETE FROM `memberships` WHERE `user_id` = ?
          [Integer(1)]
        DELETE FROM `users` WHERE `id` = ?
          [Integer(1)]
        SELECT `id`, `status`, `badge`, `given_name`, `staff`, `username` FROM `users` WHERE `id` = ? ORDER BY `id` LIMIT ?
          [Integer(1), Integer(10)]
        "#);
}

#[test]
fn create_never_changes_who_is_there() {
    let (database, _log) = database(TABLES);
    database.run("INSERT INTO users VALUES (41, 'admin', 'Root', 1, 1, 'locked', NULL, 'keep')");
    let before = database.rows("SELECT * FROM users");
    let error = target()
        .create(json!({ "username": "admin", "givenName": "Mallory" }))
        .unwrap_err();
    assert_eq!(
        (error.kind, error.existing_id.as_deref(), error.effect),
        (ErrorKind::Conflict, Some("41"), Effect::None)
    );
    assert_eq!(database.rows("SELECT * FROM users"), before);
}

#[test]
fn without_a_constraint_in_the_database_the_key_still_holds() {
    let (database, _log) = database(&TABLES.replace("NOT NULL UNIQUE", "NOT NULL"));
    target().create(json!({ "username": "ada" })).unwrap();
    assert_eq!(
        target()
            .create(json!({ "username": "ada" }))
            .unwrap_err()
            .existing_id
            .as_deref(),
        Some("1")
    );
    target().create(json!({ "username": "bob" })).unwrap();
    let error = target().replace("2", json!({ "username": "ada" })).unwrap_err();
    assert_eq!(
        (error.kind, error.existing_id.as_deref()),
        (ErrorKind::Conflict, Some("1"))
    );
    assert_eq!(
        database.rows("SELECT username FROM users ORDER BY id"),
        [r#""ada""#, r#""bob""#]
    );
}

#[test]
fn a_retry_of_the_same_intent_finds_its_own_account() {
    let (database, _log) = database(TABLES);
    let first = with_marker().create(json!({ "username": "ada" })).unwrap();
    assert_eq!(first.marker.as_deref(), Some("intent-1"));
    assert_eq!(with_marker().create(json!({ "username": "ada" })).unwrap(), first);
    assert_eq!(
        with_marker().find(&Find::Marker("intent-1".into())).unwrap(),
        [first]
    );
    assert_eq!(with_marker().find(&Find::Marker("intent-2".into())).unwrap(), []);
    let other = with_marker()
        .with_intent("intent-2")
        .create(json!({ "username": "ada" }))
        .unwrap_err();
    assert_eq!(
        (other.kind, other.existing_id.as_deref()),
        (ErrorKind::Conflict, Some("1"))
    );
    assert_eq!(database.rows("SELECT count(*) FROM users"), ["1"]);
}

#[test]
fn an_id_from_an_attribute() {
    let (database, _log) = database("CREATE TABLE people (login TEXT PRIMARY KEY, name TEXT)");
    let target: Target<SqlTables> = Target::new(json!({
        "endpoint": "app",
        "users": { "table": "people", "id": "login", "id-from": "login", "columns": { "login": {}, "name": {} } },
    }));
    assert_eq!(
        target
            .create(json!({ "login": "ada", "name": "Ada" }))
            .unwrap()
            .id,
        "ada"
    );
    let taken = target
        .create(json!({ "login": "ada", "name": "Other" }))
        .unwrap_err();
    assert_eq!(
        (taken.kind, taken.existing_id.as_deref()),
        (ErrorKind::Conflict, Some("ada"))
    );
    assert_eq!(database.rows("SELECT * FROM people"), [r#""ada" "Ada""#]);
    assert_eq!(
        target.replace("ada", json!({ "login": "eve" })).unwrap_err().kind,
        ErrorKind::Unsupported
    );
    assert_eq!(target.disable("ada").unwrap_err().kind, ErrorKind::Unsupported);
    assert_eq!(
        target.describe().unwrap()["creation"],
        json!({ "client-id": "login" })
    );
    assert_eq!(target.describe().unwrap()["capabilities"], json!(["delete"]));
}

#[test]
fn find_by_key_list_by_page() {
    let (database, _log) = database(TABLES);
    for number in 1..=7 {
        database.run(&format!(
            "INSERT INTO users (id, username, status) VALUES ({}, 'u{number}', 'odd')",
            number * 3
        ));
    }
    let found = target()
        .find(&Find::Unique(Attributes::new().with("username", "u2")))
        .unwrap();
    assert_eq!(
        found
            .iter()
            .map(|account| (account.id.as_str(), account.status))
            .collect::<Vec<_>>(),
        [("6", Status::Unknown)]
    );
    assert_eq!(
        target()
            .find(&Find::Unique(Attributes::new().with("username", "U2")))
            .unwrap(),
        []
    );
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = target().list(cursor.as_deref(), 3).unwrap();
        assert!(page.items.len() <= 3);
        seen.extend(page.items.into_iter().map(|account| account.id));
        pages += 1;
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!((seen.join(" ").as_str(), pages), ("3 6 9 12 15 18 21", 3));
    assert_eq!(
        target().list(Some("zzz"), 3).unwrap_err().kind,
        ErrorKind::InvalidRequest
    );
}

#[test]
fn who_is_not_there_is_not_found() {
    let (_database, _log) = database(TABLES);
    for id in ["99", "abc", "1 OR 1=1", "", "007", "9999999999999999999999"] {
        assert_eq!(target().get(id).unwrap(), None, "{id}");
        assert_eq!(
            target().disable(id).unwrap_err().kind,
            ErrorKind::NotFound,
            "{id}"
        );
        assert_eq!(
            target().replace(id, json!({ "badge": 1 })).unwrap_err().kind,
            ErrorKind::NotFound,
            "{id}"
        );
        target().delete(id).unwrap();
    }
}

#[test]
fn values_are_checked_before_anything_is_sent() {
    let (_database, log) = database(TABLES);
    for (attributes, message) in [
        (
            json!({ "givenName": "x" }),
            "attribute `username` is required and must not be empty",
        ),
        (
            json!({ "username": "" }),
            "attribute `username` is required and must not be empty",
        ),
        (
            json!({ "username": "a", "badge": "7" }),
            "attribute `badge` must be a whole number",
        ),
        (
            json!({ "username": "a", "staff": "yes" }),
            "attribute `staff` must be true or false",
        ),
        (
            json!({ "username": "a", "givenName": ["x"] }),
            "attribute `givenName` must be text",
        ),
        (
            json!({ "username": "a", "note": "x" }),
            "attribute `note` has no column in the settings",
        ),
    ] {
        let error = target().create(attributes).unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::InvalidRequest, message)
        );
    }
    assert_eq!(log.transcript(), "");
}

#[test]
fn another_constraint_is_not_called_a_conflict() {
    let (database, _log) = database(&TABLES.replace("badge INTEGER", "badge INTEGER CHECK (badge < 100)"));
    let error = target()
        .create(json!({ "username": "a", "badge": 100 }))
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::PolicyRejected);
    assert!(database.rows("SELECT * FROM users").is_empty());
}

#[test]
fn only_named_attributes_are_touched() {
    let (database, _log) = database(TABLES);
    database.run("INSERT INTO users VALUES (1, 'ada', 'Ada', 5, 1, 'active', NULL, 'mine')");
    let request = UpdateRequest {
        changes: vec![("givenName".into(), Change::Replace(json!("Augusta")))],
        desired: Attributes::new().with("givenName", "Augusta").with("badge", 6),
        version: None,
    };
    target().update("1", &request).unwrap();
    assert_eq!(
        database.rows("SELECT * FROM users"),
        [r#"1 "ada" "Augusta" 5 1 "active" null "mine""#]
    );
}

proptest! {
    /// Whatever text comes in goes in and out unchanged, and into no other place.
    #[test]
    fn any_text_is_a_value_and_nothing_more(username in "[^\0]{1,30}", given in "[^\0]{0,30}") {
        let (database, _log) = database(TABLES);
        database.run("INSERT INTO users (id, username, status) VALUES (500, 'bystander', 'active')");
        let made = target().create(json!({ "username": username, "givenName": given })).unwrap();
        prop_assert_eq!(made.attributes.text("username").unwrap(), Some(username.as_str()));
        prop_assert_eq!(made.attributes.text("givenName").unwrap(), Some(given.as_str()));
        let key = Attributes::new().with("username", username);
        prop_assert_eq!(target().find(&Find::Unique(key)).unwrap(), vec![made]);
        prop_assert_eq!(database.rows("SELECT count(*) FROM users"), ["2"]);
    }
}
