//! Guests that reach for what is not theirs, or leave connections behind.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};
use usher_connectors::Connector as _;
use usher_lifecycle::connector::{Effect, ErrorKind};
use usher_lifecycle::targets::{Limits, Target};

use super::{Ends, contained, with};
use crate::support::{Serve, Server, granting_http, granting_sqlite, hostile, login, write};

fn request(method: &str, port: u16, path: &str) -> Value {
    json!({ "behaviour": "http", "method": method, "scheme": "http", "authority": format!("127.0.0.1:{port}"), "path": path })
}

fn and(mut settings: Value, name: &str, value: impl Into<Value>) -> Value {
    settings[name] = value.into();
    settings
}

/// A target that is granted one port of this machine.
fn reaching(settings: Value, port: u16) -> Target {
    granting_http(with(settings), port)
}

#[tokio::test]
async fn a_host_that_is_not_granted_is_not_reached() {
    let (granted, other) = (
        Server::start(Serve::Bytes(5)).await,
        Server::start(Serve::Bytes(5)).await,
    );
    for then in ["", "lie", "trap"] {
        let settings = and(request("POST", other.port, "/"), "then", then);
        let target = reaching(settings, granted.port);
        contained(&target, Ends::Denied("is not granted"), Effect::None).await;
    }
    assert_eq!((granted.connections(), other.connections()), (0, 0));
}

#[tokio::test]
async fn a_redirect_leads_to_the_same_decision() {
    let other = Server::start(Serve::Bytes(5)).await;
    let place = format!("http://127.0.0.1:{}/admin", other.port);
    let redirecting = Server::start(Serve::RedirectTo(Box::leak(place.into_boxed_str()))).await;
    let settings = and(request("GET", redirecting.port, "/"), "behaviour", "http-follow");
    let target = reaching(settings, redirecting.port);
    contained(&target, Ends::Denied("/admin is not granted"), Effect::None).await;
    assert_eq!((redirecting.seen().len(), other.connections()), (1, 0));
}

