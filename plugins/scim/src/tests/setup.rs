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
              "default": "displayName",
              "description": "How policies name groups."
            },
            "held": {
              "$ref": "#/$defs/Held",
              "default": "group-filter",
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
    let net = answers([list(&[zoe()]), configuration(true), list(&[]), list(&[])]);
    let report = target().check().unwrap();
    assert!(report.passed());
    insta::assert_snapshot!(format!("{}\n\n{}", shown(&report), net.transcript()), @r#"
        ok   read users: 1 are seen
        ok   read the service provider configuration: PATCH and filters, with versions
        ok   read groups: none are seen; if there are groups, the credential may not read them
        ok   find groups by member: works
        may  read users
        may  read groups

        GET https://scim.test/v2/Users?attributes=id&startIndex=1&count=1
          Accept: application/scim+json
        GET https://scim.test/v2/ServiceProviderConfig
          Accept: application/scim+json
        GET https://scim.test/v2/Groups?attributes=id&startIndex=1&count=1
          Accept: application/scim+json
        GET https://scim.test/v2/Groups?filter=members.value%20eq%20%22usher-check-nobody%22&attributes=id%2CdisplayName&startIndex=1&count=1
          Accept: application/scim+json
        "#);
}

#[test]
fn checks_that_fail_say_what_to_do() {
    let works = || list(&[zoe()]);
    let refusal = |status, detail: &str| answer(status, json!({ "detail": detail }));
    let checked = |given: Vec<Response>| {
        let _net = answers(given);
        let report = target().check().unwrap();
        assert!(!report.passed());
        shown(&report)
    };
    let group = list(&[json!({ "id": "g" })]);
    let reports = [
        checked(vec![works(), configuration(false), works(), group]),
        checked(vec![works(), empty(404), works(), refusal(400, "invalidFilter")]),
        checked(vec![works(), empty(404), works(), refusal(503, "busy")]),
        checked(vec![works(), empty(404), refusal(403, "no scope")]),
    ];
    insta::assert_snapshot!(reports.join("\n\n"), @r#"
        ok   read users: 1 are seen
        FAIL read the service provider configuration: the system says it has no patch; changes are sent by PATCH
        ok   read groups: 1 are seen
        FAIL find groups by member: the system ignores the filter; set `held` to `user-groups`
        may  read users
        may  read groups

        ok   read users: 1 are seen
        ok   read the service provider configuration: not offered; PATCH and filters are taken for granted
        ok   read groups: 1 are seen
        FAIL find groups by member: the system refuses the filter; set `held` to `user-groups`: GET /v2/Groups: the system answered 400: invalidFilter
        may  read users
        may  read groups

        ok   read users: 1 are seen
        ok   read the service provider configuration: not offered; PATCH and filters are taken for granted
        ok   read groups: 1 are seen
        FAIL find groups by member: GET /v2/Groups: the system answered 503: busy
        may  read users
        may  read groups

        ok   read users: 1 are seen
        ok   read the service provider configuration: not offered; PATCH and filters are taken for granted
        FAIL read groups: GET /v2/Groups: the system answered 403: no scope
        may  read users
        "#);
}

#[test]
fn where_users_cannot_be_read_nothing_else_is_said() {
    // Everything is 404 under a wrong base URL; a missing service provider configuration must not look fine there.
    for refusal in [empty(404), answer(401, json!({ "detail": "expired" }))] {
        let net = answers([refusal]);
        let report = target().check().unwrap();
        assert!(!report.passed());
        assert_eq!(report.steps.len(), 1, "{report:?}");
        assert_eq!(report.steps[0].name, "read users");
        assert!(!net.transcript().contains("Groups"));
    }
}
