//! The hunt: a connector tries everything to get at the target's secrets and lets out all it saw, in every way a connector can. What it saw,
//! what it said, what was logged and what the host made of it is then searched. A control shows that the search finds what is there.

use std::fmt::Write as _;
use std::sync::{Mutex, Once};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use usher_connectors::{Connector as _, FixedSecrets};
use usher_lifecycle::connector::Find;

use crate::peer::{Answer, Asked, Peer, Pieces, answer};
use crate::secrets::{load, target};
use crate::support::{login, write};

const ACCESS: &str = "acce55-Tok3n/qwertzuiop+1";
const CLIENT: &str = "cl13nt-S3cret/asdfghjkl+2";
const REFRESH: &str = "r3fre5h-Tok3n/yxcvbnm+345";
const ADMIN: &str = "adm1n-Passw0rd/poiuztrewq+6";
const ALL: [&str; 4] = [ACCESS, CLIENT, REFRESH, ADMIN];

/// Least of a secret that counts as found, in bytes.
const TRACE_BYTES: usize = 8;

/// Everything that is logged, at every level, in the clear.
static LOGGED: Mutex<String> = Mutex::new(String::new());

struct Everything;

struct Written<'l>(&'l mut String);

impl Visit for Written<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut Written(&mut LOGGED.lock().unwrap()));
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Written(&mut LOGGED.lock().unwrap()));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut logged = LOGGED.lock().unwrap();
        let _ = write!(logged, "{}", event.metadata().target());
        event.record(&mut Written(&mut logged));
        logged.push('\n');
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn log_everything() {
    static SET: Once = Once::new();
    SET.call_once(|| tracing::subscriber::set_global_default(Everything).unwrap());
}

/// Which secrets a text holds a trace of, as they are or encoded.
fn found_in(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    let holds = |part: &str| text.contains(&part.to_lowercase());
    ALL.into_iter()
        .filter(|secret| {
            let pieces = secret.as_bytes().windows(TRACE_BYTES);
            let encoded = (0..3).map(|skip| STANDARD.encode(&secret[skip..skip + 15]));
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            pieces
                .map(|piece| String::from_utf8_lossy(piece))
                .any(|piece| holds(&piece))
                || encoded.into_iter().any(|piece| holds(&piece[..18]))
                || holds(&hex)
        })
        .collect()
}

/// Repeats what it was sent, in the way the path says.
fn repeat(asked: &Asked) -> Answer {
    let mut all = format!("{} {}\n", asked.method, asked.path_and_query);
    for (name, value) in &asked.headers {
        let _ = writeln!(all, "{name}: {}", value.to_str().unwrap());
    }
    all.push_str(&asked.body);
    let path = asked.path_and_query.split('?').next().unwrap();
    match path {
        "/header" => {
            let mut given = answer(200, "see the head");
            let line = HeaderValue::from_str(&all.replace('\n', "; ")).unwrap();
            given.headers_mut().insert("x-all", line);
            given
        }
        "/pieces" => {
            let pieces: Vec<_> = all.as_bytes().chunks(5).map(<[u8]>::to_vec).collect();
            http::Response::new(Pieces::of(pieces))
        }
        "/base64" => answer(200, STANDARD.encode(all)),
        "/percent" => answer(200, all.bytes().map(|b| format!("%{b:02X}")).collect::<String>()),
        "/json" => answer(
            200,
            all.bytes().map(|b| format!("\\u{b:04x}")).collect::<String>(),
        ),
        "/hex" => answer(200, all.bytes().map(|b| format!("{b:02x}")).collect::<String>()),
        "/upper" => answer(418, all.to_uppercase()),
        _ => answer(200, all),
    }
}

const LINES: &str = "[targets.app.secrets.admin]\nvalue = { env = \"ADMIN\" }\n\
    [[targets.app.secrets.admin.places]]\nscheme = \"http\"\nmethod = \"POST\"\npath = \"/login\"\njson-pointer = \"/password\"";

