//! The settings a connector takes, from its JSON Schema: one line each, nested ones below and further in.

use serde_json::{Map, Value};

use super::escape::{message, safe, value};
use super::ink::{Ink, Style};
use super::table::{Align, Table, styled};

/// How far settings nest, references followed: more than people write. A schema may refer to itself.
const DEPTH_MAX: usize = 8;

/// Most settings shown: a few screens. The whole schema is in the JSON.
const SETTINGS_MAX: usize = 200;

/// How far types nest in words, such as `list of text`.
const TYPE_DEPTH_MAX: usize = 4;

/// Most choices named for one setting.
const CHOICES_MAX: usize = 12;

/// The settings of a schema; the whole schema is in the JSON.
pub(crate) fn settings(schema: &Value, ink: &Ink) -> String {
    let columns = [
        ("setting", Align::Left),
        ("", Align::Left),
        ("", Align::Left),
        ("", Align::Left),
    ];
    let mut listing = Listing {
        root: schema,
        table: Table::new(&columns),
        rows: 0,
    };
    listing.properties(schema, 0);
    if listing.table.is_empty() {
        "  none\n".to_owned()
    } else {
        listing.table.render_rows(2, ink)
    }
}

struct Listing<'a> {
    root: &'a Value,
    table: Table,
    rows: usize,
}

impl<'a> Listing<'a> {
    fn properties(&mut self, schema: &'a Value, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        let required: Vec<&str> = list(schema, "required")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        for (name, property) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            self.row(&safe(name), property, required.contains(&name.as_str()), depth);
        }
        // A table whose keys are free, such as attributes and their columns.
        if let Some(each @ Value::Object(_)) = schema.get("additionalProperties") {
            self.row("NAME", each, false, depth);
        }
    }

    fn row(&mut self, name: &str, property: &'a Value, required: bool, depth: usize) {
        self.rows += 1;
        if self.rows > SETTINGS_MAX {
            return;
        }
        let inner = self.resolve(property);
        let text = |schema: &Value| Some(schema.get("description")?.as_str()?.to_owned());
        let about = text(property).or_else(|| text(inner)).unwrap_or_default();
        let needed = match property.get("default").or_else(|| inner.get("default")) {
            Some(default) if !default.is_null() => format!("default {}", message(&value(default))),
            Some(_) | None if required => "required".to_owned(),
            Some(_) | None => "optional".to_owned(),
        };
        self.table.row([
            format!("{}{name}", "  ".repeat(depth)).into(),
            styled(Style::Dim, needed),
            styled(Style::Dim, message(&self.kind(property, 0))),
            message(&one_line(&about)).into(),
        ]);
        self.properties(inner, depth + 1);
    }

    /// What a schema refers to; of `X or null`, X. As it is when that cannot be told.
    fn resolve(&self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..DEPTH_MAX {
            let next = match schema.get("$ref").and_then(Value::as_str) {
                Some(reference) => reference
                    .strip_prefix('#')
                    .and_then(|path| self.root.pointer(path)),
                None => {
                    let mut some = list(schema, "anyOf").iter().filter(|branch| !is_null(branch));
                    some.next().filter(|_| some.next().is_none())
                }
            };
            match next {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }

    /// The type in words, or the values there are.
    fn kind(&self, schema: &'a Value, depth: usize) -> String {
        let schema = self.resolve(schema);
        if depth > TYPE_DEPTH_MAX {
            return String::new();
        }
        let values = list(schema, "enum").iter();
        let constants = list(schema, "oneOf")
            .iter()
            .filter_map(|branch| branch.get("const"));
        let choices: Vec<String> = values.chain(constants).take(CHOICES_MAX).map(value).collect();
        if !choices.is_empty() {
            return choices.join(" | ");
        }
        let branches = list(schema, "anyOf").iter().chain(list(schema, "oneOf"));
        let branches: Vec<String> = branches
            .filter(|branch| !is_null(branch))
            .take(CHOICES_MAX)
            .map(|branch| self.kind(branch, depth + 1))
            .collect();
        if !branches.is_empty() {
            return branches.join(" or ");
        }
        let types: Vec<String> = match schema.get("type") {
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).map(word).collect(),
            Some(Value::String(one)) => vec![word(one)],
            Some(_) | None => Vec::new(),
        };
        let mut kind = types
            .into_iter()
            .filter(|name| name != "null")
            .take(CHOICES_MAX)
            .collect::<Vec<_>>()
            .join(" or ");
        if let Some(items) = schema.get("items") {
            kind = format!("{kind} of {}", self.kind(items, depth + 1));
        }
        kind + &schema.as_object().map_or_else(String::new, range)
    }
}

fn list<'a>(schema: &'a Value, name: &str) -> &'a [Value] {
    schema
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

fn word(kind: &str) -> String {
    match kind {
        "string" => "text",
        "array" => "list",
        "object" => "table",
        other => other,
    }
    .to_owned()
}

fn range(schema: &Map<String, Value>) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!(" {} to {}", value(least), value(most)),
        (Some(least), None) => format!(" from {}", value(least)),
        (None, Some(most)) => format!(" to {}", value(most)),
        (None, None) => String::new(),
    }
}

/// Descriptions come wrapped as in their source.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_settings_say_type_values_and_default() {
        let schema = json!({
            "$defs": {
                "Users": {
                    "description": "The table of\nusers.",
                    "properties": {
                        "columns": { "type": "object", "additionalProperties": { "$ref": "#/$defs/Column" } },
                        "status": { "anyOf": [{ "$ref": "#/$defs/Status" }, { "type": "null" }] },
                    },
                    "required": ["columns"],
                },
                "Column": { "properties": { "type": { "$ref": "#/$defs/Kind", "default": "text" } } },
                "Kind": { "oneOf": [{ "const": "text" }, { "const": "integer" }] },
                "Status": { "properties": { "enabled": {
                    "anyOf": [{ "type": "boolean" }, { "type": "string" }], "default": "enabled" } } },
            },
            "properties": {
                "key": { "type": "array", "items": { "type": "string" }, "default": [] },
                "page-size": { "type": "integer", "minimum": 1, "maximum": 9, "description": "\u{1b}[2J" },
                "users": { "$ref": "#/$defs/Users" },
            },
            "required": ["users"],
        });
        insta::assert_snapshot!(settings(&schema, &Ink::plain()), @r#"
        key          default []       list of text
        page-size    optional         integer 1 to 9   \u{1b}[2J
        users        required                          The table of users.
          columns    required         table
            NAME     optional
              type   default text     text | integer
          status     optional
            enabled  default enabled  boolean or text
        "#);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let all = json!({ "$ref": "#/$defs/A" });
        let schema = json!({
            "$defs": { "A": { "properties": { "a": all, "b": all, "c": all }, "anyOf": [all, all, all] } },
            "properties": { "a": all },
        });
        let text = settings(&schema, &Ink::plain());
        assert!(text.lines().count() <= SETTINGS_MAX + 1, "{text}");
    }
}
