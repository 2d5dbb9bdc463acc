//! What clients may rely on, request by request.

use serde_json::{Value, json};

use super::*;

/// Sends one request; the path may carry a query, already decoded.
#[allow(clippy::needless_pass_by_value, reason = "tests read better with literals")]
fn send(
    directory: &mut Directory,
    method: &str,
    path: &str,
    if_match: Option<&str>,
    body: Option<Value>,
) -> Answer {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parameters: Vec<(String, String)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let query = Query::read(&parameters).unwrap();
    let request = Request {
        method,
        path,
        query: &query,
        if_match,
        body: body.as_ref(),
    };
    directory.answer(&request).unwrap_or_else(Answer::from)
}

fn user(name: &str) -> Option<Value> {
    Some(json!({"schemas": [Kind::User.schema()], "userName": name, "externalId": format!("ext-{name}")}))
}

fn body(answer: Answer) -> Value {
    answer.body.unwrap_or_default()
}

fn add_member(id: &str) -> Option<Value> {
    Some(
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "add", "path": "members", "value": [{"value": id}]}]}),
    )
}

#[test]
fn a_user_is_created_read_and_found() {
    let mut directory = Directory::default();
    let created = send(&mut directory, "POST", "/Users", None, user("Ada"));
    assert_eq!((created.status, created.etag.as_deref()), (201, Some("W/\"1\"")));
    assert_eq!(created.location.as_deref(), Some("/Users/usr-1"));
    let created = body(created);
    assert_eq!(created["active"], true);
    assert_eq!(created["meta"]["resourceType"], "User");
    assert_eq!(
        body(send(&mut directory, "GET", "/Users/usr-1", None, None)),
        created
    );
    for filter in [
        "userName eq \"ADA\"",
        "externalId eq \"ext-Ada\"",
        "id eq \"usr-1\"",
    ] {
        let found = body(send(
            &mut directory,
            "GET",
            &format!("/Users?filter={filter}"),
            None,
            None,
        ));
        assert_eq!(
            (&found["totalResults"], &found["Resources"][0]),
            (&json!(1), &created),
            "{filter}"
        );
    }
    let none = body(send(
        &mut directory,
        "GET",
        "/Users?filter=externalId eq \"EXT-ADA\"",
        None,
        None,
    ));
    assert_eq!(none["totalResults"], 0);
}

#[test]
fn a_taken_user_name_is_a_conflict_whatever_its_case() {
    let mut directory = Directory::default();
    send(&mut directory, "POST", "/Users", None, user("Zoë"));
    send(&mut directory, "POST", "/Users", None, user("b"));
    let refused = send(&mut directory, "POST", "/Users", None, user("ZOË"));
    assert_eq!(
        (refused.status, body(refused)["scimType"].clone()),
        (409, json!("uniqueness"))
    );
    assert_eq!(
        send(&mut directory, "PUT", "/Users/usr-2", None, user("zoË")).status,
        409
    );
    assert_eq!(
        send(&mut directory, "PUT", "/Users/usr-1", None, user("ZOË")).status,
        200,
        "one's own name is free"
    );
    assert_eq!(
        send(&mut directory, "DELETE", "/Users/usr-1", None, None).status,
        204
    );
    let again = send(&mut directory, "POST", "/Users", None, user("zoë"));
    assert_eq!(
        body(again)["id"],
        "usr-3",
        "a deleted name is free, its id is not used again"
    );
}

#[test]
fn a_write_on_an_older_version_is_refused() {
    let mut directory = Directory::default();
    send(&mut directory, "POST", "/Users", None, user("a"));
    let off = Some(
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": false}]}),
    );
    let first = send(
        &mut directory,
        "PATCH",
        "/Users/usr-1",
        Some("W/\"1\""),
        off.clone(),
    );
    assert_eq!((first.status, first.etag.as_deref()), (200, Some("W/\"2\"")));
    let repeated = send(&mut directory, "PATCH", "/Users/usr-1", Some("*"), off.clone());
    assert_eq!(
        repeated.etag.as_deref(),
        Some("W/\"2\""),
        "what changes nothing is no new version"
    );
    for (method, body) in [("PATCH", off), ("PUT", user("a")), ("DELETE", None)] {
        assert_eq!(
            send(&mut directory, method, "/Users/usr-1", Some("W/\"1\""), body).status,
            412,
            "{method}"
        );
    }
    assert_eq!(
        send(
            &mut directory,
            "DELETE",
            "/Users/usr-1",
            Some("\"1\", W/\"2\""),
            None
        )
        .status,
        204
    );
}

