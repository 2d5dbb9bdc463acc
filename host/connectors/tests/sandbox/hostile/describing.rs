//! Guests that lie about themselves, or cannot be asked.

use serde_json::{Value, json};
use usher_connectors::{Connector as _, LoadError};
use usher_lifecycle::connector::ErrorKind;
use usher_lifecycle::targets::{ConnectorReference, Target};

use super::with;
use crate::support::{hostile, login, noop, target, try_load, write};

/// Refused; and a good connector and the same one with decent settings are loaded and work.
async fn refusal(target: &Target) -> LoadError {
    let error = try_load("usher-guest-hostile", target).await.err();
    let error = error.unwrap_or_else(|| panic!("{}: it was loaded", target.settings));
    assert!(noop().await.check().await.is_ok());
    let decent = hostile(&with(json!({}))).await;
    assert_eq!(decent.create(&write(), &login("good")).await.unwrap().id, "good");
    error
}

async fn described(settings: Value) -> String {
    let error = refusal(&with(settings)).await;
    assert!(matches!(error, LoadError::Description { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn another_name_or_version_than_at_first_is_a_lie() {
    for settings in [
        json!({ "name": "scim" }),
        json!({ "version": "9.9.9" }),
        json!({ "describing": "another-name-each-time" }),
    ] {
        let text = described(settings.clone()).await;
        assert!(text.contains("`hostile 0.1.0` at first"), "{settings}: {text}");
    }
    let looser = r#"{"type":"object"}"#;
    let text = described(json!({ "settings-schema": looser })).await;
    assert!(text.contains("another one under the target's settings"), "{text}");
}

#[tokio::test]
async fn another_connector_than_the_target_asks_for_is_not_taken() {
    let mut other = target(json!({}));
    for (name, version, says) in [
        (
            "scim",
            None,
            "asks for `scim`, and it calls itself `hostile 0.1.0`",
        ),
        ("hostile", Some("2.0.0"), "asks for `hostile 2.0.0`"),
    ] {
        other.connector = ConnectorReference::Name {
            name: name.parse().unwrap(),
            version: version.map(str::to_owned),
        };
        let text = refusal(&other).await.to_string();
        assert!(text.contains(says), "{text}");
    }
}

#[tokio::test]
async fn capabilities_are_what_is_exported_and_understood() {
    let many = hostile(&target(json!({ "capabilities": 10_000 }))).await;
    let capabilities = &many.descriptor().capabilities;
    assert!(capabilities.entitlements && !capabilities.disable && !capabilities.delete);
}

#[tokio::test]
async fn a_creation_nobody_could_use_is_refused() {
    let text = described(json!({ "keys": 1_000 })).await;
    assert!(text.contains("names 1000 attributes"), "{text}");
    let text = described(json!({ "creation": "client-id" })).await;
    assert!(text.contains("empty client-id attribute"), "{text}");
}

#[tokio::test]
async fn an_address_of_documentation_is_one_of_the_web() {
    for url in [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://example.com/\u{1b}[2J",
        "https://example.com/\u{202e}",
    ] {
        let text = described(json!({ "docs-url": url })).await;
        assert!(
            text.contains("docs-url") && !text.contains(['\u{1b}', '\u{202e}']),
            "{text}"
        );
    }
}

#[tokio::test]
async fn describing_without_end_ends_at_the_limits() {
    for (setting, asked) in [
        ("describing", "describe itself"),
        ("telling-its-schema", "tell its account schema"),
    ] {
        for (how, kind) in [
            ("endless", ErrorKind::LimitExceeded("cpu-ms = 100".to_owned())),
            ("sleep", ErrorKind::Timeout),
            ("trap", ErrorKind::Crashed),
        ] {
            let mut target = with(json!({ setting: how }));
            target.limits.wall_ms = 1_000;
            match refusal(&target).await {
                LoadError::Call { what, error } => assert_eq!((what, error.kind), (asked, kind)),
                other => panic!("{setting} {how}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn schemas_that_reach_out_or_explode_are_refused() {
    let doubling: Vec<_> = (0..30)
        .map(|n| {
            format!(
                r##""d{n}":{{"allOf":[{{"$ref":"#/$defs/d{m}"}},{{"$ref":"#/$defs/d{m}"}}]}}"##,
                m = n + 1
            )
        })
        .collect();
    let chain: Vec<_> = (0..4_000)
        .map(|n| format!(r##""d{n}":{{"$ref":"#/$defs/d{}"}}"##, n + 1))
        .collect();
    let cases = [
        (
            r#"{"$ref":"file:///etc/passwd"}"#.to_owned(),
            "leads nowhere in the schema",
        ),
        (
            r#"{"$ref":"http://169.254.169.254/latest"}"#.to_owned(),
            "leads nowhere",
        ),
        (r##"{"$ref":"#"}"##.to_owned(), "refers to itself"),
        (
            r##"{"items":{"$dynamicRef":"#a"}}"##.to_owned(),
            "`$dynamicRef` is not accepted",
        ),
        (
            r#"{"properties":{"login":{"pattern":"(a*)*\\1$"}}}"#.to_owned(),
            "the pattern",
        ),
        (
            r#"{"pattern":"(\\w{0,1000}){1000}"}"#.to_owned(),
            "stands for more than 65536 bytes",
        ),
        (
            format!(
                r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d30":{{}}}}}}"##,
                doubling.join(",")
            ),
            "more than 10000 parts",
        ),
        (
            format!(
                r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d4000":{{}}}}}}"##,
                chain.join(",")
            ),
            "deeper than 256 levels",
        ),
        (
            format!("{}true{}", r#"{"not":"#.repeat(40), "}".repeat(40)),
            "nested deeper than 32",
        ),
        (
            format!(r#"{{"title":"{}"}}"#, "x".repeat(300_000)),
            "at most 262144 are accepted",
        ),
        (
            r#"{"type":"object","type":"string"}"#.to_owned(),
            "the name `type` twice",
        ),
    ];
    for (schema, says) in cases {
        let mut target = target(json!({ "account-schema": schema }));
        let error = refusal(&target).await;
        assert!(matches!(error, LoadError::Description { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{says}: {error}");
        // One of the settings that is only told under the settings cannot be looked at by inspection; it is refused all the same.
        target.settings = json!({ "settings-schema": target.settings["account-schema"].clone() });
        assert!(refusal(&target).await.to_string().contains(says));
    }
}

#[tokio::test]
async fn a_catastrophic_pattern_costs_no_time() {
    let schema = r#"{"type":"object","properties":{"login":{"type":"string","pattern":"^(([a-z])+.)+[A-Z]([a-z])+$"}}}"#;
    let generation = hostile(&with(json!({ "account-schema": schema }))).await;
    let started = std::time::Instant::now();
    for text in ["a".repeat(4_000), "a".repeat(500_000)] {
        let error = generation.create(&write(), &login(&text)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.message.len() < 700, "{}", error.message.len());
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(2));
}

#[tokio::test]
async fn a_check_says_a_hundred_things_at_most() {
    let settings = json!({ "steps": 1_000, "detail": "\u{1b}[2J".repeat(2_000) });
    let report = hostile(&target(settings)).await.check().await.unwrap();
    assert_eq!((report.steps.len(), report.permissions.len()), (100, 100));
    let detail = &report.steps[0].detail;
    assert!(detail.len() < 4_200 && !detail.contains('\u{1b}'));
}