#[tokio::test]
async fn a_path_is_a_path() {
    let server = Server::start(Serve::Bytes(5)).await;
    for path in [
        "http://169.254.169.254/latest",
        "//169.254.169.254/latest",
        "/granted/../admin",
        "/granted/%2e%2e/admin",
        "/granted/%252e%252e/admin",
        "*",
        "/granted/ HTTP/1.1\r\nhost: other\r\n\r\nGET /admin",
        "/granted/\0",
    ] {
        let mut target = reaching(request("GET", server.port, path), server.port);
        target.grants.http[0].path_prefix = Some("/granted".to_owned());
        let error = hostile(&target)
            .await
            .create(&write(), &login("ada"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind, ErrorKind::Denied(_) | ErrorKind::Unavailable),
            "{path}: {error:?}"
        );
        assert_eq!(error.effect, Effect::None, "{path}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn headers_cannot_smuggle_a_second_request() {
    let server = Server::start(Serve::Bytes(5)).await;
    let smuggled = "0\r\n\r\nGET /admin HTTP/1.1\r\nhost: other\r\n\r\n";
    for headers in [
        json!({ "transfer-encoding": "chunked" }),
        json!({ "Transfer-Encoding": "identity, chunked" }),
        json!({ "content-length": "5", "transfer-encoding": "chunked" }),
        json!({ "content-length": ["5", "50"] }),
        json!({ "content-length": "5" }),
        json!({ "content-length": "+100" }),
        json!({ "x-a": smuggled }),
        json!({ "x-a\r\nx-b": "1" }),
        json!({ "host": "other.example" }),
        json!({ "connection": "x-trace, upgrade", "upgrade": "h2c", "http2-settings": "AAA" }),
        json!({ "proxy-authorization": "x", "keep-alive": "x", "te": "trailers" }),
    ] {
        let settings = and(request("POST", server.port, "/"), "body-bytes", 100);
        let target = reaching(and(settings, "headers", headers.clone()), server.port);
        let before = server.seen().len();
        let sent = hostile(&target).await.create(&write(), &login("ada")).await;
        let seen = server.seen();
        match sent {
            // Harmless headers may go, those that shape the message may not.
            Ok(_) => assert_eq!(seen.len(), before + 1, "{headers}"),
            Err(error) => {
                assert_eq!(seen.len(), before, "{headers}: {error:?}");
                assert_eq!(error.effect, Effect::None, "{headers}: {error:?}");
            }
        }
        for one in &seen[before..] {
            assert!(one.head.starts_with("post / http/1.1\r\n"), "{}", one.head);
            let count = |name: &str| one.head.matches(&format!("\r\n{name}:")).count();
            assert_eq!(count("host"), 1, "{}", one.head);
            assert_eq!(
                count("content-length") + count("transfer-encoding"),
                1,
                "{}",
                one.head
            );
            for name in ["upgrade", "proxy-authorization", "http2-settings", "keep-alive"] {
                assert_eq!(count(name), 0, "{headers}: {}", one.head);
            }
            assert!(!one.head.contains("other"), "{}", one.head);
        }
    }
    assert!(server.seen().iter().all(|one| !one.head.contains("/admin")));
}

#[tokio::test]
async fn trailers_carry_no_headers_that_are_not_allowed() {
    let server = Server::start(Serve::Bytes(5)).await;
    let settings = and(request("POST", server.port, "/"), "body-bytes", 10);
    let trailers = json!({ "authorization": "Bearer mine", "host": "other", "content-length": "3" });
    let target = reaching(and(settings, "trailers", trailers), server.port);
    let _ = hostile(&target).await.create(&write(), &login("ada")).await;
    for one in server.seen() {
        assert!(
            !one.head.contains("mine") && !one.head.contains("other"),
            "{}",
            one.head
        );
    }
}

#[tokio::test]
async fn other_schemes_and_tunnels_do_not_exist() {
    let server = Server::start(Serve::Bytes(5)).await;
    for scheme in ["ftp", "file", "gopher", "unix", "https+unix"] {
        let settings = and(request("GET", server.port, "/"), "scheme", scheme);
        contained(
            &reaching(settings, server.port),
            Ends::With(ErrorKind::Unavailable, "HttpProtocolError"),
            Effect::None,
        )
        .await;
    }
    for method in ["CONNECT", "TRACE", "connect"] {
        let target = reaching(request(method, server.port, "/"), server.port);
        let error = hostile(&target)
            .await
            .create(&write(), &login("ada"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind, ErrorKind::Denied(_) | ErrorKind::Unavailable),
            "{method}: {error:?}"
        );
        assert_eq!(error.effect, Effect::None, "{method}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_denied_each_time_it_is_asked() {
    let server = Server::start(Serve::Bytes(5)).await;
    for authority in [
        format!("localhost:{}", server.port),
        format!("LOCALHOST:{}", server.port),
        format!("127.0.0.1:{}", server.port),
        format!("[::1]:{}", server.port),
    ] {
        let settings = and(request("GET", server.port, "/"), "authority", authority.clone());
        let settings = and(and(settings, "behaviour", "http-many"), "count", 5);
        let mut target = reaching(settings, server.port);
        let host = authority.rsplit_once(':').unwrap().0;
        target.grants.http[0].host = host.to_lowercase();
        target.grants.http[0].private_addresses = false;
        contained(&target, Ends::Denied("loopback or private address"), Effect::None).await;
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn crashing_with_a_request_under_way_leaves_nothing_behind() {
    let server = Server::start(Serve::Silence).await;
    for behaviour in ["http-leave-open", "http-half-sent"] {
        for (method, effect) in [("POST", Effect::Unknown), ("GET", Effect::None)] {
            let settings = and(request(method, server.port, "/"), "behaviour", behaviour);
            let settings = and(and(settings, "wait-ms", 300), "then", "trap");
            // A body that never ended never left: bodies are whole before the decision.
            let effect = if behaviour == "http-half-sent" {
                Effect::None
            } else {
                effect
            };
            contained(
                &reaching(settings, server.port),
                Ends::Crashed("unreachable"),
                effect,
            )
            .await;
        }
    }
    // The connections are closed, not kept for ever.
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.open() > 0 {
        assert!(
            Instant::now() < deadline,
            "{} connections are open",
            server.open()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn hoarding_requests_ends_at_their_limit() {
    let server = Server::start(Serve::Silence).await;
    let settings = and(request("GET", server.port, "/"), "behaviour", "http-hoard");
    let mut target = reaching(and(settings, "count", 200), server.port);
    target.limits = Limits {
        requests: 10,
        ..Limits::default()
    };
    contained(&target, Ends::Limit("requests = 10"), Effect::None).await;
    assert!(server.connections() <= 10, "{}", server.connections());
    // Asking for ever is computing, or runs into the same limit and then computes.
    let settings = and(request("GET", server.port, "/"), "behaviour", "http-endless");
    let target = reaching(settings, 1);
    contained(&target, Ends::Limit("cpu-ms = 100"), Effect::None).await;
}

#[tokio::test]
async fn attaching_and_crashing_in_a_transaction_leave_the_database_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("app.db"), folder.path().join("other.db"));
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE users (login TEXT UNIQUE); INSERT INTO users VALUES ('ada')")
        .unwrap();
    let count = || -> u32 {
        let count = connection.query_row("SELECT count(*) FROM users", [], |row| row.get(0));
        count.unwrap()
    };
    let sql = |behaviour: &str, statement: String, then: &str| {
        let settings = json!({ "behaviour": behaviour, "endpoint": "app", "sql": statement, "then": then });
        granting_sqlite(with(settings), &path)
    };
    let attach = format!("ATTACH '{}' AS o", other.display());
    for behaviour in ["sql-query", "sql-execute"] {
        let target = sql(behaviour, attach.clone(), "");
        contained(&target, Ends::Denied("SQL of target `app`"), Effect::None).await;
    }
    assert!(!other.exists());
    // Begun by the guest and left so: refused, or undone.
    for statement in ["BEGIN IMMEDIATE", "SAVEPOINT a"] {
        let target = sql("sql-execute", statement.to_owned(), "trap");
        contained(&target, Ends::Denied("SQL of target `app`"), Effect::None).await;
    }
    let insert = "INSERT INTO users VALUES ('grace')".to_owned();
    contained(
        &sql("sql-execute", insert, "trap"),
        Ends::Crashed("unreachable"),
        Effect::Unknown,
    )
    .await;
    assert_eq!(count(), 2);
    // Nobody holds a lock.
    connection.execute("DELETE FROM users", []).unwrap();
    assert_eq!(count(), 0);
}
