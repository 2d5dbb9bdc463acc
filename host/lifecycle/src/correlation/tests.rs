use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::index::judge;
use super::*;
use crate::attributes::Attributes;
use crate::expr::Scope;
use crate::policy::{self, Policy};
use crate::state::IdentityState;

const SOURCES: &str = r#"
zone = "UTC"
[sources.hr]
key = "id"
[sources.hr.columns]
id = { attribute = "id" }
mail = { attribute = "mail" }
mails = { attribute = "mails", type = "list", separator = ";" }
given = { attribute = "given" }
family = { attribute = "family" }
city = { attribute = "city" }
"#;

fn policy(rules: &str) -> Policy {
    policy::parse_strictly("policy", &format!("{SOURCES}{rules}")).unwrap()
}

fn attributes(value: Value) -> Attributes {
    match value {
        Value::Object(attributes) => attributes,
        other => panic!("no object: {other}"),
    }
}

fn schema() -> AccountSchema {
    AccountSchema::parse(&json!({"properties": {
        "mail": {"x-usher-case": "ignore"},
        "emails": {"type": "array", "x-usher-case": "ignore"},
        "urn:x:2.0:number": {},
        "id": {}, "given": {}, "family": {}, "city": {}
    }}))
    .unwrap()
}

fn index(matcher: &Matcher<'_>, people: &[Attributes], shared_max: usize) -> Index {
    let mut builder = IndexBuilder::default();
    for (place, person) in people.iter().enumerate() {
        let scope = Scope::new(person, IdentityState::Active);
        builder.add(
            u32::try_from(place).unwrap(),
            matcher.identity_keys(&scope, &mut Vec::new()),
        );
    }
    builder.finish_with(shared_max)
}

fn found(rules: &str, people: &[Value], account: Value) -> Match {
    let (policy, schema) = (policy(rules), schema());
    let app = "app".parse().unwrap();
    let matcher = Matcher::new(policy.correlation_of(&app), &schema);
    let people: Vec<Attributes> = people.iter().cloned().map(attributes).collect();
    index(&matcher, &people, SHARED_MAX).find(&matcher, &attributes(account))
}

fn who(found: &Match) -> Vec<(u32, &str, Option<u32>)> {
    let of = |one: &'_ Candidate| (one.identity, one.weight);
    match found {
        Match::Nobody => vec![],
        Match::One(one) => vec![(of(one).0, "sure", of(one).1)],
        Match::Several(several) => several.iter().map(|one| (of(one).0, "ask", of(one).1)).collect(),
    }
}

const BY_ID_THEN_MAIL: &str = r#"
[[correlation.app]]
exact = { id = "has(identity.id) ? identity.id : null" }
[[correlation.app]]
exact = { mail = "identity.?mail.orValue(null)" }
"#;

#[test]
fn the_first_rule_that_finds_anybody_decides() {
    let people = [
        json!({"id": "7", "mail": "ada@x"}),
        json!({"id": "8", "mail": "bob@x"}),
        json!({"mail": "bob@x"}),
    ];
    let of = |account| found(BY_ID_THEN_MAIL, &people, account);
    assert_eq!(who(&of(json!({"id": "7", "mail": "bob@x"}))), [(0, "sure", None)]);
    assert_eq!(
        who(&of(json!({"id": 7}))),
        [(0, "sure", None)],
        "a number is its text"
    );
    assert_eq!(
        who(&of(json!({"id": "9", "mail": "ADA@X"}))),
        [(0, "sure", None)],
        "the schema ignores case"
    );
    assert_eq!(
        who(&of(json!({"mail": "bob@x"}))),
        [(1, "ask", None), (2, "ask", None)]
    );
    for nobody in [
        json!({}),
        json!({"id": "9"}),
        json!({"id": "", "mail": null}),
        json!({"id": {"x": "7"}}),
    ] {
        assert_eq!(of(nobody), Match::Nobody);
    }
}

