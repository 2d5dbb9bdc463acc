use proptest::prelude::*;
use serde_json::json;

use super::*;

fn declared() -> Declared {
    [
        ("givenName", AttributeKind::Text),
        ("familyName", AttributeKind::Text),
        ("contract", AttributeKind::Text),
        ("manager", AttributeKind::Text),
        ("startDate", AttributeKind::Date),
        ("badge", AttributeKind::Integer),
        ("remote", AttributeKind::Boolean),
        ("groups", AttributeKind::List),
        ("sites", AttributeKind::List),
        ("tags", AttributeKind::List),
    ]
    .into_iter()
    .map(|(name, kind)| (name.to_owned(), kind))
    .collect()
}

fn ada() -> Attributes {
    let person = json!({
        "givenName": "Zoë", "familyName": "Müller-Łukasz", "contract": "permanent",
        "startDate": "2026-03-02", "badge": 17, "remote": true, "groups": ["dev", "lead"],
    });
    person.as_object().unwrap().clone()
}

fn rule(source: &str) -> Result<bool, ExpressionError> {
    let rule =
        Rule::compile("roles.r.when", source, &declared()).unwrap_or_else(|m| panic!("{source}: {m:?}"));
    rule.holds(&Scope::new(&ada(), IdentityState::Active))
}

fn mapped(source: &str) -> Result<Value, ExpressionError> {
    let mapper =
        Mapper::compile("mappings.app.x", source, &declared()).unwrap_or_else(|m| panic!("{source}: {m:?}"));
    mapper.value(&Scope::new(&ada(), IdentityState::Active))
}

