//! With a real MariaDB.

use std::sync::Arc;

use usher_lifecycle::targets::{SqlDatabase, SqlServer};
use usher_test_mariadb::Server as Mariadb;

use super::*;
use crate::certificates::Authority;
use crate::secrets::{FixedSecrets, Secrets};
use crate::sql::SqlValue;
use crate::sql::testing::{
    Fixture, PASSWORD, Way, eventually, losing_the_answer_to_commit, named, on_loopback, private, text,
    tls_of,
};

/// A database with two users, and an account that may change them.
struct App {
    server: &'static Mariadb,
    database: String,
    user: String,
    fixture: Fixture,
}

fn app() -> Option<App> {
    app_of(usher_test_mariadb::shared().unwrap()?)
}

fn app_of(server: &'static Mariadb) -> Option<App> {
    let database = server.fresh_database().unwrap();
    let user = format!("app_{database}");
    server
        .sql(
            &database,
            &format!(
                "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, login VARCHAR(50) NOT NULL UNIQUE, note VARCHAR(5), badge INT);
                 INSERT INTO users (login) VALUES ('ada'), ('grace');
                 CREATE TABLE members (user_id INT NOT NULL, FOREIGN KEY (user_id) REFERENCES users (id));
                 CREATE TABLE secrets (s TEXT);
                 CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}';
                 GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.users TO '{user}'@'%';
                 GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.members TO '{user}'@'%';"
            ),
        )
        .unwrap();
    let fixture = Fixture::new(SqlDatabase::Mysql(on_loopback(server.port(), &database, &user)));
    Some(App {
        server,
        database,
        user,
        fixture,
    })
}

impl App {
    fn server_grant(&self) -> SqlServer {
        on_loopback(self.server.port(), &self.database, &self.user)
    }

    fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.database, sql).unwrap()
    }

    fn processes(&self, command: &str) -> u32 {
        let count = format!(
            "SELECT count(*) FROM information_schema.processlist WHERE user = '{}' AND command LIKE '{command}'",
            self.user
        );
        self.sql(&count).parse().unwrap()
    }

    /// Statements of the account that run now.
    fn active(&self) -> bool {
        self.processes("Execute") > 0
    }
}

#[tokio::test]
async fn values_go_there_and_come_back() {
    let Some(app) = app() else { return };
    app.sql(&format!(
        "CREATE TABLE t (a TEXT, b BIGINT, c BOOLEAN, d DOUBLE, e BLOB, f DECIMAL(10,3), g DATE, h TIMESTAMP(3) NULL, i UUID, j JSON,
                         k ENUM('good','bad'), l INET6, m SET('x','y'), n BIT(9), o DATETIME, p TIME(6), q YEAR, r BINARY(2), s FLOAT);
         GRANT ALL ON {}.t TO '{}'@'%'",
        app.database, app.user
    ));
    let values = vec![
        text("x'; DROP TABLE users; --"),
        SqlValue::Integer(i64::MIN),
        SqlValue::Boolean(true),
        SqlValue::Real(0.1),
        SqlValue::Blob(vec![0, 255]),
        text("-12345.600"),
        text("2026-03-02"),
        text("2026-03-02 08:14:00.5"),
        text("0198a5d2-0000-7000-8000-00000000000a"),
        text("{\"b\": 1}"),
        text("bad"),
        text("2001:db8::1"),
        text("x,y"),
        SqlValue::Integer(257),
        text("2026-03-02 09:14:00"),
        text("-100:00:00.25"),
        SqlValue::Integer(2026),
        SqlValue::Blob(vec![7, 200]),
        SqlValue::Real(0.1),
    ];
    let places = vec!["?"; values.len()].join(", ");
    let insert = format!("INSERT INTO t SELECT {places}");
    assert_eq!(app.fixture.execute_with(&insert, values).await.unwrap(), [1]);
    let found = app.fixture.query("SELECT * FROM t").await.unwrap();
    assert_eq!(found.columns[..3], ["a", "b", "c"]);
    assert_eq!(
        found.rows,
        [vec![
            text("x'; DROP TABLE users; --"),
            SqlValue::Integer(i64::MIN),
            SqlValue::Integer(1),
            SqlValue::Real(0.1),
            SqlValue::Blob(vec![0, 255]),
            text("-12345.600"),
            text("2026-03-02"),
            text("2026-03-02T08:14:00.5Z"),
            text("0198a5d2-0000-7000-8000-00000000000a"),
            text("{\"b\": 1}"),
            text("bad"),
            text("2001:db8::1"),
            text("x,y"),
            SqlValue::Integer(257),
            text("2026-03-02T09:14:00"),
            text("-100:00:00.25"),
            SqlValue::Integer(2026),
            SqlValue::Blob(vec![7, 200]),
            SqlValue::Real(0.1),
        ]]
    );
    let nulls = vec![SqlValue::Null; 19];
    assert_eq!(app.fixture.execute_with(&insert, nulls).await.unwrap(), [1]);
    assert_eq!(
        app.fixture.value("SELECT '𝔘nï' COLLATE utf8mb4_bin").await,
        text("𝔘nï")
    );
    let refused = app
        .fixture
        .query("SELECT POINT(1, 2) AS place")
        .await
        .unwrap_err();
    assert!(
        refused.message.contains("`place` is of type geometry")
            && refused.message.contains("cast it to text"),
        "{}",
        refused.message
    );
    let large = app
        .fixture
        .query("SELECT 18446744073709551615 AS large")
        .await
        .unwrap_err();
    assert!(large.message.contains("`large`"), "{}", large.message);
}

