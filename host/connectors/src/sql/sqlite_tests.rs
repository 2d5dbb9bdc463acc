use std::time::Duration;

use super::*;

struct Fixture {
    folder: tempfile::TempDir,
    endpoint: SqliteEndpoint,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, login TEXT NOT NULL UNIQUE, note TEXT);
             CREATE TABLE members (user INTEGER NOT NULL REFERENCES users(id) DEFERRABLE INITIALLY DEFERRED);
             INSERT INTO users (login) VALUES ('ada'), ('grace');",
        )
        .unwrap();
    Fixture {
        endpoint: SqliteEndpoint::new(path),
        folder,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn statement(sql: &str, parameters: Vec<SqlValue>) -> Statement {
    Statement {
        sql: sql.to_owned(),
        parameters,
    }
}

impl Fixture {
    fn query(&self, sql: &str) -> Result<RowSet, SqlError> {
        self.endpoint.query(&statement(sql, vec![]), soon())
    }

    fn execute(&self, sql: &[&str]) -> Result<Vec<u64>, SqlError> {
        let statements: Vec<_> = sql.iter().map(|sql| statement(sql, vec![])).collect();
        self.endpoint.execute(&statements, soon())
    }

    fn logins(&self) -> usize {
        self.query("SELECT login FROM users").unwrap().rows.len()
    }
}

#[test]
fn values_are_bound_and_returned() {
    let app = fixture();
    let parameters = vec![
        SqlValue::Text("x'; DROP TABLE users; --".to_owned()),
        SqlValue::Null,
    ];
    let changed = app
        .endpoint
        .execute(
            &[statement(
                "INSERT INTO users (login, note) VALUES (?, ?)",
                parameters,
            )],
            soon(),
        )
        .unwrap();
    assert_eq!(changed, [1]);
    let row = app
        .query("SELECT login, note, 1.5, x'00ff', 7 FROM users WHERE id = 3")
        .unwrap();
    assert_eq!(
        row.rows,
        [vec![
            SqlValue::Text("x'; DROP TABLE users; --".to_owned()),
            SqlValue::Null,
            SqlValue::Real(1.5),
            SqlValue::Blob(vec![0, 255]),
            SqlValue::Integer(7)
        ]]
    );
    let missing = app
        .endpoint
        .query(&statement("SELECT ?1", vec![]), soon())
        .unwrap_err();
    assert_eq!(missing.kind, SqlErrorKind::InvalidStatement);
}

#[test]
fn a_statement_cannot_leave_its_database() {
    let app = fixture();
    let other = app.folder.path().join("other.db");
    let vacuum = format!("VACUUM INTO '{}'", other.display());
    let attach = format!("ATTACH '{}' AS other", other.display());
    let forbidden = [
        attach.as_str(),
        vacuum.as_str(),
        "VACUUM",
        "DETACH main",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = WAL",
        "PRAGMA temp_store_directory = '/tmp'",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA query_only",
        "SELECT load_extension('evil.so')",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "CREATE TRIGGER t AFTER INSERT ON users BEGIN DELETE FROM users; END",
        "DROP TABLE users",
        "ALTER TABLE users ADD COLUMN evil",
        "REINDEX",
        "ANALYZE",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
    ];
    for sql in forbidden {
        let (read, written) = (app.query(sql), app.execute(&[sql]));
        assert!(read.is_err() && written.is_err(), "{sql}: {read:?} {written:?}");
        let kind = written.unwrap_err().kind;
        assert!(
            matches!(kind, SqlErrorKind::Forbidden | SqlErrorKind::InvalidStatement),
            "{sql}: {kind:?}"
        );
    }
    assert!(app.execute(&["UPDATE sqlite_master SET sql = ''"]).is_err());
    assert!(!other.exists());
    assert_eq!(app.logins(), 2);
}

#[test]
fn what_tables_look_like_can_be_read() {
    let app = fixture();
    let info = app.query("SELECT name FROM pragma_table_info('users')").unwrap();
    assert_eq!(info.rows.len(), 3);
    assert!(
        app.query("SELECT name FROM sqlite_master WHERE type = 'table'")
            .is_ok()
    );
}

#[test]
fn one_statement_at_a_time() {
    let app = fixture();
    for sql in ["SELECT 1; SELECT 2", "SELECT 1; DELETE FROM users"] {
        assert_eq!(
            app.query(sql).unwrap_err().kind,
            SqlErrorKind::InvalidStatement,
            "{sql}"
        );
    }
    assert!(app.query("SELECT 1; -- done").is_ok());
    assert_eq!(app.logins(), 2);
}

#[test]
fn query_only_reads() {
    let app = fixture();
    for sql in [
        "DELETE FROM users",
        "INSERT INTO users (login) VALUES ('x') RETURNING id",
        "UPDATE users SET note = 1",
    ] {
        assert_eq!(
            app.query(sql).unwrap_err().kind,
            SqlErrorKind::InvalidStatement,
            "{sql}"
        );
    }
    assert_eq!(app.logins(), 2);
}

#[test]
fn a_transaction_happens_whole_or_not_at_all() {
    let app = fixture();
    let error = app
        .execute(&[
            "INSERT INTO users (login) VALUES ('new')",
            "INSERT INTO users (login) VALUES ('ada')",
        ])
        .unwrap_err();
    assert_eq!(
        (error.kind.clone(), error.effect_unknown),
        (SqlErrorKind::Constraint, false)
    );
    assert!(
        error.message.contains("users.login") && !error.message.contains("ada"),
        "{}",
        error.message
    );
    // A constraint that is only checked at the commit.
    let error = app
        .execute(&[
            "INSERT INTO users (login) VALUES ('new')",
            "INSERT INTO members VALUES (99)",
        ])
        .unwrap_err();
    assert_eq!(
        (error.kind, error.effect_unknown),
        (SqlErrorKind::Constraint, false)
    );
    // A guest cannot commit half of it by itself.
    assert!(
        app.execute(&["INSERT INTO users (login) VALUES ('new')", "COMMIT"])
            .is_err()
    );
    assert_eq!(app.logins(), 2);
    assert_eq!(
        app.execute(&[
            "INSERT INTO users (login) VALUES ('new')",
            "UPDATE users SET note = 'n'"
        ])
        .unwrap(),
        [1, 3]
    );
}

#[test]
fn rows_bytes_and_time_are_capped() {
    let app = fixture();
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    assert_eq!(app.query(rows).unwrap_err().kind, SqlErrorKind::LimitExceeded);
    let bytes = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT zeroblob(100000) FROM n";
    assert_eq!(app.query(bytes).unwrap_err().kind, SqlErrorKind::LimitExceeded);
    assert!(app.query("SELECT zeroblob(1000000000)").is_err());
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let started = Instant::now();
    let error = app
        .endpoint
        .query(&statement(endless, vec![]), started + Duration::from_millis(100))
        .unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::LimitExceeded);
    assert!(started.elapsed() < Duration::from_secs(5));
    // The connection that was interrupted still serves.
    assert_eq!(app.logins(), 2);
}

#[test]
fn somebody_else_s_lock_is_waited_for_until_the_deadline() {
    let app = fixture();
    let other = Connection::open(app.folder.path().join("app.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let insert = statement("INSERT INTO users (login) VALUES ('new')", vec![]);
    let error = app
        .endpoint
        .execute(
            std::slice::from_ref(&insert),
            Instant::now() + Duration::from_millis(100),
        )
        .unwrap_err();
    assert_eq!((error.kind, error.effect_unknown), (SqlErrorKind::Busy, false));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(app.endpoint.execute(&[insert], soon()).unwrap(), [1]);
}

#[test]
fn a_missing_database_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let error = SqliteEndpoint::new(path.clone())
        .query(&statement("SELECT 1", vec![]), soon())
        .unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Unavailable);
    assert!(!path.exists() && !error.message.contains("none.db"));
}
