//! Calls of Usher's own: the same connections, under a rule that is not the connector's.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use usher_lifecycle::targets::{HttpGrant, HttpScheme, Tls};

use super::server::{Seen, Server, raw};
use super::*;
use crate::certificates::Authority;
use crate::http::fetch::{FetchError, Fetcher};

fn rule(scheme: HttpScheme, host: &str, port: u16) -> HttpGrant {
    HttpGrant {
        scheme,
        host: host.to_owned(),
        port: Some(port),
        methods: vec!["POST".to_owned()],
        path_prefix: Some("/token".to_owned()),
        private_addresses: true,
    }
}

async fn fetcher(tls: &Tls, rule: HttpGrant) -> Fetcher {
    let mut wire = Wire::new(tls, None, Arc::new(secrets())).await.unwrap();
    wire.resolver = loopback();
    Fetcher::new(&wire, "app".to_owned(), rule)
}

async fn fetch(fetcher: &Fetcher, method: &str, uri: &str) -> Result<Response<Bytes>, FetchError> {
    let request = http::Request::builder().method(method).uri(uri);
    let request = request
        .body(Bytes::from_static(b"grant_type=client_credentials"))
        .unwrap();
    let deadline = Instant::now() + Duration::from_millis(500);
    fetcher.fetch(request, 1_000, deadline).await
}

fn token(seen: &Seen) -> Response<Full<Bytes>> {
    let body = match seen.uri.path() {
        "/token/large" => "x".repeat(2_000),
        _ => r#"{"access_token":"t"}"#.to_owned(),
    };
    Response::new(Full::from(body))
}

#[tokio::test]
async fn only_the_configured_endpoint_can_be_asked() {
    let authority = Authority::new("ours");
    let server = Server::tls(authority.server(&["idp.example"], &["h2"]), token).await;
    let tls = local("https", "idp.example", server.port, &authority.trusted()).tls;
    let fetcher = fetcher(&tls, rule(HttpScheme::Https, "idp.example", server.port)).await;
    let base = format!("https://idp.example:{}", server.port);
    let answer = fetch(&fetcher, "POST", &format!("{base}/token")).await.unwrap();
    assert_eq!(&answer.body()[..], br#"{"access_token":"t"}"#);
    assert_eq!(&server.seen()[0].body[..], b"grant_type=client_credentials");
    for (method, uri) in [
        ("GET", format!("{base}/token")),
        ("POST", format!("{base}/users")),
        ("POST", format!("{base}/token/../users")),
        ("POST", "https://other.example/token".to_owned()),
    ] {
        let refused = fetch(&fetcher, method, &uri).await.unwrap_err();
        assert!(
            matches!(refused, FetchError::Refused(_)),
            "{method} {uri}: {refused}"
        );
    }
    let large = fetch(&fetcher, "POST", &format!("{base}/token/large")).await;
    assert_eq!(large.unwrap_err(), FetchError::TooLarge(1_000));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn what_went_wrong_is_told_apart() {
    let authority = Authority::new("ours");
    let server = Server::tls(authority.server(&["idp.example"], &["h2"]), token).await;
    let untrusting = fetcher(
        &Tls::default(),
        rule(HttpScheme::Https, "idp.example", server.port),
    )
    .await;
    let failed = fetch(
        &untrusting,
        "POST",
        &format!("https://idp.example:{}/token", server.port),
    )
    .await;
    assert!(matches!(failed, Err(FetchError::Unreachable(what)) if what.contains("trusted")));
    let (port, _) = raw(&[
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        "",
    ])
    .await;
    let raw_endpoint = fetcher(&Tls::default(), rule(HttpScheme::Http, "idp.example", port)).await;
    let uri = format!("http://idp.example:{port}/token");
    let redirected = fetch(&raw_endpoint, "POST", &uri).await.unwrap();
    assert_eq!(redirected.status(), 302, "a redirect is an answer like any other");
    let lost = fetch(&raw_endpoint, "POST", &uri).await.unwrap_err();
    assert!(matches!(lost, FetchError::Lost(_)), "{lost}");
}

#[tokio::test]
async fn its_connections_and_its_rule_are_not_the_connector_s() {
    let server = Server::plain(token).await;
    // The connector may not reach private addresses; the endpoint the operator configured may be one.
    let target = target("http", "idp.example", server.port, "");
    let egress = egress(&target, loopback()).await;
    let fetcher = Fetcher::new(
        &egress.wire,
        "app".to_owned(),
        rule(HttpScheme::Http, "idp.example", server.port),
    );
    let uri = format!("http://idp.example:{}/token", server.port);
    assert_eq!(fetch(&fetcher, "POST", &uri).await.unwrap().status(), 200);
    let outcome = ask(&egress, "POST", &uri).await;
    assert_eq!(
        outcome.code(),
        "DestinationIpProhibited",
        "a kept connection is not shared"
    );
    assert_eq!(server.seen().len(), 1);
}