#[tokio::test]
async fn what_does_not_fit_is_told_without_the_value() {
    let Some(app) = app() else { return };
    let insert = "INSERT INTO users (login, note) SELECT ?, ?";
    let taken = app
        .fixture
        .execute_with(insert, vec![text("grace"), SqlValue::Null])
        .await
        .unwrap_err();
    assert_eq!(
        (taken.kind, taken.effect_unknown),
        (SqlErrorKind::Constraint, false)
    );
    assert!(
        taken.message.contains("login") && !taken.message.contains("grace"),
        "{}",
        taken.message
    );
    // Too long is refused and not cut, whatever mode the server is in.
    app.sql("SET GLOBAL sql_mode = ''");
    let long = app
        .fixture
        .execute_with(insert, vec![text("mei"), text("far too long")])
        .await
        .unwrap_err();
    assert_eq!(long.kind, SqlErrorKind::Constraint);
    assert!(
        long.message.contains("note") && !long.message.contains("far"),
        "{}",
        long.message
    );
    let wrong = app
        .fixture
        .execute_with("UPDATE users SET badge = ?", vec![text("mei.tanaka")])
        .await
        .unwrap_err();
    assert_eq!(wrong.kind, SqlErrorKind::Constraint);
    assert!(
        wrong.message.contains("badge") && !wrong.message.contains("mei"),
        "{}",
        wrong.message
    );
    let missing = app
        .fixture
        .query("SELECT 1 FROM users WHERE id = ?")
        .await
        .unwrap_err();
    assert!(
        missing.message.contains("1 placeholders and 0 values"),
        "{}",
        missing.message
    );
    let unknown = app.fixture.query("SELECT nothing FROM users").await.unwrap_err();
    assert_eq!(unknown.kind, SqlErrorKind::InvalidStatement);
    assert_eq!(
        app.fixture.query("SELECT s FROM secrets").await.unwrap_err().kind,
        SqlErrorKind::Forbidden
    );
    assert!(
        app.fixture.told().contains("SELECT command denied"),
        "{}",
        app.fixture.told()
    );
    let missing_key = app
        .fixture
        .execute(&["INSERT INTO members VALUES (99)"])
        .await
        .unwrap_err();
    assert_eq!(missing_key.kind, SqlErrorKind::Constraint);
}

