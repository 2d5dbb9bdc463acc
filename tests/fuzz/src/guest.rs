//! What guests hand over: documents, schemas, texts.

use serde_json::{Value, json};
use usher_connectors::fuzzing;

use crate::{head_and_rest, steers_a_terminal};

/// Deepest document that may be accepted; the contract's figure, said again here.
const LEVELS_MAX: usize = 32;

pub(crate) fn json(data: &[u8]) {
    let text = crate::text(data);
    match fuzzing::document(&text) {
        Ok(document) => {
            // A second reader agrees, and what is handed on means the same.
            let plain: Value = serde_json::from_str(&text).expect("a document is JSON");
            assert_eq!(plain, document);
            assert!(levels(&document) <= LEVELS_MAX + 1);
            let again = fuzzing::document(&document.to_string()).expect("what was written is read");
            assert_eq!(again, document);
        }
        Err(why) => assert!(!steers_a_terminal(&why), "{why:?}"),
    }
    if let Ok(attributes) = fuzzing::attributes(&text) {
        assert!(attributes.values().all(|value| !value.is_null()));
    }
}

fn levels(value: &Value) -> usize {
    let inside = match value {
        Value::Array(items) => items.iter().map(levels).max(),
        Value::Object(members) => members.values().map(levels).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return 0,
    };
    1 + inside.unwrap_or(0)
}

/// A schema on the first line, a document after it.
pub(crate) fn schema(data: &[u8]) {
    let text = crate::text(data);
    let (schema, document) = head_and_rest(&text);
    let document = serde_json::from_str(document).unwrap_or(Value::Null);
    let usual = json!({ "login": "ada", "groups": ["a", "b"], "name": { "first": "Ada" } });
    match fuzzing::violations(schema, &[&document, &usual, &Value::Null]) {
        Ok(violations) => {
            for line in violations.iter().flatten() {
                assert!(line.len() <= 520 && !steers_a_terminal(line), "{line:?}");
            }
        }
        Err(why) => assert!(why.len() <= 1_024 && !steers_a_terminal(&why), "{why:?}"),
    }
}

pub(crate) fn text(data: &[u8]) {
    let text = crate::text(data);
    for bytes_max in [0, 1, 16, 4_096] {
        let line = fuzzing::line(&text, bytes_max);
        assert!(!steers_a_terminal(&line), "{line:?}");
        assert!(line.len() <= bytes_max + '…'.len_utf8(), "{line:?}");
    }
}
