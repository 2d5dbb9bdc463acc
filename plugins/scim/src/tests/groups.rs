//! Groups: looked up by name, changed one member at a time.

use usher_sdk::ErrorKind;

use super::*;

fn group(id: &str, name: &str) -> Value {
    json!({ "id": id, "displayName": name })
}

fn keys(holdings: Vec<Holding>) -> Vec<String> {
    holdings.into_iter().map(|holding| holding.entitlement).collect()
}

#[test]
fn one_member_is_added_and_removed() {
    let found = || list(&[group("g1", "All \"Staff\"")]);
    let net = answers([found(), empty(204), found(), empty(204), found(), empty(204)]);
    for _ in 0..2 {
        target().grant("u1", "All \"Staff\"").unwrap();
    }
    target().revoke("u\"1", "All \"Staff\"").unwrap();
    insta::assert_snapshot!(net.transcript(), @r#"
        GET https://scim.test/v2/Groups?filter=displayName%20eq%20%22All%20%5C%22Staff%5C%22%22&attributes=id%2CdisplayName&startIndex=1&count=100
          Accept: application/scim+json
        PATCH https://scim.test/v2/Groups/g1
          Accept: application/scim+json
          Content-Type: application/scim+json
          {"Operations":[{"op":"add","path":"members","value":[{"value":"u1"}]}],"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}
        GET https://scim.test/v2/Groups?filter=displayName%20eq%20%22All%20%5C%22Staff%5C%22%22&attributes=id%2CdisplayName&startIndex=1&count=100
          Accept: application/scim+json
        PATCH https://scim.test/v2/Groups/g1
          Accept: application/scim+json
          Content-Type: application/scim+json
          {"Operations":[{"op":"add","path":"members","value":[{"value":"u1"}]}],"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}
        GET https://scim.test/v2/Groups?filter=displayName%20eq%20%22All%20%5C%22Staff%5C%22%22&attributes=id%2CdisplayName&startIndex=1&count=100
          Accept: application/scim+json
        PATCH https://scim.test/v2/Groups/g1
          Accept: application/scim+json
          Content-Type: application/scim+json
          {"Operations":[{"op":"remove","path":"members[value eq \"u\\\"1\"]"}],"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}
        "#);
}

#[test]
fn a_group_that_is_not_there_is_named() {
    let _net = answers([list(&[])]);
    let error = target().grant("u1", "Nope").unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::NotFound, "there is no group `Nope`")
    );
    // Gone between look-up and change.
    let _net = answers([list(&[group("g1", "Staff")]), empty(404)]);
    assert_eq!(
        target().grant("u1", "Staff").unwrap_err().message,
        "there is no group `Staff`"
    );
    // Nobody is a member of it.
    let _net = answers([list(&[]), list(&[group("g1", "Staff")]), empty(404)]);
    target().revoke("u1", "Nope").unwrap();
    target().revoke("u1", "Staff").unwrap();
    let _net = answers([list(&[])]);
    assert_eq!(
        target().members("Nope", None, 5).unwrap_err().kind,
        ErrorKind::NotFound
    );
}

#[test]
fn two_groups_of_one_name_are_not_guessed_between() {
    let _net = answers([list(&[group("g1", "Staff"), group("g2", "Staff")])]);
    let error = target().grant("u1", "Staff").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misconfigured);
    assert!(
        error.message.starts_with("2 groups are called `Staff`"),
        "{}",
        error.message
    );
    // Another case is another name; a system that ignores the filter names more than the one.
    let net = answers([
        list(&[group("g1", "STAFF"), group("g2", "Staff"), group("g3", "Other")]),
        empty(204),
    ]);
    target().grant("u1", "Staff").unwrap();
    assert!(net.requests()[1].url.ends_with("/Groups/g2"));
}

#[test]
fn groups_by_id_need_no_look_up() {
    let net = answers([empty(204), empty(204)]);
    let target = target_with("group-key", json!("id"));
    target.grant("u1", "g/1").unwrap();
    target.revoke("u1", "g/1").unwrap();
    let urls: Vec<_> = net.requests().into_iter().map(|request| request.url).collect();
    assert_eq!(urls, ["https://scim.test/v2/Groups/g%2F1"; 2]);
}

#[test]
fn refusing_what_is_already_so_is_success() {
    let _net = answers([
        list(&[group("g1", "Staff")]),
        answer(409, json!({ "detail": "already a member" })),
        list(&[group("g1", "Staff")]),
    ]);
    target().grant("u1", "Staff").unwrap();
    let _net = answers([
        list(&[group("g1", "Staff")]),
        answer(400, json!({ "detail": "no such user" })),
        list(&[]),
    ]);
    let error = target().grant("u1", "Staff").unwrap_err();
    assert_eq!(
        (error.kind, error.message.contains("no such user")),
        (ErrorKind::InvalidRequest, true)
    );
    let _net = answers([
        list(&[group("g1", "Staff")]),
        answer(400, json!({ "scimType": "noTarget" })),
    ]);
    target().revoke("u1", "Staff").unwrap();
}

#[test]
fn what_is_held_is_asked_of_the_groups() {
    let first = answer(
        200,
        json!({ "totalResults": 3, "Resources": [group("g1", "Staff"), group("g2", "部署")] }),
    );
    let second = answer(
        200,
        json!({ "totalResults": 3, "Resources": [group("g3", "VPN")] }),
    );
    let net = answers([first, second]);
    assert_eq!(keys(target().held("u1").unwrap()), ["Staff", "部署", "VPN"]);
    insta::assert_snapshot!(net.transcript(), @r"
        GET https://scim.test/v2/Groups?filter=members.value%20eq%20%22u1%22&attributes=id%2CdisplayName&startIndex=1&count=100
          Accept: application/scim+json
        GET https://scim.test/v2/Groups?filter=members.value%20eq%20%22u1%22&attributes=id%2CdisplayName&startIndex=3&count=100
          Accept: application/scim+json
        ");
}

#[test]
fn or_of_the_user() {
    let user = json!({ "id": "u1", "groups": [
        { "value": "g1", "display": "Staff", "type": "direct" },
        { "value": "g2" },
        { "value": "g3", "display": "Everybody", "type": "indirect" },
    ] });
    let net = answers([answer(200, user.clone()), answer(200, group("g2", "VPN"))]);
    assert_eq!(
        keys(target_with("held", json!("user-groups")).held("u1").unwrap()),
        ["Staff", "VPN"]
    );
    insta::assert_snapshot!(net.transcript(), @r"
        GET https://scim.test/v2/Users/u1?attributes=groups
          Accept: application/scim+json
        GET https://scim.test/v2/Groups/g2?attributes=id%2CdisplayName
          Accept: application/scim+json
        ");
    let _net = answers([answer(200, user), empty(404)]);
    let mut settings = settings();
    settings["held"] = json!("user-groups");
    settings["group-key"] = json!("id");
    let by_id: Target<Scim> = Target::new(settings);
    assert_eq!(keys(by_id.held("u1").unwrap()), ["g1", "g2"]);
    assert_eq!(by_id.held("u404").unwrap(), []);
}

#[test]
fn members_come_in_pages_though_scim_has_none() {
    let whole = || {
        let members = ["c", "a", "e", "b", "a"].map(|id| json!({ "value": id }));
        let mut group = group("g1", "Staff");
        group["members"] = json!(members);
        group["members"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "value": "g7", "type": "Group" }));
        answer(200, group)
    };
    let net = answers([whole(), whole()]);
    let target = target_with("group-key", json!("id"));
    let first = target.members("g1", None, 3).unwrap();
    let second = target.members("g1", first.next.as_deref(), 3).unwrap();
    let ids: Vec<_> = first
        .items
        .into_iter()
        .chain(second.items)
        .map(|holding| holding.account)
        .collect();
    assert_eq!(
        (ids, second.next),
        (vec!["a".into(), "b".into(), "c".into(), "e".into()], None)
    );
    assert!(net.transcript().contains("attributes=members"));
}

#[test]
fn groups_are_listed_without_their_members() {
    let net = answers([list(&[group("g1", "Staff"), json!({ "id": "g2" })])]);
    assert_eq!(
        target().entitlements(None, 5).unwrap(),
        Page::last(vec![Entitlement::group("Staff", "Staff")])
    );
    insta::assert_snapshot!(net.transcript(), @r"
        GET https://scim.test/v2/Groups?excludedAttributes=members&startIndex=1&count=5
          Accept: application/scim+json
        ");
    let _net = answers([list(&[group("g1", "Staff"), json!({ "id": "g2" })])]);
    let by_id = target_with("group-key", json!("id"))
        .entitlements(None, 5)
        .unwrap();
    assert_eq!(
        by_id.items,
        [Entitlement::group("g1", "Staff"), Entitlement::group("g2", "g2")]
    );
}