#[tokio::test]
async fn nothing_leaves_the_transaction_or_the_rows() {
    let Some(app) = app() else { return };
    let outfile = app.server.socket().with_file_name("evil.txt");
    let into_outfile = format!("SELECT 1 INTO OUTFILE '{}'", outfile.display());
    let hidden = format!("SELECT 1 /*! INTO OUTFILE '{}' */", outfile.display());
    let dumpfile = format!("SELECT 1 INTO DUMPFILE '{}'", outfile.display());
    let statements = [
        into_outfile.as_str(),
        hidden.as_str(),
        dumpfile.as_str(),
        "BEGIN",
        "START TRANSACTION",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "SELECT 1; COMMIT",
        "DELETE FROM users; COMMIT",
        "DELETE FROM users; SELECT 1",
        "SET TRANSACTION READ WRITE",
        "SET autocommit = 1",
        "SET ROLE NONE",
        "SET STATEMENT max_statement_time=0 FOR SELECT 1",
        "/*!50000 DELETE FROM users */",
        "/*M! DELETE FROM users */",
        "DELETE /*! */ FROM users",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE users",
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE users",
        "CREATE TABLE t (a INT)",
        "CREATE TEMPORARY TABLE t (a INT)",
        "DROP TABLE users",
        "TRUNCATE users",
        "ALTER TABLE users ADD x INT",
        "LOCK TABLES users WRITE",
        "CALL p()",
        "DO SLEEP(0)",
        "PREPARE a FROM 'COMMIT'",
        "EXECUTE IMMEDIATE 'COMMIT'",
        "HANDLER users OPEN",
        "KILL 1",
        "FLUSH TABLES",
        "SHOW GRANTS",
        "USE mysql",
        "EXPLAIN DELETE FROM users",
        "ANALYZE DELETE FROM users",
        "INSERT INTO users (login) VALUES ('x') RETURNING id",
        "DELETE FROM users RETURNING id",
        "SELECT 1 INTO @a",
        "SELECT * FROM mysql.global_priv",
    ];
    app.fixture
        .refuses(&statements, "SELECT count(*) FROM users")
        .await;
    assert!(!outfile.exists());
    // No error, and nothing either.
    assert_eq!(
        app.fixture.value("SELECT LOAD_FILE('/etc/passwd')").await,
        SqlValue::Null
    );
    // A function that changes rows runs in `query` only as far as that reads.
    app.sql(&format!(
        "DELIMITER //
CREATE FUNCTION wipe() RETURNS INT MODIFIES SQL DATA BEGIN DELETE FROM members; RETURN 1; END//
DELIMITER ;
         INSERT INTO members VALUES (1); GRANT EXECUTE ON FUNCTION {}.wipe TO '{}'@'%'",
        app.database, app.user
    ));
    let error = app.fixture.query("SELECT wipe()").await.unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::InvalidStatement, "{error:?}");
    assert_eq!(app.sql("SELECT count(*) FROM members"), "1");
}

#[tokio::test]
async fn a_transaction_happens_whole_or_not_at_all() {
    let Some(app) = app() else { return };
    let insert = "INSERT INTO users (login) VALUES ('new')";
    let error = app
        .fixture
        .execute(&[insert, "INSERT INTO users (login) VALUES ('ada')"])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.effect_unknown),
        (SqlErrorKind::Constraint, false)
    );
    assert_eq!(app.sql("SELECT count(*) FROM users"), "2");
    // Rows a statement is about are counted, not those it changed.
    let changed = app
        .fixture
        .execute(&[
            insert,
            "UPDATE users SET note = 'n'",
            "UPDATE users SET note = 'n'",
        ])
        .await;
    assert_eq!(changed.unwrap(), [1, 3, 3]);
    // A table without transactions keeps what was written; that is not called "nothing was done".
    app.sql(&format!(
        "CREATE TABLE plain (a INT) ENGINE = MyISAM; GRANT INSERT ON {}.plain TO '{}'@'%'",
        app.database, app.user
    ));
    let error = app
        .fixture
        .execute(&[
            "INSERT INTO plain VALUES (1)",
            "INSERT INTO users (login) VALUES ('ada')",
        ])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.effect_unknown),
        (SqlErrorKind::Constraint, true)
    );
}

