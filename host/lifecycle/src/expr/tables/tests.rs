use proptest::prelude::*;
use serde_json::json;

use std::cell::RefCell;

use super::*;
use crate::attributes::Attributes;
use crate::expr::{AttributeKind, Declared, TEXT_BYTES_MAX};
use crate::state::IdentityState;

const RULES: [&str; 9] = [
    "identity.job == 'a'",
    "has(identity.job) && identity.job != 'a'",
    "identity.?job.orValue('') == identity.?site.orValue('')",
    "identity.level > 2",
    "identity.job == 'a' && identity.level > 1",
    "'x' in identity.groups",
    "state == 'active'",
    "true",
    "10 / identity.level > 2",
];
const MAPPINGS: [&str; 8] = [
    "identity.job",
    "identity.level",
    "identity.groups",
    "identity.?site",
    "identity.job + '@' + state",
    "identity.?groups.orValue([]).size()",
    "10 / identity.level",
    "'constant'",
];

fn declared() -> Declared {
    let text = |name: &str| (name.to_owned(), AttributeKind::Text);
    [
        text("job"),
        text("site"),
        ("level".to_owned(), AttributeKind::Integer),
        ("groups".to_owned(), AttributeKind::List),
    ]
    .into()
}

fn rules() -> Vec<Rule> {
    let compile =
        |(n, source): (usize, &&str)| Rule::compile(&format!("roles.r{n}.when"), source, &declared());
    RULES
        .iter()
        .enumerate()
        .map(|one| compile(one).unwrap())
        .collect()
}

fn mappers() -> Vec<Mapper> {
    let compile =
        |(n, source): (usize, &&str)| Mapper::compile(&format!("mappings.app.a{n}"), source, &declared());
    MAPPINGS
        .iter()
        .enumerate()
        .map(|one| compile(one).unwrap())
        .collect()
}

fn person(job: &str) -> Attributes {
    let attributes = json!({ "job": job, "level": 3, "groups": ["x"] });
    attributes.as_object().unwrap().clone()
}

fn any_person() -> impl Strategy<Value = (Attributes, IdentityState)> {
    let text = || {
        prop_oneof![
            3 => prop::sample::select(vec![json!("a"), json!("b"), json!("")]),
            1 => prop::sample::select(vec![
                Value::Null, json!(1), json!(true), json!("-"), json!("a,"), json!(["a"]), json!({ "a": 1.5 }),
                json!("x".repeat(300)), json!("x".repeat(TEXT_BYTES_MAX + 1)), json!("\"\u{1}a"),
            ]),
        ]
    };
    let level = prop::sample::select(vec![
        json!(0),
        json!(1),
        json!(3),
        json!(3.0),
        json!("3"),
        Value::Null,
    ]);
    let groups = prop::sample::select(vec![json!([]), json!(["x"]), json!(["x", "y"]), json!("x")]);
    let attributes = (
        prop::option::of(text()),
        prop::option::of(text()),
        prop::option::of(level),
        prop::option::of(groups),
    );
    let state = prop::sample::select(IdentityState::ALL.to_vec());
    (attributes, state).prop_map(|((job, site, level, groups), state)| {
        let named = [("job", job), ("site", site), ("level", level), ("groups", groups)];
        let given = named
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        (given.collect(), state)
    })
}

