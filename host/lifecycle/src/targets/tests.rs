use proptest::prelude::*;
use serde_json::json;

use super::*;

const EXAMPLE: &str = r#"
[targets.app]
connector = "sql@0.1.0"
apply = "auto"
[targets.app.settings]
users = "users"
page = 500
since = 2026-03-02
flags = [true, 1.5, { deep = "x" }]
[[targets.app.grants.sql]]
endpoint = "app"
sqlite = "/var/lib/app/app.db"
[targets.app.limits]
wall-ms = 5000
memory-mib = 128

[targets.directory]
connector = "scim"
[[targets.directory.grants.http]]
scheme = "http"
host = "127.0.0.1"
port = 8080
private-addresses = true
methods = ["GET", "PATCH"]
path-prefix = "/scim/v2/"
[targets.directory.http-auth.bearer]
env = "SCIM_TOKEN"
"#;

#[test]
fn the_example_reads() {
    let targets = parse("targets.toml", EXAMPLE).unwrap().targets;
    let app = &targets[&"app".parse().unwrap()];
    assert_eq!(app.apply, ApplyMode::Auto);
    assert_eq!(
        app.connector,
        ConnectorReference::Name {
            name: "sql".parse().unwrap(),
            version: Some("0.1.0".to_owned())
        }
    );
    assert_eq!(
        app.settings,
        json!({"users": "users", "page": 500, "since": "2026-03-02", "flags": [true, 1.5, {"deep": "x"}]})
    );
    assert_eq!(
        app.limits,
        Limits {
            wall_ms: 5_000,
            memory_mib: 128,
            ..Limits::default()
        }
    );
    assert_eq!(
        app.grants.sql[0].database,
        SqlDatabase::Sqlite("/var/lib/app/app.db".to_owned())
    );
    let directory = &targets[&"directory".parse().unwrap()];
    assert_eq!(directory.apply, ApplyMode::Observe, "a new target only observes");
    assert_eq!(directory.settings, json!({}));
    assert_eq!(
        directory.http_auth,
        Some(HttpAuth::Bearer(SecretReference::Env("SCIM_TOKEN".to_owned())))
    );
    let grant = &directory.grants.http[0];
    assert_eq!((grant.port, grant.private_addresses), (Some(8080), true));
    assert_eq!(grant.path_prefix.as_deref(), Some("/scim/v2/"));
}

#[test]
fn a_target_is_reconciled_as_often_as_it_says_and_never_unless_said() {
    let every = |line: &str| {
        let text = format!("[targets.app]\nconnector = \"sql\"\n{line}\n");
        parse("t", &text).map(|targets| targets.targets[&"app".parse().unwrap()].reconcile)
    };
    let minutes = |text: &str| {
        every(&format!("reconcile-every = \"{text}\""))
            .ok()
            .and_then(|reconcile| reconcile.every_minutes)
    };
    assert_eq!(every("").unwrap(), Reconcile::default());
    assert_eq!(
        (
            every("").unwrap().every_minutes,
            Reconcile::default().shrink_max_percent
        ),
        (None, 30)
    );
    assert_eq!(
        every("reconcile-shrink-max-percent = 5")
            .unwrap()
            .shrink_max_percent,
        5
    );
    for (text, expected) in [
        ("5m", 5),
        ("90m", 90),
        ("6h", 360),
        ("1d", 1_440),
        ("31d", 44_640),
    ] {
        assert_eq!(minutes(text), Some(expected), "{text}");
    }
    for wrong in [
        "4m",
        "0h",
        "32d",
        "",
        "h",
        "+6h",
        "1.5h",
        "6 h",
        "6H",
        "99999999m",
        "6s",
    ] {
        assert_eq!(minutes(wrong), None, "{wrong:?}");
    }
    let error = every("reconcile-every = \"1s\"").unwrap_err().to_string();
    assert!(
        error.contains("t:3:19: targets.app.reconcile-every: must be a whole number of minutes"),
        "{error}"
    );
    assert!(every("reconcile-every = 6").is_err() && every("reconcile-shrink-max-percent = 101").is_err());
}