#[tokio::test]
async fn nothing_is_left_behind_for_the_next() {
    let Some(app) = app() else { return };
    let id = app.fixture.value("SELECT CONNECTION_ID()").await;
    for leaves in [
        "SELECT GET_LOCK('mine', 0)",
        "SELECT @evil := 7",
        "SELECT LAST_INSERT_ID(42)",
    ] {
        app.fixture
            .query(leaves)
            .await
            .map(drop)
            .unwrap_or_else(|error| panic!("{leaves}: {error:?}"));
    }
    let in_writing = "INSERT INTO users (login) SELECT CONCAT('new', GET_LOCK('second', 0), @worse := 8)";
    app.fixture.execute(&[in_writing]).await.unwrap();
    let now = "SELECT CAST(CONCAT_WS(' ', IS_FREE_LOCK('mine'), IS_FREE_LOCK('second'), COALESCE(@evil, @worse, 'none'),
               LAST_INSERT_ID(), @@character_set_client, @@tx_read_only) AS CHAR)";
    assert_eq!(app.fixture.value(now).await, text("1 1 none 0 utf8mb4 OFF"));
    assert_eq!(
        app.fixture.value("SELECT CONNECTION_ID()").await,
        id,
        "all of it ran on one connection"
    );
    assert_eq!(
        app.sql("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'"),
        "Prepared_stmt_count\t0"
    );
}

#[tokio::test]
async fn rows_and_bytes_are_capped_while_they_come() {
    let Some(app) = app() else { return };
    // Tables that the server makes up belong to the database they are named in.
    app.sql(&format!(
        "GRANT SELECT ON {}.* TO '{}'@'%'",
        app.database, app.user
    ));
    for too_much in [
        "SELECT seq FROM seq_1_to_100000000",
        "SELECT REPEAT('x', 10000) FROM seq_1_to_1000",
        // One row larger than all may be.
        "SELECT REPEAT('x', 12000000)",
    ] {
        let error = app.fixture.query(too_much).await.unwrap_err();
        assert_eq!(error.kind, SqlErrorKind::LimitExceeded, "{too_much}: {error:?}");
        eventually("the server stops", || !app.active()).await;
    }
    assert_eq!(
        app.fixture
            .query("SELECT seq FROM seq_1_to_1000")
            .await
            .unwrap()
            .rows
            .len(),
        1_000
    );
}

#[tokio::test]
async fn a_statement_ends_with_its_call() {
    let Some(app) = app() else { return };
    let started = std::time::Instant::now();
    let error = app
        .fixture
        .query_within(Duration::from_millis(700), "SELECT SLEEP(60)")
        .await
        .unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::LimitExceeded, "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(20));
    eventually("nothing runs", || !app.active()).await;
    // A call that is cut has nobody who waits for an answer: only KILL ends this one before its time.
    app.fixture.abandon("SELECT SLEEP(50)", || app.active()).await;
    eventually("nothing runs after the guest is gone", || !app.active()).await;
    assert!(app.fixture.query("SELECT 1").await.is_ok());
}

#[tokio::test]
async fn somebody_else_s_lock_is_waited_for() {
    let Some(app) = app() else { return };
    let (server, database) = (app.server, app.database.clone());
    let lock = "BEGIN; UPDATE users SET note = 'held'; SELECT SLEEP(8); COMMIT";
    let holder = tokio::task::spawn_blocking(move || server.sql(&database, lock));
    eventually("the lock is held", || {
        app.sql("SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'") != "0"
    })
    .await;
    let error = app
        .fixture
        .execute(&["UPDATE users SET note = 'new'"])
        .await
        .unwrap_err();
    assert_eq!((error.kind, error.effect_unknown), (SqlErrorKind::Busy, false));
    holder.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_to_commit_that_is_lost_is_an_unknown_effect() {
    let Some(app) = app() else { return };
    let mut server = app.server_grant();
    let SqlAddress::Tcp { port, .. } = &mut server.address else {
        unreachable!()
    };
    *port = losing_the_answer_to_commit(app.server.port()).await;
    let fixture = Fixture::new(SqlDatabase::Mysql(server));
    let error = fixture
        .execute(&["INSERT INTO users (login) VALUES ('new')"])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.effect_unknown),
        (SqlErrorKind::Unavailable, true)
    );
    eventually("it was committed", || {
        app.sql("SELECT count(*) FROM users") == "3"
    })
    .await;
}

