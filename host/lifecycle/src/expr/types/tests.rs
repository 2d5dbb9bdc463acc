//! The table of signatures against the library itself.

use std::sync::Arc;

use cel::{Context, ExecutionError};

use super::*;
use crate::expr::functions::{ENVIRONMENT, FUNCTIONS};
use crate::expr::signatures::SIGNATURES;
use crate::expr::{Declared, Mapper, Rule};

const KINDS: [Kind; 13] = [
    Kind::Text,
    Kind::Int,
    Kind::Uint,
    Kind::Double,
    Kind::Bool,
    Kind::Null,
    Kind::Bytes,
    Kind::Time,
    Kind::Duration,
    Kind::Texts,
    Kind::List,
    Kind::Map,
    Kind::Optional,
];

/// An expression of a kind.
fn sample(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Any => "'2026-03-02'",
        Kind::Int => "1",
        Kind::Uint => "1u",
        Kind::Double => "1.0",
        Kind::Bool => "true",
        Kind::Null => "null",
        Kind::Bytes => "b'x'",
        Kind::Time => "timestamp('2026-03-02T00:00:00Z')",
        Kind::Duration => "duration('1s')",
        Kind::Texts => "['a', 'b']",
        // The elements of a list of something may be what the function needs.
        Kind::List => "[]",
        Kind::Map => "{1: 1}",
        Kind::Optional => "optional.of('a')",
    }
}

/// A call of a function; nothing where only a macro calls it.
fn call(function: &str, style: Style, operands: &[Kind]) -> Option<String> {
    let given: Vec<&str> = operands.iter().map(|kind| sample(*kind)).collect();
    Some(match (function, given.as_slice()) {
        ("@not_strictly_false" | "@sortByAssociatedKeys" | "_?._" | "_?_:_", _) => return None,
        // Its macro wants to see a number.
        ("math.@max" | "math.@min", ["'2026-03-02'", ..]) => return None,
        ("math.@max", given) => format!("math.greatest({})", given.join(", ")),
        ("math.@min", given) => format!("math.least({})", given.join(", ")),
        ("!_" | "-_", [one]) => format!("{}({one})", &function[..1]),
        ("@in", [one, two]) => format!("{one} in {two}"),
        ("_[_]", [one, two]) => format!("({one})[{two}]"),
        ("_[?_]", [one, two]) => format!("({one})[?{two}]"),
        (operator, [one, two]) if operator.starts_with('_') => {
            format!("({one}) {} ({two})", operator.trim_matches('_'))
        }
        (operator, _) if operator.contains('_') && !operator.contains('.') => return None,
        (_, [first, rest @ ..]) if style == Style::Member => {
            format!("({first}).{function}({})", rest.join(", "))
        }
        (_, given) => format!("{function}({})", given.join(", ")),
    })
}

/// What the library says, if it can be asked.
fn evaluated(source: &str) -> Option<Result<(), ExecutionError>> {
    let environment = ENVIRONMENT.as_ref().unwrap();
    let program = environment.compile(source).ok()?;
    Some(
        program
            .execute(&Context::with_env(Arc::clone(environment)))
            .map(drop),
    )
}

fn mistakes(source: &str) -> Vec<Mistake> {
    let program = ENVIRONMENT.as_ref().unwrap().compile(source).unwrap();
    check(
        program.expression(),
        program.source_info(),
        About::Person(&Declared::new()),
    )
    .1
}

#[test]
fn every_function_has_a_signature_and_the_other_way_round() {
    let special = ["_?_:_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"];
    for (function, _) in FUNCTIONS {
        assert!(
            special.contains(function) || signatures(function).next().is_some(),
            "{function}"
        );
    }
    for signature in SIGNATURES {
        assert!(
            FUNCTIONS
                .iter()
                .any(|(function, _)| *function == signature.function),
            "{signature:?}"
        );
    }
}

#[test]
fn the_library_takes_what_a_signature_says() {
    for signature in SIGNATURES {
        let styles: &[Style] = match signature.style {
            Style::Both => &[Style::Member, Style::Global],
            Style::Member => &[Style::Member],
            Style::Global => &[Style::Global],
        };
        for style in styles {
            let Some(source) = call(signature.function, *style, signature.operands) else {
                continue;
            };
            assert_eq!(mistakes(&source), [], "{source}");
            let refused = matches!(
                evaluated(&source),
                Some(Err(ExecutionError::NoSuchOverload(_)
                    | ExecutionError::UnexpectedType { .. }
                    | ExecutionError::UndeclaredReference(_)
                    | ExecutionError::UnsupportedBinaryOperator(..)
                    | ExecutionError::InvalidArgumentCount { .. }))
            );
            assert!(!refused, "{source}: {:?}", evaluated(&source));
        }
    }
}

