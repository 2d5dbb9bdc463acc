//! Commands and servers on PostgreSQL.

use usher_test_postgres::{Server, shared};

use nix::sys::signal::Signal;

use super::Host;

/// A host on this database.
fn on(database: &str) -> Host {
    Host::new()
        .with("USHER_DATABASE", database)
        .with("USHER_KEY", "07".repeat(32))
}

/// The database's own server, unless PostgreSQL is not installed.
fn server() -> Option<&'static Server> {
    shared().unwrap()
}

/// A password as it stands in a URL of a test server.
fn password(url: &str) -> &str {
    let (_, rest) = url.split_once("://usher:").unwrap();
    rest.split_once('@').unwrap().0
}

#[test]
fn commands_answer_as_on_a_data_folder() {
    let Some(server) = server() else { return };
    let database = server.fresh_database().unwrap();
    let (shared, folder) = (on(&database), Host::new());
    let (made, _) = shared.expect(0, &["init", "--rehearsal", "--now", "2026-03-02"]);
    assert!(
        made.starts_with("Made the tables of a rehearsal in 127.0.0.1:"),
        "{made}"
    );
    folder.expect(0, &["init", "--rehearsal", "--now", "2026-03-02"]);
    for (code, command) in [
        (3, &["policy", "check", "people.csv"][..]),
        (0, &["policy", "activate", "policy.toml"]),
        (0, &["import", "people.csv", "--source", "hr"]),
        (0, &["plan"]),
        (0, &["apply", "--wait", "0"]),
        (0, &["status"]),
        (0, &["identity", "show", "E3"]),
        (3, &["identity", "show", "E9"]),
        (3, &["why", "E1", "app"]),
        (0, &["operations"]),
        (0, &["audit", "verify"]),
    ] {
        let expected = folder.expect(code, command);
        let found = shared.expect(code, command);
        assert_eq!(told(&found), told(&expected), "usher {command:?}");
    }
    let (_, stderr) = shared.expect(6, &["init"]);
    assert!(stderr.contains("already holds Usher's tables"), "{stderr}");
}

/// What was told, without what differs from run to run: ids and seconds.
fn told((stdout, stderr): &(String, String)) -> Vec<String> {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        let is_id = bare.starts_with("idn_") || bare.starts_with("op_");
        let is_time = bare.contains(':') && bare.starts_with(|c: char| c.is_ascii_digit());
        if is_id || is_time {
            "…".to_owned()
        } else {
            word.to_owned()
        }
    };
    let lines = stdout.lines().chain(stderr.lines());
    lines
        .map(|line| line.split_whitespace().map(word).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn the_folder_beside_a_database_holds_no_state() {
    let Some(server) = server() else { return };
    let database = server.fresh_database().unwrap();
    let (one, other) = (on(&database), on(&database));
    one.expect(0, &["init"]);
    one.expect(0, &["policy", "activate", "policy.toml"]);
    assert_eq!(other.json(&["status"])["policy"], one.json(&["status"])["policy"]);
    std::fs::remove_dir_all(other.data()).unwrap();
    other.expect(0, &["status"]);
}

#[test]
fn what_is_wrong_with_a_database_is_said_without_its_password() {
    let Some(server) = server() else { return };
    let database = server.fresh_database().unwrap();
    let secret = password(&database);
    let refused = |host: &Host, code: i32, expected: &[&str]| {
        let (_, stderr) = host.expect(code, &["status"]);
        for part in expected {
            assert!(stderr.contains(part), "{part}: {stderr}");
        }
        assert!(
            !stderr.contains(secret) && !stderr.contains("hunter2"),
            "{stderr}"
        );
    };
    refused(
        &on(&database),
        6,
        &["does not hold Usher's tables", "`usher init`"],
    );
    let wrong = database.replace(secret, "hunter2");
    refused(&on(&wrong), 6, &["password authentication failed", "PGPASSWORD"]);
    let nowhere = database.replace(&format!(":{}/", server.port()), ":1/");
    refused(&on(&nowhere), 6, &["127.0.0.1:1/", "refused", "is the server up"]);
    refused(&on("postgres//usher:hunter2@"), 6, &["postgres://user@host"]);
    let twice = on(&database).with("USHER_DATABASE_FILE", "database");
    refused(&twice, 2, &["named twice"]);
    let (help, _) = on(&database).expect(0, &["--help"]);
    assert!(
        !help.contains(secret) && help.contains("USHER_DATABASE"),
        "{help}"
    );
}

#[test]
fn the_address_may_be_in_a_file_that_others_cannot_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let Some(server) = server() else { return };
    let database = server.fresh_database().unwrap();
    on(&database).expect(0, &["init"]);
    let host = Host::new().with("USHER_KEY", "07".repeat(32));
    let file = host.folder.path().join("database");
    std::fs::write(&file, format!("{database}\n")).unwrap();
    let arguments = ["status", "--database-file", "database"];
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (_, stderr) = host.expect(2, &arguments);
    assert!(
        stderr.contains("chmod 600") && !stderr.contains(password(&database)),
        "{stderr}"
    );
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    host.expect(0, &arguments);
}