#[tokio::test]
async fn a_kept_connection_that_hangs_is_not_waited_for_long() {
    let Some(app) = app() else { return };
    let way = Way::to(app.server.port()).await;
    let fixture = Fixture::new(SqlDatabase::Mysql(on_loopback(
        way.port,
        &app.database,
        &app.user,
    )));
    fixture.query("SELECT 1").await.unwrap();
    way.silence();
    let started = std::time::Instant::now();
    assert_eq!(fixture.execute(&["DELETE FROM members"]).await.unwrap(), [0]);
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
}

/// What a connector waits for on a distant server. Each is needed: see `clean` and `begin`.
#[tokio::test]
async fn a_call_takes_few_round_trips() {
    let Some(app) = app() else { return };
    let way = Way::to(app.server.port()).await;
    let fixture = Fixture::new(SqlDatabase::Mysql(on_loopback(
        way.port,
        &app.database,
        &app.user,
    )));
    fixture.query("SELECT 1").await.unwrap();
    let before = way.round_trips();
    fixture.query("SELECT 1").await.unwrap();
    let read = way.round_trips() - before;
    fixture.execute(&["DELETE FROM members"]).await.unwrap();
    let written = way.round_trips() - before - read;
    // Begin, prepare, run, clean; and commit.
    assert!(read <= 4 && written <= 5, "{read} {written}");
}

#[tokio::test]
async fn a_statement_is_stopped_though_the_wire_breaks() {
    let Some(app) = app() else { return };
    let way = Way::to(app.server.port()).await;
    let fixture = Fixture::new(SqlDatabase::Mysql(on_loopback(
        way.port,
        &app.database,
        &app.user,
    )));
    let call = fixture.begin_query("SELECT SLEEP(50)");
    eventually("the statement runs", || app.active()).await;
    way.break_these_and_the_next(2);
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Unavailable, "{error:?}");
    eventually("nothing runs", || !app.active()).await;
}

#[tokio::test]
async fn what_stops_a_statement_goes_to_the_address_that_was_dialled() {
    let Some(app) = app() else { return };
    let secrets: Arc<dyn Secrets> = Arc::new(FixedSecrets::none().with("PASSWORD", PASSWORD));
    let grant = named(app.server_grant(), "localhost", SqlTls::Off);
    let session = MysqlSession::connect(&Server::new("MySQL", grant, secrets)).await;
    let session = session.unwrap_or_else(|error| panic!("{error:?}"));
    let opts = session.connection.opts();
    let loopback: std::net::IpAddr = "127.0.0.1".parse().unwrap();
    assert_eq!(
        opts.resolved_ips(),
        &Some(vec![loopback]),
        "of all that `localhost` leads to"
    );
}

#[tokio::test]
async fn a_write_that_is_cut_is_of_unknown_effect() {
    let Some(app) = app() else { return };
    app.sql(&format!(
        "CREATE TABLE plain (a INT) ENGINE = MyISAM; GRANT INSERT ON {}.plain TO '{}'@'%'",
        app.database, app.user
    ));
    let time = Duration::from_millis(700);
    let statements = [
        "INSERT INTO plain VALUES (1)",
        "UPDATE users SET badge = SLEEP(60)",
    ];
    let error = app.fixture.execute_within(time, &statements).await.unwrap_err();
    assert_eq!(
        (error.kind, error.effect_unknown),
        (SqlErrorKind::LimitExceeded, true)
    );
    eventually("nothing runs", || !app.active()).await;
    assert_eq!(app.sql("SELECT count(*) FROM plain"), "1");
    // Broken in the middle.
    let way = Way::to(app.server.port()).await;
    let fixture = Fixture::new(SqlDatabase::Mysql(on_loopback(
        way.port,
        &app.database,
        &app.user,
    )));
    let breaking = async {
        eventually("the statement runs", || app.active()).await;
        way.break_these_and_the_next(0);
    };
    let (result, ()) = tokio::join!(fixture.execute(&statements), breaking);
    let error = result.unwrap_err();
    assert_eq!(
        (error.kind, error.effect_unknown),
        (SqlErrorKind::Unavailable, true)
    );
    assert!(fixture.journal.has_unanswered_write());
}

