//! The connector against real SQLite, and its statements in other dialects.

mod accounts;
mod dialects;
mod entitlements;
mod setup;
mod sqlite;

use usher_sdk::prelude::*;
use usher_sdk::testing::Target;
use usher_sdk::testing::sql::{SqlGuard, endpoint};

use super::SqlTables;

/// The tables most tests use: ids made by the database, a status, groups with names.
const TABLES: &str = r#"
CREATE TABLE users (
    id INTEGER PRIMARY KEY, username TEXT NOT NULL UNIQUE, given_name TEXT, badge INTEGER, staff BOOLEAN,
    status TEXT NOT NULL, intent TEXT UNIQUE, note TEXT);
CREATE TABLE groups (id TEXT PRIMARY KEY, title TEXT);
CREATE TABLE memberships (user_id INTEGER NOT NULL, group_id TEXT NOT NULL, PRIMARY KEY (user_id, group_id));
INSERT INTO groups VALUES ('staff', 'Staff'), ('dev', 'Developers'), ('Ünïcode', '部署');
"#;

fn settings() -> Value {
    json!({
        "endpoint": "app",
        "key": ["username"],
        "users": {
            "table": "users",
            "id": "id",
            "status": { "column": "status", "enabled": "active", "disabled": "locked" },
            "columns": {
                "username": {},
                "givenName": { "column": "given_name" },
                "badge": { "type": "integer" },
                "staff": { "type": "boolean" },
            },
        },
        "memberships": { "table": "memberships", "user": "user_id", "entitlement": "group_id" },
        "entitlements": { "table": "groups", "id": "id", "name": "title" },
    })
}

fn target() -> Target<SqlTables> {
    Target::new(settings())
}

fn with_marker() -> Target<SqlTables> {
    let mut settings = settings();
    settings["users"]["marker"] = json!("intent");
    Target::new(settings)
}

fn database(sql: &str) -> (sqlite::Database, SqlGuard) {
    let database = sqlite::Database::new(sql);
    let guard = endpoint("app", database.clone());
    (database, guard)
}
