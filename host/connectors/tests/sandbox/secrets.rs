//! Secrets of a target: each kind of authentication arrives, placeholders become secrets at declared places only, and no answer brings one back.

use std::sync::Arc;

use http::HeaderValue;
use serde_json::{Value, json};
use usher_connectors::{Connector as _, FixedSecrets, Generation};
use usher_lifecycle::connector::{CallError, Effect, ErrorKind};
use usher_lifecycle::targets::{Target, parse};

use crate::peer::{Answer, Asked, Peer, Pieces, answer};
use crate::support::{login, sandbox, write};

const SECRET: &str = "s3cr3t/T0ken+x";

/// A target whose connector makes these requests, with `lines` of configuration.
pub(crate) fn target(peer: &Peer, settings: &Value, lines: &str) -> Target {
    let port = peer.port;
    let text = format!(
        "[targets.app]\nconnector = \"hostile\"\n\
         [[targets.app.grants.http]]\nscheme = \"http\"\nhost = \"127.0.0.1\"\nport = {port}\nprivate-addresses = true\n\
         [[targets.app.grants.sql]]\nendpoint = \"app\"\nsqlite = \"/nonexistent/app.db\"\n\
         [targets.app.settings]\n{}\n{lines}\n",
        if lines.contains("targets.app.secrets") {
            "password = { secret = \"admin\" }"
        } else {
            ""
        }
    );
    let targets = parse("targets.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut target = targets.targets.into_values().next().unwrap();
    target.settings["authority"] = json!(format!("127.0.0.1:{port}"));
    target.settings["behaviour"] = json!("secret-send");
    for (name, value) in settings.as_object().unwrap() {
        target.settings[name] = value.clone();
    }
    target
}

fn sending(requests: &Value) -> Value {
    json!({ "requests": requests })
}

pub(crate) async fn load(target: &Target, secrets: &FixedSecrets) -> Arc<Generation> {
    let component = usher_tests::component("usher-guest-hostile");
    let loaded = sandbox().load(component, target, Arc::new(secrets.clone())).await;
    loaded.unwrap()
}

fn secrets() -> FixedSecrets {
    FixedSecrets::none().with("TOKEN", SECRET)
}

async fn called(generation: &Generation) -> Result<Vec<String>, CallError> {
    let account = generation.create(&write(), &login("ada")).await?;
    let answers = account.attributes["answers"].as_array().unwrap().iter();
    Ok(answers
        .map(|answer| answer.as_str().unwrap().to_owned())
        .collect())
}

async fn call(target: &Target) -> Result<Vec<String>, CallError> {
    called(load(target, &secrets()).await.as_ref()).await
}

const BEARER: &str = "[targets.app.http-auth.bearer]\nenv = \"TOKEN\"";
const DECLARED: &str = "[targets.app.secrets.admin]\nvalue = { env = \"TOKEN\" }\n\
    [[targets.app.secrets.admin.places]]\nscheme = \"http\"\nmethod = \"POST\"\npath = \"/login\"\njson-pointer = \"/password\"\n\
    [[targets.app.secrets.admin.places]]\nscheme = \"http\"\nmethod = \"POST\"\npath = \"/form\"\nform-field = \"password\"\n\
    [[targets.app.secrets.admin.places]]\nscheme = \"http\"\nmethod = \"GET\"\npath = \"/users/*/key\"\nheader = \"X-Admin\"";

#[tokio::test]
async fn every_kind_of_authentication_arrives_and_none_is_seen() {
    let cases = [
        (BEARER, "authorization", "Bearer s3cr3t/T0ken+x"),
        (
            "[targets.app.http-auth.basic]\nusername = \"me\"\npassword = { env = \"TOKEN\" }",
            "authorization",
            "Basic bWU6czNjcjN0L1Qwa2VuK3g=",
        ),
        (
            "[targets.app.http-auth.header]\nname = \"X-Key\"\nprefix = \"Token \"\nvalue = { env = \"TOKEN\" }",
            "x-key",
            "Token s3cr3t/T0ken+x",
        ),
    ];
    let request = sending(
        &json!([{ "path": "/x?a=1", "headers": { "authorization": "Bearer mine", "range": "bytes=0-3", "accept-encoding": "gzip" } }]),
    );
    for (lines, header, value) in cases {
        let peer = Peer::start(|_| answer(200, "fine")).await;
        let answers = call(&target(&peer, &request, lines)).await.unwrap();
        assert!(answers[0].ends_with(" fine"), "{answers:?}");
        let asked = &peer.asked()[0];
        assert_eq!(asked.header(header), value);
        assert_eq!(asked.headers.get_all(header).iter().count(), 1);
        // Asked for in a way that can be searched.
        assert_eq!(
            (
                asked.header("accept-encoding").as_str(),
                asked.header("range").as_str()
            ),
            ("identity", "")
        );
    }
    let peer = Peer::start(|_| answer(200, "fine")).await;
    let lines = "[targets.app.http-auth.query]\nname = \"key\"\nvalue = { env = \"TOKEN\" }";
    call(&target(&peer, &request, lines)).await.unwrap();
    assert_eq!(peer.asked()[0].path_and_query, "/x?a=1&key=s3cr3t%2FT0ken%2Bx");
}

#[tokio::test]
async fn a_changed_secret_is_in_the_next_request_of_the_same_generation() {
    let peer = Peer::start(|_| answer(200, "fine")).await;
    let secrets = secrets();
    let generation = load(
        &target(&peer, &sending(&json!([{ "path": "/" }])), BEARER),
        &secrets,
    )
    .await;
    called(&generation).await.unwrap();
    secrets.set("TOKEN", "another-secret");
    called(&generation).await.unwrap();
    let sent: Vec<_> = peer
        .asked()
        .iter()
        .map(|asked| asked.header("authorization"))
        .collect();
    assert_eq!(sent, ["Bearer s3cr3t/T0ken+x", "Bearer another-secret"]);
}

#[tokio::test]
async fn a_placeholder_becomes_the_secret_where_it_is_declared() {
    let peer = Peer::start(|_| answer(200, "fine")).await;
    let requests = json!([
        { "method": "POST", "path": "/login?x=1", "headers": { "content-type": "application/json" }, "body": "{\"user\":\"me\", \"password\":\"@password@\"}" },
        { "method": "POST", "path": "/form", "headers": { "content-type": "application/x-www-form-urlencoded" }, "body": "user=me&password=@password@&x=1" },
        { "path": "/users/7/key", "headers": { "x-admin": "@password@" } },
    ]);
    let generation = load(&target(&peer, &sending(&requests), DECLARED), &secrets()).await;
    called(&generation).await.unwrap();
    let asked = peer.asked();
    assert_eq!(
        asked[0].body,
        format!("{{\"user\":\"me\", \"password\":\"{SECRET}\"}}")
    );
    assert_eq!(asked[0].header("content-length"), asked[0].body.len().to_string());
    assert_eq!(asked[1].body, "user=me&password=s3cr3t%2FT0ken%2Bx&x=1");
    assert_eq!(asked[2].header("x-admin"), SECRET);
}

#[tokio::test]
async fn a_placeholder_anywhere_else_does_not_leave_and_the_rule_is_told() {
    let cases = [
        (
            json!({ "method": "POST", "path": "/other", "headers": { "content-type": "application/json" }, "body": "{\"password\":\"@password@\"}" }),
            "path = \"/other\"",
        ),
        (
            json!({ "method": "PUT", "path": "/login", "headers": { "content-type": "application/json" }, "body": "{\"password\":\"@password@\"}" }),
            "method = \"PUT\"",
        ),
        (
            json!({ "method": "POST", "path": "/login", "headers": { "content-type": "application/json" }, "body": "{\"name\":\"@password@\"}" }),
            "json-pointer = \"/name\"",
        ),
        (
            json!({ "path": "/users/7/key", "headers": { "x-other": "@password@" } }),
            "header = \"x-other\"",
        ),
    ];
    for (request, rule) in cases {
        let peer = Peer::start(|_| answer(200, "fine")).await;
        let error = call(&target(&peer, &sending(&json!([request])), DECLARED))
            .await
            .unwrap_err();
        assert!(
            matches!(&error.kind, ErrorKind::Denied(grant) if grant.contains(rule)),
            "{rule}: {error:?}"
        );
        assert_eq!((peer.asked().len(), error.effect), (0, Effect::None));
    }
    for request in [
        json!({ "path": "/login?p=@password@" }),
        json!({ "method": "POST", "path": "/login", "headers": { "content-type": "application/json" }, "body": "{\"password\":\"x@password@\"}" }),
        json!({ "path": "/users/7/key", "headers": { "x-admin": "Key @password@" } }),
    ] {
        let peer = Peer::start(|_| answer(200, "fine")).await;
        let error = call(&target(&peer, &sending(&json!([request])), DECLARED))
            .await
            .unwrap_err();
        assert!(
            matches!(&error.kind, ErrorKind::Denied(what) if what.contains("placeholder of secret `admin`")),
            "{error:?}"
        );
        assert_eq!(peer.asked().len(), 0);
    }
}

/// What a server that repeats what it was sent may answer.
fn repeating(form: &'static str) -> impl Fn(&Asked) -> Answer + Send + Sync {
    move |asked| {
        let sent = asked.header("authorization").replace("Bearer ", "");
        let filler = "x".repeat(40_000);
        match form {
            "body" => answer(200, format!("{{\"you-sent\":\"{sent}\"}}")),
            "behind much" => answer(200, format!("{filler}{sent}{filler}")),
            "in pieces" => {
                let whole = format!("{filler}{sent}");
                let pieces: Vec<_> = whole.as_bytes().chunks(3).map(<[u8]>::to_vec).collect();
                http::Response::new(Pieces::of(pieces))
            }
            "percent" => answer(200, sent.replace('/', "%2f")),
            "json" => answer(200, sent.replace('/', "\\/").replace('s', "\\u0073")),
            "base64" => {
                use base64::Engine as _;
                answer(
                    200,
                    base64::engine::general_purpose::STANDARD.encode(format!("Bearer {sent}.")),
                )
            }
            "header" => {
                let mut given = answer(200, "");
                given
                    .headers_mut()
                    .insert("x-you-sent", HeaderValue::from_str(&sent).unwrap());
                given
            }
            "error page" => answer(500, format!("<p>Authorization: {sent}")),
            "redirect" => {
                let mut given = answer(302, "");
                let to = HeaderValue::from_str(&format!("https://a.example/?t={sent}")).unwrap();
                given.headers_mut().insert("location", to);
                given
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn no_answer_brings_a_secret_back() {
    for form in [
        "body",
        "behind much",
        "in pieces",
        "percent",
        "json",
        "base64",
        "header",
        "error page",
        "redirect",
    ] {
        let peer = Peer::start(repeating(form)).await;
        let requests = json!([{ "method": "POST", "path": "/echo" }]);
        let error = call(&target(&peer, &sending(&requests), BEARER))
            .await
            .unwrap_err();
        assert!(
            error.message.contains("held the target's secret"),
            "{form}: {}",
            error.message
        );
        assert!(
            matches!(&error.kind, ErrorKind::Denied(_)),
            "{form}: {:?}",
            error.kind
        );
        // The request left and was answered, but the connector cannot know what the answer was.
        assert_eq!(error.effect, Effect::Unknown, "{form}");
        for part in [&SECRET[..8], &SECRET[6..]] {
            assert!(!error.message.contains(part), "{form}: {}", error.message);
        }
        assert_eq!(peer.asked().len(), 1, "{form}");
    }
}

#[tokio::test]
async fn a_secret_the_request_did_not_carry_is_not_given_away_either() {
    let peer = Peer::start(|_| answer(200, format!("the admin's password is {SECRET}"))).await;
    let error = call(&target(&peer, &sending(&json!([{ "path": "/" }])), DECLARED))
        .await
        .unwrap_err();
    assert!(
        error.message.contains("held the target's secret"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn answers_that_cannot_be_searched_are_withheld() {
    for (name, value, status) in [
        ("content-encoding", "gzip", 200),
        ("content-encoding", "identity, br", 200),
        ("x-part", "1", 206),
    ] {
        let made = move |_: &Asked| {
            let mut given = answer(status, "squeezed");
            given.headers_mut().insert(name, HeaderValue::from_static(value));
            given
        };
        let peer = Peer::start(made).await;
        let request = sending(&json!([{ "path": "/" }]));
        let error = call(&target(&peer, &request, BEARER)).await.unwrap_err();
        assert!(error.message.contains("cannot be searched"), "{}", error.message);
        // Without a secret there is nothing to look for.
        let answers = call(&target(&Peer::start(made).await, &request, ""))
            .await
            .unwrap();
        assert!(answers[0].ends_with(" squeezed"), "{answers:?}");
    }
}

#[tokio::test]
async fn answers_without_a_secret_come_whole() {
    let body: String = (0..300_000)
        .map(|number| char::from(b'a' + (number % 26) as u8))
        .collect();
    let given = body.clone();
    let peer = Peer::start(move |_| answer(200, given.clone())).await;
    let answers = call(&target(&peer, &sending(&json!([{ "path": "/" }])), BEARER))
        .await
        .unwrap();
    assert!(answers[0].ends_with(&body), "{}", answers[0].len());
}

#[tokio::test]
async fn a_check_tells_what_the_host_met_behind_a_vague_error() {
    let refusing = Peer::start(|_| answer(400, r#"{"error":"invalid_client"}"#)).await;
    let proxy = Peer::start(|_| answer(407, "who are you?")).await;
    let oauth2 = format!(
        "[targets.app.http-auth.oauth2]\ntoken-url = \"http://127.0.0.1:{}/t\"\nprivate-addresses = true\nclient-id = \"u\"\nclient-secret = {{ env = \"TOKEN\" }}",
        refusing.port
    );
    let proxied = format!(
        "[targets.app.proxy]\nurl = \"http://127.0.0.1:{}\"\nprivate-addresses = true\nusername = \"u\"\npassword = {{ env = \"TOKEN\" }}",
        proxy.port
    );
    let cases = [
        (json!([{ "path": "/" }]), oauth2, "invalid_client".to_owned()),
        (
            json!([{ "path": "/" }]),
            proxied,
            format!("the proxy 127.0.0.1:{} ", proxy.port),
        ),
        (
            json!([{ "path": "/", "authority": "b.example" }]),
            String::new(),
            "\nhost = \"b.example\"\n".to_owned(),
        ),
        (
            json!([{ "path": "/" }, { "path": "/" }]),
            "[targets.app.limits]\nrequests = 1".to_owned(),
            "requests = 1".to_owned(),
        ),
    ];
    for (requests, lines, says) in cases {
        let peer = Peer::start(|_| answer(200, "fine")).await;
        let settings = json!({ "requests": requests, "swallow": true });
        let generation = load(&target(&peer, &settings, &lines), &secrets()).await;
        let report = generation.check().await.unwrap();
        let told = report
            .steps
            .iter()
            .any(|step| !step.ok && step.detail.contains(&says));
        assert!(told, "{says}: {report:?}");
        assert!(!format!("{report:?}").contains(SECRET), "{report:?}");
    }
}

#[tokio::test]
async fn a_check_names_what_is_missing_and_asks_nobody() {
    let peer = Peer::start(|_| answer(200, "fine")).await;
    let target = target(&peer, &sending(&json!([{ "path": "/" }])), BEARER);
    let report = load(&target, &FixedSecrets::none()).await.check().await.unwrap();
    assert_eq!(report.steps.len(), 1);
    assert!(!report.steps[0].ok);
    assert_eq!(report.steps[0].name, "secret of http-auth.bearer");
    assert!(
        report.steps[0].detail.contains("{ env = \"TOKEN\" }"),
        "{report:?}"
    );
    assert_eq!(peer.asked().len(), 0);
}
