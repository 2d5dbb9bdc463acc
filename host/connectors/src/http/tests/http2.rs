//! HTTP/2 where the server offers it, HTTP/1.1 where it does not, and what is particular to connections that many share or that die.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, Version};
use http_body_util::Full;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use usher_lifecycle::connector::Effect;
use wasmtime_wasi_http::RequestOptions;

use super::server::{Seen, Server, hello, raw};
use super::*;
use crate::certificates::Authority;

const URI: &str = "https://app.example";

async fn offering(authority: &Authority, protocols: &[&str]) -> Server {
    Server::tls(authority.server(&["app.example"], protocols), hello).await
}

#[tokio::test]
async fn http2_is_spoken_where_the_server_offers_it() {
    let authority = Authority::new("ours");
    let server = offering(&authority, &["h2", "http/1.1"]).await;
    let egress = egress(
        &local("https", "app.example", server.port, &authority.trusted()),
        loopback(),
    )
    .await;
    let uri = format!("{URI}:{}/Users?a=b", server.port);
    let post = request(
        "POST",
        &uri,
        &[
            ("host", "evil.example"),
            ("te", "trailers"),
            ("connection", "close"),
            ("x-trace", "7"),
        ],
        "ada",
    );
    let outcome = send(&egress, post, RequestOptions::default(), journal()).await;
    assert_eq!((outcome.status(), outcome.body()), (200, &b"hello"[..]));
    let seen = &server.seen()[0];
    assert_eq!(seen.version, Version::HTTP_2);
    assert_eq!(
        seen.uri.to_string(),
        uri,
        "the authority is that of the address checked"
    );
    assert_eq!(seen.headers["content-length"], "3");
    assert_eq!(&seen.body[..], b"ada");
    for gone in ["host", "te", "connection"] {
        assert!(!seen.headers.contains_key(gone), "{gone}: {:?}", seen.headers);
    }
    assert_eq!(seen.headers["x-trace"], "7");
}

#[tokio::test]
async fn http1_is_spoken_where_it_does_not() {
    let authority = Authority::new("ours");
    for protocols in [&["http/1.1"][..], &[]] {
        let server = offering(&authority, protocols).await;
        let egress = egress(
            &local("https", "app.example", server.port, &authority.trusted()),
            loopback(),
        )
        .await;
        let outcome = ask(&egress, "GET", &format!("{URI}:{}/", server.port)).await;
        assert_eq!(outcome.status(), 200);
        assert_eq!(server.seen()[0].version, Version::HTTP_11);
        assert_eq!(
            server.seen()[0].headers["host"],
            format!("app.example:{}", server.port)
        );
    }
}

#[tokio::test]
async fn calls_at_the_same_time_share_one_connection_and_wait_for_their_turn() {
    let authority = Authority::new("ours");
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http2().max_concurrent_streams(2);
    let config = authority.server(&["app.example"], &["h2"]);
    let server = Server::start(Some(config), http, hello).await;
    let egress = egress(
        &local("https", "app.example", server.port, &authority.trusted()),
        loopback(),
    )
    .await;
    let uri = format!("{URI}:{}/", server.port);
    assert_eq!(ask(&egress, "GET", &uri).await.status(), 200);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (egress, uri) = (Arc::clone(&egress), uri.clone());
        asking.spawn(async move { ask(&egress, "POST", &uri).await.status() });
    }
    assert!(asking.join_all().await.iter().all(|&status| status == 200));
    assert_eq!((server.seen().len(), server.connections()), (21, 1));
}

fn large_head(_: &Seen) -> Response<Full<Bytes>> {
    let mut response = hello_response();
    let value = HeaderValue::from_bytes(&[b'x'; 8 * 1024]).unwrap();
    for index in 0..10 {
        let name: http::HeaderName = format!("x-large-{index}").parse().unwrap();
        response.headers_mut().insert(name, value.clone());
    }
    response
}

fn many_headers(_: &Seen) -> Response<Full<Bytes>> {
    let mut response = hello_response();
    for index in 0..200 {
        let name: http::HeaderName = format!("x-{index}").parse().unwrap();
        response.headers_mut().insert(name, HeaderValue::from_static("1"));
    }
    response
}

