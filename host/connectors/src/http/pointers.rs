//! Where in a JSON document a text stands.

use serde_json::Value;

/// Where in a document a text stands, as JSON pointers.
pub(super) fn pointers_to(document: &Value, text: &str) -> Vec<String> {
    let (mut path, mut found) = (Vec::new(), Vec::new());
    walk(document, text, &mut path, &mut found);
    found
}

/// The parser's own limit keeps this from going deep.
fn walk<'v>(value: &'v Value, text: &str, path: &mut Vec<Step<'v>>, found: &mut Vec<String>) {
    match value {
        Value::String(here) if here == text => found.push(path.iter().map(Step::written).collect()),
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                path.push(Step::Item(number));
                walk(item, text, path, found);
                path.pop();
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                path.push(Step::Member(name));
                walk(member, text, path, found);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

enum Step<'v> {
    Item(usize),
    Member(&'v str),
}

impl Step<'_> {
    fn written(&self) -> String {
        match self {
            Self::Item(number) => format!("/{number}"),
            Self::Member(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        }
    }
}