#[test]
fn membership_shows_on_both_sides_and_ends_with_the_user() {
    let mut directory = Directory::default();
    directory.seed_group("All Staff");
    directory.seed_group("All Staff");
    send(&mut directory, "POST", "/Users", None, user("a"));
    assert_eq!(
        send(
            &mut directory,
            "PATCH",
            "/Groups/grp-1",
            None,
            add_member("usr-2")
        )
        .status,
        204
    );
    let shown = body(send(&mut directory, "GET", "/Users/usr-2", None, None));
    assert_eq!(
        shown["groups"],
        json!([{"value": "grp-1", "display": "All Staff", "type": "direct"}])
    );
    for filter in [
        "members.value eq \"usr-2\"",
        "members eq \"usr-2\"",
        "members[value eq \"usr-2\"]",
    ] {
        let path = format!("/Groups?filter={filter}&attributes=displayName");
        let found = body(send(&mut directory, "GET", &path, None, None));
        let lean = json!([{"id": "grp-1", "displayName": "All Staff", "schemas": [Kind::Group.schema()]}]);
        assert_eq!(found["Resources"], lean, "{filter}");
    }
    let unknown = send(
        &mut directory,
        "PATCH",
        "/Groups/grp-1",
        None,
        add_member("usr-9"),
    );
    assert_eq!(
        (unknown.status, body(unknown)["scimType"].clone()),
        (400, json!("invalidValue"))
    );
    send(&mut directory, "DELETE", "/Users/usr-2", None, None);
    assert_eq!(
        body(send(&mut directory, "GET", "/Groups/grp-1", None, None))["members"],
        json!([])
    );
}

#[test]
fn pages_cover_every_user_once() {
    let mut directory = Directory::default();
    for number in 0..7 {
        send(
            &mut directory,
            "POST",
            "/Users",
            None,
            user(&format!("u{number}")),
        );
    }
    let mut seen = Vec::new();
    for start in [1, 4, 7] {
        let page = body(send(
            &mut directory,
            "GET",
            &format!("/Users?startIndex={start}&count=3"),
            None,
            None,
        ));
        assert_eq!(
            (&page["totalResults"], &page["startIndex"]),
            (&json!(7), &json!(start))
        );
        seen.extend(
            page["Resources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|user| user["userName"].clone()),
        );
    }
    assert_eq!(
        seen,
        (0..7)
            .map(|number| json!(format!("u{number}")))
            .collect::<Vec<_>>()
    );
    let counted = body(send(&mut directory, "GET", "/Users?count=0", None, None));
    assert_eq!(
        (&counted["totalResults"], &counted["Resources"]),
        (&json!(7), &json!([]))
    );
}

#[test]
fn a_bad_request_is_answered_with_its_keyword_and_changes_nothing() {
    let mut directory = Directory::default();
    send(&mut directory, "POST", "/Users", None, user("a"));
    let before = serde_json::to_value(&directory).unwrap();
    let schemas = json!([Kind::User.schema()]);
    for (method, path, request, status) in [
        ("POST", "/Users", Some(json!({"userName": "b"})), 400),
        ("POST", "/Users", Some(json!({"schemas": schemas})), 400),
        (
            "POST",
            "/Users",
            Some(json!({"schemas": schemas, "userName": " "})),
            400,
        ),
        (
            "POST",
            "/Users",
            Some(json!({"schemas": schemas, "userName": "b", "active": "True"})),
            400,
        ),
        ("POST", "/Users", None, 400),
        ("POST", "/Users/usr-1", user("b"), 405),
        ("PATCH", "/Users/usr-1", Some(json!({"Operations": []})), 400),
        ("GET", "/Users?filter=userName", None, 400),
        ("GET", "/Users/grp-1", None, 404),
        ("GET", "/Users/usr-1/name", None, 404),
        ("GET", "/Devices", None, 404),
        ("DELETE", "/Users/usr-9", None, 404),
        ("DELETE", "/Users", None, 405),
    ] {
        assert_eq!(
            send(&mut directory, method, path, None, request).status,
            status,
            "{method} {path}"
        );
    }
    assert_eq!(serde_json::to_value(&directory).unwrap(), before);
}

#[test]
fn what_is_saved_comes_back_whole() {
    let mut directory = Directory::default();
    directory.seed_group("g");
    send(&mut directory, "POST", "/Users", None, user("a"));
    send(
        &mut directory,
        "PATCH",
        "/Groups/grp-1",
        None,
        add_member("usr-2"),
    );
    let saved = serde_json::to_string(&directory).unwrap();
    let mut loaded = serde_json::from_str::<Directory>(&saved).unwrap().reindexed();
    assert_eq!(loaded.dump(), directory.dump());
    assert_eq!(send(&mut loaded, "POST", "/Users", None, user("A")).status, 409);
}