#[tokio::test]
async fn a_deadlock_after_a_write_is_of_unknown_effect() {
    let Some(app) = app() else { return };
    app.sql(&format!(
        "CREATE TABLE plain (a INT) ENGINE = MyISAM; GRANT INSERT ON {}.plain TO '{}'@'%'",
        app.database, app.user
    ));
    let (server, database) = (app.server, app.database.clone());
    // It has changed more rows, and a table without transactions as well, so the other one is the victim.
    let lock = "BEGIN; INSERT INTO plain VALUES (2); INSERT INTO users (login) SELECT CONCAT('n', seq) FROM seq_1_to_500;
                UPDATE users SET note = 'b' WHERE id = 2; SELECT SLEEP(3); UPDATE users SET note = 'b' WHERE id = 1; COMMIT";
    let holder = tokio::task::spawn_blocking(move || server.sql(&database, lock));
    eventually("the lock is held", || {
        app.sql("SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'") != "0"
    })
    .await;
    let statements = [
        "INSERT INTO plain VALUES (1)",
        "UPDATE users SET note = 'a' WHERE id = 1",
        "UPDATE users SET note = 'a' WHERE id = 2",
    ];
    let error = app.fixture.execute(&statements).await.unwrap_err();
    assert_eq!((error.kind, error.effect_unknown), (SqlErrorKind::Busy, true));
    holder.await.unwrap().unwrap();
    assert_eq!(app.sql("SELECT a FROM plain WHERE a = 1"), "1");
}

#[tokio::test]
async fn a_broken_connection_is_thrown_away() {
    let Some(app) = app() else { return };
    let SqlValue::Integer(id) = app.fixture.value("SELECT CONNECTION_ID()").await else {
        unreachable!()
    };
    assert_eq!(app.processes("%"), 1);
    app.sql(&format!("KILL {id}"));
    assert_eq!(app.fixture.execute(&["DELETE FROM members"]).await.unwrap(), [0]);
    eventually("one connection is left", || app.processes("%") == 1).await;
}

#[tokio::test]
async fn an_account_that_may_do_too_much_is_refused() {
    let Some(app) = app() else { return };
    let database = &app.database;
    for (number, (grant, named)) in [
        ("GRANT ALL ON *.* TO {}", "ALL PRIVILEGES on *.*"),
        ("GRANT SUPER ON *.* TO {}", "SUPER on *.*"),
        ("GRANT FILE ON *.* TO {}", "FILE on *.*"),
        ("GRANT CREATE USER ON *.* TO {}", "CREATE USER on *.*"),
        ("GRANT SELECT ON *.* TO {}", "SELECT on *.*"),
        ("GRANT SELECT ON mysql.global_priv TO {}", "database `mysql`"),
        ("GRANT SELECT ON `%`.* TO {}", "database `%`"),
        ("GRANT SELECT ON users TO {} WITH GRANT OPTION", "GRANT OPTION"),
        ("CREATE OR REPLACE ROLE filer; GRANT FILE ON *.* TO filer; GRANT filer TO {0}; SET DEFAULT ROLE filer FOR {0}", "FILE on *.*"),
    ]
    .into_iter()
    .enumerate()
    {
        let user = format!("mighty{number}_{database}");
        let account = format!("'{user}'@'%'");
        let grant = grant.replace("{}", &account).replace("{0}", &account);
        app.sql(&format!(
            "CREATE USER {account} IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON members TO {account}; {grant}"
        ));
        let server = on_loopback(app.server.port(), database, &user);
        let fixture = Fixture::new(SqlDatabase::Mysql(server));
        let error = fixture.query("SELECT 1").await.unwrap_err();
        let told = fixture.told();
        assert!(told.contains(named) && told.contains("CREATE USER 'usher_app'"), "{grant}: {error:?} {told}");
        assert_eq!(error.kind, SqlErrorKind::Forbidden, "{grant}");
        assert!(!error.message.contains("mighty"), "{}", error.message);
    }
    // Its own database under a name with a wildcard's character is its own.
    app.sql(&format!(
        "GRANT SELECT ON `{}`.* TO '{}'@'%'",
        database.replace('_', "\\_"),
        app.user
    ));
    assert!(app.fixture.query("SELECT 1").await.is_ok());
}

