//! The `sql` connector through the sandbox, on an application's tables in SQLite, PostgreSQL and MariaDB: the same life of accounts
//! on all three.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use usher_connectors::{Connector as _, FixedSecrets, Generation};
use usher_lifecycle::account::AccountState;
use usher_lifecycle::connector::{
    AccountRecord, AttributeChange, CallError, Effect, ErrorKind, Find, WriteContext,
};
use usher_lifecycle::targets::{
    ConnectorReference, Grants, SecretReference, SqlAddress, SqlDatabase, SqlGrant, SqlServer, SqlTls, Target,
};

use crate::support::{sandbox, target};

const PASSWORD: &str = "pw-of-the-application";

/// Tables of one application, and how its administrator looks at them.
struct Application {
    database: SqlDatabase,
    sql: Box<dyn Fn(&str) -> String>,
    /// What keeps it there.
    _folder: Option<tempfile::TempDir>,
}

const GROUPS: &str = "CREATE TABLE groups_ (id VARCHAR(50) PRIMARY KEY, title VARCHAR(50));
INSERT INTO groups_ VALUES ('staff', 'Staff'), ('dev', 'Developers'), ('Ünïcode', '部署');
CREATE TABLE memberships (user_id BIGINT NOT NULL REFERENCES users (id), group_id VARCHAR(50) NOT NULL REFERENCES groups_ (id),
                          PRIMARY KEY (user_id, group_id));";
const COLUMNS: &str =
    "username VARCHAR(100) NOT NULL UNIQUE, full_name VARCHAR(100), badge INTEGER, staff BOOLEAN,
active BOOLEAN NOT NULL, intent VARCHAR(100) UNIQUE";

fn sqlite() -> Application {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(&format!(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, {COLUMNS}); {GROUPS}"
        ))
        .unwrap();
    let sql = move |sql: &str| {
        let mut prepared = connection.prepare(sql).unwrap();
        let mut rows = prepared.query([]).unwrap();
        rows.next().unwrap().map_or_else(String::new, |row| {
            let value: rusqlite::types::Value = row.get(0).unwrap();
            match value {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            }
        })
    };
    Application {
        database: SqlDatabase::Sqlite(path.to_str().unwrap().to_owned()),
        sql: Box::new(sql),
        _folder: Some(folder),
    }
}

fn on_loopback(port: u16, database: &str, user: &str) -> SqlServer {
    SqlServer {
        address: SqlAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
            tls: SqlTls::Off,
            private_addresses: true,
        },
        database: database.to_owned(),
        user: user.to_owned(),
        password: Some(SecretReference::Env("PASSWORD".to_owned())),
    }
}

/// `extra` is run as the administrator, with the role's name for `{role}`.
fn postgresql(extra: &str) -> Option<Application> {
    let server = usher_test_postgres::shared().unwrap()?;
    let url = server.fresh_database().unwrap();
    let database = url
        .rsplit('/')
        .next()
        .unwrap()
        .split('?')
        .next()
        .unwrap()
        .to_owned();
    let role = format!("app_{database}");
    let tables = format!(
        "CREATE TABLE users (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {COLUMNS}); {GROUPS}
         CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}';
         GRANT SELECT, INSERT, UPDATE, DELETE ON users, memberships TO {role}; GRANT SELECT ON groups_ TO {role};"
    );
    server.sql(&database, &tables).unwrap();
    server.sql(&database, &extra.replace("{role}", &role)).unwrap();
    Some(Application {
        database: SqlDatabase::Postgresql(on_loopback(server.port(), &database, &role)),
        sql: Box::new(move |sql| server.sql(&database, sql).unwrap()),
        _folder: None,
    })
}

fn mariadb(extra: &str) -> Option<Application> {
    let server = usher_test_mariadb::shared().unwrap()?;
    let database = server.fresh_database().unwrap();
    let user = format!("app_{database}");
    let rights: String = [
        ("users", "INSERT, UPDATE, DELETE, "),
        ("memberships", "INSERT, DELETE, "),
        ("groups_", ""),
    ]
    .map(|(table, more)| format!("GRANT {more}SELECT ON {database}.{table} TO '{user}'@'%'; "))
    .concat();
    let tables = format!(
        "CREATE TABLE users (id BIGINT AUTO_INCREMENT PRIMARY KEY, {COLUMNS}); {GROUPS}
         CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}'; {rights}"
    );
    server.sql(&database, &tables).unwrap();
    let extra = extra
        .replace("{role}", &format!("'{user}'@'%'"))
        .replace("{database}", &database);
    server.sql(&database, &extra).unwrap();
    Some(Application {
        database: SqlDatabase::Mysql(on_loopback(server.port(), &database, &user)),
        sql: Box::new(move |sql| server.sql(&database, sql).unwrap()),
        _folder: None,
    })
}

