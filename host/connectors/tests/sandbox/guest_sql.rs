//! SQL of guests through the host: what is granted works, what is not is named, and effects are told truly.

use rusqlite::Connection;
use serde_json::{Value, json};
use usher_connectors::Connector as _;
use usher_lifecycle::connector::{CallError, Effect, ErrorKind};

use crate::support::{granting_sqlite, hostile, login, target, write};

fn database() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE users (login TEXT UNIQUE); INSERT INTO users VALUES ('ada')")
        .unwrap();
    (folder, path)
}

async fn run(path: &std::path::Path, settings: Value) -> Result<String, CallError> {
    let target = granting_sqlite(target(settings), path);
    hostile(&target)
        .await
        .create(&write(), &login("ada"))
        .await
        .map(|account| account.id)
}

fn sql(behaviour: &str, sql: &str, then: &str) -> Value {
    json!({ "behaviour": behaviour, "endpoint": "app", "sql": sql, "then": then })
}

fn logins(path: &std::path::Path) -> u32 {
    Connection::open(path)
        .unwrap()
        .query_row("SELECT count(*) FROM users", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn a_granted_database_is_read_and_changed() {
    let (_folder, path) = database();
    let found = run(&path, sql("sql-query", "SELECT login FROM users", ""))
        .await
        .unwrap();
    assert_eq!(found, "[[Value::Text(\"ada\")]]");
    assert_eq!(
        run(
            &path,
            sql("sql-execute", "INSERT INTO users VALUES ('grace')", "")
        )
        .await
        .unwrap(),
        "[1]"
    );
    assert_eq!(logins(&path), 2);
}

#[tokio::test]
async fn an_endpoint_that_is_not_granted_is_named() {
    let (_folder, path) = database();
    let mut settings = sql("sql-query", "SELECT 1", "");
    settings["endpoint"] = json!("payroll");
    let error = run(&path, settings).await.unwrap_err();
    let ErrorKind::Denied(grant) = &error.kind else {
        panic!("{error:?}")
    };
    assert_eq!(
        grant,
        "[[targets.app.grants.sql]]\nendpoint = \"payroll\"\nsqlite = \"/path/to/the/database.db\"\n\
             # or, instead of `sqlite`, a server (or mysql = { … }, for MariaDB too):\n\
             # postgresql = { host = \"db.example.com\", database = \"…\", user = \"…\", password = { store = \"…\" } }\n"
    );
}

#[tokio::test]
async fn attaching_another_database_is_refused_by_the_host() {
    let (folder, path) = database();
    let other = folder.path().join("other.db");
    let attach = format!("ATTACH '{}' AS o", other.display());
    let vacuum = format!("VACUUM INTO '{}'", other.display());
    for behaviour in ["sql-query", "sql-execute"] {
        let error = run(&path, sql(behaviour, &attach, "")).await.unwrap_err();
        assert!(
            error.message.contains("the sandbox refused: SQL of target `app`"),
            "{behaviour}: {error:?}"
        );
        run(&path, sql(behaviour, &vacuum, "")).await.unwrap_err();
    }
    assert!(!other.exists());
}

#[tokio::test]
async fn effects_are_told_truly() {
    let (_folder, path) = database();
    let cases = [
        ("sql-query", "SELECT 1", Effect::None),
        // Rolled back: the constraint refused.
        ("sql-execute", "INSERT INTO users VALUES ('ada')", Effect::None),
        (
            "sql-execute",
            "INSERT INTO users VALUES ('grace')",
            Effect::Unknown,
        ),
    ];
    for (behaviour, statement, effect) in cases {
        let error = run(&path, sql(behaviour, statement, "trap")).await.unwrap_err();
        assert_eq!(
            (error.kind, error.effect),
            (ErrorKind::Crashed, effect),
            "{statement}"
        );
    }
    assert_eq!(logins(&path), 2);
}

#[tokio::test]
async fn a_statement_that_never_ends_ends_with_the_call() {
    let (_folder, path) = database();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let mut target = granting_sqlite(target(sql("sql-query", endless, "")), &path);
    target.limits.wall_ms = 300;
    let error = hostile(&target)
        .await
        .create(&write(), &login("ada"))
        .await
        .unwrap_err();
    assert_eq!(error.effect, Effect::None);
    assert!(
        matches!(error.kind, ErrorKind::Timeout | ErrorKind::Unavailable),
        "{error:?}"
    );
    // The database is free again.
    assert_eq!(
        run(&path, sql("sql-execute", "DELETE FROM users", ""))
            .await
            .unwrap(),
        "[1]"
    );
}
