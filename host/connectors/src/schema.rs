//! JSON Schemas that come from a guest. They are hostile: size and depth are capped with every reference followed, references to
//! files or the network are refused, patterns are small and run in linear time.

mod pattern;
mod size;
#[cfg(test)]
mod tests;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use crate::guest_text::line_of;
use crate::json;

/// Largest schema, in bytes: a schema describes tens of attributes, not thousands.
const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// Violations named in one message.
const VIOLATIONS_MAX: usize = 5;
/// Longest line about one violation, in bytes.
const VIOLATION_BYTES_MAX: usize = 512;

/// A schema that was accepted, ready to check documents.
#[derive(Debug)]
pub(crate) struct Schema {
    document: Value,
    validator: Validator,
}

impl Schema {
    /// Parses and compiles a guest's schema.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut values_left = size::PARTS_MAX;
        let document = json::read(text, SCHEMA_BYTES_MAX, &mut values_left)?;
        if !document.is_object() {
            return Err("a JSON Schema must be a JSON object".to_owned());
        }
        size::check(&document)?;
        // Those of `patternProperties`; `pattern` is our own keyword.
        let patterns = PatternOptions::regex()
            .size_limit(pattern::COMPILED_BYTES_MAX)
            .dfa_size_limit(pattern::COMPILED_BYTES_MAX);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .with_pattern_options(patterns)
            .with_keyword("pattern", pattern::keyword)
            .build(&document)
            .map_err(|error| {
                let place = pointer(error.schema_path().as_str()).to_owned();
                let why = error.masked_with("this value");
                line_of(&format!("at {place}: {why}"), VIOLATION_BYTES_MAX)
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
                line_of(
                    &format!("{place}: {}", explain(document, &error)),
                    VIOLATION_BYTES_MAX,
                )
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

fn pointer(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}