#[test]
fn people_without_a_value_are_not_alike() {
    let nobody = found(
        BY_ID_THEN_MAIL,
        &[json!({}), json!({"id": ""})],
        json!({"id": "", "mail": ""}),
    );
    assert_eq!(nobody, Match::Nobody);
}

#[test]
fn an_exact_rule_wants_all_its_comparisons_and_of_lists_one_member() {
    let rules = r#"
[[correlation.app]]
exact = { given = { identity = "identity.given", case = "ignore" }, "emails.value" = "identity.mails" }
"#;
    let people = [
        json!({"given": "Ada", "mails": ["a@x", "ada@x"]}),
        json!({"given": "Bob", "mails": ["b@x"]}),
    ];
    let account = |given, mails: Value| json!({"given": given, "emails": mails});
    let of = |account| found(rules, &people, account);
    let both = json!([{"value": "zz@x"}, {"value": "ADA@x", "primary": true}]);
    assert_eq!(who(&of(account("ADA", both.clone()))), [(0, "sure", None)]);
    assert_eq!(of(account("Bob", both)), Match::Nobody);
    assert_eq!(of(account("Ada", json!([{"value": "b@x"}]))), Match::Nobody);
    assert_eq!(
        of(account("Ada", json!(["ada@x"]))),
        Match::Nobody,
        "the member is asked for"
    );
}

#[test]
fn a_name_with_dots_that_the_schema_knows_is_one_attribute() {
    let rules = r#"
[[correlation.app]]
exact = { "urn:x:2.0:number" = "identity.id" }
"#;
    let found = found(rules, &[json!({"id": "5"})], json!({"urn:x:2.0:number": 5}));
    assert_eq!(who(&found), [(0, "sure", None)]);
}

const WEIGHTED: &str = r#"
[[correlation.app]]
weighted = [
    { account = "mail", identity = "identity.?mail.orValue(null)", weight = 60 },
    { account = "family", identity = "identity.?family.orValue(null)", weight = 30 },
    { account = "given", identity = "identity.?given.orValue(null)", weight = 20 },
    { account = "city", identity = "identity.?city.orValue(null)", weight = 10 },
]
link = 80
ask = 50
"#;

#[test]
fn weights_link_from_one_threshold_and_ask_from_a_lower_one() {
    let people = [
        json!({"mail": "ada@x", "family": "Ito", "given": "Ada", "city": "Köln"}),
        json!({"mail": "b@x", "family": "Ito", "given": "Bo", "city": "Köln"}),
        json!({"mail": "c@x", "family": "Ito", "given": "Ada"}),
    ];
    let of = |account| found(WEIGHTED, &people, account);
    assert_eq!(
        who(&of(json!({"mail": "ada@x", "family": "Ito"}))),
        [(0, "sure", Some(90))]
    );
    assert_eq!(
        who(&of(json!({"mail": "ada@x"}))),
        [(0, "ask", Some(60))],
        "likely is not certain"
    );
    assert_eq!(
        who(&of(json!({"family": "Ito", "given": "Ada"}))),
        [(0, "ask", Some(50)), (2, "ask", Some(50))]
    );
    assert_eq!(of(json!({"family": "Ito", "city": "Köln"})), Match::Nobody);
}

#[test]
fn two_who_reach_the_threshold_are_asked_about_the_heavier_first() {
    let people = [
        json!({"mail": "a@x", "family": "Ito"}),
        json!({"mail": "a@x", "family": "Ito", "given": "Ada"}),
    ];
    let found = found(
        WEIGHTED,
        &people,
        json!({"mail": "a@x", "family": "Ito", "given": "Ada"}),
    );
    assert_eq!(who(&found), [(1, "ask", Some(110)), (0, "ask", Some(90))]);
}

