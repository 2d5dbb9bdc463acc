//! With a real PostgreSQL.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use usher_lifecycle::targets::{SqlDatabase, SqlServer, SqlTls};
use usher_test_postgres::Server as Postgres;

use super::*;
use crate::certificates::Authority;
use crate::sql::testing::{
    Fixture, PASSWORD, Way, eventually, losing_the_answer_to_commit, named, on_loopback, private, statement,
    text, tls_of,
};

/// A database with two users, and a role that may change them.
struct App {
    server: &'static Postgres,
    database: String,
    role: String,
    fixture: Fixture,
}

fn app() -> Option<App> {
    app_of(usher_test_postgres::shared().unwrap()?)
}

fn app_of(server: &'static Postgres) -> Option<App> {
    let url = server.fresh_database().unwrap();
    let database = url.rsplit('/').next()?.split('?').next()?.to_owned();
    let role = format!("app_{database}");
    server
        .sql(
            &database,
            &format!(
                "CREATE TABLE users (id serial PRIMARY KEY, login text NOT NULL UNIQUE, note varchar(5), badge int);
                 INSERT INTO users (login) VALUES ('ada'), ('grace');
                 CREATE TABLE members (user_id int NOT NULL REFERENCES users DEFERRABLE INITIALLY DEFERRED);
                 CREATE TABLE secrets (s text); INSERT INTO secrets VALUES ('s');
                 CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}';
                 GRANT SELECT, INSERT, UPDATE, DELETE ON users, members TO {role};
                 GRANT USAGE ON SEQUENCE users_id_seq TO {role};"
            ),
        )
        .unwrap();
    let fixture = Fixture::new(SqlDatabase::Postgresql(on_loopback(
        server.port(),
        &database,
        &role,
    )));
    Some(App {
        server,
        database,
        role,
        fixture,
    })
}

impl App {
    fn server_grant(&self) -> SqlServer {
        on_loopback(self.server.port(), &self.database, &self.role)
    }

    fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.database, sql).unwrap()
    }

    /// Statements of the role that run now.
    fn active(&self) -> bool {
        let count = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND state = 'active'",
            self.role
        );
        self.sql(&count) != "0"
    }

    fn connections(&self) -> String {
        self.sql(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'",
            self.role
        ))
    }
}

#[tokio::test]
async fn values_are_bound_as_the_type_the_server_wants() {
    let Some(app) = app() else { return };
    app.sql(
        "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN short AS varchar(10);
         CREATE TABLE t (a text, b int8, c boolean, d float8, e bytea, f numeric(10,3), g date, h timestamptz, i uuid, j jsonb, k mood,
                         l inet, m short, n int2, o char(3));
         GRANT ALL ON t TO PUBLIC",
    );
    let values = vec![
        text("x'; DROP TABLE users; --"),
        SqlValue::Integer(i64::MIN),
        SqlValue::Boolean(true),
        SqlValue::Real(0.1),
        SqlValue::Blob(vec![0, 255]),
        text("-12345.600"),
        text("2026-03-02"),
        text("2026-03-02T09:14:00.5+01:00"),
        text("0198A5D2-0000-7000-8000-00000000000A"),
        text("{\"b\": 1}"),
        text("bad"),
        text("10.0.0.0/8"),
        text("Ünï"),
        SqlValue::Boolean(true),
        text("ab"),
    ];
    let places: Vec<String> = (1..=values.len()).map(|number| format!("${number}")).collect();
    let insert = format!("INSERT INTO t SELECT {}", places.join(", "));
    assert_eq!(app.fixture.execute_with(&insert, values).await.unwrap(), [1]);
    let found = app.fixture.query("SELECT * FROM t").await.unwrap();
    assert_eq!(found.columns[..3], ["a", "b", "c"]);
    assert_eq!(
        found.rows,
        [vec![
            text("x'; DROP TABLE users; --"),
            SqlValue::Integer(i64::MIN),
            SqlValue::Boolean(true),
            SqlValue::Real(0.1),
            SqlValue::Blob(vec![0, 255]),
            text("-12345.600"),
            text("2026-03-02"),
            text("2026-03-02T08:14:00.5Z"),
            text("0198a5d2-0000-7000-8000-00000000000a"),
            text("{\"b\": 1}"),
            text("bad"),
            text("10.0.0.0/8"),
            text("Ünï"),
            SqlValue::Integer(1),
            text("ab "),
        ]]
    );
    let nulls = vec![SqlValue::Null; 15];
    assert_eq!(app.fixture.execute_with(&insert, nulls).await.unwrap(), [1]);
    let null = app
        .fixture
        .query("SELECT g FROM t WHERE a IS NULL")
        .await
        .unwrap();
    assert_eq!(null.rows, [[SqlValue::Null]]);
}

