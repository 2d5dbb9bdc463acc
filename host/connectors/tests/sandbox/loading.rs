//! Loading: a component is taken only with the grants and settings it needs, and says what is wrong otherwise.

use std::sync::Arc;

use serde_json::{Value, json};
use usher_connectors::{Access, Connector as _, FixedSecrets, LoadError};
use usher_lifecycle::connector::{AttributeChange, Capabilities, Creation, Effect, ErrorKind};
use usher_lifecycle::targets::Target;

use crate::support::{
    compiler, hostile, login, noop, noop_target, sandbox, sandbox_with, target, try_load, write,
};

async fn refusal(target: &Target) -> LoadError {
    try_load("usher-guest-hostile", target)
        .await
        .err()
        .expect("it should have been refused")
}

#[tokio::test]
async fn a_loaded_connector_describes_itself_and_works() {
    let generation = noop().await;
    let descriptor = generation.descriptor();
    assert_eq!(
        (descriptor.name.as_str(), descriptor.version.as_str()),
        ("noop", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(
        descriptor.capabilities,
        Capabilities {
            disable: true,
            delete: true,
            entitlements: true
        }
    );
    assert_eq!(descriptor.creation, Creation::Marker);
    assert_eq!(generation.account_schema()["type"], "object");
    assert_eq!(generation.digest().len(), 64);
    let made = generation.create(&write(), &login("ada")).await.unwrap();
    assert_eq!((made.id.as_str(), made.attributes), ("op_1", login("ada")));
    generation
        .grant(&write(), "1", "staff", &Value::Null)
        .await
        .unwrap();
    generation.revoke(&write(), "1", "staff").await.unwrap();
    generation.delete(&write(), "1").await.unwrap();
    assert_eq!(generation.get("1").await.unwrap(), None);
    assert!(generation.check().await.unwrap().steps.is_empty());
}

#[tokio::test]
async fn imports_that_are_not_granted_are_named() {
    let mut without_http = target(json!({}));
    without_http.grants.http.clear();
    let error = refusal(&without_http).await;
    let text = error.to_string();
    assert!(
        matches!(error, LoadError::NotGranted { .. }) && text.contains("wasi:http/"),
        "{text}"
    );
    assert!(text.contains("[[targets.app.grants.http]]\nscheme = "), "{text}");
    let mut without_sql = target(json!({}));
    without_sql.grants.sql.clear();
    let text = refusal(&without_sql).await.to_string();
    assert!(
        text.contains("`usher:host/sql@0.1.0`") && text.contains("[[targets.app.grants.sql]]\nendpoint = "),
        "{text}"
    );
}

#[tokio::test]
async fn settings_are_checked_against_the_connector_s_schema() {
    let error = refusal(&target(json!({ "behaviour": 7 }))).await;
    assert!(
        matches!(&error, LoadError::Settings(violations) if violations[0].starts_with("/behaviour: ")),
        "{error}"
    );
    let mut target = noop_target();
    target.settings = json!({ "surplus": "s3cret" });
    let text = try_load("usher-guest-noop", &target)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(text.contains("surplus") && !text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn descriptions_that_cannot_be_used_are_refused() {
    let cases = [
        ("name", json!("Bad Name"), "is not a name"),
        ("version", json!("one"), "version `one`"),
        (
            "settings-schema",
            json!("{\"$ref\":\"https://example.com/\"}"),
            "settings-schema",
        ),
        ("account-schema", json!("nonsense"), "not JSON"),
        (
            "account-schema",
            json!("{\"type\":7}"),
            "the connector's account schema cannot be used: at /",
        ),
    ];
    for (setting, value, expected) in cases {
        let error = refusal(&target(json!({ setting: value }))).await;
        let text = error.to_string();
        assert!(
            matches!(error, LoadError::Description { .. }),
            "{setting}: {text}"
        );
        assert!(text.contains(expected), "{setting}: {text}");
    }
}

#[tokio::test]
async fn attributes_are_checked_before_anything_is_called() {
    let generation = hostile(&target(json!({ "behaviour": "trap" }))).await;
    for attributes in [login("NOT LOWER"), serde_json::Map::new()] {
        let error = generation.create(&write(), &attributes).await.unwrap_err();
        assert_eq!(
            (error.kind, error.effect),
            (ErrorKind::InvalidRequest, Effect::None)
        );
        assert!(
            !error.message.contains("NOT LOWER") && error.message.contains("login"),
            "{}",
            error.message
        );
        assert_eq!(
            generation
                .update(&write(), "1", &[], &attributes, None)
                .await
                .unwrap_err()
                .kind,
            ErrorKind::InvalidRequest
        );
    }
    assert_eq!(
        generation.create(&write(), &login("ada")).await.unwrap_err().kind,
        ErrorKind::Crashed
    );
}

#[tokio::test]
async fn changes_arrive_as_the_contract_says() {
    let generation = hostile(&target(json!({}))).await;
    let changes = [
        AttributeChange::Replace {
            name: "a".to_owned(),
            value: Value::Null,
        },
        AttributeChange::Members {
            name: "b".to_owned(),
            add: vec![json!(1)],
            remove: vec![],
        },
        AttributeChange::Members {
            name: "c".to_owned(),
            add: vec![],
            remove: vec![],
        },
    ];
    let made = generation
        .update(&write(), "1", &changes, &login("ada"), Some("v1"))
        .await
        .unwrap();
    let told = made.attributes["told"].as_str().unwrap();
    assert_eq!(
        told,
        "[\"a +None -None =Some(\\\"null\\\")\", \"b +Some(\\\"[1]\\\") -None =None\"] {\"login\":\"ada\"} Some(\"v1\")"
    );
}

#[tokio::test]
async fn inspection_tells_what_a_component_is_and_needs() {
    let found = sandbox()
        .inspect(usher_tests::component("usher-guest-hostile"))
        .await
        .unwrap();
    assert_eq!(found.descriptor.name, "hostile");
    assert_eq!(
        found.descriptor.capabilities,
        Capabilities {
            disable: true,
            delete: false,
            entitlements: true
        }
    );
    assert!(
        found
            .exports
            .contains(&"usher:connector/accounts@0.1.0".to_owned())
    );
    let access = |prefix: &str| {
        found
            .imports
            .iter()
            .find(|import| import.name.starts_with(prefix))
            .unwrap()
            .access
    };
    assert_eq!(access("wasi:http/outgoing-handler"), Access::HttpGrant);
    assert_eq!(access("usher:host/sql"), Access::SqlGrant);
    assert_eq!(access("usher:host/log"), Access::Always);
    assert_eq!(access("wasi:sockets/"), Access::Stubbed);
    assert_eq!(access("wasi:io/streams"), Access::Always);
    let quiet = sandbox()
        .inspect(usher_tests::component("usher-guest-noop"))
        .await
        .unwrap();
    assert!(
        quiet.imports.iter().all(|import| import.access == Access::Always),
        "{:?}",
        quiet.imports
    );
    assert_eq!(quiet.size_bytes, usher_tests::component("usher-guest-noop").len());
}

#[tokio::test]
async fn native_code_is_taken_from_the_cache_the_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("native");
    let load = || async {
        let sandbox = sandbox_with(compiler(), &cache);
        let bytes = usher_tests::component("usher-guest-noop");
        sandbox
            .load(bytes, &noop_target(), Arc::new(FixedSecrets::none()))
            .await
            .unwrap()
    };
    let files = || {
        std::fs::read_dir(&cache)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect::<Vec<_>>()
    };
    load().await;
    let first = files();
    assert_eq!(first.len(), 1, "{first:?}");
    // A file that is written anew is another file.
    let file =
        |path: &std::path::Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let before = file(&first[0]);
    let generation = load().await;
    assert_eq!((files(), file(&first[0])), (first.clone(), before));
    generation.create(&write(), &login("ada")).await.unwrap();
}