#[test]
fn a_value_that_too_many_share_brings_nobody_but_still_counts() {
    let (policy, schema) = (policy(WEIGHTED), schema());
    let app = "app".parse().unwrap();
    let matcher = Matcher::new(policy.correlation_of(&app), &schema);
    let people: Vec<Attributes> = (0..5)
        .map(|n| attributes(json!({"mail": format!("{n}@x"), "family": "Ito", "given": "Ada"})))
        .collect();
    let index = index(&matcher, &people, 4);
    let of = |account| index.find(&matcher, &attributes(account));
    assert_eq!(of(json!({"family": "Ito", "given": "Ada"})), Match::Nobody);
    assert_eq!(
        who(&of(json!({"mail": "3@x", "family": "Ito"}))),
        [(3, "sure", Some(90))]
    );
}

#[test]
fn an_account_that_two_kinds_claim_is_nobodys_for_certain() {
    let rules = r#"
[[correlation.app]]
exact = { mail = "identity.mail" }
[[correlation."app/admin"]]
exact = { id = "'adm-' + identity.id" }
"#;
    let people = [
        json!({"id": "1", "mail": "a@x"}),
        json!({"id": "2", "mail": "b@x"}),
    ];
    let of = |account| found(rules, &people, account);
    let Match::One(admin) = of(json!({"id": "adm-2"})) else {
        panic!("not found")
    };
    assert_eq!((admin.identity, admin.kind.as_str()), (1, "admin"));
    assert_eq!(
        who(&of(json!({"id": "adm-2", "mail": "a@x"}))),
        [(0, "ask", None), (1, "ask", None)]
    );
}

#[test]
fn a_value_that_cannot_be_worked_out_finds_nobody_and_is_told() {
    let rules = "[[correlation.app]]\nexact = { mail = \"identity.mail\" }\n";
    let (policy, schema) = (policy(rules), schema());
    let app = "app".parse().unwrap();
    let matcher = Matcher::new(policy.correlation_of(&app), &schema);
    let mut problems = Vec::new();
    let nothing = Attributes::new();
    let keys = matcher.identity_keys(&Scope::new(&nothing, IdentityState::Active), &mut problems);
    assert!(keys.is_empty());
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].path.starts_with("correlation.app"),
        "{}",
        problems[0].path
    );
}

/// What the index must find, by comparing everybody with the account.
fn naive(matcher: &Matcher<'_>, people: &[Attributes], account: &Attributes, shared_max: usize) -> Match {
    let texts = |comparison: &Comparison, person: &Attributes| {
        matcher.identity_texts(comparison, &Scope::new(person, IdentityState::Active))
    };
    let shares = |comparison: &Comparison, person: &Attributes| {
        let has = matcher.account_texts(comparison, account);
        texts(comparison, person).intersection(&has).next().is_some()
    };
    let of_kind = |(kind, correlation): &(&AccountKind, &Correlation)| {
        for (place, rule) in correlation.rules.iter().enumerate() {
            let candidate = |identity: u32, weight: Option<u32>| Candidate {
                identity,
                kind: (*kind).clone(),
                weight,
                rule: u32::try_from(place + 1).unwrap(),
            };
            let all = || (0_u32..).zip(people);
            let found = match rule {
                Rule::Exact(comparisons) => {
                    let same: Vec<u32> = all()
                        .filter(|(_, person)| comparisons.iter().all(|one| shares(one, person)))
                        .map(|(place, _)| place)
                        .collect();
                    match same.as_slice() {
                        [] => Match::Nobody,
                        [one] => Match::One(candidate(*one, None)),
                        several => Match::Several(
                            several
                                .iter()
                                .take(CANDIDATES_MAX)
                                .map(|one| candidate(*one, None))
                                .collect(),
                        ),
                    }
                }
                Rule::Weighted {
                    comparisons,
                    link,
                    ask,
                } => {
                    let rare = |comparison: &Comparison, person: &Attributes| {
                        let has = matcher.account_texts(comparison, account);
                        texts(comparison, person).intersection(&has).any(|text| {
                            people
                                .iter()
                                .filter(|other| texts(comparison, other).contains(text))
                                .count()
                                <= shared_max
                        })
                    };
                    let weighed: BTreeMap<u32, u32> = all()
                        .filter(|(_, person)| comparisons.iter().any(|(one, _)| rare(one, person)))
                        .map(|(place, person)| {
                            let weights = comparisons.iter().filter(|(one, _)| shares(one, person));
                            (place, weights.map(|(_, weight)| *weight).sum())
                        })
                        .collect();
                    judge(weighed, *link, *ask, candidate)
                }
            };
            if found != Match::Nobody {
                return found;
            }
        }
        Match::Nobody
    };
    Match::together(matcher.slots.iter().map(of_kind).collect())
}

