//! JSON documents and JSON Schemas that come from a guest. Both are hostile: size and depth are capped, references to files
//! or the network are refused, patterns run in linear time.

use jsonschema::{Draft, PatternOptions, Validator};
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
                let place = pointer(error.instance_path().as_str()).to_owned();
                crate::guest_text::line_of(&format!("{place}: {}", error.masked_with("this value")), 512)
            })
            .collect()
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
