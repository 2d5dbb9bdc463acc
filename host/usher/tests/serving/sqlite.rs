//! A server on a data folder.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{DEADLINE, Host, get};

#[test]
fn a_server_starts_answers_and_leaves_nothing_behind() {
    let host = Host::new();
    host.expect(0, &["init"]);
    let served = host.serve();
    let health = served.health();
    assert_eq!(health["status"], "ok", "{health}");
    assert_eq!(health["database-reachable"], true, "{health}");
    assert_eq!(health["replicas"].as_array().unwrap().len(), 1, "{health}");
    assert_eq!(get(&host.socket(), "/livez").unwrap().0, 200);
    let (code, metrics) = get(&host.socket(), "/metrics").unwrap();
    assert_eq!(code, 200);
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    assert_eq!(served.metric("usher_store_up "), Some(1.0), "{metrics}");
    let (code, log) = served.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped; everything is recorded"), "{log}");
    assert!(!host.socket().exists() && !host.data().join("usher.serving").exists());
    host.expect(0, &["status"]);
}

#[test]
fn every_line_of_a_json_log_is_json() {
    let host = Host::new();
    host.expect(0, &["init"]);
    let (_, log) = host.serve().terminate();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.iter().any(|line| line["message"] == "serving"), "{log}");
}

#[test]
fn other_commands_say_that_a_server_is_in_the_way() {
    let host = Host::new();
    host.expect(0, &["init"]);
    let served = host.serve();
    for command in ["status", "serve"] {
        let (_, stderr) = host.expect(6, &[command]);
        assert!(
            stderr.contains("is in use by `usher serve` (process") && stderr.contains("usher.sock"),
            "{stderr}"
        );
    }
    assert_eq!(served.terminate().0, Some(0));
}

#[test]
fn it_plans_by_itself_what_is_due() {
    let host = Host::new();
    host.expect(0, &["init", "--rehearsal", "--now", "2026-03-02"]);
    host.expect(0, &["policy", "activate", "policy.toml"]);
    host.expect(0, &["import", "people.csv", "--source", "hr"]);
    let mut served = host.serve();
    served.until("everybody is planned", |served| {
        served
            .metric("usher_planned_identities_total ")
            .is_some_and(|planned| planned >= 3.0)
    });
    let (code, log) = served.terminate();
    assert_eq!(code, Some(0), "{log}");
    let mei = host.json(&["identity", "show", "E1"]);
    assert_eq!(mei["state"], "active", "{mei}");
    let events = mei["timeline"].as_array().unwrap();
    let recorded = |event: &serde_json::Value| event["event"] == "identity.state-changed";
    assert!(events.iter().any(recorded), "{mei}");
}

#[test]
fn two_servers_do_not_share_an_address() {
    let (one, other) = (Host::new(), Host::new());
    one.expect(0, &["init"]);
    other.expect(0, &["init"]);
    let served = one.serve();
    let address = format!("unix:{}", one.socket().display());
    let (_, stderr) = other.expect(2, &["serve", "--listen", &address]);
    assert!(
        stderr.contains("another server answers there already"),
        "{stderr}"
    );
    assert_eq!(get(&one.socket(), "/livez").unwrap().0, 200);
    assert_eq!(served.terminate().0, Some(0));
}

#[test]
fn a_supervisor_is_told_when_it_is_ready_and_when_it_stops() {
    let host = Host::new();
    let path = host.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let host = host.with("NOTIFY_SOCKET", path.to_str().unwrap()).with(
        "WATCHDOG_USEC",
        Duration::from_millis(200).as_micros().to_string(),
    );
    host.expect(0, &["init"]);
    let mut served = host.serve();
    let heard = || {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let until = |wanted: &str| while !heard().starts_with(wanted) {};
    until("READY=1\n");
    until("WATCHDOG=1");
    served.signal(Signal::SIGTERM);
    until("STOPPING=1\n");
    assert_eq!(served.ended().0, Some(0));
}

#[test]
fn without_a_store_it_says_what_to_do() {
    let host = Host::new();
    let (_, stderr) = host.expect(6, &["serve"]);
    assert!(stderr.contains("usher init"), "{stderr}");
    assert!(!host.socket().exists());
}
