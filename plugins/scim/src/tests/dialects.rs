//! What systems do that the standard does not say.

use usher_sdk::testing::http;
use usher_sdk::{ErrorKind, Status};

use super::*;

fn status_of(active: Value) -> Status {
    let mut user = zoe();
    user["active"] = active;
    let _net = answers([answer(200, user)]);
    target().get("u1").unwrap().unwrap().status
}

#[test]
fn truth_values_may_be_texts() {
    assert_eq!(status_of(json!("True")), Status::Enabled);
    assert_eq!(status_of(json!("false")), Status::Disabled);
    assert_eq!(status_of(json!(false)), Status::Disabled);
    assert_eq!(status_of(json!("perhaps")), Status::Unknown);
    assert_eq!(status_of(Value::Null), Status::Unknown);
}

#[test]
fn odd_values_are_read_as_what_they_mean() {
    let user = json!({
        "id": 17, "userName": "a", "title": "", "displayName": null, "emails": [{ "value": "w@x", "type": "WORK" }],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "employeeNumber": 7, "manager": "u9" },
    });
    let _net = answers([answer(200, user)]);
    let account = target().get("17").unwrap().unwrap();
    assert_eq!(account.id, "17");
    assert_eq!(
        account.attributes.to_json(),
        json!({ "userName": "a", "email": "w@x", "employeeNumber": "7", "manager": "u9" })
    );
}

/// Walks all pages and tells the ids seen and the queries sent.
fn walk(limit: u32) -> Result<Vec<String>, Error> {
    let (mut seen, mut cursor) = (Vec::new(), None);
    for _ in 0..20 {
        let page = target().list(cursor.as_deref(), limit)?;
        seen.extend(page.items.into_iter().map(|account| account.id));
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(seen),
        }
    }
    panic!("the list does not end");
}

/// Users `1..=users`; `cut` says how many of those asked for are given, `total` what the system claims.
fn serve(
    users: u64,
    cut: impl Fn(u64) -> u64 + 'static,
    total: impl Fn(u64) -> Value + 'static,
) -> HttpGuard {
    http(move |request| {
        let number = |name: &str| {
            let (_, value) = request.url.split_once(&format!("{name}=")).unwrap();
            value.split('&').next().unwrap().parse::<u64>().unwrap()
        };
        let start = number("startIndex");
        let end = (start + cut(number("count"))).min(users + 1);
        let resources: Vec<Value> = (start..end)
            .map(|id| json!({ "id": id.to_string(), "userName": "x" }))
            .collect();
        let mut body = json!({ "startIndex": start, "Resources": resources });
        body["totalResults"] = total(start);
        if end <= start {
            body.as_object_mut().unwrap().remove("Resources");
        }
        Ok(answer(200, body))
    })
}

fn numbers(users: u64) -> Vec<String> {
    (1..=users).map(|id| id.to_string()).collect()
}

#[test]
fn lists_are_walked_by_what_came() {
    let net = serve(7, |count| count, |_| json!(7));
    assert_eq!(walk(3).unwrap(), numbers(7));
    insta::assert_snapshot!(net.transcript(), @r"
        GET https://scim.test/v2/Users?startIndex=1&count=3
          Accept: application/scim+json
        GET https://scim.test/v2/Users?startIndex=4&count=3
          Accept: application/scim+json
        GET https://scim.test/v2/Users?startIndex=7&count=3
          Accept: application/scim+json
        ");
}

#[test]
fn lists_end_whatever_the_system_claims() {
    let _net = serve(7, |_| 2, |_| json!(7));
    assert_eq!(walk(5).unwrap(), numbers(7), "fewer than asked for");
    let _net = serve(7, |count| count, |_| Value::Null);
    assert_eq!(walk(3).unwrap(), numbers(7), "no total");
    let _net = serve(7, |count| count, |_| json!("7"));
    assert_eq!(walk(3).unwrap(), numbers(7), "the total as text");
    let _net = serve(7, |count| count, |start| json!(100 + start));
    assert_eq!(
        walk(3).unwrap(),
        numbers(7),
        "a total that grows: the empty page ends it"
    );
    let _net = serve(0, |count| count, |_| json!(0));
    assert_eq!(walk(3).unwrap(), numbers(0), "nobody, and no `Resources`");
}

#[test]
fn a_system_that_always_gives_the_first_page_is_found_out() {
    let _net = http(|_| {
        let users = [json!({ "id": "1", "userName": "a" })];
        Ok(answer(
            200,
            json!({ "totalResults": 9, "startIndex": 1, "Resources": users }),
        ))
    });
    assert_eq!(
        walk(1).unwrap_err().kind,
        ErrorKind::Other("paging-ignored".into())
    );
}

#[test]
fn a_system_that_ignores_filters_names_nobody() {
    let everybody: Vec<Value> = (0..10)
        .map(|id| json!({ "id": format!("u{id}"), "userName": format!("n{id}") }))
        .collect();
    let _net = answers([
        list(&everybody),
        list(&everybody),
        answer(409, json!({})),
        list(&everybody),
    ]);
    assert_eq!(
        target().find(&Find::Marker("intent-1".into())).unwrap_err().kind,
        ErrorKind::Unsupported
    );
    let key = Find::Unique(Attributes::new().with("userName", "n3"));
    assert_eq!(target().find(&key).unwrap_err().kind, ErrorKind::Unsupported);
    assert!(target().create(json!({ "userName": "new" })).is_err());
}

#[test]
fn answers_that_are_no_users_are_errors() {
    for body in [json!({ "userName": "no id" }), json!([]), json!("x")] {
        let _net = answers([answer(200, body)]);
        assert!(target().get("u1").is_err());
    }
    let _net = answers([Response::new(200, vec![], "<html>login</html>")]);
    assert!(target().get("u1").is_err());
    let _net = answers([answer(200, json!({ "Resources": {} }))]);
    assert!(target().list(None, 5).is_err());
}

#[test]
fn waiting_is_passed_on() {
    let _net = answers([Response::new(429, vec![("Retry-After".into(), "9".into())], "")]);
    let error = target().get("u1").unwrap_err();
    assert_eq!(
        (error.kind, error.retry_after_ms),
        (ErrorKind::RateLimited, Some(9_000))
    );
}
