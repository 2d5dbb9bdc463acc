//! What leaves over HTTP: only what is granted, with the host's credentials, and with an honest account of what left.

use serde_json::{Value, json};
use usher_connectors::Connector as _;
use usher_lifecycle::account::AccountState;
use usher_lifecycle::connector::{CallError, Effect, ErrorKind};
use usher_lifecycle::targets::{Limits, SecretReference, Target};

use crate::support::{
    SECRET, Serve, Server, granting_http, hostile, login, target, try_load, with_bearer, write,
};

fn request(method: &str, port: u16, path: &str) -> Value {
    json!({ "behaviour": "http", "method": method, "scheme": "http", "authority": format!("127.0.0.1:{port}"), "path": path })
}

fn and(mut settings: Value, name: &str, value: impl Into<Value>) -> Value {
    settings[name] = value.into();
    settings
}

async fn create(target: &Target) -> Result<String, CallError> {
    hostile(target)
        .await
        .create(&write(), &login("ada"))
        .await
        .map(|account| account.id)
}

#[tokio::test]
async fn a_granted_request_arrives_with_the_host_s_credentials() {
    let server = Server::start(Serve::Bytes(5)).await;
    let settings = and(request("POST", server.port, "/Users?a=b"), "body-bytes", 10_000);
    let settings = and(
        settings,
        "headers",
        json!({ "authorization": "Bearer mine", "x-trace": "7", "content-length": "10000" }),
    );
    let target = with_bearer(granting_http(target(settings), server.port));
    assert_eq!(create(&target).await.unwrap(), "200 yyyyy");
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].head.starts_with("post /users?a=b http/1.1\r\n"),
        "{}",
        seen[0].head
    );
    assert_eq!(seen[0].body_bytes, 10_000);
    assert!(
        seen[0]
            .head
            .contains(&format!("authorization: bearer {SECRET}\r\n")),
        "{}",
        seen[0].head
    );
    assert!(
        !seen[0].head.contains("mine") && seen[0].head.contains("x-trace: 7"),
        "{}",
        seen[0].head
    );
    assert!(
        seen[0]
            .head
            .contains(&format!("host: 127.0.0.1:{}\r\n", server.port)),
        "{}",
        seen[0].head
    );
}

#[tokio::test]
async fn connections_are_kept_between_calls() {
    let server = Server::start(Serve::Bytes(5)).await;
    let target = granting_http(target(request("GET", server.port, "/")), server.port);
    let generation = hostile(&target).await;
    for _ in 0..20 {
        generation.create(&write(), &login("ada")).await.unwrap();
    }
    assert_eq!((server.seen().len(), server.connections()), (20, 1));
}