/// Nothing that works is refused: whatever this check says no to fails in the library, too. But for what is a mistake all the same: things
/// that are never equal, and `'x' || true`, where the library looks at one side only; and
/// a list with a map behind it, which the library takes for a list of its keys.
#[test]
fn what_is_refused_does_not_work_in_the_library() {
    let mut refused = 0;
    for (function, _) in FUNCTIONS
        .iter()
        .filter(|(function, _)| !matches!(*function, "_==_" | "_!=_" | "_&&_" | "_||_"))
    {
        for style in [Style::Member, Style::Global] {
            let pairs = KINDS
                .iter()
                .flat_map(|one| KINDS.iter().map(|two| vec![*one, *two]));
            let operands = [vec![]]
                .into_iter()
                .chain(KINDS.iter().map(|kind| vec![*kind]))
                .chain(pairs);
            for source in operands.filter_map(|operands| call(function, style, &operands)) {
                let Ok(program) = ENVIRONMENT.as_ref().unwrap().compile(&source) else {
                    continue;
                };
                if check(
                    program.expression(),
                    program.source_info(),
                    About::Person(&Declared::new()),
                )
                .1
                .is_empty()
                {
                    continue;
                }
                refused += 1;
                if *function == "_+_" && source.ends_with("({1: 1})") {
                    continue;
                }
                assert!(!matches!(evaluated(&source), Some(Ok(()))), "{source}");
            }
        }
    }
    assert!(refused > 5_000, "{refused}");
}

fn declared() -> Declared {
    [
        ("name", AttributeKind::Text),
        ("badge", AttributeKind::Integer),
        ("remote", AttributeKind::Boolean),
        ("since", AttributeKind::Date),
        ("groups", AttributeKind::List),
    ]
    .map(|(name, kind)| (name.to_owned(), kind))
    .into()
}

#[test]
fn what_no_person_would_show_is_found_at_load() {
    let mut answers = String::new();
    for source in [
        "identity.remote ? identity.name : identity.badge.lower()",
        "has(identity.name) || identity.badge > 'x'",
        "identity.badge == '17'",
        "identity.since < 20260302",
        "identity.groups == 'admins'",
        "identity.name.substring('1')",
        "identity.name.substring(1, 2, 3)",
        "identity.name.replace('a')",
        "ascii(identity.name, 2)",
        "identity.name.ascii()",
        "lower(identity.name)",
        "identity.since.addDays('3')",
        "identity.name.first",
        "identity.name.map(c, c)",
        "identity.groups.map(g, g + 1)",
        "identity.groups.filter(g, g.size())",
        "identity.groups.exists(g, g.year() == 'x')",
        "identity.name ? 1 : 2",
        "!identity.name",
        "identity.name in identity.badge",
        "identity.groups[identity.name]",
        "identity.since.formatDate('%H:%M')",
        "date(identity.since) - 3",
    ] {
        let found = Mapper::compile("m", source, &declared()).unwrap_err();
        for mistake in found {
            answers.push_str(&format!(
                "{source}\n    {}: {}\n",
                mistake.offset, mistake.message
            ));
        }
    }
    insta::assert_snapshot!(answers);
}

#[test]
fn what_is_right_is_left_alone() {
    for source in [
        "identity.name.lower() + '.' + string(identity.badge)",
        "identity.?name.orValue('') + 'x'",
        "identity.?name.optMap(n, n.lower()).orValue('nobody') == 'x'",
        "has(identity.name) ? identity.name : null",
        "(has(identity.name) ? identity.name : null) == null",
        "identity.groups.map(g, g.size()).exists(n, n > 3)",
        "identity.groups.map(g, [g, g]).flatten().join(',')",
        "identity.groups.filter(g, g.startsWith('x')).first()",
        "identity.groups.sortBy(g, g.size())[0].upper()",
        "identity.groups.all(g, g != '') && identity.remote",
        "{'a': identity.badge}.a + 1",
        "{'a': identity.groups}['a'][0].trim()",
        "identity.badge > 2.5",
        "identity.since >= '2026-03-02' && identity.since.addDays(3).year() in [2026, 2027]",
        "timestamp(identity.since + 'T00:00:00Z') < timestamp('2026-03-02T00:00:00Z') + duration('24h')",
        "math.greatest(identity.badge, 3, 4) == 4",
        "identity['name'].endsWith(state)",
    ] {
        assert!(
            Mapper::compile("m", source, &declared()).is_ok(),
            "{source}: {:?}",
            Mapper::compile("m", source, &declared())
        );
    }
}

#[test]
fn a_rule_that_is_no_truth_says_what_it_is() {
    for (source, kind) in [
        ("identity.name.lower()", "text"),
        ("identity.groups", "list"),
        ("identity.badge", "whole number"),
    ] {
        let found = Rule::compile("r", source, &declared()).unwrap_err();
        assert_eq!(
            found[0].message,
            format!("a rule must be true or false; this one gives {kind}")
        );
    }
}