async fn hunted(way_out: &str, masked: &str, leak: Option<&str>) -> String {
    let api = Peer::start(repeat).await;
    let tokens = Peer::start(|_| {
        let token = json!({ "access_token": ACCESS, "expires_in": 3600, "refresh_token": REFRESH });
        answer(200, token.to_string())
    })
    .await;
    let masked: Vec<u8> = masked.bytes().map(|byte| byte ^ 0x55).collect();
    let mut requests: Vec<Value> = [
        "/body",
        "/header",
        "/pieces",
        "/base64",
        "/percent",
        "/json",
        "/hex",
        "/upper",
        "/body?p=@password@",
    ]
    .iter()
    .map(|path| json!({ "path": path, "headers": { "x-own": "1" } }))
    .collect();
    let password = "{\"password\":\"@password@\"}";
    requests.extend([
        json!({ "method": "POST", "path": "/login", "headers": { "content-type": "application/json" }, "body": password }),
        json!({ "method": "POST", "path": "/body", "headers": { "content-type": "application/json" }, "body": password }),
        json!({ "method": "POST", "path": "/login", "headers": { "content-type": "application/json" }, "body": "{\"x\":\"@password@\",\"password\":\"@password@\"}" }),
        json!({ "method": "POST", "path": "/token", "authority": format!("127.0.0.1:{}", tokens.port) }),
        json!({ "path": "/", "authority": "169.254.169.254" }),
        json!({ "path": "/", "authority": "user@127.0.0.1" }),
        json!({ "path": "/", "headers": { "authorization": "Bearer @password@", "proxy-authorization": "x" } }),
    ]);
    let settings = json!({
        "behaviour": "secret-hunt", "way-out": way_out, "requests": requests, "masked": masked, "leak": leak,
    });
    let lines = format!(
        "[targets.app.http-auth.oauth2]\ntoken-url = \"http://127.0.0.1:{}/token\"\nprivate-addresses = true\nclient-id = \"usher\"\n\
         client-secret = {{ env = \"CLIENT\" }}\nrefresh-token = {{ store = \"refresh\" }}\n{LINES}",
        tokens.port
    );
    let mut target = target(&api, &settings, &lines);
    target.settings["behaviour"] = json!("secret-hunt");
    target.limits.cpu_ms = 30_000;
    let secrets = FixedSecrets::none()
        .with("CLIENT", CLIENT)
        .with("refresh", REFRESH)
        .with("ADMIN", ADMIN);
    let generation = load(&target, &secrets).await;
    let mut out = format!(
        "{:?} {:?}\n",
        generation.descriptor(),
        generation.account_schema()
    );
    let _ = writeln!(out, "{:?}", generation.check().await);
    let _ = writeln!(out, "{:?}", generation.create(&write(), &login("ada")).await);
    let _ = writeln!(out, "{:?}", generation.get("1").await);
    let _ = writeln!(out, "{:?}", generation.delete(&write(), "1").await);
    let _ = writeln!(out, "{:?}", generation.list(None, 2).await);
    let marker = Find::Marker("op".to_owned());
    let _ = writeln!(out, "{:?}", generation.find(&marker).await);
    // The secrets were truly in use.
    assert!(
        tokens
            .asked()
            .iter()
            .any(|asked| asked.body.contains("refresh_token="))
    );
    let asked = api.asked();
    assert!(
        asked
            .iter()
            .any(|asked| asked.header("authorization").contains(ACCESS))
    );
    assert!(
        asked
            .iter()
            .any(|asked| asked.path_and_query == "/login" && asked.body.contains(ADMIN))
    );
    out
}

#[tokio::test]
async fn a_connector_that_hunts_for_the_secrets_finds_none() {
    log_everything();
    for (way_out, secret) in ["return", "error", "code", "trap"].into_iter().zip(ALL) {
        let out = hunted(way_out, secret, None).await;
        assert_eq!(found_in(&out), Vec::<&str>::new(), "{way_out}: {out}");
        if way_out == "return" || way_out == "error" {
            assert!(
                out.contains("usher-secret-"),
                "the connector lets out what it sees: {out}"
            );
        }
    }
    let logged = LOGGED.lock().unwrap().clone();
    assert!(
        logged.contains("memory holds no secret"),
        "the connector's log was read: {}",
        logged.len()
    );
    assert!(logged.contains("held the target's secret"), "{}", logged.len());
    assert!(!logged.contains("memory holds the secret"));
    // What the trace of the library that speaks HTTP says is in there too.
    assert_eq!(found_in(&logged), Vec::<&str>::new());

    // The control: one secret is where a connector can see it, and comes out of every way.
    LOGGED.lock().unwrap().clear();
    for way_out in ["return", "error"] {
        let out = hunted(way_out, ADMIN, Some(ADMIN)).await;
        assert_eq!(found_in(&out), [ADMIN], "{way_out}");
    }
    let logged = LOGGED.lock().unwrap().clone();
    assert_eq!(found_in(&logged), [ADMIN]);
    assert!(logged.contains("memory holds the secret"));
}
