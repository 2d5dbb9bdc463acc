//! The shipped connectors and the SDK's front page, as components in the sandbox, each through one whole life of an account against
//! a real system: what an author's native tests cannot show.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};
use usher_connectors::{CodeFolder, CodeKey, Compiler, Connector, FixedSecrets, Generation, Sandbox};
use usher_lifecycle::account::AccountState;
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::connector::{AttributeChange, Creation, ErrorKind, Find, WriteContext};
use usher_lifecycle::targets::{self, Target};
use usher_tests::application::Application;
use usher_tests::scim_server::{ScimServer, TOKEN, TOKEN_ENV};

/// What differs between the systems.
struct Life {
    attributes: Attributes,
    change: (&'static str, Value),
    key: &'static str,
    entitlement: Option<&'static str>,
}

fn write(intent: &str) -> WriteContext {
    WriteContext {
        intent_id: intent.to_owned(),
        attempt: 1,
        reason: "hr: joiner".to_owned(),
    }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn target(document: &str) -> Target {
    let parsed = targets::parse("targets.toml", document).unwrap();
    parsed.targets.into_values().next().unwrap()
}

/// Connectors are compiled as an operator's are: by the program itself, in a process of its own.
fn compiler() -> Compiler {
    Compiler::program(usher_tests::programs::program("usher").unwrap()).with_argument("compile-component")
}

async fn load(package: &str, document: &str) -> Arc<Generation> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native");
    let kept = CodeFolder {
        folder: cache,
        key: CodeKey::new(&[7; 32]),
    };
    let sandbox = Sandbox::new(compiler(), Some(kept)).unwrap();
    let secrets = FixedSecrets::none().with(TOKEN_ENV, TOKEN);
    sandbox
        .load(
            usher_tests::component(package),
            &target(document),
            Arc::new(secrets),
        )
        .await
        .unwrap()
}

/// Every call of the contract, each write twice: the second changes nothing.
async fn live(connector: &Generation, life: &Life) {
    let report = connector.check().await.unwrap();
    assert!(report.steps.iter().all(|step| step.ok), "{report:?}");

    let made = connector.create(&write("op_1"), &life.attributes).await.unwrap();
    assert_eq!(made.state, AccountState::Enabled);
    for (name, value) in &life.attributes {
        assert_eq!(made.attributes.get(name), Some(value), "{name}");
    }
    let id = made.id.as_str();
    assert_eq!(
        connector.get(id).await.unwrap().unwrap().attributes,
        made.attributes
    );

    let other = connector
        .create(&write("op_2"), &life.attributes)
        .await
        .unwrap_err();
    assert_eq!(
        (other.kind, other.existing_id.as_deref()),
        (ErrorKind::Conflict, Some(id))
    );

    let query = match &connector.descriptor().creation {
        Creation::Marker => Some(Find::Marker("op_1".to_owned())),
        Creation::UniqueKey(_) => {
            let key = (life.key.to_owned(), life.attributes[life.key].clone());
            Some(Find::Unique(Map::from_iter([key])))
        }
        Creation::ClientId(_) | Creation::None => None,
    };
    if let Some(query) = query {
        let found = connector.find(&query).await.unwrap();
        assert_eq!(
            found
                .iter()
                .map(|account| account.id.as_str())
                .collect::<Vec<_>>(),
            [id]
        );
    }

    let (name, value) = &life.change;
    let changes = [AttributeChange::Replace {
        name: (*name).to_owned(),
        value: value.clone(),
    }];
    let mut desired = life.attributes.clone();
    desired.insert((*name).to_owned(), value.clone());
    for _ in 0..2 {
        let changed = connector
            .update(&write("op_3"), id, &changes, &desired, None)
            .await
            .unwrap();
        assert_eq!(changed.attributes.get(*name), Some(value));
    }

    for _ in 0..2 {
        assert_eq!(
            connector.disable(&write("op_4"), id).await.unwrap().state,
            AccountState::Disabled
        );
    }
    for _ in 0..2 {
        assert_eq!(
            connector.enable(&write("op_5"), id).await.unwrap().state,
            AccountState::Enabled
        );
    }

    if let Some(entitlement) = life.entitlement {
        entitle(connector, id, entitlement).await;
    }
    list(connector, id).await;

    for _ in 0..2 {
        connector.delete(&write("op_9"), id).await.unwrap();
    }
    assert_eq!(connector.get(id).await.unwrap(), None);
    let gone = connector
        .update(&write("op_10"), id, &changes, &desired, None)
        .await
        .unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound, "{gone}");
}

async fn entitle(connector: &Generation, id: &str, entitlement: &str) {
    let offered = connector.entitlements(None, 100).await.unwrap().items;
    assert!(offered.iter().any(|offer| offer.id == entitlement), "{offered:?}");
    for _ in 0..2 {
        connector
            .grant(&write("op_6"), id, entitlement, &Value::Null)
            .await
            .unwrap();
    }
    let held = connector.held(id).await.unwrap();
    assert_eq!(
        held.iter()
            .map(|holding| holding.entitlement_id.as_str())
            .collect::<Vec<_>>(),
        [entitlement]
    );
    let members = connector.members(entitlement, None, 100).await.unwrap().items;
    assert!(
        members.iter().any(|member| member.account_id == id),
        "{members:?}"
    );
    for _ in 0..2 {
        connector.revoke(&write("op_7"), id, entitlement).await.unwrap();
    }
    assert!(connector.held(id).await.unwrap().is_empty());
}