proptest! {
    #[test]
    fn tables_give_what_the_expressions_give(people in prop::collection::vec(any_person(), 1..60)) {
        let (rules, mappers) = (rules(), mappers());
        // One place has no rule, as a role that is only assigned.
        let places = || rules.iter().map(Some).chain([None]);
        let tables = RefCell::new(Tables::new(places(), &mappers));
        for (attributes, state) in &people {
            let plain = Scope::new(attributes, *state);
            let with = Scope::with_tables(attributes, *state, Some(&tables));
            let one = |rule: Option<&Rule>| rule.map_or(Ok(false), |rule| rule.holds(&plain));
            let all: Result<Vec<bool>, ExpressionError> = places().map(one).collect();
            prop_assert_eq!(with.hold(), Some(all));
            // The order of the document decides which mistake is told: so one rule alone, too.
            for rule in &rules {
                let alone = RefCell::new(Tables::new([Some(rule)], []));
                let with = Scope::with_tables(attributes, *state, Some(&alone));
                prop_assert_eq!(with.hold(), Some(rule.holds(&plain).map(|holds| vec![holds])));
            }
            for mapper in &mappers {
                prop_assert_eq!(mapper.value(&with), mapper.value(&plain));
                prop_assert_eq!(mapper.value(&plain), mapper.evaluate(&plain), "{}", mapper.source());
            }
        }
    }
}

/// Who has the same values is not evaluated: a planted answer comes back.
#[test]
fn the_second_of_the_same_values_costs_no_evaluation() {
    let rules = rules();
    let tables = RefCell::new(Tables::new([Some(&rules[0]), Some(&rules[1])], []));
    let attributes = person("a");
    let hold = || Scope::with_tables(&attributes, IdentityState::Active, Some(&tables)).hold();
    assert_eq!(hold(), Some(Ok(vec![true, false])));
    assert_eq!(tables.borrow().groups.len(), 1, "both read the same");
    for answers in tables.borrow_mut().groups[0].table.answers.values_mut() {
        answers.hold = vec![1];
    }
    assert_eq!(hold(), Some(Ok(vec![false, true])));
    let other = Scope::with_tables(&attributes, IdentityState::Suspended, Some(&tables)).hold();
    assert_eq!(
        other,
        Some(Ok(vec![true, false])),
        "another state is another tuple"
    );
}

#[test]
fn a_table_of_what_everybody_has_of_their_own_is_given_up() {
    let mapper = Mapper::compile("mappings.app.x", "identity.job + '!'", &declared()).unwrap();
    let tables = RefCell::new(Tables::new([], [&mapper]));
    let value = |job: &str| {
        let attributes = person(job);
        mapper.value(&Scope::with_tables(
            &attributes,
            IdentityState::Active,
            Some(&tables),
        ))
    };
    for n in 1..WINDOW {
        assert_eq!(value(&n.to_string()).unwrap(), json!(format!("{n}!")));
    }
    let kept = || {
        tables
            .borrow()
            .mappings
            .values()
            .map(|(_, table)| table.answers.len())
            .sum::<usize>()
    };
    assert_eq!(kept(), WINDOW as usize - 1);
    assert_eq!(value("once more").unwrap(), json!("once more!"));
    assert_eq!(kept(), 0);
    assert_eq!(value("17").unwrap(), json!("17!"));
    assert_eq!(kept(), 0, "given up");
}

#[test]
fn a_table_that_pays_is_kept_and_all_are_begun_anew_when_they_are_full() {
    let mapper = Mapper::compile("mappings.app.x", "identity.job + '!'", &declared()).unwrap();
    let tables = RefCell::new(Tables::new([], [&mapper]));
    let value = |job: &str| {
        let attributes = person(job);
        mapper.value(&Scope::with_tables(
            &attributes,
            IdentityState::Active,
            Some(&tables),
        ))
    };
    for n in 0..2 * WINDOW {
        assert_eq!(
            value(&(n % 100).to_string()).unwrap(),
            json!(format!("{}!", n % 100))
        );
    }
    let kept = || {
        tables
            .borrow()
            .mappings
            .values()
            .map(|(_, table)| table.answers.len())
            .sum::<usize>()
    };
    assert_eq!(kept(), 100);
    assert!(tables.borrow().bytes > 100 * ENTRY_BYTES);
    tables.borrow_mut().bytes = BYTES_MAX + 1;
    assert_eq!(value("7").unwrap(), json!("7!"));
    assert_eq!(kept(), 1);
    assert!(tables.borrow().bytes < 2 * ENTRY_BYTES);
}