fn settings() -> Value {
    json!({
        "endpoint": "app",
        "key": ["username"],
        "users": {
            "table": "users",
            "id": "id",
            "marker": "intent",
            "status": { "column": "active", "enabled": true, "disabled": false },
            "columns": {
                "username": {},
                "fullName": { "column": "full_name" },
                "badge": { "type": "integer" },
                "staff": { "type": "boolean" },
            },
        },
        "memberships": { "table": "memberships", "user": "user_id", "entitlement": "group_id" },
        "entitlements": { "table": "groups_", "id": "id", "name": "title" },
    })
}

async fn connector(database: SqlDatabase, settings: Value) -> Arc<Generation> {
    let target = Target {
        connector: ConnectorReference::Name {
            name: "sql".parse().unwrap(),
            version: None,
        },
        grants: Grants {
            sql: vec![SqlGrant {
                endpoint: "app".to_owned(),
                database,
            }],
            ..Grants::default()
        },
        ..target(settings)
    };
    let secrets = FixedSecrets::none().with("PASSWORD", PASSWORD);
    let bytes = usher_tests::component("usher-connector-sql");
    sandbox().load(bytes, &target, Arc::new(secrets)).await.unwrap()
}

fn intent(id: &str) -> WriteContext {
    WriteContext {
        intent_id: id.to_owned(),
        attempt: 1,
        reason: "hr: joiner".to_owned(),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

fn change(name: &str, value: Value) -> AttributeChange {
    AttributeChange::Replace {
        name: name.to_owned(),
        value,
    }
}

/// Everybody, page by page.
async fn all(connector: &Generation, limit: u32) -> Vec<AccountRecord> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = connector.list(cursor.as_deref(), limit).await.unwrap();
        assert!(page.items.len() <= limit as usize);
        found.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

/// Every operation, each twice where repeating it must change nothing.
async fn life(application: &Application) {
    let app = connector(application.database.clone(), settings()).await;
    let count = |table: &str| (application.sql)(&format!("SELECT count(*) FROM {table}"));

    let report = app.check().await.unwrap();
    assert!(report.steps.iter().all(|step| step.ok), "{report:?}");
    assert_eq!(
        report.permissions,
        [
            "users: select",
            "users: insert",
            "users: update",
            "users: delete",
            "memberships: select",
            "memberships: insert",
            "memberships: delete",
            "entitlements: select"
        ]
    );

    let mei =
        object(json!({ "username": "mei", "fullName": "Mei 'O\\; -- 田中", "badge": 7, "staff": true }));
    let account = app.create(&intent("op_1"), &mei).await.unwrap();
    assert_eq!(
        (account.state, account.marker.as_deref()),
        (AccountState::Enabled, Some("op_1"))
    );
    assert_eq!(account.attributes, mei);
    let id = account.id.as_str();
    // The same creation again is the same account; another one is in the way.
    assert_eq!(app.create(&intent("op_1"), &mei).await.unwrap(), account);
    let taken = app.create(&intent("op_2"), &mei).await.unwrap_err();
    assert_eq!(
        (taken.kind, taken.existing_id.as_deref()),
        (ErrorKind::Conflict, Some(id))
    );
    assert_eq!(count("users"), "1");

    let desired = object(json!({ "username": "mei", "badge": 8, "staff": false }));
    let changes = [
        change("fullName", Value::Null),
        change("badge", json!(8)),
        change("staff", json!(false)),
    ];
    for _ in 0..2 {
        let updated = app
            .update(&intent("op_3"), id, &changes, &desired, None)
            .await
            .unwrap();
        let mut present = updated.attributes;
        present.retain(|_, value| !value.is_null());
        assert_eq!(present, desired);
    }
    for _ in 0..2 {
        assert_eq!(
            app.disable(&intent("op_4"), id).await.unwrap().state,
            AccountState::Disabled
        );
    }
    assert_eq!(app.get(id).await.unwrap().unwrap().state, AccountState::Disabled);
    for _ in 0..2 {
        assert_eq!(
            app.enable(&intent("op_5"), id).await.unwrap().state,
            AccountState::Enabled
        );
    }

    for number in 0..4 {
        let attributes = object(json!({ "username": format!("user{number}") }));
        app.create(&intent(&format!("op_1{number}")), &attributes)
            .await
            .unwrap();
    }
    let wanted = app.get(id).await.unwrap().unwrap();
    let unique = Find::Unique(object(json!({ "username": "mei" })));
    assert_eq!(app.find(&unique).await.unwrap(), std::slice::from_ref(&wanted));
    assert_eq!(
        app.find(&Find::Marker("op_1".to_owned())).await.unwrap(),
        [wanted]
    );
    assert_eq!(app.find(&Find::Marker("op_none".to_owned())).await.unwrap(), []);
    for limit in [2, 5, 100] {
        let mut names: Vec<_> = all(&app, limit)
            .await
            .into_iter()
            .map(|account| account.attributes["username"].clone())
            .collect();
        names.sort_by_key(ToString::to_string);
        assert_eq!(
            Value::Array(names),
            json!(["mei", "user0", "user1", "user2", "user3"]),
            "{limit}"
        );
    }
    // Another account has that name.
    let rename = [change("username", json!("user0"))];
    let in_the_way = app
        .update(
            &intent("op_6"),
            id,
            &rename,
            &object(json!({ "username": "user0" })),
            None,
        )
        .await
        .unwrap_err();
    assert_eq!(in_the_way.kind, ErrorKind::Conflict);

    memberships(&app, id).await;
    assert_eq!(count("memberships"), "2");

    for _ in 0..2 {
        app.delete(&intent("op_9"), id).await.unwrap();
        assert_eq!(app.get(id).await.unwrap(), None);
    }
    assert_eq!(
        (count("users"), count("memberships")),
        ("4".to_owned(), "0".to_owned())
    );
    // Ids that no row can have.
    for nobody in ["0", "99999999999999", "99999999999999999999", "x", ""] {
        assert_eq!(app.get(nobody).await.unwrap(), None, "{nobody}");
        app.delete(&intent("op_9"), nobody).await.unwrap();
        let missing = app.disable(&intent("op_9"), nobody).await.unwrap_err();
        assert_eq!(
            (missing.kind, missing.effect),
            (ErrorKind::NotFound, Effect::None),
            "{nobody}"
        );
    }
}

async fn memberships(app: &Generation, id: &str) {
    let groups = app.entitlements(None, 100).await.unwrap();
    assert_eq!(groups.items.len(), 3);
    for group in ["Ünïcode", "dev", "staff", "staff"] {
        app.grant(&intent("op_7"), id, group, &Value::Null).await.unwrap();
    }
    for _ in 0..2 {
        app.revoke(&intent("op_8"), id, "dev").await.unwrap();
    }
    let mut held: Vec<_> = app
        .held(id)
        .await
        .unwrap()
        .into_iter()
        .map(|held| held.entitlement_id)
        .collect();
    held.sort();
    assert_eq!(held, ["staff", "Ünïcode"]);
    let members = app.members("staff", None, 100).await.unwrap();
    assert_eq!(members.items[0].account_id, id);
    let unknown = app
        .grant(&intent("op_7"), id, "none", &Value::Null)
        .await
        .unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::NotFound);
    let nobody = app
        .grant(&intent("op_7"), "99999999999999", "dev", &Value::Null)
        .await
        .unwrap_err();
    assert_eq!(nobody.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_life_in_sqlite() {
    life(&sqlite()).await;
}

#[tokio::test]
async fn a_life_in_postgresql() {
    let Some(application) = postgresql("") else { return };
    life(&application).await;
}

#[tokio::test]
async fn a_life_in_mariadb() {
    let Some(application) = mariadb("") else { return };
    life(&application).await;
}

/// A way to a server on which one answer to COMMIT is lost, as when the host dies in that moment; after that it works.
fn losing_one_commit(database: &SqlDatabase) -> SqlDatabase {
    let mut database = database.clone();
    // On PostgreSQL a statement's end may still be answered when COMMIT is on its way; that is not the answer to lose.
    let is_answer: fn(&[u8]) -> bool = match database {
        SqlDatabase::Postgresql(_) => commits,
        SqlDatabase::Mysql(_) | SqlDatabase::Sqlite(_) => |_| true,
    };
    let (SqlDatabase::Postgresql(SqlServer { address, .. }) | SqlDatabase::Mysql(SqlServer { address, .. })) =
        &mut database
    else {
        panic!("no server")
    };
    let SqlAddress::Tcp { port, .. } = address else {
        panic!("no port")
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = std::mem::replace(port, listener.local_addr().unwrap().port());
    let lost = Arc::new(std::sync::atomic::AtomicBool::new(false));
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
            let cut = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let (from_client, to_client) = (client.try_clone().unwrap(), client);
            let (from_server, to_server) = (server.try_clone().unwrap(), server);
            let (lost, told) = (Arc::clone(&lost), Arc::clone(&cut));
            std::thread::spawn(move || {
                copy(from_client, to_server, |bytes| {
                    if commits(bytes) && !lost.swap(true, std::sync::atomic::Ordering::SeqCst) {
                        told.store(true, std::sync::atomic::Ordering::SeqCst);
                    }
                    true
                });
            });
            std::thread::spawn(move || {
                copy(from_server, to_client, |bytes| {
                    !(cut.load(std::sync::atomic::Ordering::SeqCst) && is_answer(bytes))
                })
            });
        }
    });
    database
}

fn commits(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|word| word == b"COMMIT")
}

