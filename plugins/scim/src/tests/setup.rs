//! Settings, schema and check.

use usher_sdk::ErrorKind;

use super::*;

#[test]
fn wrong_settings_are_named() {
    let refused = |settings: Value| {
        let error = Target::<Scim>::new(settings).schema().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Misconfigured);
        error.message
    };
    let messages = [
        refused(json!({})),
        refused(json!({ "base-url": "scim.test" })),
        refused(json!({ "base-url": "ftp://scim.test" })),
        refused(json!({ "base-url": "https://user:pw@scim.test" })),
        refused(json!({ "base-url": "https://scim.test?x=1" })),
        refused(json!({ "base-url": "https://scim.test", "page-size": 0 })),
        refused(json!({ "base-url": "https://scim.test", "page-size": "many" })),
        refused(json!({ "base-url": "https://scim.test", "group-key": "name" })),
        refused(json!({ "base-url": "https://scim.test", "token": "secret" })),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r#"
        settings: missing field `base-url`
        settings: `base-url`: must be an http or https URL without user, query or fragment
        settings: `base-url`: must be an http or https URL without user, query or fragment
        settings: `base-url`: must be an http or https URL without user, query or fragment
        settings: `base-url`: must be an http or https URL without user, query or fragment
        settings: `page-size`: must be 1 to 1000
        settings: `page-size`: invalid type: string "many", expected u32
        settings: `group-key`: unknown variant `name`, expected `displayName` or `id`
        settings: `token`: unknown field `token`, expected one of `base-url`, `marker`, `group-key`, `page-size`, `held`, `delete`
        "#);
}

#[test]
fn it_describes_itself() {
    let mut described = target().describe().unwrap();
    described["settings-schema"] = described["settings-schema"]["properties"].take();
    insta::assert_json_snapshot!(described, @r##"
        {
          "capabilities": [
            "disable",
            "delete"
          ],
          "creation": "marker",
          "name": "scim",
          "settings-schema": {
            "base-url": {
              "description": "Where SCIM begins, for example `https://api.example.com/scim/v2`.",
              "type": "string"
            },
            "delete": {
              "default": true,
              "description": "Whether accounts may be deleted.",
              "type": "boolean"
            },
            "group-key": {
              "$ref": "#/$defs/GroupKey",
              "description": "How policies name groups."
            },
            "held": {
              "$ref": "#/$defs/Held",
              "description": "How the groups of one user are read."
            },
            "marker": {
              "default": true,
              "description": "Whether `externalId` may hold Usher's id of the creation, so that a lost one is recognised beyond doubt. Set it to\nfalse when something else writes `externalId`.",
              "type": "boolean"
            },
            "page-size": {
              "default": 100,
              "description": "Users or groups asked for at a time.",
              "format": "uint32",
              "maximum": 1000,
              "minimum": 1,
              "type": "integer"
            }
          },
          "version": "0.1.0"
        }
        "##);
    let other = target_with("marker", json!(false)).describe().unwrap();
    assert_eq!(other["creation"], json!({ "unique-key": ["userName"] }));
    assert_eq!(
        target_with("delete", json!(false)).describe().unwrap()["capabilities"],
        json!(["disable"])
    );
}

#[test]
fn the_schema_is_flat() {
    insta::assert_json_snapshot!(target().schema().unwrap(), @r#"
        {
          "$schema": "https://json-schema.org/draft/2020-12/schema",
          "additionalProperties": false,
          "properties": {
            "department": {
              "type": "string"
            },
            "displayName": {
              "type": "string"
            },
            "email": {
              "description": "the work address",
              "type": "string",
              "x-usher-case": "ignore"
            },
            "employeeNumber": {
              "type": "string"
            },
            "familyName": {
              "type": "string"
            },
            "givenName": {
              "type": "string"
            },
            "manager": {
              "description": "the id of the manager's account",
              "type": "string",
              "x-usher-reference": true
            },
            "title": {
              "type": "string"
            },
            "userName": {
              "type": "string",
              "x-usher-case": "ignore",
              "x-usher-unique": true
            }
          },
          "required": [
            "userName"
          ],
          "type": "object"
        }
        "#);
}

fn configuration(patch: bool) -> Response {
    answer(
        200,
        json!({ "patch": { "supported": patch }, "filter": { "supported": true }, "etag": { "supported": "true" } }),
    )
}

fn shown(report: &CheckReport) -> String {
    let steps = report.steps.iter().map(|step| {
        format!(
            "{} {}: {}",
            if step.ok { "ok  " } else { "FAIL" },
            step.name,
            step.detail
        )
    });
    steps
        .chain(
            report
                .permissions
                .iter()
                .map(|permission| format!("may  {permission}")),
        )
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_check_that_passes() {
    let net = answers([configuration(true), list(&[zoe()]), list(&[]), list(&[])]);
    let report = target().check().unwrap();
    assert!(report.passed());
    insta::assert_snapshot!(format!("{}\n\n{}", shown(&report), net.transcript()), @r"
        ok   read the service provider configuration: PATCH and filters, with versions
        ok   read users: 1 are seen
        ok   read groups: none are seen; if there are groups, the credential may not read them
        ok   find groups by member: works
        may  read users
        may  read groups

        GET https://scim.test/v2/ServiceProviderConfig
          Accept: application/scim+json
        GET https://scim.test/v2/Users?attributes=id&startIndex=1&count=1
          Accept: application/scim+json
        GET https://scim.test/v2/Groups?attributes=id&startIndex=1&count=1
          Accept: application/scim+json
        GET https://scim.test/v2/Groups?filter=members.value%20eq%20%22usher-check-nobody%22&attributes=id%2CdisplayName&startIndex=1&count=1
          Accept: application/scim+json
        ");
}

#[test]
fn checks_that_fail_say_what_to_do() {
    let _net = answers([
        configuration(false),
        list(&[]),
        list(&[]),
        list(&[json!({ "id": "g" })]),
    ]);
    let ignored = target().check().unwrap();
    let _net = answers([
        empty(404),
        answer(401, json!({ "detail": "expired" })),
        answer(403, json!({ "detail": "no scope" })),
        answer(400, json!({ "detail": "invalidFilter" })),
    ]);
    let refused = target().check().unwrap();
    assert!(!ignored.passed() && !refused.passed());
    insta::assert_snapshot!(format!("{}\n\n{}", shown(&ignored), shown(&refused)), @r"
        FAIL read the service provider configuration: the system says it has no patch; changes are sent by PATCH
        ok   read users: none are seen; if there are users, the credential may not read them
        ok   read groups: none are seen; if there are groups, the credential may not read them
        FAIL find groups by member: the system ignores the filter; set `held` to `user-groups`
        may  read users
        may  read groups

        ok   read the service provider configuration: not offered; PATCH and filters are taken for granted
        FAIL read users: GET /v2/Users: the system answered 401: expired
        FAIL read groups: GET /v2/Groups: the system answered 403: no scope
        FAIL find groups by member: the system refuses the filter; set `held` to `user-groups`: GET /v2/Groups: the system answered 400: invalidFilter
        ");
}
