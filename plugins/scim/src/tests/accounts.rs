//! Each operation on accounts: what is sent, and what is made of the answer.

use proptest::prelude::*;
use usher_sdk::http::FailureKind;
use usher_sdk::testing::http;
use usher_sdk::{Effect, ErrorKind, Status};

use super::*;

fn everything() -> Value {
    json!({
        "userName": "zoe@example.com", "givenName": "Zoë", "familyName": "佐枝", "displayName": "Zoë 佐枝",
        "email": "zoe@example.com", "department": "R&D", "employeeNumber": "007", "manager": "u9",
    })
}

#[test]
fn create_sends_a_whole_user_with_our_marker() {
    let net = answers([answer(201, zoe())]);
    let account = target().create(everything()).unwrap();
    assert_eq!(account.attributes.to_json(), everything());
    assert_eq!(
        (account.id.as_str(), account.status, account.marker.as_deref()),
        ("u1", Status::Enabled, Some("intent-1"))
    );
    assert_eq!(account.version.as_deref(), Some("W/\"3\""));
    insta::assert_snapshot!(net.transcript(), @r#"
        POST https://scim.test/v2/Users
          Accept: application/scim+json
          Content-Type: application/scim+json
          {"active":true,"displayName":"Zoë 佐枝","emails":[{"primary":true,"type":"work","value":"zoe@example.com"}],"externalId":"intent-1","name":{"familyName":"佐枝","givenName":"Zoë"},"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"R&D","employeeNumber":"007","manager":{"value":"u9"}},"userName":"zoe@example.com"}
        "#);
}

#[test]
fn create_without_marker_leaves_external_id_alone() {
    let net = answers([answer(201, json!({ "id": "u1", "userName": "a" }))]);
    target_with("marker", json!(false))
        .create(json!({ "userName": "a" }))
        .unwrap();
    assert!(!net.transcript().contains("externalId"));
}

#[test]
fn create_never_takes_over_who_is_there() {
    let mut other = zoe();
    other["externalId"] = json!("somebody else's");
    let net = answers([
        answer(
            409,
            json!({ "scimType": "uniqueness", "detail": "userName taken" }),
        ),
        list(&[other]),
    ]);
    let error = target().create(everything()).unwrap_err();
    assert_eq!(
        (error.kind, error.existing_id.as_deref(), error.effect),
        (ErrorKind::Conflict, Some("u1"), Effect::None)
    );
    assert_eq!(
        error.message,
        "POST /v2/Users: the system answered 409: userName taken"
    );
    assert!(
        net.requests()
            .iter()
            .all(|request| request.method != "PATCH" && request.method != "PUT")
    );
}

#[test]
fn a_repeated_create_finds_its_own_account() {
    let _net = answers([answer(409, json!({})), list(&[zoe()])]);
    assert_eq!(target().create(everything()).unwrap().id, "u1");
    // The same record is not ours when we keep no marker.
    let _net = answers([answer(409, json!({})), list(&[zoe()])]);
    assert_eq!(
        target_with("marker", json!(false))
            .create(everything())
            .unwrap_err()
            .kind,
        ErrorKind::Conflict
    );
    // The name was changed since: found by the marker.
    let mut renamed = zoe();
    renamed["userName"] = json!("z@example.com");
    let _net = answers([
        answer(400, json!({ "scimType": "uniqueness" })),
        list(&[]),
        list(&[renamed]),
    ]);
    assert_eq!(target().create(everything()).unwrap().id, "u1");
}

#[test]
fn update_sends_only_what_changes() {
    let net = answers([answer(200, zoe()), answer(200, zoe())]);
    let changes = json!({
        "title": "Lead", "givenName": "Zoe", "familyName": null, "department": "Ops", "employeeNumber": null,
        "manager": "u2", "email": "new@example.com",
    });
    assert_eq!(target().replace("u1", changes).unwrap().id, "u1");
    insta::assert_snapshot!(net.transcript(), @r#"
        GET https://scim.test/v2/Users/u1
          Accept: application/scim+json
        PATCH https://scim.test/v2/Users/u1
          Accept: application/scim+json
          Content-Type: application/scim+json
          {"Operations":[{"op":"replace","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"Ops"},{"op":"replace","path":"emails[type eq \"work\"].value","value":"new@example.com"},{"op":"remove","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber"},{"op":"remove","path":"name.familyName"},{"op":"replace","path":"name.givenName","value":"Zoe"},{"op":"replace","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager","value":{"value":"u2"}},{"op":"replace","path":"title","value":"Lead"}],"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}
        "#);
}

#[test]
fn an_absent_mail_is_added_and_a_foreign_one_left_alone() {
    let mail = |emails: Value, to: Value| {
        let mut user = zoe();
        user["emails"] = emails;
        let net = answers([answer(200, user.clone()), empty(204), answer(200, user)]);
        target().replace("u1", json!({ "email": to })).unwrap();
        let sent = net
            .requests()
            .into_iter()
            .find(|request| request.method == "PATCH");
        sent.map_or_else(
            || "nothing".to_owned(),
            |sent| {
                let body: Value = usher_sdk::serde_json::from_slice(&sent.body.unwrap()).unwrap();
                body["Operations"].to_string()
            },
        )
    };
    let home = json!([{ "value": "h@x", "type": "home" }]);
    let primary = json!([{ "value": "p@x", "primary": "True" }]);
    let sent = [
        mail(Value::Null, json!("n@x")),
        mail(home.clone(), json!("n@x")),
        mail(home, Value::Null),
        mail(primary.clone(), json!("n@x")),
        mail(primary, Value::Null),
    ];
    insta::assert_snapshot!(sent.join("\n"), @r#"
        [{"op":"add","path":"emails","value":[{"primary":true,"type":"work","value":"n@x"}]}]
        [{"op":"add","path":"emails","value":[{"primary":true,"type":"work","value":"n@x"}]}]
        nothing
        [{"op":"replace","path":"emails[primary eq true].value","value":"n@x"}]
        [{"op":"remove","path":"emails[primary eq true]"}]
        "#);
}

#[test]
fn a_version_is_a_precondition_of_updates_only() {
    let request = UpdateRequest {
        changes: vec![("title".into(), Change::Replace(json!("Lead")))],
        desired: Attributes::new().with("title", "Lead"),
        version: Some("W/\"3\"".into()),
    };
    let net = answers([answer(412, json!({ "detail": "changed" }))]);
    assert_eq!(
        target().update("u1", &request).unwrap_err().kind,
        ErrorKind::VersionConflict
    );
    assert_eq!(net.requests()[0].find_header("if-match"), Some("W/\"3\""));
    let net = answers([empty(204), answer(200, zoe())]);
    target().disable("u1").unwrap();
    assert_eq!(net.requests()[0].find_header("if-match"), None);
}

#[test]
fn a_change_answered_without_a_body_is_read_back() {
    let mut off = zoe();
    off["active"] = json!(false);
    let net = answers([empty(204), answer(200, off)]);
    assert_eq!(target().disable("u1").unwrap().status, Status::Disabled);
    insta::assert_snapshot!(net.transcript(), @r#"
        PATCH https://scim.test/v2/Users/u1
          Accept: application/scim+json
          Content-Type: application/scim+json
          {"Operations":[{"op":"replace","path":"active","value":false}],"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}
        GET https://scim.test/v2/Users/u1
          Accept: application/scim+json
        "#);
    // The change was made; that it cannot be read back does not undo it.
    let _net = answers([empty(204), answer(503, json!({}))]);
    assert_eq!(target().enable("u1").unwrap_err().effect, Effect::Applied);
    let _net = answers([empty(204), empty(404)]);
    assert_eq!(target().enable("u1").unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn delete_succeeds_when_there_is_none() {
    for status in [204, 200, 404, 410] {
        let _net = answers([empty(status)]);
        target().delete("u1").unwrap();
    }
    let _net = answers([answer(403, json!({ "detail": "no" }))]);
    assert_eq!(target().delete("u1").unwrap_err().kind, ErrorKind::Forbidden);
    let net = answers([]);
    assert_eq!(
        target_with("delete", json!(false)).delete("u1").unwrap_err().kind,
        ErrorKind::Unsupported
    );
    assert!(net.requests().is_empty());
}

#[test]
fn who_is_not_there_is_not_found() {
    let _net = answers([empty(404), answer(404, json!({ "detail": "gone" }))]);
    assert_eq!(target().get("u404").unwrap(), None);
    assert_eq!(target().disable("u404").unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(
        target().get("").unwrap(),
        None,
        "the URL of all users is not that of one"
    );
}

#[test]
fn find_by_marker_and_by_name() {
    let net = answers([list(&[zoe()]), list(&[zoe()]), list(&[])]);
    assert_eq!(target().find(&Find::Marker("intent-1".into())).unwrap().len(), 1);
    let key = |name: &str| Find::Unique(Attributes::new().with("userName", name));
    assert_eq!(target().find(&key("ZOE@example.com")).unwrap().len(), 1);
    assert_eq!(target().find(&key("x")).unwrap(), []);
    let other = Find::Unique(Attributes::new().with("title", "x"));
    assert_eq!(target().find(&other).unwrap_err().kind, ErrorKind::InvalidRequest);
    insta::assert_snapshot!(net.transcript(), @r"
        GET https://scim.test/v2/Users?filter=externalId%20eq%20%22intent-1%22&startIndex=1&count=10
          Accept: application/scim+json
        GET https://scim.test/v2/Users?filter=userName%20eq%20%22ZOE%40example.com%22&startIndex=1&count=10
          Accept: application/scim+json
        GET https://scim.test/v2/Users?filter=userName%20eq%20%22x%22&startIndex=1&count=10
          Accept: application/scim+json
        ");
}

#[test]
fn an_unknown_attribute_or_type_is_refused_before_anything_is_sent() {
    let net = answers([]);
    for (attributes, message) in [
        (
            json!({ "title": "x" }),
            "attribute `userName` is required and must not be empty",
        ),
        (
            json!({ "userName": "a", "phone": "1" }),
            "attribute `phone` is not one this connector knows",
        ),
        (
            json!({ "userName": "a", "title": 7 }),
            "attribute `title` must be text",
        ),
    ] {
        assert_eq!(target().create(attributes).unwrap_err().message, message);
    }
    let cleared = target().replace("u1", json!({ "userName": null })).unwrap_err();
    assert_eq!(cleared.kind, ErrorKind::InvalidRequest);
    assert!(net.requests().is_empty());
}

#[test]
fn a_write_that_may_have_arrived_is_unknown() {
    let _net = http(|_| Err(Failure::after_sending(FailureKind::Timeout, "no answer in time")));
    let errors = [
        target().create(everything()).unwrap_err(),
        target().disable("u1").unwrap_err(),
        target().delete("u1").unwrap_err(),
        target().grant("u1", "g").unwrap_err(),
    ];
    let effects: Vec<_> = errors.iter().map(|error| error.effect).collect();
    // A grant looks the group up first: that read is all that was tried.
    assert_eq!(
        effects,
        [Effect::Unknown, Effect::Unknown, Effect::Unknown, Effect::None]
    );
    let _net = answers([answer(500, json!({}))]);
    assert_eq!(target().create(everything()).unwrap_err().effect, Effect::Unknown);
}

proptest! {
    /// Whatever a name holds, it stays one JSON string inside the filter.
    #[test]
    fn nothing_breaks_out_of_a_filter(name in "\\PC{1,40}|[\"\\\\() eqor]{1,20}") {
        let net = answers([list(&[])]);
        prop_assert_eq!(target().find(&Find::Unique(Attributes::new().with("userName", name.as_str()))).unwrap(), vec![]);
        let url = net.requests().remove(0).url;
        let query = url.split_once("filter=").unwrap().1.split('&').next().unwrap().to_owned();
        let filter = decoded(&query);
        let literal = filter.strip_prefix("userName eq ").unwrap();
        prop_assert_eq!(usher_sdk::serde_json::from_str::<String>(literal).unwrap(), name);
    }

    /// Whatever an id holds, it stays one segment of the path.
    #[test]
    fn nothing_breaks_out_of_a_path(id in "\\PC{1,40}|[./?#%&;]{1,10}") {
        let net = answers([empty(404)]);
        prop_assert_eq!(target().get(&id).unwrap(), None);
        let url = net.requests().remove(0).url;
        let segment = url.strip_prefix("https://scim.test/v2/Users/").unwrap().to_owned();
        prop_assert!(!segment.contains(['/', '?', '#', ';']) && segment != "." && segment != "..");
    }
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let hex = [rest.next().unwrap(), rest.next().unwrap()];
            u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
        } else {
            byte
        });
    }
    String::from_utf8(bytes).unwrap()
}