fn some_text() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => "[aAbBcC]{1}".prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!("")),
        1 => (0..3_i32).prop_map(Value::from),
        1 => prop::collection::vec("[aAbB]", 0..3).prop_map(Value::from),
    ]
}

fn some_attributes(names: &'static [&'static str]) -> impl Strategy<Value = Attributes> {
    prop::collection::vec(prop::option::of(some_text()), names.len()).prop_map(move |values| {
        names
            .iter()
            .zip(values)
            .filter_map(|(name, value)| Some(((*name).to_owned(), value?)))
            .collect()
    })
}

const RULES: &str = r#"
[[correlation.app]]
exact = { id = "identity.?id.orValue(null)", given = { identity = "identity.?given.orValue(null)", case = "ignore" } }
[[correlation.app]]
weighted = [
    { account = "mail", identity = "identity.?mails.orValue(null)", weight = 60 },
    { account = "family", identity = "identity.?family.orValue(null)", weight = 30 },
    { account = "city", identity = "identity.?city.orValue(null)", weight = 20 },
]
link = 80
ask = 50
[[correlation."app/admin"]]
exact = { family = "identity.?family.orValue(null)", city = "identity.?city.orValue(null)" }
"#;

proptest! {
    #[test]
    fn the_index_finds_what_comparing_everybody_finds(
        people in prop::collection::vec(some_attributes(&["id", "mails", "given", "family", "city"]), 0..12),
        accounts in prop::collection::vec(some_attributes(&["id", "mail", "given", "family", "city"]), 1..8),
        shared_max in 1_usize..6,
    ) {
        let (policy, schema) = (policy(RULES), schema());
        let app = "app".parse().unwrap();
        let matcher = Matcher::new(policy.correlation_of(&app), &schema);
        let index = index(&matcher, &people, shared_max);
        for account in &accounts {
            prop_assert_eq!(index.find(&matcher, account), naive(&matcher, &people, account, shared_max));
        }
    }

    #[test]
    fn the_order_of_identities_and_accounts_does_not_matter_and_nobody_is_found_twice(
        people in prop::collection::vec(some_attributes(&["id", "mails", "given", "family", "city"]), 1..10),
        accounts in prop::collection::vec(some_attributes(&["id", "mail", "given", "family", "city"]), 1..6),
    ) {
        let (policy, schema) = (policy(RULES), schema());
        let app = "app".parse().unwrap();
        let matcher = Matcher::new(policy.correlation_of(&app), &schema);
        let forward = index(&matcher, &people, SHARED_MAX);
        let mut builder = IndexBuilder::default();
        for (place, person) in people.iter().enumerate().rev() {
            let scope = Scope::new(person, IdentityState::Active);
            builder.add(u32::try_from(place).unwrap(), matcher.identity_keys(&scope, &mut Vec::new()));
        }
        let backward = builder.finish();
        for account in accounts.iter().rev() {
            let found = forward.find(&matcher, account);
            prop_assert_eq!(&found, &backward.find(&matcher, account));
            if let Match::Several(several) = &found {
                let distinct: BTreeSet<(u32, &str)> =
                    several.iter().map(|one| (one.identity, one.kind.as_str())).collect();
                prop_assert_eq!(distinct.len(), several.len());
                prop_assert!(several.len() <= CANDIDATES_MAX);
            }
        }
    }
}