#[test]
fn every_mistake_is_listed_with_its_place() {
    let text = r#"
[targets.App]
connector = "sql"

[targets.app]
conector = "sql"
apply = "yes"
[[targets.app.grants.sql]]
endpoint = "app"
sqlite = "app.db"
[[targets.app.grants.sql]]
endpoint = "app"
sqlite = "/a/../b.db"
[targets.app.limits]
cpu-ms = 0
memory-mib = 4096
walls = 3

[targets.directory]
connector = "scim@1"
settings = "none"
[[targets.directory.grants.http]]
scheme = "ftp"
host = "*.example.org"
port = 70000
methods = ["get"]
path-prefix = "scim"
[targets.directory.http-auth]
bearer = "s3cr3t-in-the-clear"

[targets.other]
connector = "sha256:abc"
[targets.other.http-auth.header]
name = "Host"
value = { env = "A", file = "/b" }
[targets.other.limits]
cpu-ms = 50000
"#;
    let errors = parse("targets.toml", text).unwrap_err();
    assert!(
        !errors.to_string().contains("s3cr3t"),
        "a misplaced secret is not shown"
    );
    insta::assert_snapshot!(errors);
}

#[test]
fn hosts_are_exact() {
    let with = |host: &str| {
        let text = format!(
            "[targets.a]\nconnector = \"c\"\n[[targets.a.grants.http]]\nscheme = \"https\"\nhost = {host:?}\n"
        );
        parse("t", &text).map_err(|errors| errors.0[0].message.clone())
    };
    for good in [
        "example.org",
        "localhost",
        "10.0.0.1",
        "::1",
        "xn--mller-kva.de",
        "a_b.example",
    ] {
        assert!(with(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "*",
        "*.example.org",
        "Example.org",
        "user@example.org",
        "https://example.org",
        "example.org/x",
        "example.org:443",
        "[::1]",
        "müller.de",
        "a..b",
        "-a.b",
        "example.org.",
        "2130706433",
        "0x7f.1",
        "127.1",
        "a b",
        "1.2.3.4.5",
    ] {
        assert!(with(bad).is_err(), "{bad}");
    }
}

#[test]
fn connectors_are_named_in_three_ways() {
    let with = |connector: &str| parse("t", &format!("[targets.a]\nconnector = {connector:?}\n"));
    let digest = "ab".repeat(32);
    for good in [
        "sql".to_owned(),
        "sql@0.1.0".to_owned(),
        "sql@1.0.0-rc.1+b7".to_owned(),
        format!("sha256:{digest}"),
    ] {
        assert!(with(&good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "SQL",
        "sql@",
        "sql@1",
        "sql@1.0",
        "sql@01.0.0",
        "sql@1.0.0-",
        "sql@^1.0.0",
        "sha256:",
        "sha256:AB",
        "../sql",
    ] {
        assert!(with(bad).is_err(), "{bad}");
    }
}

#[test]
fn authentication_without_an_http_grant_is_a_mistake() {
    let text = "[targets.a]\nconnector = \"c\"\n[targets.a.http-auth.basic]\nusername = \"u\"\npassword = { file = \"/p\" }\n";
    let errors = parse("t.toml", text).unwrap_err();
    assert_eq!(errors.0.len(), 1);
    assert_eq!(errors.0[0].line, 3);
    assert_eq!(errors.0[0].path, "targets.a.http-auth");
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "\\PC{0,400}") {
        let _ = parse("targets.toml", &text);
    }

    /// One byte of a good document changed: read or refused, never a panic; every error has a place in the document.
    #[test]
    fn a_damaged_document_never_panics(at in 0..EXAMPLE.len(), with in prop::char::range('\u{1}', '\u{ff}')) {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        text[at] = with;
        let text: String = text.into_iter().collect();
        if let Err(errors) = parse("targets.toml", &text) {
            prop_assert!(!errors.0.is_empty());
            for error in errors.0 {
                prop_assert!(error.line >= 1 && error.line <= text.lines().count() + 1);
            }
        }
    }
}

#[test]
fn a_secret_may_be_in_the_store() {
    let with = |value: &str| {
        let text = format!(
            "[targets.a]\nconnector = \"c\"\n[targets.a.http-auth]\nbearer = {{ store = {value:?} }}\n\
             [[targets.a.grants.http]]\nscheme = \"https\"\nhost = \"a.example\"\n"
        );
        parse("targets.toml", &text)
    };
    let targets = with("app-token").unwrap().targets;
    let reference = SecretReference::Store("app-token".parse().unwrap());
    assert_eq!(
        targets[&"a".parse().unwrap()].http_auth,
        Some(HttpAuth::Bearer(reference))
    );
    let refused = with("S3cr3t!").unwrap_err().to_string();
    assert!(
        refused.contains("name of a secret") && !refused.contains("S3cr3t"),
        "{refused}"
    );
}
