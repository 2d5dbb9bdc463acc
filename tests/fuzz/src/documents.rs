//! Documents operators hand in, perhaps written by somebody else.

use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::expr::{AttributeKind, Declared, Mapper, Rule, SOURCE_BYTES_MAX, Scope};
use usher_lifecycle::state::IdentityState;
use usher_lifecycle::{policy, targets};

pub(crate) fn policy(data: &[u8]) {
    if let Err(mistakes) = policy::parse("policy.toml", &crate::text(data)) {
        assert!(!mistakes.to_string().is_empty());
    }
}

pub(crate) fn targets(data: &[u8]) {
    match targets::parse("targets.toml", &crate::text(data)) {
        Ok(parsed) => {
            // Parsing is a function of the text.
            let again = targets::parse("targets.toml", &crate::text(data)).expect("it was fine before");
            assert_eq!(format!("{parsed:?}"), format!("{again:?}"));
        }
        Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
    }
}

pub(crate) fn expression(data: &[u8]) {
    let source = crate::text(data);
    let declared: Declared = [
        ("login", AttributeKind::Text),
        ("start", AttributeKind::Date),
        ("floor", AttributeKind::Integer),
        ("remote", AttributeKind::Boolean),
        ("groups", AttributeKind::List),
    ]
    .into_iter()
    .map(|(name, kind)| (name.to_owned(), kind))
    .collect();
    let person: Attributes = serde_json::json!({
        "login": "ada", "start": "2026-03-02", "floor": 3, "remote": true, "groups": ["a", "b", "c"]
    })
    .as_object()
    .cloned()
    .unwrap_or_default();
    let scope = Scope::new(&person, IdentityState::Active);
    // What is accepted is evaluated: that must end too, whatever it comes to.
    if let Ok(rule) = Rule::compile("roles.x.when", &source, &declared) {
        assert!(source.len() <= SOURCE_BYTES_MAX);
        let _ = rule.holds(&scope);
    }
    if let Ok(mapper) = Mapper::compile("targets.x.attributes.y", &source, &declared) {
        assert!(source.len() <= SOURCE_BYTES_MAX);
        let _ = mapper.value(&scope);
    }
}
