//! The front page's connector against a directory kept in a map.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use usher_sdk::http::{Failure, FailureKind, Request};
use usher_sdk::testing::{self, HttpGuard, Target, answer, empty};
use usher_sdk::{Effect, ErrorKind, Status};

use super::*;

type People = Rc<RefCell<BTreeMap<String, Value>>>;

const BASE: &str = "https://directory.test/api";

fn target() -> Target<Directory> {
    Target::new(json!({ "base-url": BASE }))
}

/// A directory that keeps people by login.
fn directory() -> (People, HttpGuard) {
    let people = People::default();
    let kept = Rc::clone(&people);
    let guard = testing::http(move |request| Ok(serve(&mut kept.borrow_mut(), request)));
    (people, guard)
}

fn serve(people: &mut BTreeMap<String, Value>, request: &Request) -> Response {
    let body: Value = request.body.as_deref().map_or(Value::Null, |body| {
        usher_sdk::serde_json::from_slice(body).unwrap()
    });
    let path = request.url.strip_prefix(&format!("{BASE}/people/")).unwrap();
    match (request.method.as_str(), path) {
        ("POST", "") => {
            let login = body["login"].as_str().unwrap().to_owned();
            if people.contains_key(&login) {
                return answer(409, json!({ "message": "taken" }));
            }
            let mut person = body;
            person["active"] = json!(true);
            people.insert(login, person.clone());
            answer(201, person)
        }
        ("GET", query) if query.starts_with('?') => {
            let after = query.split(['=', '&']).nth(1).unwrap().to_owned();
            let page: Vec<_> = people
                .iter()
                .filter(|(login, _)| **login > after)
                .take(2)
                .collect();
            answer(200, page.into_iter().map(|(_, person)| person.clone()).collect())
        }
        (method, login) => match (method, people.get_mut(login)) {
            (_, None) => answer(404, json!({ "message": "nobody" })),
            ("GET", Some(person)) => answer(200, person.clone()),
            ("PATCH", Some(person)) => {
                for (name, value) in body.as_object().unwrap() {
                    person[name] = value.clone();
                }
                answer(200, person.clone())
            }
            ("DELETE", Some(_)) => {
                people.remove(login);
                empty(204)
            }
            (_, Some(_)) => empty(405),
        },
    }
}

#[test]
fn an_account_lives_its_whole_life() {
    let (people, net) = directory();
    let ada = target().create(json!({ "login": "ada", "name": "Ada" })).unwrap();
    assert_eq!(
        ada,
        Account::new("ada")
            .attribute("login", "ada")
            .attribute("name", "Ada")
            .status(true)
    );
    assert_eq!(
        target()
            .replace("ada", json!({ "name": null }))
            .unwrap()
            .attributes
            .get("name"),
        None
    );
    for _ in 0..2 {
        assert_eq!(target().disable("ada").unwrap().status, Status::Disabled);
    }
    assert_eq!(target().get("ada").unwrap().unwrap().status, Status::Disabled);
    assert_eq!(target().enable("ada").unwrap().status, Status::Enabled);
    for _ in 0..2 {
        target().delete("ada").unwrap();
    }
    assert_eq!(target().get("ada").unwrap(), None);
    assert!(people.borrow().is_empty());
    insta::assert_snapshot!(net.transcript(), @r#"
        POST https://directory.test/api/people/
          Content-Type: application/json
          {"login":"ada","name":"Ada"}
        PATCH https://directory.test/api/people/ada
          Content-Type: application/json
          {"name":null}
        PATCH https://directory.test/api/people/ada
          Content-Type: application/json
          {"active":false}
        PATCH https://directory.test/api/people/ada
          Content-Type: application/json
          {"active":false}
        GET https://directory.test/api/people/ada
        PATCH https://directory.test/api/people/ada
          Content-Type: application/json
          {"active":true}
        DELETE https://directory.test/api/people/ada
        DELETE https://directory.test/api/people/ada
        GET https://directory.test/api/people/ada
        "#);
}

#[test]
fn a_create_never_touches_who_is_there() {
    let (people, _net) = directory();
    target().create(json!({ "login": "ada", "name": "Ada" })).unwrap();
    let error = target()
        .create(json!({ "login": "ada", "name": "Mallory" }))
        .unwrap_err();
    assert_eq!(
        (error.kind, error.existing_id.as_deref()),
        (ErrorKind::Conflict, Some("ada"))
    );
    assert_eq!(people.borrow()["ada"]["name"], "Ada");
}

#[test]
fn a_list_ends_and_has_everyone_once() {
    let (_people, _net) = directory();
    for login in ["a", "b", "c", "d", "e"] {
        target().create(json!({ "login": login })).unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = target().list(cursor.as_deref(), 2).unwrap();
        seen.extend(page.items.into_iter().map(|account| account.id));
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
}

#[test]
fn an_id_cannot_leave_its_place_in_the_path() {
    let (_people, net) = directory();
    assert_eq!(target().get("../admin?x=1#").unwrap(), None);
    assert_eq!(target().get("..").unwrap(), None);
    let asked: Vec<String> = net.requests().into_iter().map(|request| request.url).collect();
    assert_eq!(asked[0], format!("{BASE}/people/..%2Fadmin%3Fx%3D1%23"));
    assert_eq!(asked[1], format!("{BASE}/people/%252E%252E"));
}

#[test]
fn a_lost_answer_leaves_a_write_unknown_and_a_read_harmless() {
    let _net = testing::http(|_| Err(Failure::after_sending(FailureKind::Broken, "cut")));
    assert_eq!(target().disable("ada").unwrap_err().effect, Effect::Unknown);
    assert_eq!(target().get("ada").unwrap_err().effect, Effect::None);
    let _net = testing::http(|_| Err(Failure::before_sending(FailureKind::Unreachable, "refused")));
    assert_eq!(target().disable("ada").unwrap_err().effect, Effect::None);
}

#[test]
fn settings_errors_name_the_field() {
    for (settings, message) in [
        (json!({}), "settings: missing field `base-url`"),
        (
            json!({ "base-url": 1 }),
            "settings: `base-url`: invalid type: integer `1`, expected a string",
        ),
        (
            json!({ "base-url": "x", "bse": 1 }),
            "settings: `bse`: unknown field `bse`, expected `base-url`",
        ),
    ] {
        let error = Target::<Directory>::new(settings).check().unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::Misconfigured, message)
        );
    }
}

#[test]
fn it_describes_itself() {
    insta::assert_json_snapshot!(target().describe().unwrap(), @r#"
        {
          "capabilities": [
            "disable",
            "delete"
          ],
          "creation": {
            "client-id": "login"
          },
          "name": "directory",
          "settings-schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "additionalProperties": false,
            "properties": {
              "base-url": {
                "description": "Where the API is, for example `https://directory.example.com/api`.",
                "type": "string"
              }
            },
            "required": [
              "base-url"
            ],
            "title": "Settings",
            "type": "object"
          },
          "version": "0.1.0"
        }
        "#);
}

#[test]
fn a_check_says_what_it_tried() {
    let _net = testing::scripted([Ok(answer(401, json!({ "message": "who are you?" })))]);
    let report = target().check().unwrap();
    assert!(!report.passed());
    assert_eq!(
        report.steps[0].detail,
        "GET /api/people/: the system answered 401: who are you?"
    );
}