#[test]
fn a_database_of_a_newer_program_is_refused() {
    let Some(server) = server() else { return };
    let database = server.fresh_database().unwrap();
    let host = on(&database);
    host.expect(0, &["init"]);
    let name = database.rsplit('/').next().unwrap().split('?').next().unwrap();
    server
        .sql(
            name,
            "INSERT INTO schema_version (version) VALUES (99); UPDATE meta SET works_from = 99",
        )
        .unwrap();
    let (_, stderr) = host.expect(6, &["status"]);
    assert!(stderr.contains("schema version 99"), "{stderr}");
}

#[test]
fn servers_see_each_other_and_one_that_stops_is_not_waited_for() {
    let Some(server) = server() else { return };
    let database = server.fresh_database().unwrap();
    // Far longer than the test may take: nobody can wait for the lease here.
    let host = || on(&database).with("USHER_LEASE_SECONDS", "600");
    let (one, other) = (host(), host());
    one.expect(0, &["init", "--rehearsal", "--now", "2026-03-02"]);
    one.expect(0, &["policy", "activate", "policy.toml"]);
    let mut first = one.serve();
    // Commands work beside it.
    one.expect(0, &["import", "people.csv", "--source", "hr"]);
    first.until("everybody is planned", |served| {
        served
            .metric("usher_planned_identities_total ")
            .is_some_and(|planned| planned >= 3.0)
    });
    let second = other.serve();
    assert_eq!(second.replicas(), 2, "{}", second.health());
    assert_eq!(second.terminate().0, Some(0));
    let third = other.serve();
    assert_eq!(third.replicas(), 2, "{}", third.health());
    assert_eq!(third.terminate().0, Some(0));
    assert_eq!(first.terminate().0, Some(0));
}

#[test]
fn one_that_is_killed_is_missed_after_its_lease() {
    let Some(server) = server() else { return };
    let database = server.fresh_database().unwrap();
    let host = || on(&database).with("USHER_LEASE_SECONDS", "2");
    let (one, other) = (host(), host());
    one.expect(0, &["init"]);
    let mut first = one.serve();
    let mut second = other.serve();
    first.until("it sees the other", |served| served.replicas() == 2);
    second.signal(Signal::SIGKILL);
    second.ended();
    first.until("it misses the other", |served| served.replicas() == 1);
    assert_eq!(first.terminate().0, Some(0));
}

#[test]
fn while_the_database_is_away_it_says_so_and_goes_on_afterwards() {
    if server().is_none() {
        return;
    }
    let server = Server::start().unwrap();
    let host = on(&server.fresh_database().unwrap()).with("USHER_LEASE_SECONDS", "2");
    host.expect(0, &["init"]);
    let mut served = host.serve();
    server.stop().unwrap();
    served.until("it says so", |served| {
        let health = served.health();
        health["status"] == "failing" && health["database-reachable"] == false
    });
    assert_eq!(super::get(&host.socket(), "/readyz").unwrap().0, 503);
    assert_eq!(super::get(&host.socket(), "/livez").unwrap().0, 200);
    server.start_again().unwrap();
    served.until("it goes on", |served| served.health()["status"] == "ok");
    assert_eq!(served.terminate().0, Some(0));
}
