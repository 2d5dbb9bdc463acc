mod contracts;
mod correlation;
mod roles;
mod stored;

use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::facts::SourceRecord;

/// The policy of the crate's front page, as an operator would write it.
const EXAMPLE: &str = include_str!("example.toml");

fn example() -> Policy {
    parse_strictly("policy.toml", EXAMPLE).unwrap_or_else(|errors| panic!("{errors}"))
}

fn record(source: &str, key: &str, attributes: serde_json::Value) -> SourceRecord {
    let serde_json::Value::Object(attributes) = attributes else {
        panic!("not an object")
    };
    SourceRecord {
        source: source.parse().unwrap(),
        key: key.to_owned(),
        attributes,
        absent_since: None,
    }
}

fn zones() -> TimeZoneDatabase {
    TimeZoneDatabase::bundled()
}

/// The merged attributes in the spring of 2026.
fn merged(policy: &Policy, records: &[SourceRecord]) -> Attributes {
    let employment = policy.employment(records, &zones()).ok();
    policy.merge(
        records,
        employment.as_ref(),
        "2026-03-15T12:00:00Z".parse().unwrap(),
    )
}

fn targets(names: &[&str]) -> crate::targets::Targets {
    let text: String = names
        .iter()
        .map(|name| format!("[targets.{name}]\nconnector = \"c\"\n"))
        .collect();
    crate::targets::parse("targets.toml", &text).unwrap()
}

#[test]
fn the_example_reads() {
    let policy = example();
    assert_eq!(policy.zone, "Europe/Berlin");
    assert_eq!(policy.retention_days, 30);
    assert_eq!(policy.unassigned, Unassigned::Disable);
    let names: Vec<&str> = policy.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(
        names,
        ["hr", "contractors"],
        "in the order of the document, which is the order of authority"
    );
    let hr = &policy.sources[0];
    assert_eq!(hr.columns[0].name, "employee_id");
    assert!(
        hr.columns
            .iter()
            .any(|column| column.required && column.attribute == "givenName")
    );
    assert_eq!(hr.lifecycle.end.as_deref(), Some("endDate"));
    let roles: Vec<&str> = policy.roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(
        roles,
        [
            "employee",
            "engineer",
            "contractor",
            "remote",
            "payer",
            "team-lead"
        ]
    );
    assert!(policy.mappings.keys().any(|slot| slot.to_string() == "app/admin"));
    assert!(check_against(&policy, "policy.toml", &targets(&["app", "directory"])).is_ok());
    assert!(unused_mappings(&policy).is_empty());
}

#[test]
fn roles_and_accounts_of_a_person() {
    let policy = example();
    let records = [record(
        "hr",
        "7",
        json!({"employeeId": "7", "givenName": "Łukasz", "familyName": "Żak", "contract": "permanent", "department": "Engineering", "projects": ["usher"]}),
    )];
    let attributes = merged(&policy, &records);
    let person = Person {
        attributes: &attributes,
        state: IdentityState::Active,
    };
    let roles: Vec<&str> = policy
        .roles_of(&person)
        .unwrap()
        .iter()
        .map(|role| role.name.as_str())
        .collect();
    assert_eq!(roles, ["employee", "engineer"]);
    let app = AccountSlot {
        target: "app".parse().unwrap(),
        kind: crate::name::Name::primary(),
    };
    let mapped = policy.map(&app, &person).unwrap();
    assert_eq!(mapped["username"], "lukasz.zak");
    assert!(!mapped.contains_key("manager"), "null is absent");
    let nobody = AccountSlot {
        target: "nowhere".parse().unwrap(),
        kind: crate::name::Name::primary(),
    };
    assert!(policy.map(&nobody, &person).unwrap().is_empty());
}

#[test]
fn an_attribute_a_rule_needs_and_the_person_lacks_is_reported() {
    let policy = example();
    let attributes = Attributes::new();
    let error = policy
        .roles_of(&Person {
            attributes: &attributes,
            state: IdentityState::Active,
        })
        .unwrap_err();
    insta::assert_snapshot!(error, @"roles.employee.when: `contract` is absent for this person; ask with has(identity.contract) or identity.?contract");
}

#[test]
fn the_first_source_of_the_document_has_authority() {
    let policy = example();
    let mut records = vec![
        record(
            "contractors",
            "c1",
            json!({"givenName": "Kate", "contract": "external", "company": "Acme"}),
        ),
        record("hr", "7", json!({"givenName": "Katharina", "contract": null})),
        record("gone", "1", json!({"givenName": "Nobody", "department": "x"})),
    ];
    let before = merged(&policy, &records);
    assert_eq!(
        json!(before),
        json!({"givenName": "Katharina", "contract": "external", "company": "Acme"})
    );
    records.reverse();
    assert_eq!(merged(&policy, &records), before, "whatever order they come in");

    let gone_at = "2026-03-02T08:00:00Z".parse().unwrap();
    records[2].absent_since = Some(gone_at);
    assert_eq!(
        json!(merged(&policy, &records)),
        json!({"givenName": "Katharina"}),
        "an absent record gives nothing"
    );
    records[1].absent_since = Some(gone_at);
    assert_eq!(merged(&policy, &records), before, "unless all are absent");
}