#[tokio::test]
async fn what_is_not_granted_does_not_leave_and_the_message_says_what_to_add() {
    let (granted, other) = (
        Server::start(Serve::Bytes(5)).await,
        Server::start(Serve::Bytes(5)).await,
    );
    let target = granting_http(
        target(and(request("POST", other.port, "/x"), "body-bytes", 200_000)),
        granted.port,
    );
    let error = create(&target).await.unwrap_err();
    let grant = format!(
        "[[targets.app.grants.http]]\nscheme = \"http\"\nhost = \"127.0.0.1\"\nport = {}\n",
        other.port
    );
    assert_eq!(error.kind, ErrorKind::Denied(grant.clone()));
    assert_eq!(error.effect, Effect::None);
    assert!(
        error.message.contains(&grant) && error.message.contains("HttpRequestDenied"),
        "{}",
        error.message
    );
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_refusal_is_told_even_when_the_guest_hides_it_or_crashes_on_it() {
    let server = Server::start(Serve::Bytes(5)).await;
    for after in ["lie", "trap"] {
        let target = target(and(request("GET", server.port, "/x"), "then", after));
        let error = create(&target).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Denied(_)), "{after}: {error:?}");
        assert!(
            error.message.contains("HTTP GET http://127.0.0.1:"),
            "{after}: {}",
            error.message
        );
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn loopback_and_metadata_need_more_than_a_host_in_the_grant() {
    let server = Server::start(Serve::Bytes(5)).await;
    let mut plain = granting_http(target(request("GET", server.port, "/")), server.port);
    plain.grants.http[0].private_addresses = false;
    let error = create(&plain).await.unwrap_err();
    assert!(
        matches!(&error.kind, ErrorKind::Denied(grant) if grant.ends_with("private-addresses = true\n")),
        "{error:?}"
    );
    for host in ["169.254.169.254", "0.0.0.0", "[::ffff:127.0.0.1]", "[fe80::1]"] {
        let settings = and(
            request("GET", server.port, "/"),
            "authority",
            format!("{host}:{}", server.port),
        );
        let mut target = granting_http(target(settings), server.port);
        target.grants.http[0].host = host.to_owned();
        let error = create(&target).await.unwrap_err();
        assert!(
            matches!(&error.kind, ErrorKind::Denied(what) if what.contains("never allowed")),
            "{host}: {error:?}"
        );
        assert_eq!(error.effect, Effect::None);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_that_leads_to_loopback_is_checked_by_its_address() {
    let server = Server::start(Serve::Bytes(5)).await;
    let settings = and(
        request("GET", server.port, "/"),
        "authority",
        format!("localhost:{}", server.port),
    );
    let mut target = granting_http(target(settings), server.port);
    target.grants.http[0].host = "localhost".to_owned();
    assert_eq!(create(&target).await.unwrap(), "200 yyyyy");
    target.grants.http[0].private_addresses = false;
    assert!(matches!(
        create(&target).await.unwrap_err().kind,
        ErrorKind::Denied(_)
    ));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_path_cannot_leave_its_prefix() {
    let server = Server::start(Serve::Bytes(5)).await;
    for path in [
        "/scim/../admin",
        "/scim/%2e%2e/admin",
        "/scimitar",
        "/",
        "http://127.0.0.1/scim",
        "*",
    ] {
        let mut target = granting_http(target(request("GET", server.port, path)), server.port);
        target.grants.http[0].path_prefix = Some("/scim".to_owned());
        assert!(create(&target).await.is_err(), "{path}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::start(Serve::Redirect).await;
    let target = granting_http(target(request("GET", server.port, "/")), server.port);
    assert_eq!(create(&target).await.unwrap(), "302 ");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn answers_requests_and_bodies_are_capped() {
    let server = Server::start(Serve::Bytes(100 * 1024)).await;
    let mut target = granting_http(target(request("GET", server.port, "/")), server.port);
    target.limits = Limits {
        response_kib: 64,
        requests: 3,
        ..Limits::default()
    };
    let error = create(&target).await.unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::LimitExceeded("response-kib = 64".to_owned()),
        "{error:?}"
    );
    target.limits.response_kib = 1_000;
    target.settings = and(
        and(request("GET", server.port, "/"), "behaviour", "http-many"),
        "count",
        10,
    );
    let error = create(&target).await.unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::LimitExceeded("requests = 3".to_owned()),
        "{error:?}"
    );
    let before = server.seen().len();
    target.settings = and(request("POST", server.port, "/"), "body-bytes", 3_000_000);
    let error = create(&target).await.unwrap_err();
    assert!(error.message.contains("HttpRequestBodySize"), "{}", error.message);
    assert_eq!((server.seen().len(), error.effect), (before, Effect::None));
}

#[tokio::test]
async fn a_crash_after_a_write_left_is_of_unknown_effect() {
    let server = Server::start(Serve::Bytes(5)).await;
    for (method, effect) in [
        ("POST", Effect::Unknown),
        ("DELETE", Effect::Unknown),
        ("GET", Effect::None),
        ("HEAD", Effect::None),
    ] {
        let target = granting_http(
            target(and(request(method, server.port, "/"), "then", "trap")),
            server.port,
        );
        let error = create(&target).await.unwrap_err();
        assert_eq!(
            (error.kind, error.effect),
            (ErrorKind::Crashed, effect),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_call_cut_short_after_a_write_left_is_of_unknown_effect() {
    let server = Server::start(Serve::Silence).await;
    for (method, effect) in [("POST", Effect::Unknown), ("GET", Effect::None)] {
        let mut target = granting_http(target(request(method, server.port, "/")), server.port);
        // Less than the guest's own wait: the host ends the call.
        target.limits.wall_ms = 300;
        target.settings["then"] = json!("sleep");
        let error = create(&target).await.unwrap_err();
        assert_eq!(
            (error.kind, error.effect),
            (ErrorKind::Timeout, effect),
            "{method}"
        );
    }
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_write_to_a_closed_port_did_nothing() {
    let server = Server::start(Serve::Bytes(1)).await;
    let closed = {
        tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
    };
    let target = granting_http(target(and(request("POST", closed, "/"), "then", "trap")), closed);
    let error = create(&target).await.unwrap_err();
    assert_eq!(
        (error.kind, error.effect),
        (ErrorKind::Crashed, Effect::None),
        "{}",
        error.message
    );
    assert!(
        error.message.contains("no connection to 127.0.0.1"),
        "{}",
        error.message
    );
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_server_that_hangs_up_is_told_to_the_guest() {
    let server = Server::start(Serve::Close).await;
    let target = granting_http(target(request("POST", server.port, "/")), server.port);
    let error = create(&target).await.unwrap_err();
    // The guest claims that nothing was done; the host knows that nobody can tell.
    assert_eq!(
        (error.kind, error.effect),
        (ErrorKind::Unavailable, Effect::Unknown)
    );
    assert!(
        error.message.contains("ConnectionTerminated"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn the_secret_is_nowhere_but_on_the_wire() {
    let server = Server::start(Serve::Bytes(5)).await;
    let target = with_bearer(granting_http(
        target(request("GET", server.port, "/")),
        server.port,
    ));
    let generation = hostile(&target).await;
    let account = generation.create(&write(), &login("ada")).await.unwrap();
    assert_eq!(account.state, AccountState::Enabled);
    assert!(
        !format!(
            "{account:?} {:?} {:?}",
            generation.descriptor(),
            generation.account_schema()
        )
        .contains(SECRET)
    );
}

#[tokio::test]
async fn a_missing_secret_stops_the_request() {
    let server = Server::start(Serve::Bytes(5)).await;
    let mut target = with_bearer(granting_http(
        target(request("POST", server.port, "/")),
        server.port,
    ));
    if let Some(usher_lifecycle::targets::HttpAuth::Bearer(reference)) = &mut target.http_auth {
        *reference = SecretReference::Env("MISSING".to_owned());
    }
    let error = create(&target).await.unwrap_err();
    assert!(error.message.contains("MISSING"), "{}", error.message);
    assert_eq!((server.connections(), error.effect), (0, Effect::None));
}

#[tokio::test]
async fn a_request_refused_by_another_host_never_carries_the_secret() {
    let (granted, other) = (Server::start(Serve::Echo).await, Server::start(Serve::Echo).await);
    let target = with_bearer(granting_http(
        target(request("GET", other.port, "/")),
        granted.port,
    ));
    create(&target).await.unwrap_err();
    assert_eq!((granted.connections(), other.connections()), (0, 0));
}

#[tokio::test]
async fn authentication_that_cannot_be_used_is_refused_at_load() {
    let mut target = target(json!({}));
    target.http_auth = Some(usher_lifecycle::targets::HttpAuth::Header {
        name: "Host".to_owned(),
        prefix: String::new(),
        value: SecretReference::Env("TOKEN".to_owned()),
    });
    let error = try_load("usher-guest-hostile", &target)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("belongs to the host"), "{error}");
}
