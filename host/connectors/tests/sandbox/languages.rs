//! Connectors with an interpreter inside run under the defaults. They are there when `cargo xtask languages` has been run.

use std::sync::Arc;

use serde_json::{Value, json};
use usher_connectors::{Access, Connector as _, FixedSecrets, Generation};
use usher_lifecycle::account::AccountState;
use usher_lifecycle::connector::ErrorKind;
use usher_lifecycle::targets::{ConnectorReference, Limits, Target};

use crate::support::{Serve, Server, granting_http, login, sandbox, target, write};

const PEOPLE: &str = r#"[{"id":"1","active":true,"login":"ada"},{"id":"2","active":false,"login":"mei"}]"#;

/// Those that were built, by the name of their language.
fn components() -> Vec<(&'static str, Vec<u8>)> {
    let languages = ["javascript", "python"];
    languages
        .into_iter()
        .filter_map(|language| Some((language, usher_tests::language_component(language)?)))
        .collect()
}

fn reading(language: &str, port: u16, spin: bool) -> Target {
    let settings = json!({ "url": format!("http://127.0.0.1:{port}"), "spin": spin });
    let mut target = granting_http(target(settings), port);
    target.grants.sql.clear();
    target.connector = ConnectorReference::Name {
        name: language.parse().unwrap(),
        version: None,
    };
    target
}

async fn load(bytes: &[u8], target: &Target) -> Arc<Generation> {
    let none = Arc::new(FixedSecrets::none());
    sandbox().load(bytes.to_vec(), target, none).await.unwrap()
}

#[tokio::test]
async fn they_load_and_work_under_the_defaults() {
    let server = Server::start(Serve::Text(PEOPLE)).await;
    for (language, bytes) in components() {
        let target = reading(language, server.port, false);
        assert_eq!(target.limits, Limits::default());
        let generation = load(&bytes, &target).await;
        assert_eq!(generation.descriptor().name, language);
        let page = generation.list(None, 10).await.unwrap();
        let found: Vec<_> = page
            .items
            .iter()
            .map(|account| (account.id.as_str(), account.state, &account.attributes["login"]))
            .collect();
        let expected = [
            ("1", AccountState::Enabled, &json!("ada")),
            ("2", AccountState::Disabled, &json!("mei")),
        ];
        assert_eq!(found, expected, "{language}");
        let made = generation.create(&write(), &login("ada")).await.unwrap();
        assert_eq!(
            (made.id.as_str(), made.attributes),
            ("op_1", login("ada")),
            "{language}"
        );
        assert!(generation.check().await.unwrap().steps[0].ok, "{language}");
        let unsupported = generation.disable(&write(), "1").await.unwrap_err();
        assert_eq!(unsupported.kind, ErrorKind::Unsupported, "{language}");
    }
}

#[tokio::test]
async fn they_are_stopped_at_their_limits() {
    for (language, bytes) in components() {
        let mut spinning = reading(language, 1, true);
        spinning.limits.cpu_ms = 200;
        let error = load(&bytes, &spinning).await.list(None, 10).await.unwrap_err();
        assert_eq!(
            error.kind,
            ErrorKind::LimitExceeded("cpu-ms = 200".to_owned()),
            "{language}"
        );
        let mut small = reading(language, 1, false);
        small.limits.memory_mib = 2;
        let none = Arc::new(FixedSecrets::none());
        let error = sandbox()
            .load(bytes, &small, none)
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("memory-mib = 2"), "{language}: {error}");
    }
}

#[tokio::test]
async fn what_their_interpreters_import_needlessly_is_told() {
    for (language, bytes) in components() {
        let found = sandbox().inspect(bytes).await.unwrap();
        let with = |access: Access| {
            found
                .imports
                .iter()
                .filter(|import| import.access == access)
                .count()
        };
        assert_eq!(with(Access::HttpGrant), 2, "{language}: {:?}", found.imports);
        assert_eq!(with(Access::Unknown), 0, "{language}");
        assert_eq!(
            with(Access::Stubbed) > 0,
            language == "python",
            "{language}: {:?}",
            found.imports
        );
        let schema: &Value = &found.descriptor.settings_schema;
        assert_eq!(schema["required"], json!(["url"]), "{language}");
    }
}