fn hello_response() -> Response<Full<Bytes>> {
    Response::new(Full::from("hello"))
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_in_both() {
    let authority = Authority::new("ours");
    for (protocol, answer) in [
        ("h2", large_head as fn(&Seen) -> _),
        ("http/1.1", large_head),
        ("h2", many_headers),
        ("http/1.1", many_headers),
    ] {
        let server = Server::tls(authority.server(&["app.example"], &[protocol]), answer).await;
        let egress = egress(
            &local("https", "app.example", server.port, &authority.trusted()),
            loopback(),
        )
        .await;
        let outcome = ask(&egress, "POST", &format!("{URI}:{}/", server.port)).await;
        let (code, trouble) = (outcome.code(), outcome.trouble());
        assert!(
            code.contains("HeaderSectionSize") || code == "HttpProtocolError",
            "{protocol}: {code}"
        );
        assert!(
            trouble.contains("100 headers") || trouble.contains("larger than 65536 bytes"),
            "{protocol}: {trouble}"
        );
        assert_eq!(outcome.effect(), Effect::Unknown, "the target has worked on it");
    }
}

/// An HTTP/2 server that resets every stream for a reason.
async fn resetting(authority: &Authority, reason: h2::Reason) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(authority.server(&["app.example"], &["h2"])));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let tls = acceptor.accept(tcp).await.unwrap();
                let mut connection = h2::server::handshake(tls).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    respond.send_reset(reason);
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_write_that_the_peer_refused_unseen_has_done_nothing_another_may_have() {
    let authority = Authority::new("ours");
    for (reason, effect) in [
        (h2::Reason::REFUSED_STREAM, Effect::None),
        (h2::Reason::CANCEL, Effect::Unknown),
        (h2::Reason::INTERNAL_ERROR, Effect::Unknown),
    ] {
        let port = resetting(&authority, reason).await;
        let egress = egress(
            &local("https", "app.example", port, &authority.trusted()),
            loopback(),
        )
        .await;
        let outcome = ask(&egress, "POST", &format!("{URI}:{port}/")).await;
        assert_eq!(outcome.effect(), effect, "{reason:?}: {}", outcome.code());
        assert!(!outcome.trouble().is_empty());
    }
}

/// An HTTP/2 server that goes away when it is asked something, naming the last request it has worked on.
async fn going_away(authority: &Authority, last: u8) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(authority.server(&["app.example"], &["h2"])));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let mut tls = acceptor.accept(tcp).await.unwrap();
            let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            tls.write_all(&settings).await.unwrap();
            tls.read_exact(&mut [0; 24]).await.unwrap();
            let mut kind = 0;
            while kind != 1 {
                let mut head = [0; 9];
                tls.read_exact(&mut head).await.unwrap();
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                tls.read_exact(&mut vec![0; length as usize]).await.unwrap();
                kind = head[3];
            }
            let go_away = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, 0];
            tls.write_all(&go_away).await.unwrap();
            tls.flush().await.unwrap();
            let _ = tls.shutdown().await;
        }
    });
    port
}

#[tokio::test]
async fn a_write_after_the_last_one_that_a_leaving_peer_took_has_done_nothing() {
    let authority = Authority::new("ours");
    for (last, effect) in [(0, Effect::None), (1, Effect::Unknown)] {
        let port = going_away(&authority, last).await;
        let egress = egress(
            &local("https", "app.example", port, &authority.trusted()),
            loopback(),
        )
        .await;
        let outcome = ask(&egress, "POST", &format!("{URI}:{port}/")).await;
        assert_eq!(outcome.effect(), effect, "{last}: {}", outcome.trouble());
        assert_eq!(outcome.code(), "ConnectionTerminated");
    }
}

#[tokio::test]
async fn a_write_that_left_on_a_connection_that_died_is_not_sent_again() {
    // Answers one request, takes a second one, and hangs up.
    let (port, heads) = raw(&["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""]).await;
    let egress = egress(&local("http", "127.0.0.1", port, ""), loopback()).await;
    let uri = format!("http://127.0.0.1:{port}/");
    assert_eq!(ask(&egress, "POST", &uri).await.status(), 200);
    let outcome = ask(&egress, "POST", &uri).await;
    assert_eq!(outcome.code(), "ConnectionTerminated");
    assert_eq!(outcome.effect(), Effect::Unknown);
    assert_eq!(heads.lock().unwrap().len(), 2);
}

/// Passes bytes on until it is told to lose them all; says when the client has given up.
async fn forgetful_firewall(behind: u16, forget: Arc<AtomicBool>) -> (u16, oneshot::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (gave_up, has_given_up) = oneshot::channel();
    let mut gave_up = Some(gave_up);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let (forget, mut gave_up) = (Arc::clone(&forget), gave_up.take());
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                    if gave_up.is_none() || !forget.load(Ordering::SeqCst) {
                        to_server.write_all(&buffer[..count]).await.unwrap();
                    }
                }
                if let Some(gave_up) = gave_up.take() {
                    let _ = gave_up.send(());
                }
            });
        }
    });
    (port, has_given_up)
}

#[tokio::test]
async fn a_dead_connection_is_noticed_before_a_write_is_sent_into_it() {
    let authority = Authority::new("ours");
    let server = offering(&authority, &["h2"]).await;
    let forget = Arc::new(AtomicBool::new(false));
    let (port, gave_up) = forgetful_firewall(server.port, Arc::clone(&forget)).await;
    let times = Times {
        ping_interval: Duration::from_millis(50),
        ping_timeout: Duration::from_millis(200),
        ..Times::default()
    };
    let target = local("https", "app.example", port, &authority.trusted());
    let egress = egress_with(&target, loopback(), secrets(), times).await;
    let uri = format!("{URI}:{port}/");
    assert_eq!(ask(&egress, "GET", &uri).await.status(), 200);
    forget.store(true, Ordering::SeqCst);
    tokio::time::timeout(Duration::from_secs(10), gave_up)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ask(&egress, "POST", &uri).await.status(), 200);
    assert_eq!(server.connections(), 2);
}