#[test]
fn every_date_that_cannot_be_read_is_a_problem() {
    let policy = example();
    let records = [record(
        "hr",
        "7",
        json!({"startDate": "02.03.2026", "endDate": "2026-02-30", "leaveUntil": "2026-03-02", "zone": "Europe/Entenhausen"}),
    )];
    let problems = policy.employment(&records, &zones()).unwrap_err();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    sources.hr.lifecycle.start: `startDate`: is not a date like 2026-03-02 nor an instant like 2026-03-02T08:00:00+01:00
    sources.hr.lifecycle.end: `endDate`: is not a date like 2026-03-02 nor an instant like 2026-03-02T08:00:00+01:00
    sources.hr.lifecycle.leave-until: `leaveUntil`: a leave has a last day but no first day
    sources.hr.lifecycle.zone: `zone`: is not the name of a time zone, like Europe/Berlin
    ");
    assert_eq!(
        policy.employment(&[], &zones()).unwrap_err().len(),
        1,
        "nothing is known, nobody is ended by it"
    );
}

#[test]
fn an_unknown_zone_of_the_policy_is_a_problem() {
    let text = EXAMPLE.replace("Europe/Berlin", "Europe/Entenhausen");
    let policy = parse("policy.toml", &text).unwrap();
    let problems = policy
        .employment(&[record("hr", "7", json!({}))], &zones())
        .unwrap_err();
    assert_eq!(problems[0].path, "zone");
}

#[test]
fn every_mistake_is_listed_with_its_place() {
    let text = r#"zone = "Europe Berlin"
retention-days = "30"
unasigned = "disable"

[sources.hr]
kind = "snapshot"
format = "csv"
encoding = ""
key = "employee_id"
bad-rows-max-percent = 101
[sources.hr.columns]
given_name = { attribute = "given name" }
family_name = { attribute = "familyName", typ = "text" }
contract = { attribute = "contract" }
start_date = { attribute = "startDate", type = "dat" }

[[roles]]
name = "employee"
when = "identity.contrct == 'permanent'"
accounts = ["App"]

[[roles]]
name = "employee"
accounts = "app"
"#;
    insta::assert_snapshot!(parse_strictly("policy.toml", text).unwrap_err());
}

#[test]
fn mistakes_in_expressions_are_found_in_their_line_and_column() {
    let text = r#"zone = "UTC"
[sources.hr]
key = "id"
columns = { id = { attribute = "id" }, name = { attribute = "givenName" }, start = { attribute = "start", type = "date" }, n = { attribute = "n", type = "integer" } }

[[roles]]
name = "a"
when = "identity.id == '1' && identity.nosuch"
accounts = ["app", "app/primary", "app/Admin", "a/b/c"]
[roles.entitlements]
app = ["x", "x", ""]

[[roles]]
name = "b"
when = '''
identity.id == '1' &&
  nosuch(identity.givenName)'''

[[roles]]
name = "c"
when = "'text'"

[[roles]]
name = "d"
when = true

[mappings.app]
username = "identity.givenName +"
number = "identity.n + 'x'"
nested.name = "identity.givenName"
"two lines" = "\"ä\" + identity.x"

[mappings."app/primary"]
username = "identity.givenName"
"#;
    insta::assert_snapshot!(parse_strictly("policy.toml", text).unwrap_err());
}

#[test]
fn lifecycle_attributes_must_be_columns_of_the_right_type() {
    let text = r#"zone = "UTC"
[sources.hr]
key = "id"
columns = { id = { attribute = "id" }, name = { attribute = "givenName" }, start = { attribute = "start", type = "date" } }
lifecycle = { start = "strat", end = "givenName", leave-until = "start", hired = "start" }
[[roles]]
name = "a"
when = "identity.nosuch == 'not reported while the sources are wrong' && nosuchfn(1)"
"#;
    insta::assert_snapshot!(parse_strictly("policy.toml", text).unwrap_err());
}

#[test]
fn two_sources_must_agree_on_what_an_attribute_is() {
    let text = r#"zone = "UTC"
[sources.a]
key = "id"
columns = { id = { attribute = "id" }, ident = { attribute = "id" } }
[sources.b]
key = "id"
columns = { id = { attribute = "id", type = "integer" }, in = { attribute = "in" }, l = { attribute = "l", separator = "," } }
"#;
    insta::assert_snapshot!(parse_strictly("policy.toml", text).unwrap_err());
}