#[tokio::test]
async fn what_only_the_operator_can_change_is_told_to_the_operator() {
    let Some(app) = app() else { return };
    let fixture = Fixture::with_password(SqlDatabase::Mysql(app.server_grant()), "not-the-password");
    let error = fixture.query("SELECT 1").await.unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Unavailable);
    assert!(
        !error.message.contains(&app.user) && !error.message.contains("127.0.0.1"),
        "{}",
        error.message
    );
    let told = fixture.told();
    assert!(
        told.contains(&format!("does not let `{}` in", app.user)) && !told.contains("not-the"),
        "{told}"
    );
    for (change, expected) in [
        (
            (|server: &mut SqlServer| private(server, false)) as fn(&mut SqlServer),
            "private-addresses = true",
        ),
        (|server| tls_of(server, SqlTls::Public), "offers no TLS"),
        (
            |server| tls_of(server, SqlTls::Ca("/nonexistent/ca.pem".to_owned())),
            "/nonexistent/ca.pem",
        ),
    ] {
        let mut server = app.server_grant();
        change(&mut server);
        let fixture = Fixture::new(SqlDatabase::Mysql(server));
        assert_eq!(
            fixture.query("SELECT 1").await.unwrap_err().kind,
            SqlErrorKind::Unavailable
        );
        assert!(
            fixture.told().contains(expected),
            "{expected}: {}",
            fixture.told()
        );
    }
    // What may pass is nobody's fault.
    let fixture = Fixture::new(SqlDatabase::Mysql(on_loopback(1, "a", "b")));
    assert_eq!(
        fixture.query("SELECT 1").await.unwrap_err().kind,
        SqlErrorKind::Unavailable
    );
    assert_eq!(fixture.told(), "");
}

#[tokio::test]
async fn tls_is_done_with_the_authority_and_the_name_that_were_named() {
    if usher_test_mariadb::shared().unwrap().is_none() {
        return;
    }
    let authority = Authority::new("of a test");
    let identity = authority.issue(&["localhost"], |_| {});
    let certificate = authority.file("server.pem", &identity.certificate);
    let key = authority.file("server.key", &identity.key);
    let settings = [("ssl-cert", certificate.as_str()), ("ssl-key", key.as_str())];
    let server: &'static Mariadb = Box::leak(Box::new(Mariadb::start_with(&settings).unwrap()));
    let app = app_of(server).unwrap();
    app.sql(&format!("ALTER USER '{}'@'%' REQUIRE SSL", app.user));
    let with =
        |host: &str, tls: SqlTls| Fixture::new(SqlDatabase::Mysql(named(app.server_grant(), host, tls)));
    let trusted = SqlTls::Ca(authority.path());
    let secured = with("localhost", trusted.clone());
    assert_eq!(
        secured.value("SELECT count(*) FROM users").await,
        SqlValue::Integer(2)
    );
    // Cancelling goes the same way.
    secured.abandon("SELECT SLEEP(50)", || app.active()).await;
    eventually("nothing runs", || !app.active()).await;
    // Another name, and an authority that nobody named.
    for (host, tls) in [("127.0.0.1", trusted), ("localhost", SqlTls::Public)] {
        let fixture = with(host, tls);
        assert!(fixture.query("SELECT 1").await.is_err());
        assert!(
            fixture.told().contains("TLS: invalid peer certificate"),
            "{}",
            fixture.told()
        );
    }
    // The server stops with the process's watchdog.
}

#[tokio::test]
async fn a_unix_socket_is_a_way_too() {
    let Some(app) = app() else { return };
    let server = SqlServer {
        address: SqlAddress::Socket(app.server.socket().to_str().unwrap().to_owned()),
        ..app.server_grant()
    };
    let fixture = Fixture::new(SqlDatabase::Mysql(server));
    assert_eq!(
        fixture.value("SELECT login FROM users WHERE id = 1").await,
        text("ada")
    );
    fixture.abandon("SELECT SLEEP(50)", || app.active()).await;
    eventually("nothing runs", || !app.active()).await;
}
