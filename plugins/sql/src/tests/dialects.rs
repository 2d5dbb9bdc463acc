//! The same statements in another SQL, with hostile names.

use usher_sdk::sql::{Dialect, RowSet, SqlError, Statement};
use usher_sdk::testing::sql::Backend;

use super::*;

/// Answers every query with one user and changes one row each time.
struct Canned(Dialect);

impl Backend for Canned {
    fn dialect(&self) -> Dialect {
        self.0.clone()
    }

    fn query(&mut self, _: &Statement) -> Result<RowSet, SqlError> {
        let row = vec![7.into(), "active".into(), "ada".into()];
        Ok(RowSet {
            columns: Vec::new(),
            rows: vec![row],
        })
    }

    fn execute(&mut self, statements: &[Statement]) -> Result<Vec<u64>, SqlError> {
        Ok(vec![1; statements.len()])
    }
}

fn hostile() -> Target<SqlTables> {
    Target::new(json!({
        "endpoint": "app",
        "key": ["username"],
        "users": {
            "table": "us`er\"s; DROP TABLE x; --",
            "id": "i\"d",
            "status": { "column": "st`atus", "enabled": "active" },
            "columns": { "username": { "column": "select" } },
        },
        "memberships": { "table": "m\"", "user": "u", "entitlement": "e" },
    }))
}

fn everything(dialect: Dialect) -> String {
    let log = endpoint("app", Canned(dialect));
    let target = hostile();
    target
        .create(json!({ "username": "a'; DROP TABLE users; --" }))
        .unwrap();
    target.replace("7", json!({ "username": "b" })).unwrap();
    target.disable("7").unwrap();
    target.list(Some("7"), 10).unwrap();
    target.grant("7", "g").unwrap();
    target.revoke("7", "g").unwrap();
    target.delete("7").unwrap();
    log.transcript()
}

#[test]
fn postgresql() {
    insta::assert_snapshot!(everything(Dialect::Postgresql), @r#"
        INSERT INTO "us`er""s; DROP TABLE x; --" ("select", "st`atus") SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM "us`er""s; DROP TABLE x; --" WHERE ("select" = $3))
          [Text("a'; DROP TABLE users; --"), Text("active"), Text("a'; DROP TABLE users; --")]
        SELECT "i""d", "st`atus", "select" FROM "us`er""s; DROP TABLE x; --" WHERE "select" = $1 ORDER BY "i""d" LIMIT $2
          [Text("a'; DROP TABLE users; --"), Integer(10)]
        SELECT "i""d", "st`atus", "select" FROM "us`er""s; DROP TABLE x; --" WHERE "i""d" = $1 ORDER BY "i""d" LIMIT $2
          [Integer(7), Integer(10)]
        SELECT "i""d", "st`atus", "select" FROM "us`er""s; DROP TABLE x; --" WHERE "select" = $1 ORDER BY "i""d" LIMIT $2
          [Text("b"), Integer(10)]
        UPDATE "us`er""s; DROP TABLE x; --" SET "select" = $1 WHERE "i""d" = $2
          [Text("b"), Integer(7)]
        SELECT "i""d", "st`atus", "select" FROM "us`er""s; DROP TABLE x; --" WHERE "i""d" = $1 ORDER BY "i""d" LIMIT $2
          [Integer(7), Integer(10)]
        UPDATE "us`er""s; DROP TABLE x; --" SET "st`atus" = $1 WHERE "i""d" = $2
          [Text("disabled"), Integer(7)]
        SELECT "i""d", "st`atus", "select" FROM "us`er""s; DROP TABLE x; --" WHERE "i""d" = $1 ORDER BY "i""d" LIMIT $2
          [Integer(7), Integer(10)]
        SELECT "i""d", "st`atus", "select" FROM "us`er""s; DROP TABLE x; --" WHERE "i""d" > $1 ORDER BY "i""d" LIMIT $2
          [Integer(7), Integer(10)]
        INSERT INTO "m""" ("u", "e") SELECT u."i""d", $1 FROM "us`er""s; DROP TABLE x; --" u WHERE u."i""d" = $2 AND NOT EXISTS (SELECT 1 FROM "m""" WHERE "u" = $3 AND "e" = $4)
          [Text("g"), Integer(7), Integer(7), Text("g")]
        DELETE FROM "m""" WHERE "u" = $1 AND "e" = $2
          [Integer(7), Text("g")]
        DELETE FROM "m""" WHERE "u" = $1
          [Integer(7)]
        DELETE FROM "us`er""s; DROP TABLE x; --" WHERE "i""d" = $1
          [Integer(7)]
        "#);
}

