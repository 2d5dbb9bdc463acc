//! Schemas that are fine, and schemas that try.

use super::*;

fn refusal(schema: &str) -> String {
    Schema::parse(schema).unwrap_err()
}

/// A schema of references in a row.
fn chain(links: usize) -> String {
    let each: Vec<_> = (0..links)
        .map(|n| format!(r##""d{n}":{{"$ref":"#/$defs/d{}"}}"##, n + 1))
        .collect();
    format!(
        r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{links}":{{}}}}}}"##,
        each.join(",")
    )
}

#[test]
fn violations_name_the_place_and_not_the_value() {
    let schema = Schema::parse(r#"{"type":"object","properties":{"url":{"type":"string"},"pin":{"type":"integer"}},"required":["url"],"additionalProperties":false}"#).unwrap();
    let violations = schema.violations(&serde_json::json!({"pin": "s3cret", "extra": "hidden"}));
    let text = violations.join("; ");
    assert!(
        text.contains("/pin") && text.contains("url") && text.contains("extra"),
        "{text}"
    );
    assert!(!text.contains("s3cret") && !text.contains("hidden"), "{text}");
}

#[test]
fn references_to_the_network_and_files_are_refused() {
    for reference in [
        "https://example.com/s.json",
        "http://127.0.0.1:9/s.json",
        "file:///etc/passwd",
        "other.json",
        "urn:x",
        "//host/share",
        "#anchor",
        "#/%24defs/a",
    ] {
        let schema = format!(r#"{{"items":{{"$ref":"{reference}"}}}}"#);
        assert!(refusal(&schema).contains("leads nowhere"), "{reference}");
    }
    assert!(Schema::parse(r##"{"$ref":"#/$defs/a","$defs":{"a":{"type":"object"}}}"##).is_ok());
}

#[test]
fn what_is_no_schema_is_refused() {
    assert!(Schema::parse("true").is_err());
    assert!(refusal(&format!(r#"{{"title":"{}"}}"#, "x".repeat(SCHEMA_BYTES_MAX))).contains("bytes"));
    assert!(refusal(r#"{"type":"object","type":"array"}"#).contains("twice"));
    // Look-behind and back references need a back-tracking engine.
    for pattern in [r"(a)\\1", "(?<!a)b", "(?=a)"] {
        assert!(refusal(&format!(r#"{{"pattern":"{pattern}"}}"#)).contains("the pattern"));
    }
}

#[test]
fn schemas_that_explode_are_refused() {
    assert!(refusal(r##"{"$ref":"#"}"##).contains("refers to itself"));
    assert!(
        refusal(r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"items":{"$ref":"#/$defs/a"}}}}"##)
            .contains("refers to itself")
    );
    let doubling: Vec<_> = (0..30)
        .map(|n| {
            format!(
                r##""d{n}":{{"allOf":[{{"$ref":"#/$defs/d{m}"}},{{"$ref":"#/$defs/d{m}"}}]}}"##,
                m = n + 1
            )
        })
        .collect();
    let bomb = format!(
        r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d30":{{}}}}}}"##,
        doubling.join(",")
    );
    assert!(refusal(&bomb).contains("more than 10000 parts"));
    let many: Vec<_> = (0..6_000).map(|n| format!(r#""{n}""#)).collect();
    let wide = format!(r#"{{"enum":[{}]}}"#, many.join(","));
    assert!(Schema::parse(&wide).is_ok());
    let twice = format!(r#"{{"allOf":[{wide},{wide}]}}"#);
    assert!(refusal(&twice).contains("more values"));
}

#[test]
fn references_in_a_row_do_not_overflow_the_stack() {
    assert!(Schema::parse(&chain(50)).is_ok());
    assert!(refusal(&chain(200)).contains("deeper than 256 levels"));
    let text = chain(4_900);
    let small = std::thread::Builder::new().stack_size(256 * 1024);
    let parsed = small.spawn(move || Schema::parse(&text).err()).unwrap();
    assert!(parsed.join().unwrap().unwrap().contains("deeper"));
}

#[test]
fn what_is_accepted_fits_a_small_stack() {
    // As deep as it may be, both ways: nested in the text, and by references.
    let mut inner = r#"{"title":""}"#.to_owned();
    for _ in 0..14 {
        inner = format!(r#"{{"anyOf":[{inner}]}}"#);
    }
    let deep = chain(60).replace("{}", &inner);
    let small = std::thread::Builder::new().stack_size(512 * 1024);
    let checked = small.spawn(move || Schema::parse(&deep).map(|schema| schema.violations(&Value::Null)));
    assert_eq!(checked.unwrap().join().unwrap().unwrap(), Vec::<String>::new());
}

#[test]
fn a_base_or_a_dialect_of_its_own_is_refused() {
    // With a base of its own, the inner reference leads to the inner definition, which refers to itself.
    let hidden = r##"{"$defs":{"a":{}},"properties":{"q":{"$id":"urn:y","$ref":"#/$defs/a","$defs":{"a":{"items":{"$ref":"#/$defs/a"}}}}}}"##;
    assert!(refusal(hidden).contains("`$id` is not accepted") || refusal(hidden).contains("itself"));
    for keyword in [
        "$id",
        "$anchor",
        "$dynamicAnchor",
        "$dynamicRef",
        "$recursiveRef",
        "id",
    ] {
        let schema = format!(r##"{{"items":{{"{keyword}":"#x"}}}}"##);
        assert!(refusal(&schema).contains("is not accepted"), "{keyword}");
    }
    assert!(refusal(r#"{"$schema":"http://json-schema.org/draft-04/schema#"}"#).contains("2020-12"));
    assert!(refusal(r#"{"items":{"$schema":"file:///etc/passwd"}}"#).contains("2020-12"));
    assert!(Schema::parse(r#"{"$schema":"https://json-schema.org/draft/2020-12/schema"}"#).is_ok());
}

#[test]
fn attributes_may_be_named_like_keywords_and_data_is_data() {
    let schema = r##"{"properties":{"$ref":{"type":"string"},"$id":{"type":"string"},"id":{},"default":{"$ref":"#/$defs/a"},"pattern":{}},
        "$defs":{"a":{"const":{"$ref":"https://example.com/","pattern":"("}}},"examples":[{"$id":"x"}]}"##;
    let schema = Schema::parse(schema).unwrap();
    let violations = |document| schema.violations(&document);
    assert!(violations(serde_json::json!({"$ref": "x", "$id": "y"})).is_empty());
    assert_eq!(violations(serde_json::json!({"default": 1, "$id": 7})).len(), 2);
}

#[test]
fn patterns_are_small_each_and_together() {
    let large = r"(?:\\w{0,4096}x|\\w{0,4096}y)";
    for schema in [
        format!(r#"{{"pattern":"{large}"}}"#),
        format!(r#"{{"patternProperties":{{"{large}":{{}}}}}}"#),
    ] {
        let why = refusal(&schema);
        assert!(why.contains("stands for more than 65536 bytes"), "{why}");
    }
    assert!(refusal(&format!(r#"{{"pattern":"{}"}}"#, "a".repeat(5_000))).contains("5000 bytes"));
    let mail = r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\\.[A-Za-z]{2,}$";
    let many = |count: usize, pattern: &str| {
        let each: Vec<_> = (0..count)
            .map(|n| format!(r#""p{n}":{{"pattern":"{pattern}"}}"#))
            .collect();
        format!(r#"{{"properties":{{{}}}}}"#, each.join(","))
    };
    assert!(Schema::parse(&many(8, mail)).is_ok());
    assert!(refusal(&many(9, mail)).contains("too large together"));
    assert!(Schema::parse(&many(200, "^[a-z]+$")).is_ok());
}

#[test]
fn patterns_are_read_as_json_schema_writes_them() {
    let schema = Schema::parse(r#"{"pattern":"^\\d+\\/\\w$"}"#).unwrap();
    assert!(schema.violations(&Value::String("12/a".to_owned())).is_empty());
    // ECMA: digits and word characters are those of ASCII.
    for other in ["\u{664}/a", "1/ä"] {
        let violations = schema.violations(&Value::String(other.to_owned()));
        assert!(
            violations[0].contains("does not match the pattern"),
            "{violations:?}"
        );
        assert!(!violations[0].contains(other), "{violations:?}");
    }
    assert!(schema.violations(&Value::Null).is_empty());
}

#[test]
fn a_pattern_is_tried_on_short_texts_only() {
    let schema = Schema::parse(r#"{"pattern":"^a+$"}"#).unwrap();
    assert!(schema.violations(&Value::String("a".repeat(4_096))).is_empty());
    let violations = schema.violations(&Value::String("a".repeat(4_097)));
    assert!(violations[0].contains("has 4097 bytes"), "{violations:?}");
}

#[test]
fn the_dearest_schema_there_may_be_is_affordable() {
    let started = std::time::Instant::now();
    // Patterns as large as they may be, all on one text as long as it may be.
    let pattern = r"(?:\\w{0,200}x|\\w{0,200}y)";
    let all: Vec<_> = (0..8).map(|_| format!(r#"{{"pattern":"{pattern}"}}"#)).collect();
    let schema = Schema::parse(&format!(r#"{{"allOf":[{}]}}"#, all.join(","))).unwrap();
    schema.violations(&Value::String("ab".repeat(2_048)));
    // Nested `unevaluated…` multiply.
    let nested = |levels: usize| {
        (0..levels).fold("{}".to_owned(), |inner, n| {
            format!(r#"{{"allOf":[{inner}],"unevaluatedProperties":false,"properties":{{"p{n}":{{}}}}}}"#)
        })
    };
    let schema = Schema::parse(&nested(7)).unwrap();
    schema.violations(&serde_json::json!({"p0": 1, "q": 2}));
    assert!(
        started.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert!(refusal(&nested(14)).contains("parts"));
}

#[test]
fn a_pattern_that_explodes_elsewhere_runs_in_linear_time() {
    let schema = Schema::parse(r#"{"pattern":"^(a+)+$"}"#).unwrap();
    let started = std::time::Instant::now();
    let text = Value::String(format!("{}!", "a".repeat(4_000)));
    assert!(!schema.violations(&text).is_empty());
    assert!(started.elapsed() < std::time::Duration::from_secs(2));
}
