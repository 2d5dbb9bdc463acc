//! A stored policy is read by every later version: what was in force once stays readable.

use super::*;

fn with_expressions(rule: &str, value: &str) -> String {
    format!(
        r#"zone = "UTC"

[sources.hr]
key = "id"
columns = {{ id = {{ attribute = "name" }}, badge = {{ attribute = "badge", type = "integer" }}, groups = {{ attribute = "groups", type = "list" }}, since = {{ attribute = "since", type = "date" }}, remote = {{ attribute = "remote", type = "boolean" }} }}

[[roles]]
name = "employee"
when = "{rule}"
accounts = ["app"]

[mappings.app]
login = "{value}"
"#
    )
}

/// Rules that the first version with expressions took: they work for those people whom the wrong part does not concern.
const RULES: [&str; 10] = [
    "identity.badge != ''",
    "identity.badge == '17'",
    "has(identity.badge) && identity.badge != ''",
    "identity.groups == 'admins'",
    "identity.remote != 'yes'",
    "true || identity.name",
    "true || identity.badge.startsWith('1')",
    "identity.remote || identity.badge > 'x'",
    "false && identity.name.size('x')",
    "(['a'] + {'b': 1}).size() == 2",
];

/// The same for attributes.
const VALUES: [&str; 4] = [
    "identity.remote ? identity.name : identity.badge.lowerAscii()",
    "identity.badge != '' ? 'x' : 'y'",
    "(['a'] + {'b': 1})[1]",
    "identity.remote ? 'x' : timestamp(identity.name, 2)",
];

#[test]
fn what_was_accepted_before_is_read_again_and_refused_only_where_it_is_new() {
    for (rule, value) in RULES
        .iter()
        .map(|rule| (*rule, "'x'"))
        .chain(VALUES.iter().map(|value| ("true", *value)))
    {
        let text = with_expressions(rule, value);
        if let Err(errors) = parse("policy.toml", &text) {
            panic!("{errors}");
        }
        assert!(parse_strictly("policy.toml", &text).is_err(), "{rule}: {value}");
    }
}

#[test]
fn a_stored_policy_still_gives_the_same_roles() {
    let attributes =
        json!({"name": "Kate", "badge": 17, "remote": true, "groups": [], "since": "2026-03-02"});
    let serde_json::Value::Object(attributes) = attributes else {
        panic!("not an object")
    };
    for (rule, holds) in [
        ("identity.badge != ''", true),
        ("identity.badge == '17'", false),
        ("true || identity.name", true),
        ("identity.remote || identity.badge > 'x'", true),
    ] {
        let policy = parse("policy.toml", &with_expressions(rule, "'x'")).unwrap();
        let person = Person {
            attributes: &attributes,
            state: IdentityState::Active,
        };
        assert_eq!(policy.roles_of(&person).unwrap().len() == 1, holds, "{rule}");
    }
}

#[test]
fn what_fails_for_everybody_is_a_mistake_in_a_stored_policy_too() {
    for rule in ["identity.nobody", "identity.name", "1 + 1", "nosuch()"] {
        assert!(
            parse("policy.toml", &with_expressions(rule, "'x'")).is_err(),
            "{rule}"
        );
    }
}
