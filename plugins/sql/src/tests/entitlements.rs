//! Memberships: granted and revoked one at a time.

use usher_sdk::ErrorKind;

use super::*;

fn people() -> (super::sqlite::Database, SqlGuard) {
    let (database, guard) = database(TABLES);
    database.run("INSERT INTO users (id, username, status) VALUES (1, 'a', 'active'), (2, 'b', 'active'), (3, 'c', 'active')");
    (database, guard)
}

fn held(account: &str) -> Vec<String> {
    target()
        .held(account)
        .unwrap()
        .into_iter()
        .map(|holding| holding.entitlement)
        .collect()
}

#[test]
fn grant_and_revoke_to_the_state_asked_for() {
    let (database, log) = people();
    database.run("INSERT INTO memberships VALUES (2, 'dev')");
    for _ in 0..2 {
        target().grant("1", "dev").unwrap();
    }
    target().grant("1", "Ünïcode").unwrap();
    assert_eq!(held("1"), ["dev", "Ünïcode"]);
    for _ in 0..2 {
        target().revoke("1", "dev").unwrap();
    }
    assert_eq!(held("1"), ["Ünïcode"]);
    assert_eq!(held("2"), ["dev"], "nobody else is touched");
    target().revoke("1", "no such group").unwrap();
    target().revoke("99", "dev").unwrap();
    insta::assert_snapshot!(log.transcript(), @r#"
        INSERT INTO `memberships` (`user_id`, `group_id`) SELECT u.`id`, e.`id` FROM `users` u, `groups` e WHERE e.`id` = ? AND u.`id` = ? AND NOT EXISTS (SELECT 1 FROM `memberships` WHERE `user_id` = ? AND `group_id` = ?)
          [Text("dev"), Integer(1), Integer(1), Text("dev")]
        INSERT INTO `memberships` (`user_id`, `group_id`) SELECT u.`id`, e.`id` FROM `users` u, `groups` e WHERE e.`id` = ? AND u.`id` = ? AND NOT EXISTS (SELECT 1 FROM `memberships` WHERE `user_id` = ? AND `group_id` = ?)
          [Text("dev"), Integer(1), Integer(1), Text("dev")]
        SELECT 1 FROM `memberships` WHERE `user_id` = ? AND `group_id` = ? LIMIT ?
          [Integer(1), Text("dev"), Integer(1)]
        INSERT INTO `memberships` (`user_id`, `group_id`) SELECT u.`id`, e.`id` FROM `users` u, `groups` e WHERE e.`id` = ? AND u.`id` = ? AND NOT EXISTS (SELECT 1 FROM `memberships` WHERE `user_id` = ? AND `group_id` = ?)
          [Text("Ünïcode"), Integer(1), Integer(1), Text("Ünïcode")]
        SELECT DISTINCT `group_id` FROM `memberships` WHERE `user_id` = ? ORDER BY `group_id` LIMIT ?
          [Integer(1), Integer(1000)]
        DELETE FROM `memberships` WHERE `user_id` = ? AND `group_id` = ?
          [Integer(1), Text("dev")]
        DELETE FROM `memberships` WHERE `user_id` = ? AND `group_id` = ?
          [Integer(1), Text("dev")]
        SELECT DISTINCT `group_id` FROM `memberships` WHERE `user_id` = ? ORDER BY `group_id` LIMIT ?
          [Integer(1), Integer(1000)]
        SELECT DISTINCT `group_id` FROM `memberships` WHERE `user_id` = ? ORDER BY `group_id` LIMIT ?
          [Integer(2), Integer(1000)]
        DELETE FROM `memberships` WHERE `user_id` = ? AND `group_id` = ?
          [Integer(1), Text("no such group")]
        DELETE FROM `memberships` WHERE `user_id` = ? AND `group_id` = ?
          [Integer(99), Text("dev")]
        "#);
}

#[test]
fn what_is_missing_is_named() {
    let (database, _log) = people();
    let group = target().grant("1", "nope").unwrap_err();
    assert_eq!(
        (group.kind, group.message.as_str()),
        (ErrorKind::NotFound, "there is no entitlement `nope`")
    );
    let user = target().grant("99", "dev").unwrap_err();
    assert_eq!(
        (user.kind, user.message.as_str()),
        (ErrorKind::NotFound, "table `users` has no user `99`")
    );
    assert_eq!(
        target().members("nope", None, 10).unwrap_err().kind,
        ErrorKind::NotFound
    );
    assert!(database.rows("SELECT * FROM memberships").is_empty());
}

#[test]
fn lists_come_in_pages() {
    let (_database, _log) = people();
    for id in ["1", "2", "3"] {
        target().grant(id, "staff").unwrap();
    }
    let first = target().members("staff", None, 2).unwrap();
    let second = target().members("staff", first.next.as_deref(), 2).unwrap();
    let accounts: Vec<_> = first
        .items
        .into_iter()
        .chain(second.items)
        .map(|holding| holding.account)
        .collect();
    assert_eq!(
        (accounts, second.next),
        (vec!["1".into(), "2".into(), "3".into()], None)
    );

    let first = target().entitlements(None, 2).unwrap();
    assert_eq!(
        first.items,
        [
            Entitlement::group("dev", "Developers"),
            Entitlement::group("staff", "Staff")
        ]
    );
    let second = target().entitlements(first.next.as_deref(), 2).unwrap();
    assert_eq!(second, Page::last(vec![Entitlement::group("Ünïcode", "部署")]));
}

#[test]
fn without_a_table_of_entitlements_they_are_what_is_held() {
    let (_database, _log) = people();
    let mut settings = settings();
    settings.as_object_mut().unwrap().remove("entitlements");
    let target: Target<SqlTables> = Target::new(settings);
    target.grant("1", "night shift").unwrap();
    target.grant("2", "night shift").unwrap();
    assert_eq!(
        target.entitlements(None, 10).unwrap().items,
        [Entitlement::group("night shift", "night shift")]
    );
    assert_eq!(
        target.grant("99", "night shift").unwrap_err().kind,
        ErrorKind::NotFound
    );
}

#[test]
fn without_memberships_nothing_can_be_held() {
    let (_database, _log) = people();
    let mut settings = settings();
    settings.as_object_mut().unwrap().remove("entitlements");
    settings.as_object_mut().unwrap().remove("memberships");
    let target: Target<SqlTables> = Target::new(settings);
    assert_eq!(target.held("1").unwrap(), []);
    assert_eq!(target.entitlements(None, 10).unwrap().items, []);
    assert_eq!(
        target.grant("1", "dev").unwrap_err().kind,
        ErrorKind::Misconfigured
    );
    target.delete("1").unwrap();
}