/// One at a time, so that every page boundary is crossed.
async fn list(connector: &Generation, id: &str) {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = connector.list(cursor.as_deref(), 1).await.unwrap();
        for account in page.items {
            *seen.entry(account.id).or_default() += 1;
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.get(id), Some(&1), "{seen:?}");
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_in_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let application = Application::create(folder.path()).unwrap();
    let before = application.users().unwrap();
    let shipped = std::fs::read_to_string(usher_tests::programs::data().join("targets.toml")).unwrap();
    let document = shipped.replace("@APP_DB@", application.file().to_str().unwrap());
    let (document, _) = document.split_once("[targets.directory]").unwrap();
    let connector = load("usher-connector-sql", document).await;
    let attributes = json!({
        "username": "mei'; DROP TABLE users; --", "fullName": "田中 芽衣", "email": "mei@example.test", "department": "Sales"
    });
    let life = Life {
        attributes: object(&attributes),
        change: ("department", json!("Engineering")),
        key: "username",
        entitlement: Some("crm"),
    };
    live(&connector, &life).await;
    assert_eq!(application.users().unwrap(), before, "others are as they were");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scim_in_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let server = ScimServer::start(folder.path(), &["All Staff", "O'Neil \"quoted\""], &[]).unwrap();
    let port = server.port();
    let document = format!(
        r#"
[targets.directory]
connector = "scim"
[targets.directory.settings]
base-url = "http://127.0.0.1:{port}"
[[targets.directory.grants.http]]
scheme = "http"
host = "127.0.0.1"
port = {port}
private-addresses = true
[targets.directory.http-auth.bearer]
env = "{TOKEN_ENV}"
"#
    );
    let connector = load("usher-connector-scim", &document).await;
    let attributes = json!({
        "userName": "m.\"tanaka\"", "givenName": "Mei", "familyName": "Tanaka", "email": "mei@example.test", "department": "Sales"
    });
    let life = Life {
        attributes: object(&attributes),
        change: ("department", json!("Engineering")),
        key: "userName",
        entitlement: Some("O'Neil \"quoted\""),
    };
    live(&connector, &life).await;
    let seen = server.seen().unwrap();
    assert!(
        seen.iter().all(|request| request.status != 401),
        "the host adds the token"
    );
    let whole_group = seen
        .iter()
        .any(|request| request.method == "PUT" && request.path.starts_with("/Groups"));
    assert!(!whole_group, "membership is changed one member at a time");
}

type People = Arc<Mutex<BTreeMap<String, Map<String, Value>>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_front_page_in_the_sandbox() {
    let people = People::default();
    let routes = axum::Router::new()
        .route("/people/", get(list_people).post(add_person))
        .route(
            "/people/{login}",
            get(show_person).patch(change_person).delete(remove_person),
        )
        .with_state(people.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let document = format!(
        r#"
[targets.people]
connector = "directory"
[targets.people.settings]
base-url = "http://127.0.0.1:{port}"
[[targets.people.grants.http]]
scheme = "http"
host = "127.0.0.1"
port = {port}
private-addresses = true
"#
    );
    let connector = load("usher-connector-directory", &document).await;
    let life = Life {
        attributes: object(&json!({ "login": "mei/tanaka &co", "name": "Mei Tanaka" })),
        change: ("name", json!("Mei Sato")),
        key: "login",
        entitlement: None,
    };
    live(&connector, &life).await;
    assert!(people.lock().unwrap().is_empty());
}

async fn list_people(
    State(people): State<People>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let after = query.get("after").cloned().unwrap_or_default();
    let limit = query
        .get("limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(100);
    let people = people.lock().unwrap();
    let page: Vec<_> = people
        .iter()
        .filter(|(login, _)| **login > after)
        .map(|(_, person)| person)
        .take(limit)
        .collect();
    Json(&page).into_response()
}

async fn add_person(State(people): State<People>, Json(person): Json<Map<String, Value>>) -> Response {
    let login = person["login"].as_str().unwrap().to_owned();
    let mut people = people.lock().unwrap();
    if people.contains_key(&login) {
        return StatusCode::CONFLICT.into_response();
    }
    people.insert(login, person.clone());
    (StatusCode::CREATED, Json(person)).into_response()
}

async fn show_person(State(people): State<People>, UrlPath(login): UrlPath<String>) -> Response {
    match people.lock().unwrap().get(&login) {
        Some(person) => Json(person).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn change_person(
    State(people): State<People>,
    UrlPath(login): UrlPath<String>,
    Json(patch): Json<Map<String, Value>>,
) -> Response {
    match people.lock().unwrap().get_mut(&login) {
        Some(person) => {
            person.extend(patch);
            Json(person).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn remove_person(State(people): State<People>, UrlPath(login): UrlPath<String>) -> Response {
    match people.lock().unwrap().remove(&login) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