#[test]
fn mysql() {
    insta::assert_snapshot!(everything(Dialect::Mysql), @r#"
        INSERT INTO `us``er"s; DROP TABLE x; --` (`select`, `st``atus`) SELECT ?, ? FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM `us``er"s; DROP TABLE x; --` WHERE (`select` = ?))
          [Text("a'; DROP TABLE users; --"), Text("active"), Text("a'; DROP TABLE users; --")]
        SELECT `i"d`, `st``atus`, `select` FROM `us``er"s; DROP TABLE x; --` WHERE `select` = ? ORDER BY `i"d` LIMIT ?
          [Text("a'; DROP TABLE users; --"), Integer(10)]
        SELECT `i"d`, `st``atus`, `select` FROM `us``er"s; DROP TABLE x; --` WHERE `i"d` = ? ORDER BY `i"d` LIMIT ?
          [Integer(7), Integer(10)]
        SELECT `i"d`, `st``atus`, `select` FROM `us``er"s; DROP TABLE x; --` WHERE `select` = ? ORDER BY `i"d` LIMIT ?
          [Text("b"), Integer(10)]
        UPDATE `us``er"s; DROP TABLE x; --` SET `select` = ? WHERE `i"d` = ?
          [Text("b"), Integer(7)]
        SELECT `i"d`, `st``atus`, `select` FROM `us``er"s; DROP TABLE x; --` WHERE `i"d` = ? ORDER BY `i"d` LIMIT ?
          [Integer(7), Integer(10)]
        UPDATE `us``er"s; DROP TABLE x; --` SET `st``atus` = ? WHERE `i"d` = ?
          [Text("disabled"), Integer(7)]
        SELECT `i"d`, `st``atus`, `select` FROM `us``er"s; DROP TABLE x; --` WHERE `i"d` = ? ORDER BY `i"d` LIMIT ?
          [Integer(7), Integer(10)]
        SELECT `i"d`, `st``atus`, `select` FROM `us``er"s; DROP TABLE x; --` WHERE `i"d` > ? ORDER BY `i"d` LIMIT ?
          [Integer(7), Integer(10)]
        INSERT INTO `m"` (`u`, `e`) SELECT u.`i"d`, ? FROM `us``er"s; DROP TABLE x; --` u WHERE u.`i"d` = ? AND NOT EXISTS (SELECT 1 FROM `m"` WHERE `u` = ? AND `e` = ? AND CAST(CONVERT(`e` USING utf8mb4) AS BINARY) = ?)
          [Text("g"), Integer(7), Integer(7), Text("g"), Text("g")]
        DELETE FROM `m"` WHERE `u` = ? AND `e` = ? AND CAST(CONVERT(`e` USING utf8mb4) AS BINARY) = ?
          [Integer(7), Text("g"), Text("g")]
        DELETE FROM `m"` WHERE `u` = ?
          [Integer(7)]
        DELETE FROM `us``er"s; DROP TABLE x; --` WHERE `i"d` = ?
          [Integer(7)]
        "#);
}

/// On MySQL texts that only count as equal are other ids: each one asked for or written about is compared as bytes, too.
#[test]
fn ids_that_are_texts_are_compared_exactly_in_mysql() {
    let log = endpoint("app", Canned(Dialect::Mysql));
    let target = Target::<SqlTables>::new(json!({
        "endpoint": "app",
        "key": ["username"],
        "users": { "table": "users", "id": "id", "id-type": "text", "columns": { "username": {} } },
        "memberships": { "table": "m", "user": "u", "entitlement": "e" },
    }));
    target.grant("Ada", "Dev").unwrap();
    target.revoke("Ada", "Dev").unwrap();
    target.held("Ada").unwrap();
    target.members("Dev", Some("Ada"), 10).unwrap();
    target.entitlements(Some("Dev"), 10).unwrap();
    insta::assert_snapshot!(log.transcript(), @r#"
        INSERT INTO `m` (`u`, `e`) SELECT u.`id`, ? FROM `users` u WHERE u.`id` = ? AND CAST(CONVERT(u.`id` USING utf8mb4) AS BINARY) = ? AND NOT EXISTS (SELECT 1 FROM `m` WHERE `u` = ? AND CAST(CONVERT(`u` USING utf8mb4) AS BINARY) = ? AND `e` = ? AND CAST(CONVERT(`e` USING utf8mb4) AS BINARY) = ?)
          [Text("Dev"), Text("Ada"), Text("Ada"), Text("Ada"), Text("Ada"), Text("Dev"), Text("Dev")]
        DELETE FROM `m` WHERE `u` = ? AND CAST(CONVERT(`u` USING utf8mb4) AS BINARY) = ? AND `e` = ? AND CAST(CONVERT(`e` USING utf8mb4) AS BINARY) = ?
          [Text("Ada"), Text("Ada"), Text("Dev"), Text("Dev")]
        SELECT MIN(`e`) FROM `m` WHERE `u` = ? AND CAST(CONVERT(`u` USING utf8mb4) AS BINARY) = ? GROUP BY CAST(CONVERT(`e` USING utf8mb4) AS BINARY) ORDER BY CAST(CONVERT(`e` USING utf8mb4) AS BINARY) LIMIT ?
          [Text("Ada"), Text("Ada"), Integer(1000)]
        SELECT MIN(`u`) FROM `m` WHERE `e` = ? AND CAST(CONVERT(`e` USING utf8mb4) AS BINARY) = ? AND CAST(CONVERT(`u` USING utf8mb4) AS BINARY) > ? GROUP BY CAST(CONVERT(`u` USING utf8mb4) AS BINARY) ORDER BY CAST(CONVERT(`u` USING utf8mb4) AS BINARY) LIMIT ?
          [Text("Dev"), Text("Dev"), Text("Ada"), Integer(10)]
        SELECT MIN(`e`) FROM `m` WHERE CAST(CONVERT(`e` USING utf8mb4) AS BINARY) > ? GROUP BY CAST(CONVERT(`e` USING utf8mb4) AS BINARY) ORDER BY CAST(CONVERT(`e` USING utf8mb4) AS BINARY) LIMIT ?
          [Text("Dev"), Integer(10)]
        "#);
}
