//! The server that tests start keeps what tests rely on, and goes away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use usher_test_postgres::{Server, shared, skip_reason};
use usher_test_server::required;

/// Waits for something that must come.
fn until(what: &str, mut come: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !come() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs, and is not only waiting to be reaped.
fn is_alive(pid: &str) -> bool {
    let output = Command::new("ps")
        .args(["-o", "stat=", "-p", pid])
        .output()
        .unwrap();
    let state = String::from_utf8_lossy(&output.stdout);
    !state.trim().is_empty() && !state.starts_with('Z')
}

fn postmaster(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().to_owned()
}

#[test]
fn each_database_is_empty_and_its_owner_no_superuser() {
    let Some(server) = shared().unwrap() else { return };
    let urls = [server.fresh_database().unwrap(), server.fresh_database().unwrap()];
    assert_ne!(urls[0], urls[1]);
    assert!(
        urls[0].starts_with("postgres://usher:") && urls[0].contains("@127.0.0.1:"),
        "{}",
        urls[0]
    );
    let name = urls[0].rsplit('/').next().unwrap().split('?').next().unwrap();
    let tables = server
        .sql(name, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        .unwrap();
    assert_eq!(tables, "0");
    let rights = "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'usher'";
    assert_eq!(server.sql(name, rights).unwrap(), "f|f|f");
    assert_eq!(
        server
            .sql(name, "SHOW fsync; SHOW synchronous_commit; SHOW full_page_writes")
            .unwrap(),
        "on\non\non"
    );
    assert!(
        std::ptr::eq(server, shared().unwrap().unwrap()),
        "one for the process"
    );
}

#[test]
fn a_wrong_statement_is_an_error_with_the_servers_words() {
    let Some(server) = shared().unwrap() else { return };
    let wrong = server
        .sql("postgres", "SELECT nothing_there")
        .unwrap_err()
        .to_string();
    assert!(
        wrong.contains("column \"nothing_there\" does not exist"),
        "{wrong}"
    );
}

#[test]
fn what_is_committed_outlives_a_crash_of_the_server() {
    if shared().unwrap().is_none() {
        return;
    }
    let server = Server::start().unwrap();
    server.database("kept").unwrap();
    server
        .sql("kept", "CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
        .unwrap();
    server.crash().unwrap();
    assert!(server.sql("kept", "SELECT 1").is_err());
    server.start_again().unwrap();
    assert_eq!(server.sql("kept", "SELECT n FROM t").unwrap(), "7");
    assert!(
        server.log().unwrap().contains("was not properly shut down"),
        "it was a crash"
    );
    server.stop().unwrap();
    server.start_again().unwrap();
    let folder = server.socket_folder().to_owned();
    let pid = postmaster(&folder);
    drop(server);
    assert!(!folder.exists() && !is_alive(&pid));
}

#[test]
fn settings_can_be_chosen() {
    if shared().unwrap().is_none() {
        return;
    }
    let server = Server::start_with(&[("fsync", "off"), ("max_connections", "7")]).unwrap();
    assert_eq!(
        server
            .sql("postgres", "SHOW fsync; SHOW max_connections")
            .unwrap(),
        "off\n7"
    );
}

/// Run by the next test in a process of its own: starts a server, says where, waits to be killed.
#[test]
fn starts_one_and_waits_when_told_to() {
    if std::env::var_os("USHER_TEST_POSTGRES_WAIT").is_none() || skip_reason().is_some() {
        return;
    }
    let server = Server::start().unwrap();
    println!("\nfolder={}", server.socket_folder().display());
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn nothing_is_left_when_the_process_is_killed() {
    if let Some(reason) = skip_reason() {
        assert!(!required(), "{reason}");
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "starts_one_and_waits_when_told_to", "--nocapture"])
        .env("USHER_TEST_POSTGRES_WAIT", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let folder = lines
        .map(Result::unwrap)
        .find_map(|line| line.strip_prefix("folder=").map(PathBuf::from));
    let folder = folder.unwrap();
    let pid = postmaster(&folder);
    assert!(is_alive(&pid));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the server ends", || !is_alive(&pid));
    until("the folder is removed", || !folder.exists());
}