fn refused(source: &str) -> String {
    match Mapper::compile("mappings.app.x", source, &declared()) {
        Ok(_) => panic!("accepted: {source}"),
        Err(mistakes) => mistakes
            .iter()
            .map(|m| format!("{}: {}", m.offset, m.message))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[test]
fn rules_hold_or_do_not() {
    for (source, holds) in [
        ("identity.contract in ['permanent', 'temporary']", true),
        ("identity.contract == 'external'", false),
        (
            "'dev' in identity.groups && identity.startDate <= '2026-12-31'",
            true,
        ),
        ("identity.groups.exists(g, g.startsWith('le'))", true),
        ("identity.groups.all(g, identity.groups.exists(h, g == h))", true),
        ("has(identity.manager)", false),
        ("identity.?manager.orValue('') == ''", true),
        ("state == 'active'", true),
        ("identity['contract'].matches('^perm.*t$')", true),
        ("identity.remote", true),
        ("identity.badge + 1 == 18", true),
        (
            "timestamp(identity.startDate + 'T00:00:00Z').getFullYear() == 2026",
            true,
        ),
    ] {
        assert_eq!(rule(source), Ok(holds), "{source}");
    }
}

#[test]
fn mappings_make_json() {
    for (source, value) in [
        (
            "ascii(identity.givenName).lowerAscii() + '.' + ascii(identity.familyName).lowerAscii()",
            json!("zoe.muller-lukasz"),
        ),
        ("has(identity.manager) ? identity.manager : null", json!(null)),
        ("identity.?manager", json!(null)),
        ("identity.?contract", json!("permanent")),
        (
            "identity.groups.map(g, 'grp-' + g)",
            json!(["grp-dev", "grp-lead"]),
        ),
        ("identity.groups.filter(g, g != 'dev')", json!(["lead"])),
        ("identity.groups.sortBy(g, g.size()).join(',')", json!("dev,lead")),
        (
            "{'givenName': identity.givenName, 'familyName': identity.familyName}",
            json!({"givenName": "Zoë", "familyName": "Müller-Łukasz"}),
        ),
        ("identity.badge", json!(17)),
        ("identity.familyName.upper()", json!("MÜLLER-ŁUKASZ")),
        ("identity.familyName.lower()", json!("müller-łukasz")),
        ("identity.groups.first()", json!("dev")),
        ("identity.groups.filter(g, g == 'none').first()", json!(null)),
        (
            "(identity.groups + identity.groups).distinct().sort()",
            json!(["dev", "lead"]),
        ),
        ("'  x '.trim()", json!("x")),
        (
            "date(identity.startDate).addDays(30).formatDate('%d.%m.%Y')",
            json!("01.04.2026"),
        ),
        ("identity.startDate.addMonths(-1)", json!("2026-02-02")),
        (
            "identity.startDate.year() * 100 + identity.startDate.month()",
            json!(202_603),
        ),
        ("identity.startDate.daysUntil('2026-03-05')", json!(3)),
        ("double(identity.badge) / 2.0", json!(8.5)),
        ("!identity.remote", json!(false)),
        ("fold(identity.familyName)", json!("müller-łukasz")),
        ("math.greatest(identity.badge, 3)", json!(17)),
        (
            "'%s #%d'.format([identity.givenName, identity.badge])",
            json!("Zoë #17"),
        ),
        (
            "ascii(identity.familyName).lowerAscii().split('-').map(p, p.substring(0, 1)).join('')",
            json!("ml"),
        ),
        (
            "identity.familyName.replace('ä', 'ae').replace('ö', 'oe').replace('ü', 'ue').replace('ß', 'ss')",
            json!("Mueller-Łukasz"),
        ),
        (
            "identity.?manager.optMap(m, m.lowerAscii()).orValue('nobody')",
            json!("nobody"),
        ),
    ] {
        assert_eq!(mapped(source), Ok(value), "{source}");
    }
}

#[test]
fn mistakes_are_found_when_the_document_is_loaded() {
    let sources = [
        "identity.nosuch == 'x'",
        "identity.given_name",
        "has(identity.nosuch)",
        "identity['nosuch']",
        "identity.?nosuch.orValue('')",
        "identity[state]",
        "identity",
        "'x' in identity",
        "givenName",
        "nosuch + 1",
        "nosuchfn(identity.givenName)",
        "identity.givenName.nosuch()",
        "lists.range(1000000)",
        "dyn(identity.givenName)",
        "type(identity.givenName) == string",
        "Account{name: 'x'}",
        ".identity.givenName",
        "identity.groups.map(identity, 'x')",
        "identity.groups.exists(g, g == h)",
        "identity.givenName.matches(identity.contract)",
        "identity.givenName.matches('(')",
        "identity.givenName +",
        "'ä' + identity.nosuch",
        "identity.givenName + 1",
        "identity.badge.lowerAscii()",
        "identity.groups.lowerAscii()",
        "timestamp('2026-03-02T00:00:00Z')",
        "",
        "   ",
        "identity.groups.all(a, identity.groups.all(b, identity.groups.all(c, a == c)))",
    ];
    let answers: Vec<String> = sources
        .iter()
        .map(|source| format!("{source}\n    {}", refused(source)))
        .collect();
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
fn what_is_no_truth_is_refused_as_a_rule() {
    for source in [
        "'permanent'",
        "identity.contract",
        "identity.badge + 1",
        "int(identity.contract) + 1",
        "[true]",
        "null",
    ] {
        let mistakes = Rule::compile("roles.r.when", source, &declared()).unwrap_err();
        assert!(
            mistakes[0].message.starts_with("a rule must be true or false"),
            "{source}: {mistakes:?}"
        );
    }
}

#[test]
fn what_no_check_can_see_is_an_error_for_the_person_without_their_values() {
    let sources = [
        "identity.manager == 'x'",
        "int(identity.givenName) == 3",
        "identity.groups[7] == 'x'",
        "{'external': true}[identity.contract]",
        "has(identity.manager) ? true : int(identity.familyName) == 1",
        "identity.badge / (identity.badge - 17) == 1",
        "identity.badge > 0 ? identity.badge : true",
    ];
    let answers: Vec<String> = sources
        .iter()
        .map(|source| {
            // The last one is a truth or a number depending on the person, and is compiled for one with badge 1.
            let compiled = Rule::compile("roles.r.when", source, &declared());
            match compiled {
                Err(mistakes) => format!("{source}\n    at load: {}", mistakes[0].message),
                Ok(rule) => match rule.holds(&Scope::new(&ada(), IdentityState::Active)) {
                    Ok(holds) => format!("{source}\n    {holds}"),
                    Err(error) => {
                        for value in ["Zo", "Müller", "permanent", "17"] {
                            assert!(!error.message.contains(value), "{error}");
                        }
                        assert_eq!(error.expression, *source);
                        format!("{source}\n    {error}")
                    }
                },
            }
        })
        .collect();
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
fn an_oversized_attribute_is_an_error_only_where_it_is_read() {
    let mut person = ada();
    person.insert("familyName".to_owned(), json!("x".repeat(TEXT_BYTES_MAX + 1)));
    person.insert("groups".to_owned(), json!(vec!["g"; LIST_ITEMS_MAX + 1]));
    let scope = Scope::new(&person, IdentityState::Active);
    let value = |source: &str| Mapper::compile("m", source, &declared()).unwrap().value(&scope);
    assert_eq!(value("identity.givenName"), Ok(json!("Zoë")));
    assert_eq!(
        value("identity.familyName").unwrap_err().message,
        "`identity.familyName` is longer than 4096 bytes"
    );
    assert_eq!(
        value("identity.groups").unwrap_err().message,
        "`identity.groups` has more than 1000 elements"
    );
}

/// The inputs that abort the process, take for ever or fill the memory when given to the library as it is.
#[test]
fn hostile_expressions_are_clean_errors() {
    let deep_loops = "identity.groups.all(a, identity.groups.all(b, identity.groups.all(c, identity.groups.all(d, a == d))))";
    let hostile = [
        ("1+1+… of 4 kB", vec!["1"; 2_001].join("+")),
        ("a[0][0]… of 6 kB", format!("identity.groups{}", "[0]".repeat(2_000))),
        (".trim().trim()… of 14 kB", format!("identity.givenName{}", ".trim()".repeat(2_000))),
        ("1+1+… of 2 kB", vec!["1"; 1_020].join("+")),
        (".trim().trim()… of 2 kB", format!("identity.givenName{}", ".trim()".repeat(290))),
        ("parentheses", format!("{}1{}", "(".repeat(1_000), ")".repeat(1_000))),
        ("open parentheses", "(".repeat(2_000)),
        ("brackets", format!("{}1{}", "[".repeat(1_000), "]".repeat(1_000))),
        ("conditionals", format!("{}1", "true ? 1 : ".repeat(180))),
        ("nested loops", deep_loops.to_owned()),
        ("doubling text", format!("['aaaaaaaa']{}", ".map(x, x + x + x + x)".repeat(20))),
        ("doubling lists", format!("[1, 1, 1, 1]{}", ".map(x, [x, x, x, x]).flatten()".repeat(15))),
        ("replacing", format!("identity.givenName{}", ".replace('', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')".repeat(30))),
        ("joining", "identity.groups.join(identity.groups.join(identity.familyName)).split('').join(identity.familyName)".to_owned()),
        ("formatting", format!("'%s'.format([identity.groups]){}", ".split('').join('%s%s%s%s')".repeat(8))),
        ("product of lists", "identity.groups.map(a, identity.sites.map(b, identity.tags)).flatten().flatten()".to_owned()),
        ("a huge pattern", "identity.givenName.matches('(((a{1000}){1000}){1000}){1000}')".to_owned()),
        ("a NUL", "'\u{0}' + \u{0}".to_owned()),
        ("a bidi override", "\u{202e}1".to_owned()),
        ("escapes", "'\\xff\\u12'".to_owned()),
        ("a list that repeats", "lists.range(9999999).map(x, x)".to_owned()),
    ];
    for (name, source) in hostile {
        let answer = refused(&source);
        assert!(!answer.is_empty() && answer.len() < 400, "{name}: {answer}");
    }
}

#[test]
fn signs_that_cancel_each_other_are_no_depth() {
    assert_eq!(mapped(&format!("{}true", "!".repeat(2_000))), Ok(json!(true)));
    assert_eq!(mapped(&format!("{}1", "-".repeat(2_000))), Ok(json!(1)));
}

#[test]
fn the_deepest_accepted_expressions_evaluate_on_a_small_stack() {
    let in_lists = DEPTH_MAX - 4;
    let sources = [
        format!("identity.givenName{}", ".trim()".repeat(DEPTH_MAX - 2)),
        format!("size('' {}) == 0", "+ identity.givenName".repeat(DEPTH_MAX - 4)),
        format!("{}1{}", "[".repeat(in_lists), "]".repeat(in_lists)),
        format!(
            "[1].map(x, [2].map(y, {}1{}))",
            "[".repeat(in_lists - 20),
            "]".repeat(in_lists - 20)
        ),
        format!("{}true", "identity.remote ? false : ".repeat(DEPTH_MAX - 4)),
    ];
    let person = ada();
    for source in sources {
        let mapper = Mapper::compile("m", &source, &declared()).unwrap_or_else(|m| panic!("{source}: {m:?}"));
        let evaluate = || mapper.value(&Scope::new(&person, IdentityState::Active));
        let value = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(524_288);
            thread.spawn_scoped(scope, evaluate).unwrap().join().unwrap()
        });
        assert!(value.is_ok(), "{source}");
    }
}

#[test]
fn two_nested_loops_over_full_lists_are_still_allowed() {
    let source = "identity.groups.exists(g, identity.sites.exists(s, g == s))";
    assert!(Rule::compile("r", source, &declared()).is_ok());
}

proptest! {
    #[test]
    fn compiling_never_panics(source in "\\PC{0,200}") {
        let _ = Rule::compile("r", &source, &declared());
    }

    #[test]
    fn compiling_what_looks_like_cel_never_panics(parts in prop::collection::vec(prop::sample::select(vec![
        "identity", ".", "givenName", "groups", "(", ")", "[", "]", "'", "\"", "+", "-", "*", "/", "%", "&&", "||", "!", "==", "<",
        "?", ":", ",", " ", "1", "0x", "1.5e3", "null", "true", "state", "has", "map", "all", "exists", "x", "{", "}", "in",
        "ascii", "fold", "matches", "optional.of", ".?", "[?", "\\", "\n", "ä", "r'", "b'", "'''", "//",
    ]), 0..40)) {
        let source = parts.concat();
        let declared = declared();
        if let Ok(mapper) = Mapper::compile("m", &source, &declared) {
            let _ = mapper.value(&Scope::new(&ada(), IdentityState::Active));
        }
    }

    /// What the bounds promise: a text or list of any size within the limits stays below them.
    #[test]
    fn results_stay_below_the_bound(name in "\\PC{0,300}", groups in prop::collection::vec("\\PC{0,20}", 0..50)) {
        let mut person = ada();
        person.insert("givenName".to_owned(), json!(name));
        person.insert("groups".to_owned(), json!(groups));
        for source in [
            "ascii(identity.givenName)",
            "fold(identity.givenName) + ascii(identity.givenName)",
            "identity.givenName.split('').map(c, c + c).join('-')",
            "identity.groups.map(g, identity.givenName + g).join('')",
            "identity.givenName.replace('', 'ab')",
            "'%s %s'.format([identity.givenName, identity.groups])",
        ] {
            let mapper = Mapper::compile("m", source, &declared()).unwrap();
            let scope = Scope::new(&person, IdentityState::Active);
            let value = mapper.value(&scope).unwrap();
            let most = bounds::bounds(mapper.0.program.expression(), About::Person(&declared()));
            prop_assert!((value.as_str().unwrap().len() as f64) <= most.bytes);
        }
    }
}
