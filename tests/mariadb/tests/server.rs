//! The server that tests start keeps what tests rely on, and goes away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use usher_test_mariadb::{Server, shared, skip_reason};

#[test]
fn databases_are_empty_and_what_is_committed_outlives_a_crash() {
    let Some(server) = shared().unwrap() else { return };
    let (one, other) = (server.fresh_database().unwrap(), server.fresh_database().unwrap());
    assert_ne!(one, other);
    server
        .sql(&one, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)")
        .unwrap();
    assert_eq!(server.sql(&other, "SHOW TABLES").unwrap(), "");
    let port = server.port();
    server.crash().unwrap();
    server.start_again().unwrap();
    assert_eq!(server.port(), port);
    assert_eq!(server.sql(&one, "SELECT sum(a) FROM t").unwrap(), "3");
    assert!(server.version().contains("MariaDB"));
    let refused = server.sql(&one, "SELECT nothing").unwrap_err().to_string();
    assert!(refused.contains("nothing"), "{refused}");
}

#[test]
fn nothing_is_left_behind() {
    if skip_reason().is_some() {
        return;
    }
    let server = Server::start().unwrap();
    let folder = server.socket().parent().unwrap().to_owned();
    assert!(folder.join("data").is_dir());
    drop(server);
    assert!(!folder.exists());
}
