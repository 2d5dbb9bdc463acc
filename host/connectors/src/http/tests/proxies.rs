//! Targets behind a proxy of the operator.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use usher_lifecycle::connector::Effect;

use super::server::{Server, hello, read_head};
use super::*;
use crate::certificates::Authority;

/// What the proxy does with who asks.
#[derive(Clone, Copy)]
enum Manner {
    /// Lets them through if they say who they are.
    Asking,
    /// Refuses every tunnel.
    Strict,
    /// Takes the connection and says nothing.
    Mute,
}

/// A proxy: tunnels go to loopback, whatever the name; other requests it answers itself. Returns its port and the heads it read.
async fn proxy(manner: Manner) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, manner, Arc::clone(&seen)));
        }
    });
    (port, heads)
}

async fn serve(mut client: TcpStream, manner: Manner, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(head) = read_head(&mut client).await {
        seen.lock().unwrap().push(head.clone());
        let known = head.to_ascii_lowercase().contains("proxy-authorization: basic ");
        let answer = match manner {
            Manner::Mute => std::future::pending().await,
            Manner::Asking if !known => "407 Proxy Authentication Required",
            Manner::Strict => "403 Forbidden",
            Manner::Asking => "200 OK",
        };
        if let (Some(rest), "200 OK") = (head.strip_prefix("CONNECT "), answer) {
            client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
            let port: u16 = rest.split([':', ' ']).nth(1).unwrap().parse().unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            return;
        }
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 5\r\n\r\nproxy");
        client.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn through(port: u16, more: &str) -> String {
    format!("[targets.app.proxy]\nurl = \"http://127.0.0.1:{port}\"\nprivate-addresses = true\n{more}")
}

const CREDENTIALS: &str = "username = \"usher\"\npassword = { env = \"PASSWORD\" }\n";

/// A name that only the proxy knows.
const INSIDE: &str = "app.inside.invalid";

async fn behind(target: &Target) -> Arc<HttpEgress> {
    egress(target, Resolver::System).await
}

#[tokio::test]
async fn https_goes_through_a_tunnel_with_tls_from_end_to_end() {
    let authority = Authority::new("ours");
    let server = Server::tls(authority.server(&[INSIDE], &["h2"]), hello).await;
    let (port, heads) = proxy(Manner::Asking).await;
    let lines = format!("{}{}", through(port, CREDENTIALS), authority.trusted());
    let target = target("https", INSIDE, server.port, &lines);
    let egress = behind(&target).await;
    let uri = format!("https://{INSIDE}:{}/x", server.port);
    for _ in 0..3 {
        assert_eq!(ask(&egress, "POST", &uri).await.status(), 200);
    }
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 1, "the tunnel is kept");
    assert!(
        heads[0].starts_with(&format!("CONNECT {INSIDE}:{} HTTP/1.1\r\n", server.port)),
        "{}",
        heads[0]
    );
    assert!(
        heads[0].contains("proxy-authorization: Basic dXNoZXI6cHIweHktczNjcjN0\r\n"),
        "{}",
        heads[0]
    );
    assert_eq!(server.seen().len(), 3);
    for seen in server.seen() {
        assert!(
            !seen.headers.contains_key("proxy-authorization"),
            "{:?}",
            seen.headers
        );
    }
}

#[tokio::test]
async fn http_is_handed_to_the_proxy_with_its_whole_address() {
    let (port, heads) = proxy(Manner::Asking).await;
    let egress = behind(&target("http", INSIDE, 8080, &through(port, CREDENTIALS))).await;
    let forged = request(
        "POST",
        &format!("http://{INSIDE}:8080/x?y=z"),
        &[
            ("proxy-authorization", "Basic mine"),
            ("proxy-connection", "close"),
        ],
        "ada",
    );
    let outcome = send(&egress, forged, RequestOptions::default(), journal()).await;
    assert_eq!((outcome.status(), outcome.body()), (200, &b"proxy"[..]));
    let head = heads.lock().unwrap()[0].clone();
    assert!(
        head.starts_with(&format!("POST http://{INSIDE}:8080/x?y=z HTTP/1.1\r\n")),
        "{head}"
    );
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains(&format!("host: {INSIDE}:8080\r\n")), "{head}");
    assert_eq!(
        lower
            .matches("proxy-authorization: basic dxnozxi6chiwehktcznjcjn0\r\n")
            .count(),
        1,
        "{head}"
    );
    assert!(
        !lower.contains("mine") && !lower.contains("proxy-connection"),
        "{head}"
    );
}