#[test]
fn broken_toml_says_where_and_does_not_complain_of_what_it_could_not_read() {
    let text = "zone = \"UTC\"\nzone = \"UTC\"\n[sources.hr\nkey = \"id\"\n";
    insta::assert_snapshot!(parse_strictly("policy.toml", text).unwrap_err());
    assert_eq!(
        parse("policy.toml", "").unwrap_err().0.len(),
        2,
        "zone and sources are missing"
    );
    assert!(
        parse(
            "policy.toml",
            &"#".repeat(crate::document::DOCUMENT_BYTES_MAX + 1)
        )
        .is_err()
    );
    let many: String = (0..300).map(|n| format!("k{n} = 1\n")).collect();
    let errors = parse("policy.toml", &many).unwrap_err();
    assert_eq!(errors.0.len(), crate::document::MISTAKES_MAX);
    assert!(errors.to_string().ends_with("more mistakes)"));
}

#[test]
fn a_byte_order_mark_and_crlf_change_nothing() {
    let text = format!("\u{feff}{}", EXAMPLE.replace('\n', "\r\n"));
    assert!(parse("policy.toml", &text).is_ok());
}

#[test]
fn what_the_policy_asks_of_targets_must_be_there() {
    let text = r#"zone = "UTC"
[sources.hr]
key = "id"
columns = { id = { attribute = "id" } }
[[roles]]
name = "employee"
when = "true"
accounts = ["app", "app/admin", "directry"]
[roles.entitlements]
wiki = ["readers"]
[mappings.app]
username = "identity.id"
[mappings.mail]
username = "identity.id"
"#;
    let policy = parse("policy.toml", text).unwrap();
    let targets = targets(&["app", "directory"]);
    insta::assert_snapshot!(check_against(&policy, "policy.toml", &targets).unwrap_err());
    let unused: Vec<String> = unused_mappings(&policy).iter().map(ToString::to_string).collect();
    assert_eq!(unused, ["mail"]);
}

#[test]
fn mappings_must_fit_the_account_schemas() {
    let text = r#"zone = "UTC"
[sources.hr]
key = "id"
columns = { id = { attribute = "id" } }
[mappings.app]
logn = "identity.id"
mail = "identity.id"
[mappings."app/admin"]
login = "identity.id"
[mappings.free]
whatever = "identity.id"
[mappings.open]
whatever = "identity.id"
[mappings.wiki]
whatever = "identity.id"
"#;
    let policy = parse("policy.toml", text).unwrap();
    let schemas = [
        (
            "app",
            json!({
                "properties": {
                    "login": {}, "mail": {}, "id": {"x-usher-mutability": "read-only"}
                },
                "required": ["id", "login", 7, "not declared"],
                "additionalProperties": false
            }),
        ),
        ("free", json!(true)),
        (
            "open",
            json!({"properties": {"login": {}}, "additionalProperties": {"type": "string"}}),
        ),
    ]
    .map(|(name, schema)| {
        (
            name.parse().unwrap(),
            crate::schema::AccountSchema::parse(&schema).unwrap(),
        )
    });
    let schemas = std::collections::BTreeMap::from(schemas);
    insta::assert_snapshot!(check_schemas(&policy, "policy.toml", &schemas).unwrap_err(), @r"
    policy.toml:5:11: mappings.app: every account of target `app` must have `login`, but the mapping does not give it
    policy.toml:6:8: mappings.app.logn: accounts of target `app` have no attribute `logn`; did you mean `login`?
    ");
    let right = parse("policy.toml", &text.replace("logn", "login")).unwrap();
    assert_eq!(check_schemas(&right, "policy.toml", &schemas), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn parsing_never_panics(text in "\\PC{0,400}") {
        let _ = parse("policy.toml", &text);
    }

    /// A piece of a good document taken out: read or refused, never a panic; every error has a place in the document.
    #[test]
    fn a_damaged_document_never_panics(from in 0..EXAMPLE.len(), bytes in 1..60usize) {
        let keep = |at: usize| (0..=at.min(EXAMPLE.len())).rev().find(|at| EXAMPLE.is_char_boundary(*at)).unwrap();
        let text = format!("{}{}", &EXAMPLE[..keep(from)], &EXAMPLE[keep(from + bytes)..]);
        if let Err(errors) = parse_strictly("policy.toml", &text) {
            prop_assert!(!errors.0.is_empty());
            for error in errors.0 {
                prop_assert!(error.line >= 1 && error.line <= text.lines().count() + 1);
            }
        }
    }
}
