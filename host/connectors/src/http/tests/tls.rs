//! TLS of one target: whom it trusts, what it shows, and what the operator is told when a handshake fails.

use std::time::Duration;

use rcgen::date_time_ymd;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use usher_lifecycle::connector::Effect;

use super::server::{Server, hello, raw};
use super::*;
use crate::certificates::{Authority, Identity, finished, provider};

const URI: &str = "https://app.example";

async fn serving(config: ServerConfig) -> Server {
    Server::tls(config, hello).await
}

/// Writes to a server, with these `tls` lines.
async fn write_to(port: u16, lines: &str) -> Outcome {
    let egress = egress(&local("https", "app.example", port, lines), loopback()).await;
    ask(&egress, "POST", &format!("{URI}:{port}/")).await
}

#[tokio::test]
async fn a_target_s_own_authority_replaces_the_public_ones() {
    let authority = Authority::new("ours");
    let server = serving(authority.server(&["app.example"], &["h2"])).await;
    assert_eq!(write_to(server.port, &authority.trusted()).await.status(), 200);
    let with_public = format!("{}public-roots = true\n", authority.trusted());
    assert_eq!(write_to(server.port, &with_public).await.status(), 200);
    for lines in [String::new(), Authority::new("another").trusted()] {
        let outcome = write_to(server.port, &lines).await;
        assert_eq!(outcome.code(), "TlsCertificateError");
        assert!(
            outcome.trouble().contains("issued by nobody who is trusted here"),
            "{}",
            outcome.trouble()
        );
        assert_eq!(outcome.effect(), Effect::None);
    }
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn the_certificate_must_be_for_the_granted_name_and_in_time() {
    let authority = Authority::new("ours");
    let other_name = authority.issue(&["other.example", "third.example"], |_| {});
    let expired = authority.issue(&["app.example"], |params| {
        params.not_after = date_time_ymd(2001, 1, 1)
    });
    let early = authority.issue(&["app.example"], |params| {
        params.not_before = date_time_ymd(3001, 1, 1)
    });
    for (identity, said) in [
        (other_name, "is not for `app.example`, but for"),
        (expired, "has expired"),
        (early, "not valid yet"),
    ] {
        let server = serving(authority.server_as(&identity, &["h2"])).await;
        let outcome = write_to(server.port, &authority.trusted()).await;
        assert_eq!(outcome.code(), "TlsCertificateError");
        let trouble = outcome.trouble();
        assert!(
            trouble.contains("TLS with `app.example`") && trouble.contains(said),
            "{trouble}"
        );
        assert_eq!((outcome.effect(), server.seen().len()), (Effect::None, 0));
    }
}

fn showing(authority: &Authority, identity: &Identity) -> String {
    format!(
        "{}client-certificate = \"{}\"\nclient-key = {{ file = \"/KEY\" }}\n",
        authority.trusted(),
        authority.file("client.pem", &identity.certificate)
    )
}

async fn write_as(authority: &Authority, identity: &Identity, port: u16) -> Outcome {
    let target = local("https", "app.example", port, &showing(authority, identity));
    let secrets = FixedSecrets::none().with("/KEY", identity.key.as_str());
    let egress = egress_with(&target, loopback(), secrets, Times::default()).await;
    ask(&egress, "POST", &format!("{URI}:{port}/")).await
}

#[tokio::test]
async fn the_host_shows_its_certificate_and_a_refusal_of_it_is_told_and_has_done_nothing() {
    let authority = Authority::new("ours");
    let server = serving(authority.server_for_clients(&["app.example"])).await;
    let mine = authority.issue(&["usher"], |_| {});
    assert_eq!(write_as(&authority, &mine, server.port).await.status(), 200);

    let none = write_to(server.port, &authority.trusted()).await;
    assert!(
        none.trouble().contains("wants a client certificate"),
        "{}",
        none.trouble()
    );
    let strange = Authority::new("strange").issue(&["usher"], |_| {});
    let strange = write_as(&authority, &strange, server.port).await;
    assert!(
        strange.trouble().contains("our client certificate"),
        "{}",
        strange.trouble()
    );
    let expired = authority.issue(&["usher"], |params| params.not_after = date_time_ymd(2001, 1, 1));
    let expired = write_as(&authority, &expired, server.port).await;
    assert!(
        expired.trouble().contains("our client certificate has expired"),
        "{}",
        expired.trouble()
    );
    for outcome in [none, strange, expired] {
        assert_eq!(outcome.code(), "TlsCertificateError");
        assert_eq!(
            outcome.effect(),
            Effect::None,
            "refused before a request was looked at"
        );
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn the_oldest_version_can_be_raised() {
    let authority = Authority::new("ours");
    let old = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth();
    let server = serving(finished(old, &authority.issue(&["app.example"], |_| {}), &["h2"])).await;
    assert_eq!(write_to(server.port, &authority.trusted()).await.status(), 200);
    let outcome = write_to(
        server.port,
        &format!("{}minimum-version = \"1.3\"\n", authority.trusted()),
    )
    .await;
    assert!(outcome.code().starts_with("Tls"), "{}", outcome.code());
    assert!(outcome.trouble().contains("version"), "{}", outcome.trouble());
}

#[tokio::test]
async fn a_port_that_does_not_speak_tls_is_said_to_be_one() {
    let (port, _) = raw(&["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"]).await;
    // What answers to a handshake with text.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let talks = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, b"220 mail.example ESMTP\r\n").await;
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut tcp, &mut Vec::new()).await;
        }
    });
    let outcome = write_to(talks, "").await;
    assert_eq!(outcome.code(), "TlsProtocolError");
    assert!(
        outcome.trouble().contains("does not speak TLS"),
        "{}",
        outcome.trouble()
    );
    // And one that waits for a head that never comes: the handshake has its own end.
    let times = Times {
        handshake: Duration::from_millis(200),
        ..Times::default()
    };
    let target = local("https", "app.example", port, "");
    let egress = egress_with(&target, loopback(), secrets(), times).await;
    let outcome = ask(&egress, "POST", &format!("{URI}:{port}/")).await;
    assert!(
        outcome.trouble().contains("longer than 200 ms"),
        "{}",
        outcome.trouble()
    );
    assert_eq!(outcome.effect(), Effect::None);
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_at_load_and_said_without_the_key() {
    let authority = Authority::new("ours");
    let (mine, other) = (
        authority.issue(&["me"], |_| {}),
        authority.issue(&["other"], |_| {}),
    );
    let certificate = authority.file("me.pem", &mine.certificate);
    let empty = authority.file("empty.pem", "nothing here\n");
    let key_file = authority.file("key.pem", &mine.key);
    let damaged = authority.file(
        "damaged.pem",
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
    );
    let client = |path: &str| format!("client-certificate = \"{path}\"\nclient-key = {{ file = \"/KEY\" }}");
    for (lines, key, said) in [
        (
            "ca = \"/nonexistent/ca.pem\"".to_owned(),
            "",
            "tls.ca: `/nonexistent/ca.pem` cannot be read",
        ),
        (format!("ca = \"{empty}\""), "", "holds no certificate"),
        (format!("ca = \"{key_file}\""), "", "holds no certificate"),
        (format!("ca = \"{damaged}\""), "", "is damaged"),
        (
            client(&certificate),
            "MC4CAQAwBQ-no-key",
            "tls.client-key: this is not a private key",
        ),
        (
            client(&certificate),
            other.key.as_str(),
            "it is not the key of the first certificate",
        ),
        (
            client("/nonexistent/me.pem"),
            mine.key.as_str(),
            "tls.client-certificate: `/nonexistent/me.pem`",
        ),
    ] {
        let target = local(
            "https",
            "app.example",
            443,
            &format!("[targets.app.tls]\n{lines}\n"),
        );
        let secrets: Arc<dyn Secrets> = Arc::new(FixedSecrets::none().with("/KEY", key));
        let error = HttpEgress::new(&target, secrets).await.err().unwrap();
        assert!(error.contains(said), "{lines}: {error}");
        assert!(
            !error.contains("MC4C") && !error.contains("BEGIN PRIVATE KEY-----\n"),
            "{error}"
        );
    }
    let target = local(
        "https",
        "app.example",
        443,
        &format!("[targets.app.tls]\n{}\n", client(&certificate)),
    );
    let error = HttpEgress::new(&target, Arc::new(FixedSecrets::none()))
        .await
        .err()
        .unwrap();
    assert!(
        error.contains("tls.client-key") && error.contains("/KEY"),
        "{error}"
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_loading_the_target_again_and_a_broken_one_is_not() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let path = old.path();
    let target = local("https", "app.example", 0x1bb, &old.trusted());
    let old_server = serving(old.server(&["app.example"], &["http/1.1"])).await;
    let new_server = serving(new.server(&["app.example"], &["http/1.1"])).await;
    let target = usher_lifecycle::targets::Target {
        grants: usher_lifecycle::targets::Grants {
            http: [old_server.port, new_server.port]
                .map(|port| usher_lifecycle::targets::HttpGrant {
                    port: Some(port),
                    ..target.grants.http[0].clone()
                })
                .to_vec(),
            ..target.grants.clone()
        },
        ..target
    };
    let times = Times {
        tls_look: Duration::ZERO,
        ..Times::default()
    };
    let egress = egress_with(&target, loopback(), secrets(), times).await;
    let (to_old, to_new) = (
        format!("{URI}:{}/", old_server.port),
        format!("{URI}:{}/", new_server.port),
    );
    assert_eq!(ask(&egress, "GET", &to_old).await.status(), 200);
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nhalf writ").unwrap();
    assert_eq!(ask(&egress, "GET", &to_new).await.code(), "TlsCertificateError");
    std::fs::copy(new.path(), &path).unwrap();
    assert_eq!(ask(&egress, "GET", &to_new).await.status(), 200);
}