#[tokio::test]
async fn a_proxy_that_wants_credentials_is_told_to_the_operator_and_nothing_was_done() {
    let (port, _) = proxy(Manner::Asking).await;
    for scheme in ["http", "https"] {
        let egress = behind(&target(scheme, INSIDE, 8080, &through(port, ""))).await;
        let outcome = ask(&egress, "POST", &format!("{scheme}://{INSIDE}:8080/")).await;
        assert_eq!(outcome.code(), "DestinationUnavailable", "{scheme}");
        assert!(
            outcome.trouble().contains("asks for `username`"),
            "{scheme}: {}",
            outcome.trouble()
        );
        assert_eq!(outcome.effect(), Effect::None);
    }
}

#[tokio::test]
async fn what_the_proxy_refuses_is_said_without_its_password() {
    let (port, heads) = proxy(Manner::Strict).await;
    let egress = behind(&target("https", INSIDE, 8443, &through(port, CREDENTIALS))).await;
    let outcome = ask(&egress, "POST", &format!("https://{INSIDE}:8443/")).await;
    let trouble = outcome.trouble();
    assert!(
        trouble.contains(&format!("does not connect to {INSIDE}:8443")) && trouble.contains("403"),
        "{trouble}"
    );
    assert_eq!((heads.lock().unwrap().len(), outcome.effect()), (1, Effect::None));
    let shown = format!("{outcome:?}");
    assert!(
        !shown.contains(PASSWORD) && !shown.contains("dXNoZXI6"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_missing_password_and_a_mute_proxy_are_said() {
    let (port, heads) = proxy(Manner::Mute).await;
    let with_password = target("https", INSIDE, 8443, &through(port, CREDENTIALS));
    let egress = egress_with(
        &with_password,
        Resolver::System,
        FixedSecrets::none(),
        Times::default(),
    )
    .await;
    let outcome = ask(&egress, "POST", &format!("https://{INSIDE}:8443/")).await;
    assert!(
        outcome.trouble().contains("the proxy's password cannot be had"),
        "{}",
        outcome.trouble()
    );
    assert_eq!(heads.lock().unwrap().len(), 0);

    let times = Times {
        connect: Duration::from_millis(300),
        ..Times::default()
    };
    let egress = egress_with(&with_password, Resolver::System, secrets(), times).await;
    let outcome = ask(&egress, "POST", &format!("https://{INSIDE}:8443/")).await;
    assert_eq!(outcome.code(), "ConnectionTimeout");
    assert_eq!(outcome.effect(), Effect::None);
}

#[tokio::test]
async fn the_proxy_s_own_address_is_checked_and_so_are_targets_that_are_addresses() {
    let (port, heads) = proxy(Manner::Asking).await;
    let lines = format!("[targets.app.proxy]\nurl = \"http://127.0.0.1:{port}\"\n");
    let egress = behind(&target("http", INSIDE, 80, &lines)).await;
    let outcome = ask(&egress, "GET", &format!("http://{INSIDE}/")).await;
    assert_eq!(outcome.code(), "DestinationIpProhibited");
    assert!(
        outcome
            .refusal()
            .contains("private-addresses = true to the target's `proxy`"),
        "{}",
        outcome.refusal()
    );
    for (host, said) in [
        ("169.254.169.254", "never allowed"),
        ("10.0.0.1", "private-addresses = true"),
    ] {
        let egress = behind(&target("http", host, 80, &through(port, CREDENTIALS))).await;
        let outcome = ask(&egress, "GET", &format!("http://{host}/")).await;
        assert!(outcome.refusal().contains(said), "{host}: {}", outcome.refusal());
    }
    let egress = behind(&target("http", INSIDE, 80, &through(port, CREDENTIALS))).await;
    for (method, uri) in [
        ("GET", "http://other.invalid/"),
        ("CONNECT", "http://app.inside.invalid/"),
    ] {
        let outcome = ask(&egress, method, uri).await;
        assert_eq!(outcome.code(), "HttpRequestDenied", "{method} {uri}");
    }
    assert_eq!(heads.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn usher_s_own_calls_go_through_it_too() {
    let (port, heads) = proxy(Manner::Asking).await;
    for (more, reached) in [(CREDENTIALS, true), ("", false)] {
        let target = target("http", INSIDE, 8080, &through(port, more));
        let egress = behind(&target).await;
        let rule = target.grants.http[0].clone();
        let fetcher = crate::http::Fetcher::new(&egress.wire, "app".to_owned(), rule);
        let request = http::Request::post(format!("http://{INSIDE}:8080/token")).body(Bytes::new());
        let deadline = Instant::now() + Duration::from_secs(10);
        let fetched = fetcher.fetch(request.unwrap(), 1_000, deadline).await;
        match fetched {
            Ok(response) => assert!(reached && &response.body()[..] == b"proxy"),
            Err(error) => assert!(
                !reached && error.to_string().contains("asks for `username`"),
                "{error}"
            ),
        }
    }
    assert_eq!(heads.lock().unwrap().len(), 2);
}