/// Until an end is closed or what is read is not to be passed on; both are closed then.
fn copy(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer)
        && count > 0
        && passes(&buffer[..count])
        && to.write_all(&buffer[..count]).is_ok()
    {}
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// The answer to a creation is lost after the server has committed it: it is found again by its marker and not made twice.
async fn lost_creation(application: &Application) {
    let app = connector(losing_one_commit(&application.database), settings()).await;
    let mei = object(json!({ "username": "mei" }));
    let lost: CallError = app.create(&intent("op_1"), &mei).await.unwrap_err();
    assert_eq!(
        (lost.kind, lost.effect),
        (ErrorKind::Unavailable, Effect::Unknown),
        "{}",
        lost.message
    );
    let found = app.find(&Find::Marker("op_1".to_owned())).await.unwrap();
    assert_eq!(found.len(), 1);
    let again = app.create(&intent("op_1"), &mei).await.unwrap();
    assert_eq!([again], *found);
    assert_eq!((application.sql)("SELECT count(*) FROM users"), "1");
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_not_made_twice_in_postgresql() {
    let Some(application) = postgresql("") else { return };
    lost_creation(&application).await;
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_not_made_twice_in_mariadb() {
    let Some(application) = mariadb("") else { return };
    lost_creation(&application).await;
}

#[tokio::test]
async fn uuids_enums_and_schemas_of_postgresql_are_served() {
    let tables = "CREATE SCHEMA \"HR\"; CREATE TYPE state AS ENUM ('on', 'off');
        CREATE TABLE \"HR\".\"User\" (\"Id\" uuid PRIMARY KEY DEFAULT gen_random_uuid(), login text UNIQUE, state state NOT NULL);
        GRANT USAGE ON SCHEMA \"HR\" TO {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON \"HR\".\"User\" TO {role};";
    let Some(application) = postgresql(tables) else {
        return;
    };
    let settings = json!({
        "endpoint": "app",
        "key": ["login"],
        "schema": "HR",
        "users": {
            "table": "User",
            "id": "Id",
            "id-type": "text",
            "status": { "column": "state", "enabled": "on", "disabled": "off" },
            "columns": { "login": {} },
        },
    });
    let app = connector(application.database.clone(), settings).await;
    let report = app.check().await.unwrap();
    assert!(report.steps.iter().all(|step| step.ok), "{report:?}");
    let names = ["ada", "grace", "mei"];
    for name in names {
        app.create(&intent(name), &object(json!({ "login": name })))
            .await
            .unwrap();
    }
    let found = all(&app, 1).await;
    assert_eq!(found.len(), 3);
    assert_eq!(
        app.disable(&intent("op"), &found[0].id).await.unwrap().state,
        AccountState::Disabled
    );
    assert_eq!(app.get("not-a-uuid").await.unwrap(), None);
    app.delete(&intent("op"), "not-a-uuid").await.unwrap();
    app.delete(&intent("op"), &found[0].id).await.unwrap();
    assert_eq!((application.sql)("SELECT count(*) FROM \"HR\".\"User\""), "2");
}

#[tokio::test]
async fn a_check_names_a_sequence_that_may_not_be_used() {
    let tables = "ALTER TABLE users ALTER id DROP IDENTITY; CREATE SEQUENCE \"Numbers\";
        ALTER TABLE users ALTER id SET DEFAULT nextval('\"Numbers\"')";
    let Some(application) = postgresql(tables) else {
        return;
    };
    let app = connector(application.database.clone(), settings()).await;
    let report = app.check().await.unwrap();
    let failed: Vec<_> = report.steps.iter().filter(|step| !step.ok).collect();
    assert_eq!(failed.len(), 1, "{report:?}");
    assert_eq!(failed[0].name, "insert users");
    assert!(
        failed[0].detail.contains("`id`") && failed[0].detail.contains("GRANT USAGE ON SEQUENCE \"Numbers\""),
        "{:?}",
        failed[0]
    );
    let SqlDatabase::Postgresql(server) = &application.database else {
        unreachable!()
    };
    (application.sql)(&format!("GRANT USAGE ON SEQUENCE \"Numbers\" TO {}", server.user));
    let report = app.check().await.unwrap();
    assert!(report.steps.iter().all(|step| step.ok), "{report:?}");
}

#[tokio::test]
async fn texts_that_only_count_as_equal_are_not_the_same_account_in_mariadb() {
    let tables =
        "CREATE TABLE people (login VARCHAR(50) PRIMARY KEY, active BOOLEAN NOT NULL) CHARACTER SET utf8mb4;
        CREATE TABLE plain (a INT, active BOOLEAN) ENGINE = MyISAM;
        GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.people TO {role};
        GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.plain TO {role};";
    let Some(application) = mariadb(tables) else {
        return;
    };
    let mut settings = json!({
        "endpoint": "app",
        "users": {
            "table": "people",
            "id": "login",
            "id-from": "login",
            "status": { "column": "active", "enabled": true, "disabled": false },
            "columns": { "login": {} },
        },
    });
    let app = connector(application.database.clone(), settings.clone()).await;
    app.create(&intent("op_1"), &object(json!({ "login": "André" })))
        .await
        .unwrap();
    // The table takes no second one, so this is in the way.
    let taken = app
        .create(&intent("op_2"), &object(json!({ "login": "ANDRE" })))
        .await
        .unwrap_err();
    assert_eq!(
        (taken.kind, taken.existing_id.as_deref()),
        (ErrorKind::Conflict, Some("André"))
    );
    for other in ["ANDRE", "andré", "André "] {
        assert_eq!(app.get(other).await.unwrap(), None, "{other:?}");
        let missing = app.disable(&intent("op_3"), other).await.unwrap_err();
        assert_eq!(missing.kind, ErrorKind::NotFound, "{other:?}");
        app.delete(&intent("op_4"), other).await.unwrap();
    }
    assert_eq!((application.sql)("SELECT active FROM people"), "1");
    assert_eq!(
        app.disable(&intent("op_5"), "André").await.unwrap().state,
        AccountState::Disabled
    );
    app.delete(&intent("op_6"), "André").await.unwrap();
    assert_eq!((application.sql)("SELECT count(*) FROM people"), "0");

    settings["users"]["table"] = json!("plain");
    settings["users"]["columns"]["login"] = json!({ "column": "a" });
    settings["users"]["id"] = json!("a");
    let app = connector(application.database.clone(), settings).await;
    let report = app.check().await.unwrap();
    let step = report.steps.iter().find(|step| !step.ok).unwrap();
    assert!(
        step.detail.contains("ALTER TABLE plain ENGINE = InnoDB"),
        "{step:?}"
    );
}

#[tokio::test]
async fn texts_that_only_count_as_equal_are_not_the_same_membership_in_mariadb() {
    // The application takes names apart that its memberships take for the same.
    let tables = "CREATE TABLE people (login VARCHAR(50) COLLATE utf8mb4_nopad_bin PRIMARY KEY);
        CREATE TABLE teams (name VARCHAR(50) COLLATE utf8mb4_nopad_bin PRIMARY KEY);
        CREATE TABLE members (login VARCHAR(50), team VARCHAR(50)) COLLATE utf8mb4_general_ci;
        INSERT INTO people VALUES ('ada'), ('ADA'); INSERT INTO teams VALUES ('dev'), ('DEV'), ('dev ');
        GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.people TO {role};
        GRANT SELECT ON {database}.teams TO {role};
        GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.members TO {role};";
    let Some(application) = mariadb(tables) else {
        return;
    };
    let settings = json!({
        "endpoint": "app",
        "users": { "table": "people", "id": "login", "id-from": "login", "columns": { "login": {} } },
        "memberships": { "table": "members", "user": "login", "entitlement": "team" },
        "entitlements": { "table": "teams", "id": "name" },
    });
    let app = connector(application.database.clone(), settings.clone()).await;
    let pairs = [("ada", "dev"), ("ada", "DEV"), ("ada", "dev "), ("ADA", "dev")];
    for (login, team) in pairs {
        for _ in 0..2 {
            app.grant(&intent("op_1"), login, team, &Value::Null)
                .await
                .unwrap();
        }
    }
    let count = || (application.sql)("SELECT count(*) FROM members");
    assert_eq!(count(), "4");
    for (login, teams) in [
        ("ada", &["DEV", "dev", "dev "][..]),
        ("ADA", &["dev"]),
        ("Ada", &[]),
    ] {
        let held = app.held(login).await.unwrap();
        let held: Vec<_> = held.iter().map(|held| held.entitlement_id.as_str()).collect();
        assert_eq!(held, teams, "{login}");
    }
    let (mut members, mut cursor) = (Vec::new(), None);
    loop {
        let page = app.members("dev", cursor.as_deref(), 1).await.unwrap();
        members.extend(page.items.into_iter().map(|held| held.account_id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(members, ["ADA", "ada"]);
    let unknown = app
        .grant(&intent("op_2"), "ada", "Dev", &Value::Null)
        .await
        .unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::NotFound);
    // Somebody else's rows stay.
    for (login, team) in [("Ada", "dev"), ("ada", "Dev"), ("ADA", "DEV"), ("ada ", "dev")] {
        app.revoke(&intent("op_3"), login, team).await.unwrap();
        assert_eq!(count(), "4", "{login:?} {team:?}");
    }
    for (left, (login, team)) in pairs.into_iter().enumerate() {
        app.revoke(&intent("op_4"), login, team).await.unwrap();
        assert_eq!(count(), (3 - left).to_string());
    }
    // What there is to be held may be only what is held.
    let mut settings = settings;
    settings.as_object_mut().unwrap().remove("entitlements");
    let app = connector(application.database.clone(), settings).await;
    for (login, team) in pairs {
        app.grant(&intent("op_5"), login, team, &Value::Null)
            .await
            .unwrap();
    }
    let held = app.entitlements(None, 100).await.unwrap();
    let held: Vec<_> = held.items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(held, ["DEV", "dev", "dev "]);
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_is_told_when_the_target_is_loaded() {
    let mut server = on_loopback(1, "app", "usher");
    if let SqlAddress::Tcp { tls, .. } = &mut server.address {
        *tls = SqlTls::Ca("/nonexistent/ca.pem".to_owned());
    }
    let target = Target {
        grants: Grants {
            sql: vec![SqlGrant {
                endpoint: "app".to_owned(),
                database: SqlDatabase::Postgresql(server),
            }],
            ..Grants::default()
        },
        ..target(settings())
    };
    let bytes = usher_tests::component("usher-connector-sql");
    let loading = sandbox()
        .load(bytes, &target, Arc::new(FixedSecrets::none()))
        .await;
    let Err(error) = loading else {
        panic!("it was loaded")
    };
    let told = error.to_string();
    assert!(
        told.contains("SQL endpoint `app`: `ca`") && told.contains("/nonexistent/ca.pem"),
        "{told}"
    );
}

#[tokio::test]
async fn a_role_that_may_do_too_much_fails_the_check_and_every_statement() {
    let Some(application) = postgresql("ALTER ROLE {role} SUPERUSER") else {
        return;
    };
    let app = connector(application.database.clone(), settings()).await;
    let report = app.check().await.unwrap();
    let failed: Vec<_> = report.steps.iter().filter(|step| !step.ok).collect();
    assert_eq!(failed.len(), 2, "{report:?}");
    assert_eq!(failed[0].name, "reach the database");
    assert!(failed[1].detail.contains("SUPERUSER") && failed[1].detail.contains("CREATE ROLE usher_app"));
    let error = app.get("1").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert!(
        error.message.contains("SUPERUSER") && error.message.contains("CREATE ROLE usher_app"),
        "{}",
        error.message
    );
    assert!(!error.message.contains(PASSWORD));
}
