//! JSON documents and JSON Schemas that come from a guest. Both are hostile: size and depth are capped, references to files
//! or the network are refused, patterns run in linear time.

use std::collections::HashMap;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;
use usher_lifecycle::attributes::Attributes;

/// Largest JSON document of a guest, in bytes; the contract says so.
pub(crate) const JSON_BYTES_MAX: usize = 1024 * 1024;
/// Largest schema, in bytes: a schema describes tens of attributes, not thousands.
const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting of a document. People's attributes have three or four levels; recursion over this is safe everywhere.
const DEPTH_MAX: usize = 32;
/// Largest compiled pattern of a schema, in bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// Patterns in one schema. Each may take milliseconds to compile.
const PATTERNS_MAX: usize = 100;
/// Parts of a schema once every reference in it is followed: without a cap, thirty lines of references can stand for a billion.
const PARTS_MAX: usize = 10_000;
/// Violations named in one message.
const VIOLATIONS_MAX: usize = 5;

/// Parses a document of a guest.
pub(crate) fn parse_json(text: &str) -> Result<Value, String> {
    parse_capped(text, JSON_BYTES_MAX)
}

fn parse_capped(text: &str, bytes_max: usize) -> Result<Value, String> {
    if text.len() > bytes_max {
        return Err(format!(
            "JSON of {} bytes; at most {bytes_max} are accepted",
            text.len()
        ));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    if deeper_than(&value, DEPTH_MAX) {
        return Err(format!("JSON nested deeper than {DEPTH_MAX} levels"));
    }
    Ok(value)
}

/// Parses attributes of a guest: one object; members that are `null` are absent.
pub(crate) fn parse_attributes(text: &str) -> Result<Attributes, String> {
    match parse_json(text)? {
        Value::Object(attributes) => Ok(usher_lifecycle::attributes::without_nulls(attributes)),
        _ => Err("attributes that are not a JSON object".to_owned()),
    }
}

/// Bounded by the depth `serde_json` accepts (128), so recursion is safe.
fn deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| deeper_than(item, levels - 1)),
        Value::Object(members) => levels == 0 || members.values().any(|item| deeper_than(item, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A schema that was accepted, ready to check documents.
#[derive(Debug)]
pub(crate) struct Schema {
    document: Value,
    validator: Validator,
}

impl Schema {
    /// Parses and compiles a guest's schema.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let document = parse_capped(text, SCHEMA_BYTES_MAX)?;
        if !document.is_object() {
            return Err("a JSON Schema must be a JSON object".to_owned());
        }
        Expansion::default().check(&document)?;
        let patterns = PatternOptions::regex()
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .with_pattern_options(patterns)
            .build(&document)
            .map_err(|error| {
                crate::guest_text::line(&format!("at {}: {error}", pointer(error.schema_path().as_str())))
            })?;
        Ok(Self { document, validator })
    }

    /// The schema itself.
    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    /// What is wrong with a document: one line each, naming the place and never the value.
    pub(crate) fn violations(&self, document: &Value) -> Vec<String> {
        self.validator
            .iter_errors(document)
            .take(VIOLATIONS_MAX)
            .map(|error| {
                let place = pointer(error.instance_path().as_str());
                crate::guest_text::line_of(&format!("{place}: {}", explain(document, &error)), 512)
            })
            .collect()
    }
}

/// What is wrong, without the value.
fn explain(document: &Value, error: &ValidationError<'_>) -> String {
    if !matches!(error.kind(), ValidationErrorKind::FalseSchema) {
        return error.masked_with("this value").to_string();
    }
    // `additionalProperties: false` alone is reported as "False schema", which says nothing to people, at the object that has
    // the members.
    match document.pointer(error.instance_path().as_str()) {
        Some(Value::Object(members)) => {
            let names: Vec<&str> = members.keys().map(String::as_str).collect();
            format!("not expected here: {}", names.join(", "))
        }
        _ => "not expected here".to_owned(),
    }
}

/// How large a schema is with all its references followed, and how many patterns it has.
#[derive(Default)]
struct Expansion<'s> {
    /// The sizes of the definitions seen; `None` while one is being measured.
    definitions: HashMap<&'s str, Option<usize>>,
    patterns: usize,
}