#[tokio::test]
async fn results_are_as_the_database_itself_writes_them() {
    let Some(app) = app() else { return };
    for expression in [
        "0.0001::numeric",
        "10000::numeric",
        "123456789.000100::numeric",
        "-0.5::numeric",
        "0::numeric",
        "0.00::numeric",
        "1e20::numeric",
        "9999.9999::numeric",
        "'NaN'::numeric",
        "'-Infinity'::numeric",
        "100000000::numeric",
        "1.5e-7::numeric",
        "date '1999-12-31'",
        "date '0044-03-15'",
        "date 'infinity'",
        "time '23:59:59.000001'",
        "time '24:00'",
        "inet '2001:db8::1/64'",
        "cidr '10.0.0.0/8'",
        "uuid '00000000-0000-0000-0000-000000000001'",
        "json '[1,2]'",
        "'x'::char(3)",
        "'n'::name",
        "xml '<a/>'",
    ] {
        let both = app
            .fixture
            .query(&format!("SELECT {expression}, ({expression})::text"))
            .await
            .unwrap();
        let [value, written] = both.rows[0].as_slice() else {
            panic!("{both:?}")
        };
        // Only a cast takes the blanks off a `char`.
        let value = match value {
            SqlValue::Text(value) => text(value.trim_end()),
            other => other.clone(),
        };
        assert_eq!(&value, written, "{expression}");
    }
    assert_eq!(
        app.fixture
            .value("SELECT timestamp '2026-03-02 09:14:00.25'")
            .await,
        text("2026-03-02T09:14:00.25")
    );
    assert_eq!(app.fixture.value("SELECT 0.1::float4").await, SqlValue::Real(0.1));
    // A cast would write `/32`.
    assert_eq!(
        app.fixture.value("SELECT inet '10.1.2.3'").await,
        text("10.1.2.3")
    );
    assert_eq!(app.fixture.value("SELECT pg_sleep(0)").await, SqlValue::Null);
    assert_eq!(app.fixture.value("SELECT 7::oid").await, SqlValue::Integer(7));
    let refused = app
        .fixture
        .query("SELECT 1 AS one, ARRAY[1] AS many")
        .await
        .unwrap_err();
    assert_eq!(refused.kind, SqlErrorKind::InvalidStatement);
    assert!(
        refused.message.contains("`many`")
            && refused.message.contains("_int4")
            && refused.message.contains("cast it to text"),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn all_dates_can_be_read() {
    let Some(app) = app() else { return };
    for (sql, expected) in [
        ("date '5874897-12-31'", "+5874897-12-31"),
        ("date '4714-11-24 BC'", "-004713-11-24"),
        ("date '0001-12-31 BC'", "0000-12-31"),
        ("date '-infinity'", "-infinity"),
        (
            "timestamp '294276-12-31 23:59:59.999999'",
            "+294276-12-31T23:59:59.999999",
        ),
        (
            "timestamptz '4714-11-24 00:00:00+00 BC'",
            "-004713-11-24T00:00:00Z",
        ),
    ] {
        assert_eq!(
            app.fixture.value(&format!("SELECT {sql}")).await,
            text(expected),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn what_does_not_fit_is_told_without_the_value() {
    let Some(app) = app() else { return };
    let insert = "INSERT INTO users (login, note) SELECT $1, $2";
    let taken = app
        .fixture
        .execute_with(insert, vec![text("grace"), SqlValue::Null])
        .await
        .unwrap_err();
    assert_eq!(
        (taken.kind, taken.effect_unknown),
        (SqlErrorKind::Constraint, false)
    );
    assert!(taken.message.contains("users_login_key"), "{}", taken.message);
    let long = app
        .fixture
        .execute_with(insert, vec![text("mei"), text("far too long")])
        .await
        .unwrap_err();
    assert_eq!(long.kind, SqlErrorKind::Constraint);
    let select = "SELECT 1 FROM users WHERE badge = $1";
    let wrong = app
        .fixture
        .query_with(select, vec![text("mei.tanaka")])
        .await
        .unwrap_err();
    assert_eq!(wrong.kind, SqlErrorKind::Constraint);
    for error in [&long, &wrong] {
        assert!(
            !error.message.contains("far") && !error.message.contains("mei"),
            "{}",
            error.message
        );
    }
    let bytes = app
        .fixture
        .query_with(select, vec![SqlValue::Blob(vec![1])])
        .await
        .unwrap_err();
    assert!(bytes.message.contains("value 1 is bytes"), "{}", bytes.message);
    let missing = app.fixture.query(select).await.unwrap_err();
    assert!(
        missing.message.contains("1 placeholders and 0 values"),
        "{}",
        missing.message
    );
    let unknown = app.fixture.query("SELECT nothing FROM users").await.unwrap_err();
    assert_eq!(unknown.kind, SqlErrorKind::InvalidStatement);
    let others = app.fixture.query("SELECT s FROM secrets").await.unwrap_err();
    assert_eq!(others.kind, SqlErrorKind::Forbidden);
    assert!(
        app.fixture.told().contains("permission denied for table secrets"),
        "{}",
        app.fixture.told()
    );
}

#[tokio::test]
async fn nothing_leaves_the_transaction_or_the_rows() {
    let Some(app) = app() else { return };
    let other = format!(
        "CREATE ROLE other_{}; GRANT other_{} TO {}",
        app.database, app.database, app.role
    );
    app.sql(&other);
    let set_role = format!("SET ROLE other_{}", app.database);
    let statements = [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "END",
        "SAVEPOINT a",
        "SELECT 1; COMMIT",
        "DELETE FROM users; COMMIT",
        "DELETE FROM users; SELECT 1",
        "SET TRANSACTION READ WRITE",
        set_role.as_str(),
        "RESET ROLE",
        "SELECT 1 INTO new_table",
        "SELECT 1 AS a INTO TEMP new_table",
        "WITH x AS (SELECT 1) SELECT * INTO new_table FROM x",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT set_config('session_authorization', 'postgres', true)",
        "SELECT set_config('role', 'postgres', true)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/x')",
        "SELECT * FROM pg_catalog.pg_authid",
        "COPY users TO PROGRAM 'sh'",
        "COPY users FROM STDIN",
        "COPY users TO STDOUT",
        "DO $$ BEGIN DELETE FROM users; END $$",
        "LISTEN a",
        "PREPARE a AS SELECT 1",
        "LOCK users",
        "CREATE TEMP TABLE a (b int)",
        "TRUNCATE users",
        "VACUUM",
        "EXPLAIN ANALYZE DELETE FROM users",
        "INSERT INTO users (login) VALUES ('x') RETURNING id",
        "WITH gone AS (DELETE FROM users RETURNING id) SELECT * FROM gone",
        "SELECT query_to_xml('DELETE FROM users', true, true, '')",
        "SELECT query_to_xml('COMMIT', true, true, '')",
        "SELECT nextval('no_such_sequence')",
        "SELECT 1 FROM users FOR UPDATE",
    ];
    app.fixture
        .refuses(&statements, "SELECT count(*) FROM users")
        .await;
    assert_eq!(app.sql("SELECT to_regclass('new_table')"), "");
    // A function that changes rows runs in `query` only as far as that reads.
    app.sql(
        "CREATE FUNCTION wipe() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM users RETURNING 1';
         CREATE PROCEDURE half() LANGUAGE plpgsql AS 'BEGIN DELETE FROM users; COMMIT; END'",
    );
    app.fixture
        .refuses(&["SELECT wipe()", "CALL half()"], "SELECT count(*) FROM users")
        .await;
}

#[tokio::test]
async fn a_transaction_happens_whole_or_not_at_all() {
    let Some(app) = app() else { return };
    let error = app
        .fixture
        .execute(&[
            "INSERT INTO users (login) VALUES ('new')",
            "INSERT INTO users (login) VALUES ('ada')",
        ])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.effect_unknown),
        (SqlErrorKind::Constraint, false)
    );
    // A constraint that is only checked at the commit.
    let late = app
        .fixture
        .execute(&[
            "INSERT INTO users (login) VALUES ('new')",
            "INSERT INTO members VALUES (99)",
        ])
        .await
        .unwrap_err();
    assert_eq!(
        (late.kind, late.effect_unknown),
        (SqlErrorKind::Constraint, false)
    );
    assert_eq!(app.sql("SELECT count(*) FROM users"), "2");
    let changed = app
        .fixture
        .execute(&[
            "INSERT INTO users (login) VALUES ('new')",
            "UPDATE users SET note = 'n'",
        ])
        .await;
    assert_eq!(changed.unwrap(), [1, 3]);
}

#[tokio::test]
async fn nothing_is_left_behind_for_the_next() {
    let Some(app) = app() else { return };
    let pid = app.fixture.value("SELECT pg_backend_pid()").await;
    for leaves in [
        "SELECT set_config('search_path', 'nowhere', false), set_config('statement_timeout', '1', false)",
        "SELECT pg_advisory_lock(7)",
        "SELECT pg_try_advisory_lock_shared(8)",
    ] {
        app.fixture
            .query(leaves)
            .await
            .map(drop)
            .unwrap_or_else(|error| panic!("{leaves}: {error:?}"));
    }
    let in_writing = "INSERT INTO users (login) SELECT set_config('application_name', 'evil', false) WHERE pg_advisory_lock(9) IS NOT NULL";
    app.fixture.execute(&[in_writing]).await.unwrap();
    let now = "SELECT current_setting('search_path') || ' ' || current_setting('application_name') || ' ' ||
               (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') || ' ' || (SELECT count(*) FROM pg_prepared_statements)";
    let now = app.fixture.value(now).await;
    // One statement is prepared: this one.
    assert_eq!(now, text("\"$user\", public usher 0 1"));
    assert_eq!(
        app.fixture.value("SELECT pg_backend_pid()").await,
        pid,
        "all of it ran on one connection"
    );
    assert_eq!(
        app.fixture.query("SELECT lastval()").await.unwrap_err().kind,
        SqlErrorKind::Other("postgresql-55000".to_owned())
    );
}

#[tokio::test]
async fn rows_and_bytes_are_capped_while_they_come() {
    let Some(app) = app() else { return };
    for too_much in [
        "SELECT generate_series(1, 100000000)",
        "SELECT repeat('x', 10000) FROM generate_series(1, 1000)",
        // One row that would not fit into the memory a target may use.
        "SELECT repeat('x', 500000000)",
        // A few bytes on the wire, and 131,072 digits each.
        &format!("SELECT {}", ["1e131071::numeric"; 40].join(", ")),
        // Nothing at all, half a million times.
        &format!(
            "SELECT {} FROM generate_series(1, 500)",
            ["NULL"; 1_200].join(", ")
        ),
    ] {
        let error = app.fixture.query(too_much).await.unwrap_err();
        assert_eq!(error.kind, SqlErrorKind::LimitExceeded, "{too_much}: {error:?}");
        eventually("the server stops", || !app.active()).await;
    }
    let most = app
        .fixture
        .query("SELECT g FROM generate_series(1, 1000) g")
        .await
        .unwrap();
    assert_eq!(most.rows.len(), 1_000);
}

#[tokio::test]
async fn a_statement_ends_with_its_call() {
    let Some(app) = app() else { return };
    let started = std::time::Instant::now();
    for sleeps in [
        "SELECT pg_sleep(60)",
        // The guest lifts the server's own limit; the host's holds.
        "SELECT set_config('statement_timeout', '0', true), pg_sleep(60)",
    ] {
        let error = app
            .fixture
            .query_within(Duration::from_millis(700), sleeps)
            .await
            .unwrap_err();
        assert_eq!(error.kind, SqlErrorKind::LimitExceeded, "{error:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    eventually("nothing runs", || !app.active()).await;
    // A call that is cut has nobody who waits for an answer.
    app.fixture.abandon("SELECT pg_sleep(60)", || app.active()).await;
    eventually("nothing runs after the guest is gone", || !app.active()).await;
    assert!(app.fixture.query("SELECT 1").await.is_ok());
}

#[tokio::test]
async fn somebody_else_s_lock_is_waited_for() {
    let Some(app) = app() else { return };
    let (server, database) = (app.server, app.database.clone());
    let lock = "BEGIN; UPDATE users SET note = 'held'; SELECT pg_sleep(8); COMMIT";
    let holder = tokio::task::spawn_blocking(move || server.sql(&database, lock));
    eventually("the lock is held", || app.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(8)%' AND wait_event = 'PgSleep'") != "0").await;
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
    let fixture = Fixture::new(SqlDatabase::Postgresql(server));
    let error = fixture
        .execute(&["INSERT INTO users (login) VALUES ('new')"])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.effect_unknown),
        (SqlErrorKind::Unavailable, true)
    );
    assert!(fixture.journal.has_unanswered_write());
    eventually("it was committed", || {
        app.sql("SELECT count(*) FROM users") == "3"
    })
    .await;
}

#[tokio::test]
async fn a_kept_connection_that_hangs_is_not_waited_for_long() {
    let Some(app) = app() else { return };
    let way = Way::to(app.server.port()).await;
    let fixture = Fixture::new(SqlDatabase::Postgresql(on_loopback(
        way.port,
        &app.database,
        &app.role,
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
    let fixture = Fixture::new(SqlDatabase::Postgresql(on_loopback(
        way.port,
        &app.database,
        &app.role,
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
async fn a_broken_connection_is_thrown_away() {
    let Some(app) = app() else { return };
    app.fixture.query("SELECT 1").await.unwrap();
    assert_eq!(app.connections(), "1");
    app.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
        app.role
    ));
    assert_eq!(app.fixture.execute(&["DELETE FROM members"]).await.unwrap(), [0]);
    assert_eq!(app.connections(), "1");
}

#[tokio::test]
async fn a_role_that_may_do_too_much_is_refused() {
    let Some(app) = app() else { return };
    let refused = |role: String| {
        let server = SqlServer {
            user: role,
            ..app.server_grant()
        };
        async move {
            let fixture = Fixture::new(SqlDatabase::Postgresql(server));
            let error = fixture.query("SELECT 1").await.unwrap_err();
            (error, fixture.told())
        }
    };
    for (number, (attributes, named)) in [
        ("SUPERUSER", "SUPERUSER"),
        ("CREATEROLE", "CREATEROLE"),
        ("CREATEDB", "CREATEDB"),
        ("REPLICATION", "REPLICATION"),
        ("BYPASSRLS", "BYPASSRLS"),
        ("NOINHERIT IN ROLE pg_read_server_files", "`pg_read_server_files`"),
        ("IN ROLE pg_execute_server_program", "`pg_execute_server_program`"),
        ("NOINHERIT IN ROLE postgres", "SUPERUSER through role `postgres`"),
    ]
    .into_iter()
    .enumerate()
    {
        let role = format!("mighty{number}_{}", app.database);
        app.sql(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}' {attributes}"
        ));
        let (error, told) = refused(role).await;
        assert_eq!(error.kind, SqlErrorKind::Forbidden, "{attributes}");
        assert!(!error.message.contains("mighty"), "{}", error.message);
        assert!(
            told.contains(named) && told.contains("CREATE ROLE usher_app LOGIN"),
            "{attributes}: {told}"
        );
    }
    // Given and taken back, one after the other.
    let (role, database) = (&app.role, &app.database);
    app.sql(&format!(
        "CREATE ROLE owners_{role}; CREATE TABLE owned (a int); CREATE SCHEMA owned"
    ));
    app.sql("CREATE FUNCTION owned() RETURNS int LANGUAGE sql AS 'SELECT 1'");
    for (given, back, named) in [
        (
            format!("GRANT EXECUTE ON FUNCTION pg_read_file(text) TO {role}"),
            format!("REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM {role}"),
            "EXECUTE on function pg_read_file(text)".to_owned(),
        ),
        (
            format!("ALTER TABLE owned OWNER TO {role}"),
            "ALTER TABLE owned OWNER TO postgres".to_owned(),
            "owner of table owned".to_owned(),
        ),
        (
            format!("ALTER TABLE owned OWNER TO owners_{role}; GRANT owners_{role} TO {role}"),
            format!("ALTER TABLE owned OWNER TO postgres; REVOKE owners_{role} FROM {role}"),
            "owner of table owned".to_owned(),
        ),
        (
            format!("ALTER SCHEMA owned OWNER TO {role}"),
            "ALTER SCHEMA owned OWNER TO postgres".to_owned(),
            "owner of schema owned".to_owned(),
        ),
        (
            format!("ALTER FUNCTION owned() OWNER TO {role}"),
            "ALTER FUNCTION owned() OWNER TO postgres".to_owned(),
            "owner of function owned()".to_owned(),
        ),
        (
            format!("ALTER DATABASE {database} OWNER TO {role}"),
            format!("ALTER DATABASE {database} OWNER TO postgres"),
            format!("owner of database {database}"),
        ),
        (
            format!("GRANT SELECT ON secrets TO {role} WITH GRANT OPTION"),
            format!("REVOKE SELECT ON secrets FROM {role}"),
            "GRANT OPTION for SELECT on table secrets".to_owned(),
        ),
        (
            format!("GRANT SELECT (s) ON secrets TO {role} WITH GRANT OPTION"),
            format!("REVOKE SELECT (s) ON secrets FROM {role}"),
            "GRANT OPTION for SELECT on column s of table secrets".to_owned(),
        ),
        (
            format!("GRANT USAGE ON SCHEMA owned TO {role} WITH GRANT OPTION"),
            format!("REVOKE USAGE ON SCHEMA owned FROM {role}"),
            "GRANT OPTION for USAGE on schema owned".to_owned(),
        ),
        (
            format!("GRANT owners_{role} TO {role} WITH ADMIN OPTION"),
            format!("REVOKE owners_{role} FROM {role}"),
            format!("ADMIN OPTION for role `owners_{role}`"),
        ),
    ] {
        app.sql(&given);
        let (error, told) = refused(role.clone()).await;
        assert_eq!(error.kind, SqlErrorKind::Forbidden, "{given}");
        assert!(told.contains(&named), "{given}: {told}");
        app.sql(&back);
    }
    assert!(app.fixture.query("SELECT 1").await.is_ok());
}

#[tokio::test]
async fn what_only_the_operator_can_change_is_told_to_the_operator() {
    let Some(app) = app() else { return };
    let database = SqlDatabase::Postgresql(app.server_grant());
    let fixture = Fixture::with_password(database, "not-the-password");
    let error = fixture.query("SELECT 1").await.unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Unavailable);
    assert!(
        !error.message.contains(&app.role) && !error.message.contains("127.0.0.1"),
        "{}",
        error.message
    );
    let told = fixture.told();
    assert!(
        told.contains(&format!("does not let `{}` in", app.role)) && !told.contains("not-the"),
        "{told}"
    );
    for (change, expected) in [
        (
            (|server: &mut SqlServer| server.database = "none".to_owned()) as fn(&mut SqlServer),
            "there is no such database",
        ),
        (|server| private(server, false), "private-addresses = true"),
        (|server| tls_of(server, SqlTls::Public), "TLS"),
        (
            |server| tls_of(server, SqlTls::Ca("/nonexistent/ca.pem".to_owned())),
            "/nonexistent/ca.pem",
        ),
    ] {
        let mut server = app.server_grant();
        change(&mut server);
        let fixture = Fixture::new(SqlDatabase::Postgresql(server));
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
    let fixture = Fixture::new(SqlDatabase::Postgresql(on_loopback(1, "a", "b")));
    assert_eq!(
        fixture.query("SELECT 1").await.unwrap_err().kind,
        SqlErrorKind::Unavailable
    );
    assert_eq!(fixture.told(), "");
}

/// Writes a file in the server's folder that the server alone may read.
fn for_the_server(file: &Path, content: &str) {
    let owner = std::fs::metadata(file.parent().unwrap()).unwrap();
    std::fs::write(file, content).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
}

#[tokio::test]
async fn tls_is_done_with_the_authority_and_the_name_that_were_named() {
    let Some(app) = app() else { return };
    let folder = app.server.socket_folder();
    let authority = Authority::new("of a test");
    let identity = authority.issue(&["localhost"], |_| {});
    for (name, pem) in [
        ("server.pem", &identity.certificate),
        ("server.key", &identity.key),
    ] {
        for_the_server(&folder.join(name), pem);
    }
    for setting in [
        format!("ssl_cert_file = '{}/server.pem'", folder.display()),
        format!("ssl_key_file = '{}/server.key'", folder.display()),
        "ssl = on".to_owned(),
    ] {
        app.sql(&format!("ALTER SYSTEM SET {setting}"));
    }
    app.sql("SELECT pg_reload_conf()");
    eventually("the server has TLS", || app.sql("SHOW ssl") == "on").await;
    let with =
        |host: &str, tls: SqlTls| Fixture::new(SqlDatabase::Postgresql(named(app.server_grant(), host, tls)));
    let trusted = SqlTls::Ca(authority.path());
    let secured = with("localhost", trusted.clone());
    let tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(secured.value(tls).await, SqlValue::Boolean(true));
    // Cancelling goes the same way.
    let error = secured
        .query_within(
            Duration::from_millis(500),
            "SELECT set_config('statement_timeout', '0', true), pg_sleep(60)",
        )
        .await;
    assert_eq!(error.unwrap_err().kind, SqlErrorKind::LimitExceeded);
    eventually("nothing runs", || !app.active()).await;
    // Another name, and an authority that nobody named.
    for (host, tls, hint) in [
        ("127.0.0.1", trusted, "`host` must be a name"),
        ("localhost", SqlTls::Public, "as `ca` beside `host`"),
    ] {
        let fixture = with(host, tls);
        assert!(fixture.query("SELECT 1").await.is_err());
        assert!(
            fixture.told().contains("TLS: invalid peer certificate"),
            "{}",
            fixture.told()
        );
        assert!(fixture.told().contains(hint), "{}", fixture.told());
    }
}

#[tokio::test]
async fn a_unix_socket_needs_no_password() {
    let Some(app) = app() else { return };
    let socket = app
        .server
        .socket_folder()
        .join(format!(".s.PGSQL.{}", app.server.port()));
    let server = SqlServer {
        address: SqlAddress::Socket(socket.to_str().unwrap().to_owned()),
        password: None,
        ..app.server_grant()
    };
    let fixture = Fixture::new(SqlDatabase::Postgresql(server));
    assert_eq!(
        fixture.value("SELECT login FROM users WHERE id = 1").await,
        text("ada")
    );
    assert_eq!(
        fixture
            .execute(&["DELETE FROM users WHERE id = 1"])
            .await
            .unwrap(),
        [1]
    );
    let late = fixture
        .query_within(
            Duration::from_millis(300),
            "SELECT set_config('statement_timeout', '0', true), pg_sleep(60)",
        )
        .await;
    assert_eq!(late.unwrap_err().kind, SqlErrorKind::LimitExceeded);
    eventually("nothing runs", || !app.active()).await;
}

#[tokio::test]
async fn sizes_of_statements_and_values_are_limited() {
    let Some(app) = app() else { return };
    let long = format!("SELECT '{}'", "x".repeat(crate::sql::STATEMENT_BYTES_MAX));
    let large = vec![SqlValue::Blob(vec![0; crate::sql::PARAMETER_BYTES_MAX + 1])];
    let many = vec![SqlValue::Null; crate::sql::PARAMETERS_MAX + 1];
    for (sql, values) in [
        (long.as_str(), vec![]),
        ("SELECT $1::bytea", large),
        ("SELECT 1", many),
    ] {
        let error = app.fixture.query_with(sql, values).await.unwrap_err();
        assert_eq!(error.kind, SqlErrorKind::LimitExceeded);
    }
    assert_eq!(statement("SELECT 1", vec![]).parameters, []);
}
