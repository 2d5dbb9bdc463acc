//! A real run with a connector that hunts for the target's secrets: whatever it did, no secret is in anything Usher printed or logged (with every
//! detail asked for), nor in any file it left: the database, its log, compiled code. A control secret, which the connector can see, is found.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use usher_tests::programs::program;

/// In the store, sent as bearer token.
const TOKEN: &str = "h4nted-T0ken/qwertzuiop+1";
/// In the environment, sent where a placeholder stood.
const ADMIN: &str = "h1dden-Passw0rd/asdfghjkl+2";
/// In the settings, for all to see.
const CONTROL: &str = "c0ntrol-S3cret/yxcvbnm+345";

const NOW: &str = "2026-03-02T08:00:00Z";
const HR: &str = "employee_id,given_name,start_date\nE1,Ada,2020-01-01\nE2,Grace,2020-01-01\n";
const POLICY: &str = r#"
zone = "Europe/Berlin"
[sources.hr]
kind = "snapshot"
format = "csv"
key = "employee_id"
[sources.hr.columns]
employee_id = { attribute = "employeeId" }
given_name = { attribute = "givenName", required = true }
start_date = { attribute = "startDate", type = "date", required = true }
[sources.hr.lifecycle]
start = "startDate"
[[roles]]
name = "everybody"
when = "true"
accounts = ["hunt-return", "hunt-error", "hunt-code", "hunt-trap"]
[mappings.hunt-return]
login = "ascii(identity.givenName).lowerAscii()"
[mappings.hunt-error]
login = "ascii(identity.givenName).lowerAscii()"
[mappings.hunt-code]
login = "ascii(identity.givenName).lowerAscii()"
[mappings.hunt-trap]
login = "ascii(identity.givenName).lowerAscii()"
"#;

/// A target for each way out of the sandbox.
fn targets(port: u16) -> String {
    let mut document = String::new();
    for way_out in ["return", "error", "code", "trap"] {
        let _ = write!(
            document,
            r#"
[targets.hunt-{way_out}]
connector = "hostile"
apply = "auto"
[targets.hunt-{way_out}.settings]
behaviour = "secret-hunt"
way-out = "{way_out}"
authority = "127.0.0.1:{port}"
leak = "{CONTROL}"
password = {{ secret = "admin" }}
[[targets.hunt-{way_out}.settings.requests]]
path = "/body"
[[targets.hunt-{way_out}.settings.requests]]
path = "/header"
[[targets.hunt-{way_out}.settings.requests]]
path = "/body?p=@password@"
[[targets.hunt-{way_out}.settings.requests]]
method = "POST"
path = "/login"
body = '{{"password":"@password@"}}'
headers = {{ content-type = "application/json" }}
[[targets.hunt-{way_out}.settings.requests]]
method = "POST"
path = "/elsewhere"
body = '{{"password":"@password@"}}'
headers = {{ content-type = "application/json" }}
[[targets.hunt-{way_out}.grants.http]]
scheme = "http"
host = "127.0.0.1"
port = {port}
private-addresses = true
[[targets.hunt-{way_out}.grants.sql]]
endpoint = "other"
sqlite = "/nonexistent/app.db"
[targets.hunt-{way_out}.http-auth.bearer]
store = "hunted"
[targets.hunt-{way_out}.secrets.admin]
value = {{ env = "HUNTED_ADMIN" }}
[[targets.hunt-{way_out}.secrets.admin.places]]
scheme = "http"
method = "POST"
path = "/login"
json-pointer = "/password"
"#
        );
    }
    document
}

/// Answers with all it was sent, in the head or in the body.
async fn repeat(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> (HeaderMap, String) {
    let body = String::from_utf8_lossy(&body);
    let all = format!("{method} {uri} {headers:?} {body}");
    let mut head = HeaderMap::new();
    if uri.path() == "/header" {
        head.insert("x-all", headers["authorization"].clone());
    }
    // The debug form hides values marked sensitive; a server would not.
    let sent = headers
        .get("authorization")
        .map(|value| value.to_str().unwrap().to_owned());
    (head, format!("{all} {sent:?}"))
}

/// One call of Usher with everything logged; all it printed.
fn usher(folder: &Path, arguments: &[&str], input: &str) -> String {
    let mut running = Command::new(program("usher").unwrap())
        .args(["-v", "-v", "-v"])
        .args(arguments)
        .env("USHER_DATA", folder.join("data"))
        .env("HUNTED_ADMIN", ADMIN)
        .env("RUST_BACKTRACE", "full")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may be gone already.
    let _ = running.stdin.take().unwrap().write_all(input.as_bytes());
    let output = running.wait_with_output().unwrap();
    format!(
        "{} {}\n{}\n{}\n",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Whether bytes hold any eight bytes in a row of a secret, or the secret in hexadecimal.
fn holds(bytes: &[u8], secret: &str) -> bool {
    let lower = bytes.to_ascii_lowercase();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let wanted = secret.to_ascii_lowercase();
    let pieces = wanted.as_bytes().windows(8).chain([hex.as_bytes()]);
    let mut pieces = pieces.filter(|piece| !piece.is_empty());
    pieces.any(|piece| lower.windows(piece.len()).any(|window| window == piece))
}

/// The files below a folder that hold a secret.
fn files_with(folder: &Path, secret: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, secret));
        } else if path.is_file() && holds(&std::fs::read(&path).unwrap(), secret) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_usher_prints_logs_or_stores_holds_a_secret() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(repeat)).await });

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(
        folder.join("hostile.wasm"),
        usher_tests::component("usher-guest-hostile"),
    )
    .unwrap();
    std::fs::write(folder.join("targets.toml"), targets(port)).unwrap();
    std::fs::write(folder.join("policy.toml"), POLICY).unwrap();
    std::fs::write(folder.join("hr.csv"), HR).unwrap();

    let mut printed = String::new();
    let steps: [(&[&str], &str); 15] = [
        (&["init", "--rehearsal", "--now", NOW], ""),
        (&["connector", "add", "hostile.wasm"], ""),
        (&["secret", "set", "hunted"], TOKEN),
        (&["targets", "activate", "targets.toml"], ""),
        (&["policy", "activate", "policy.toml"], ""),
        (&["target", "check", "hunt-return"], ""),
        (&["target", "check", "hunt-trap"], ""),
        (&["import", "hr.csv", "--source", "hr", "--now", NOW], ""),
        (&["plan"], ""),
        (&["apply"], ""),
        (&["apply"], ""),
        (&["identity", "show", "E1"], ""),
        (&["why", "E1"], ""),
        (&["audit", "search"], ""),
        (&["secret", "list"], ""),
    ];
    for (arguments, input) in steps {
        printed.push_str(&usher(folder, arguments, input));
    }
    // The hunt took place, with the secrets in use, and what it found came out.
    assert!(printed.contains("held the target's secret"), "{printed}");
    assert!(printed.contains("usher-secret-"), "{printed}");
    assert!(holds(printed.as_bytes(), CONTROL), "{printed}");
    assert!(!files_with(&folder.join("data"), CONTROL).is_empty());

    for secret in [TOKEN, ADMIN] {
        assert!(!holds(printed.as_bytes(), secret), "{printed}");
        assert_eq!(files_with(&folder.join("data"), secret), Vec::<String>::new());
    }
}