impl<'s> Expansion<'s> {
    fn check(mut self, document: &'s Value) -> Result<(), String> {
        let parts = self.measure(document, document)?;
        if parts > PARTS_MAX {
            return Err(format!("a schema that stands for more than {PARTS_MAX} parts"));
        }
        if self.patterns > PATTERNS_MAX {
            return Err(format!("a schema with more than {PATTERNS_MAX} patterns"));
        }
        Ok(())
    }

    fn measure(&mut self, document: &'s Value, part: &'s Value) -> Result<usize, String> {
        let mut parts = 1_usize;
        match part {
            Value::Array(items) => {
                for item in items {
                    parts = parts.saturating_add(self.measure(document, item)?);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    parts = parts.saturating_add(self.measure(document, member)?);
                    match (name.as_str(), member) {
                        ("$ref", Value::String(reference)) => {
                            parts = parts.saturating_add(self.follow(document, reference)?);
                        }
                        ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                            return Err(format!("`{name}` is not accepted"));
                        }
                        ("pattern", Value::String(_)) => self.patterns += 1,
                        ("patternProperties", Value::Object(by_pattern)) => self.patterns += by_pattern.len(),
                        _ => {}
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(parts)
    }

    fn follow(&mut self, document: &'s Value, reference: &'s str) -> Result<usize, String> {
        match self.definitions.get(reference) {
            Some(Some(parts)) => return Ok(*parts),
            Some(None) => return Err("a schema that refers to itself".to_owned()),
            None => {}
        }
        let place = reference.strip_prefix('#').filter(|place| !place.contains('%'));
        let definition = place.and_then(|place| document.pointer(place)).ok_or_else(|| {
            format!(
                "the reference `{}` leads nowhere in the schema",
                crate::guest_text::line_of(reference, 100)
            )
        })?;
        self.definitions.insert(reference, None);
        let parts = self.measure(document, definition)?;
        self.definitions.insert(reference, Some(parts));
        Ok(parts)
    }
}

fn pointer(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for reference in ["https://example.com/s.json", "file:///etc/passwd", "other.json"] {
            let schema = format!(r#"{{"$ref":"{reference}"}}"#);
            assert!(Schema::parse(&schema).is_err(), "{reference}");
        }
        assert!(Schema::parse(r##"{"$ref":"#/$defs/a","$defs":{"a":{"type":"object"}}}"##).is_ok());
    }

    #[test]
    fn hostile_documents_are_refused() {
        assert!(parse_json(&"[".repeat(40)).is_err());
        assert!(
            parse_json(&format!("{}{}", "[".repeat(40), "]".repeat(40)))
                .unwrap_err()
                .contains("nested")
        );
        assert!(
            parse_json(&" ".repeat(JSON_BYTES_MAX + 1))
                .unwrap_err()
                .contains("bytes")
        );
        assert!(parse_attributes("[]").is_err());
        assert!(Schema::parse("true").is_err());
        // Look-behind and back references need a back-tracking engine.
        assert!(Schema::parse(r#"{"pattern":"(a)\\1"}"#).is_err());
    }

    #[test]
    fn schemas_that_explode_are_refused() {
        let refusal = |schema: &str| Schema::parse(schema).unwrap_err();
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
        let patterns: Vec<_> = (0..200)
            .map(|n| format!(r#""p{n}":{{"pattern":"a{{9}}"}}"#))
            .collect();
        assert!(
            refusal(&format!(r#"{{"properties":{{{}}}}}"#, patterns.join(",")))
                .contains("more than 100 patterns")
        );
    }

    #[test]
    fn a_pattern_that_explodes_elsewhere_runs_in_linear_time() {
        let schema = Schema::parse(r#"{"pattern":"^(a+)+$"}"#).unwrap();
        let started = std::time::Instant::now();
        assert!(
            !schema
                .violations(&Value::String(format!("{}!", "a".repeat(50_000))))
                .is_empty()
        );
        assert!(started.elapsed() < std::time::Duration::from_secs(2));
    }
}
