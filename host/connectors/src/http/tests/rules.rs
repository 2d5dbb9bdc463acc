//! What is checked on the way out and on the way back, whatever a guest or a peer tries.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use usher_lifecycle::connector::Effect;

use super::server::{Seen, Server, hello, raw, read_head};
use super::*;
use crate::http::{BETWEEN_BYTES_TIMEOUT, TIMEOUT_MIN, clamp};

async fn to(port: u16, lines: &str) -> Arc<HttpEgress> {
    egress(&local("http", "app.example", port, lines), loopback()).await
}

fn closing(_: &Seen) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("bye"));
    response
        .headers_mut()
        .insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}

#[tokio::test]
async fn a_name_is_asked_for_once_and_the_connection_goes_to_what_was_checked() {
    let server = Server::plain(closing).await;
    let rebinding = names(&[&["127.0.0.1"], &["169.254.169.254"], &["8.8.8.8", "0.0.0.0"]]);
    let egress = egress(&local("http", "app.example", server.port, ""), rebinding).await;
    let uri = format!("http://app.example:{}/", server.port);
    assert_eq!(ask(&egress, "GET", &uri).await.status(), 200);
    for address in ["169.254.169.254", "0.0.0.0"] {
        let outcome = ask(&egress, "POST", &uri).await;
        assert_eq!(outcome.code(), "DestinationIpProhibited");
        assert!(outcome.refusal().contains(address), "{}", outcome.refusal());
        assert_eq!(outcome.effect(), Effect::None);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_public_name_that_turns_to_loopback_is_refused_even_with_a_public_address_beside_it() {
    let server = Server::plain(hello).await;
    let target = target("http", "app.example", server.port, "");
    for answer in [
        &["127.0.0.1"][..],
        &["8.8.8.8", "127.0.0.1"],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
    ] {
        let egress = egress(&target, names(&[answer])).await;
        let outcome = ask(&egress, "GET", &format!("http://app.example:{}/", server.port)).await;
        assert_eq!(outcome.code(), "DestinationIpProhibited", "{answer:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_address_that_is_dead_does_not_use_up_the_time_of_the_others() {
    let server = Server::plain(hello).await;
    // Nothing listens on the second loopback address.
    let egress = egress(
        &local("http", "app.example", server.port, ""),
        names(&[&["127.0.0.2", "127.0.0.1"]]),
    )
    .await;
    assert_eq!(
        ask(&egress, "GET", &format!("http://app.example:{}/", server.port))
            .await
            .status(),
        200
    );
    let nowhere = super::egress(&local("http", "app.example", server.port, ""), names(&[&[]])).await;
    let outcome = ask(&nowhere, "POST", &format!("http://app.example:{}/", server.port)).await;
    assert_eq!(outcome.trouble(), "the name `app.example` cannot be resolved");
    assert_eq!(outcome.effect(), Effect::None);
}

#[tokio::test]
async fn scheme_host_port_method_and_path_must_all_be_granted() {
    let server = Server::plain(hello).await;
    let egress = to(server.port, "").await;
    assert_eq!(
        ask(&egress, "GET", &format!("http://app.example:{}/x", server.port))
            .await
            .status(),
        200
    );
    let narrow = local(
        "http",
        "app.example",
        server.port,
        "methods = [\"GET\"]\npath-prefix = \"/scim\"\n",
    );
    let narrow = super::egress(&narrow, loopback()).await;
    let port = server.port;
    for (method, uri) in [
        ("GET", format!("https://app.example:{port}/scim")),
        ("GET", format!("http://other.example:{port}/scim")),
        ("GET", "http://app.example/scim".to_owned()),
        ("POST", format!("http://app.example:{port}/scim")),
        ("GET", format!("http://app.example:{port}/scimitar")),
        ("GET", format!("http://app.example:{port}/scim/%2e%2e/x")),
        ("GET", format!("http://me@app.example:{port}/scim")),
        ("CONNECT", format!("http://app.example:{port}/scim")),
        ("TRACE", format!("http://app.example:{port}/scim")),
    ] {
        let outcome = ask(&narrow, method, &uri).await;
        assert_eq!(outcome.code(), "HttpRequestDenied", "{method} {uri}");
        assert!(!outcome.refusal().is_empty());
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn headers_cannot_turn_a_request_into_another() {
    let server = Server::plain(hello).await;
    let target = local(
        "http",
        "app.example",
        server.port,
        "methods = [\"GET\", \"POST\", \"PATCH\"]\n",
    );
    let egress = egress(&target, loopback()).await;
    let uri = format!("http://app.example:{}/x", server.port);
    for (name, value) in [
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "delete"),
        ("x-method-override", "no method"),
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
    ] {
        let outcome = send(
            &egress,
            request("POST", &uri, &[(name, value)], ""),
            RequestOptions::default(),
            journal(),
        );
        assert_eq!(outcome.await.code(), "HttpRequestDenied", "{name}");
    }
    assert_eq!(server.seen().len(), 0);
    // What is granted under its other name passes, and counts as what it is.
    let patch = request("GET", &uri, &[("x-http-method-override", "PATCH")], "");
    let outcome = send(&egress, patch, RequestOptions::default(), journal()).await;
    assert_eq!((outcome.status(), outcome.effect()), (200, Effect::Unknown));
    assert_eq!(server.seen()[0].method, http::Method::GET);
}

#[tokio::test]
async fn the_message_is_framed_by_the_host() {
    let server = Server::plain(hello).await;
    let egress = to(server.port, "").await;
    let uri = format!("http://app.example:{}/x", server.port);
    let smuggling = request(
        "POST",
        &uri,
        &[
            ("content-length", "0"),
            ("content-length", "40"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("connection", "x-trace, upgrade"),
            ("host", "evil.example"),
            ("x-trace", "7"),
        ],
        "GET /admin HTTP/1.1\r\nhost: app.example\r\n\r\n",
    );
    assert_eq!(
        send(&egress, smuggling, RequestOptions::default(), journal())
            .await
            .status(),
        200
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].headers["content-length"], "42");
    assert_eq!(seen[0].headers["host"], format!("app.example:{}", server.port));
    assert_eq!(seen[0].headers["x-trace"], "7");
    assert_eq!(seen[0].headers.len(), 3, "{:?}", seen[0].headers);
}

#[tokio::test]
async fn trailers_of_a_request_are_refused_before_it_leaves() {
    let server = Server::plain(hello).await;
    let egress = to(server.port, "").await;
    let trailers = HeaderMap::from_iter([(header::ETAG, header::HeaderValue::from_static("1"))]);
    let body = Full::new(Bytes::from("body"))
        .with_trailers(std::future::ready(Some(Ok(trailers))))
        .map_err(|never| match never {})
        .boxed_unsync();
    let request = http::Request::post(format!("http://app.example:{}/", server.port))
        .body(body)
        .unwrap();
    let outcome = send(&egress, request, RequestOptions::default(), journal()).await;
    assert!(
        outcome.code().starts_with("HttpRequestTrailerSectionSize"),
        "{}",
        outcome.code()
    );
    assert_eq!((outcome.effect(), server.connections()), (Effect::None, 0));
}

#[tokio::test]
async fn answers_that_are_not_proper_are_refused() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nx-a: 1\r\n folded\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx a: 1\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/9.9 200 OK\r\ncontent-length: 0\r\n\r\n",
        "220 mail.example ESMTP\r\n\r\n",
    ] {
        let answers: &'static [&'static str] = Box::leak(Box::new([answer]));
        let (port, _) = raw(answers).await;
        let outcome = ask(
            &to(port, "").await,
            "POST",
            &format!("http://app.example:{port}/"),
        )
        .await;
        assert!(outcome.result.is_err(), "{answer}: {outcome:?}");
        assert!(!outcome.trouble().is_empty(), "{answer}");
        assert_eq!(outcome.effect(), Effect::Unknown, "{answer}");
    }
}

#[tokio::test]
async fn an_upgrade_is_refused_and_a_redirect_is_not_followed() {
    let (port, _) =
        raw(&["HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"]).await;
    let outcome = ask(&to(port, "").await, "GET", &format!("http://app.example:{port}/")).await;
    assert_eq!(outcome.code(), "HttpUpgradeFailed");
    assert!(outcome.trouble().contains("101"), "{}", outcome.trouble());
    let (port, heads) = raw(&["HTTP/1.1 307 Go\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"]).await;
    let outcome = ask(
        &to(port, "").await,
        "POST",
        &format!("http://app.example:{port}/"),
    )
    .await;
    assert_eq!((outcome.status(), heads.lock().unwrap().len()), (307, 1));
}

#[tokio::test]
async fn bytes_are_capped_for_each_answer_and_for_the_whole_call() {
    let server = Server::plain(|_| Response::new(Full::from(vec![b'y'; 3_000]))).await;
    let egress = to(server.port, "[targets.app.limits]\nresponse-kib = 2\n").await;
    let uri = format!("http://app.example:{}/", server.port);
    let outcome = ask(&egress, "GET", &uri).await;
    assert!(
        outcome.code().starts_with("HttpResponseBodySize"),
        "{}",
        outcome.code()
    );
    assert_eq!(outcome.journal.limit().unwrap(), "response-kib = 2");

    let egress = to(server.port, "").await;
    let journal = Arc::new(Journal::new(Instant::now() + Duration::from_secs(20), 100, 10));
    for _ in 0..3 {
        let sent = request("POST", &uri, &[], "");
        assert_eq!(
            send(&egress, sent, RequestOptions::default(), Arc::clone(&journal))
                .await
                .status(),
            200
        );
    }
    let outcome = send(
        &egress,
        request("POST", &uri, &[], ""),
        RequestOptions::default(),
        Arc::clone(&journal),
    )
    .await;
    assert!(outcome.result.is_err());
    assert_eq!(journal.limit().unwrap(), "transfer-kib = 10");
    let before = server.seen().len();
    let large = request("POST", &uri, &[], &"x".repeat(5_000));
    let outcome = send(&egress, large, RequestOptions::default(), journal).await;
    assert_eq!(outcome.code(), "ConnectionLimitReached");
    assert_eq!(server.seen().len(), before, "what is too much does not leave");
}

#[tokio::test]
async fn a_write_whose_answer_does_not_come_whole_may_have_done_something() {
    let large = Server::plain(|_| Response::new(Full::from(vec![b'y'; 3_000]))).await;
    let wordy = Server::plain(|_| {
        let head = Response::builder().header("x-much", "y".repeat(2_000));
        head.body(Full::default()).unwrap()
    })
    .await;
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let (silent, cut) = (stalling(half).await, cutting(half).await);
    let cases = [
        (large.port, "response-kib = 1", "HttpResponseBodySize"),
        (wordy.port, "transfer-kib = 1", "HttpResponseBodySize"),
        (silent, "", "ConnectionReadTimeout"),
        (cut, "", "Hyper"),
    ];
    let options = RequestOptions {
        connect_timeout: None,
        first_byte_timeout: None,
        between_bytes_timeout: Some(Duration::from_millis(200)),
    };
    for (port, limit, code) in cases {
        let egress = to(port, &format!("[targets.app.limits]\n{limit}\n")).await;
        for (method, unsure) in [("POST", true), ("GET", false)] {
            let asked = request(method, &format!("http://app.example:{port}/"), &[], "");
            let transfer_kib = if limit.starts_with("transfer") { 1 } else { 100 };
            let deadline = Instant::now() + Duration::from_secs(20);
            let journal = Arc::new(Journal::new(deadline, 10, transfer_kib));
            let outcome = send(&egress, asked, options, journal).await;
            assert!(outcome.code().starts_with(code), "{code}: {}", outcome.code());
            assert_eq!(outcome.journal.has_unanswered_write(), unsure, "{method} {code}");
        }
    }
}

/// Begins an answer to each connection, and closes it.
async fn cutting(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1_024]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

#[tokio::test]
async fn trailers_of_an_answer_count_like_its_body() {
    let trailers: String = (0..40)
        .map(|index| format!("x-{index}: {}\r\n", "z".repeat(90)))
        .collect();
    let answer =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-0\r\n\r\n0\r\n{trailers}\r\n");
    let answers: &'static [&'static str] = Box::leak(Box::new([&*answer.leak()]));
    let (port, _) = raw(answers).await;
    let uri = format!("http://app.example:{port}/");
    let outcome = ask(
        &to(port, "[targets.app.limits]\nresponse-kib = 2\n").await,
        "GET",
        &uri,
    )
    .await;
    assert_eq!(
        outcome.journal.limit().as_deref(),
        Some("response-kib = 2"),
        "{outcome:?}"
    );
}

#[test]
fn times_a_guest_asks_for_are_clamped() {
    let most = BETWEEN_BYTES_TIMEOUT;
    assert_eq!(clamp(None, most), most);
    assert_eq!(clamp(Some(Duration::ZERO), most), TIMEOUT_MIN);
    assert_eq!(clamp(Some(Duration::from_secs(5)), most), Duration::from_secs(5));
    assert_eq!(clamp(Some(Duration::MAX), most), most);
}

/// Answers with these bytes at once and then says nothing more.
async fn stalling(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                while read_head(&mut tcp).await.is_some() {
                    tcp.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_given_up_on_before_and_within_the_answer() {
    let hurried = RequestOptions {
        connect_timeout: Some(Duration::ZERO),
        first_byte_timeout: Some(Duration::ZERO),
        between_bytes_timeout: Some(Duration::from_millis(200)),
    };
    let mute = stalling("").await;
    let post = request("POST", &format!("http://app.example:{mute}/"), &[], "");
    let outcome = send(&to(mute, "").await, post, hurried, journal()).await;
    assert_eq!(outcome.code(), "ConnectionReadTimeout");
    assert_eq!(
        (outcome.trouble().as_str(), outcome.effect()),
        ("no answer in time", Effect::Unknown)
    );

    // The same in the middle of a handshake: nothing of the write has left.
    let post = request("POST", &format!("https://app.example:{mute}/"), &[], "");
    let secure = super::egress(&local("https", "app.example", mute, ""), loopback()).await;
    let outcome = send(&secure, post, hurried, journal()).await;
    assert_eq!(outcome.code(), "ConnectionTimeout");
    assert_eq!(
        (outcome.trouble().as_str(), outcome.effect()),
        ("no connection in time", Effect::None)
    );

    let half = stalling("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let get = request("GET", &format!("http://app.example:{half}/"), &[], "");
    let options = RequestOptions {
        first_byte_timeout: Some(Duration::MAX),
        ..hurried
    };
    let outcome = send(&to(half, "").await, get, options, journal()).await;
    assert_eq!(outcome.code(), "ConnectionReadTimeout");
    assert!(
        outcome.trouble().contains("nothing more for 200 ms"),
        "{}",
        outcome.trouble()
    );
    // However long the guest would wait, the call is over when it is over.
    let journal = Arc::new(Journal::new(Instant::now() + Duration::from_millis(300), 10, 10));
    let patient = RequestOptions {
        between_bytes_timeout: Some(Duration::MAX),
        ..options
    };
    let get = request("GET", &format!("http://app.example:{half}/"), &[], "");
    let outcome = send(&to(half, "").await, get, patient, journal).await;
    assert_eq!(outcome.code(), "ConnectionReadTimeout");
}
