//! What a connector's account schema says about each attribute: how values compare and whether they may be written.
//!
//! The schema comes from a guest and is hostile: only top-level `properties`, `required`, `additionalProperties` and our own annotations
//! are read, `$ref` is never followed, everything else is ignored.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::attributes::Attributes;

/// Most attributes of an account schema: four times the largest real one (Active Directory's user, exported whole, has about 250).
pub const ATTRIBUTES_MAX: usize = 1_000;
/// Longest attribute name, in bytes: SCIM extension names with their URN stay below 150.
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 256;

/// A schema that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("account schema: {at}: {message}")]
pub struct SchemaError {
    /// Where, as a path.
    pub at: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Whether an attribute may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutability {
    /// Never: the target sets it.
    ReadOnly,
    /// Only when the account is created.
    CreateOnly,
    /// Always.
    #[default]
    ReadWrite,
}

impl Mutability {
    /// The word of the annotation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::CreateOnly => "create-only",
            Self::ReadWrite => "read-write",
        }
    }
}

/// What is known of one attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeSchema {
    /// An array is a list, not a set.
    pub ordered: bool,
    /// Texts that differ in case only are the same.
    pub ignore_case: bool,
    /// Whether it may be written.
    pub mutability: Mutability,
    /// Never shown to people.
    pub secret: bool,
}

/// The attributes of a target's accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountSchema {
    attributes: BTreeMap<String, AttributeSchema>,
    /// Attributes every account must have.
    required: BTreeSet<String>,
    /// Accounts may have attributes the schema does not name.
    open: bool,
}

impl AccountSchema {
    /// Reads the JSON Schema a connector gave. Unknown keywords and annotations are ignored; one of ours with a value that means nothing is
    /// an error, because guessing could write what must not be written.
    ///
    /// # Errors
    /// It is not an object schema, is too large, or an annotation makes no sense.
    pub fn parse(schema: &Value) -> Result<Self, SchemaError> {
        let object = match schema {
            Value::Bool(true) => return Ok(Self::default()),
            Value::Object(object) => object,
            _ => return Err(error("the schema", "must be a JSON object")),
        };
        let properties = match object.get("properties") {
            None => return Ok(Self::default()),
            Some(Value::Object(properties)) => properties,
            Some(_) => return Err(error("properties", "must be a JSON object")),
        };
        if properties.len() > ATTRIBUTES_MAX {
            let message = format!(
                "has {} attributes; at most {ATTRIBUTES_MAX} are allowed",
                properties.len()
            );
            return Err(error("properties", &message));
        }
        let mut attributes = BTreeMap::new();
        for (name, property) in properties {
            if name.is_empty() || name.len() > ATTRIBUTE_NAME_BYTES_MAX {
                let message = format!("a name must have 1 to {ATTRIBUTE_NAME_BYTES_MAX} bytes");
                return Err(error(&format!("properties.{}", safe(name)), &message));
            }
            attributes.insert(name.clone(), parse_attribute(name, property)?);
        }
        let required = object.get("required").and_then(Value::as_array);
        let required = required.into_iter().flatten().filter_map(Value::as_str);
        let required = required
            .filter(|name| attributes.contains_key(*name))
            .map(str::to_owned)
            .collect();
        let closed = matches!(
            object.get("additionalProperties"),
            None | Some(Value::Bool(false))
        );
        Ok(Self {
            open: !closed || object.contains_key("patternProperties"),
            attributes,
            required,
        })
    }

    /// What is known of an attribute; one the schema does not name may be written and is compared exactly.
    pub fn attribute(&self, name: &str) -> AttributeSchema {
        self.attributes.get(name).copied().unwrap_or_default()
    }

    /// Whether the schema names an attribute.
    pub fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    /// Names of the attributes.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.attributes.keys()
    }

    /// Whether a mapping may give an attribute: the schema names it, names none at all, or says that there are others.
    pub fn takes(&self, name: &str) -> bool {
        self.open || self.attributes.is_empty() || self.has(name)
    }

    /// Attributes a mapping must give: every account must have them, and the target does not set them itself.
    pub fn required(&self) -> impl Iterator<Item = &String> {
        self.required
            .iter()
            .filter(|name| self.attribute(name).mutability != Mutability::ReadOnly)
    }

    /// What a creation sends: the wanted attributes without those the target sets itself.
    pub fn creatable(&self, desired: &Attributes) -> Attributes {
        desired
            .iter()
            .filter(|(name, value)| {
                !value.is_null() && self.attribute(name).mutability != Mutability::ReadOnly
            })
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

impl AttributeSchema {
    /// Whether two values mean the same. Absent, `null` and an empty array are the same.
    pub fn same(&self, left: Option<&Value>, right: Option<&Value>) -> bool {
        match (present(left), present(right)) {
            (None, None) => true,
            (Some(Value::Array(_)), Some(Value::Array(_))) if !self.ordered => {
                self.members(left) == self.members(right)
            }
            (Some(left), Some(right)) => self.canonical(left) == self.canonical(right),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// The members of a set in a form that compares; of a single value, itself.
    pub fn members(&self, value: Option<&Value>) -> BTreeSet<String> {
        match present(value) {
            None => BTreeSet::new(),
            Some(Value::Array(members)) => members.iter().map(|member| self.canonical(member)).collect(),
            Some(single) => BTreeSet::from([self.canonical(single)]),
        }
    }

    /// A text that is equal exactly for values that mean the same.
    pub fn canonical(&self, value: &Value) -> String {
        match value {
            Value::String(text) if self.ignore_case => Value::String(text.to_lowercase()).to_string(),
            Value::Array(members) => {
                let members: Vec<String> = members.iter().map(|member| self.canonical(member)).collect();
                format!("[{}]", members.join(","))
            }
            Value::Object(object) => {
                let mut members: Vec<String> = object
                    .iter()
                    .map(|(name, value)| format!("{}:{}", Value::String(name.clone()), self.canonical(value)))
                    .collect();
                members.sort_unstable();
                format!("{{{}}}", members.join(","))
            }
            Value::Number(number) => canonical_number(number),
            Value::Null | Value::Bool(_) | Value::String(_) => value.to_string(),
        }
    }
}

/// `1` and `1.0` are the same number, and targets answer with either.
fn canonical_number(number: &serde_json::Number) -> String {
    /// 2^53: beyond it a float no longer holds every whole number.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= WHOLE_MAX => {
            format!("{float:.0}")
        }
        _ => number.to_string(),
    }
}

/// `null` and the empty array mean absent.
pub(crate) fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null() && value.as_array().is_none_or(|members| !members.is_empty()))
}

fn parse_attribute(name: &str, property: &Value) -> Result<AttributeSchema, SchemaError> {
    let annotation = |key: &str| {
        property
            .get(key)
            .or_else(|| property.get("items").and_then(|items| items.get(key)))
    };
    let wrong = |key: &str, message: &str| error(&format!("properties.{}.{key}", safe(name)), message);
    let flag = |key: &str| match annotation(key) {
        None | Some(Value::Bool(false)) => Ok(false),
        Some(Value::Bool(true)) => Ok(true),
        Some(_) => Err(wrong(key, "must be true or false")),
    };
    let ignore_case = match annotation("x-usher-case") {
        None => false,
        Some(Value::String(word)) if word == "ignore" => true,
        Some(Value::String(word)) if word == "exact" => false,
        Some(_) => return Err(wrong("x-usher-case", "must be \"ignore\" or \"exact\"")),
    };
    let mutability = match annotation("x-usher-mutability") {
        None => Mutability::ReadWrite,
        Some(word) => [
            Mutability::ReadOnly,
            Mutability::CreateOnly,
            Mutability::ReadWrite,
        ]
        .into_iter()
        .find(|mutability| word.as_str() == Some(mutability.as_str()))
        .ok_or_else(|| {
            wrong(
                "x-usher-mutability",
                "must be \"read-only\", \"create-only\" or \"read-write\"",
            )
        })?,
    };
    Ok(AttributeSchema {
        ordered: flag("x-usher-ordered")?,
        ignore_case,
        mutability,
        secret: flag("x-usher-secret")?,
    })
}

fn error(at: &str, message: &str) -> SchemaError {
    SchemaError {
        at: at.to_owned(),
        message: message.to_owned(),
    }
}

/// A guest's name for a message: escaped and short.
fn safe(name: &str) -> String {
    name.chars().take(60).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_are_read_and_everything_else_is_ignored() {
        let schema = AccountSchema::parse(&json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": "file:///etc/passwd",
            "type": "object",
            "properties": {
                "id": {"type": "string", "x-usher-mutability": "read-only"},
                "username": {"type": "string", "x-usher-case": "ignore", "x-usher-mutability": "create-only"},
                "mails": {"type": "array", "items": {"type": "string", "x-usher-case": "ignore"}},
                "path": {"type": "array", "x-usher-ordered": true, "x-usher-unheard-of": 7},
                "password": {"type": "string", "x-usher-secret": true},
                "anything": true,
                "odd": {"$ref": "#/$defs/odd", "pattern": "(a+)+$"}
            }
        }))
        .unwrap();
        let plain = AttributeSchema::default();
        assert_eq!(schema.attribute("id").mutability, Mutability::ReadOnly);
        assert_eq!(
            schema.attribute("username"),
            AttributeSchema {
                ignore_case: true,
                mutability: Mutability::CreateOnly,
                ..plain
            }
        );
        assert_eq!(
            schema.attribute("mails"),
            AttributeSchema {
                ignore_case: true,
                ..plain
            }
        );
        assert_eq!(
            schema.attribute("path"),
            AttributeSchema {
                ordered: true,
                ..plain
            }
        );
        assert_eq!(
            schema.attribute("password"),
            AttributeSchema {
                secret: true,
                ..plain
            }
        );
        for name in ["anything", "odd", "not there"] {
            assert_eq!(schema.attribute(name), plain);
        }
        assert!(schema.has("odd") && !schema.has("not there"));
        assert_eq!(
            AccountSchema::parse(&json!(true)).unwrap(),
            AccountSchema::default()
        );
        assert_eq!(
            AccountSchema::parse(&json!({})).unwrap(),
            AccountSchema::default()
        );
    }

    #[test]
    fn a_schema_that_makes_no_sense_says_where() {
        let too_many: serde_json::Map<String, Value> = (0..=ATTRIBUTES_MAX)
            .map(|number| (format!("a{number}"), json!({})))
            .collect();
        let attribute = |key: &str, value: Value| json!({"properties": {"a\u{1b}[31m": {key: value}}});
        for (schema, expected) in [
            (json!([]), "account schema: the schema: must be a JSON object"),
            (json!(false), "account schema: the schema: must be a JSON object"),
            (
                json!({"properties": []}),
                "account schema: properties: must be a JSON object",
            ),
            (
                json!({"properties": too_many}),
                "account schema: properties: has 1001 attributes; at most 1000 are allowed",
            ),
            (
                json!({"properties": {"": {}}}),
                "account schema: properties.: a name must have 1 to 256 bytes",
            ),
            (
                attribute("x-usher-mutability", json!("readonly")),
                "account schema: properties.a\\u{1b}[31m.x-usher-mutability: must be \"read-only\", \"create-only\" or \"read-write\"",
            ),
            (
                attribute("x-usher-case", json!(true)),
                "account schema: properties.a\\u{1b}[31m.x-usher-case: must be \"ignore\" or \"exact\"",
            ),
            (
                attribute("x-usher-secret", json!("yes")),
                "account schema: properties.a\\u{1b}[31m.x-usher-secret: must be true or false",
            ),
            (
                attribute("x-usher-ordered", json!(1)),
                "account schema: properties.a\\u{1b}[31m.x-usher-ordered: must be true or false",
            ),
        ] {
            assert_eq!(AccountSchema::parse(&schema).unwrap_err().to_string(), expected);
        }
        let long = json!({"properties": {"x".repeat(ATTRIBUTE_NAME_BYTES_MAX + 1): {}}});
        assert!(
            AccountSchema::parse(&long).unwrap_err().to_string().len() < 200,
            "a guest's name is cut"
        );
    }

    #[test]
    fn values_compare_by_what_they_mean() {
        let exact = AttributeSchema::default();
        let ignore_case = AttributeSchema {
            ignore_case: true,
            ..exact
        };
        let ordered = AttributeSchema {
            ordered: true,
            ..exact
        };
        let cases = [
            (exact, json!("a"), json!("a"), true),
            (exact, json!("a"), json!("A"), false),
            (ignore_case, json!("ÄNNE"), json!("änne"), true),
            (ignore_case, json!(["A", "b"]), json!(["B", "a"]), true),
            (exact, json!(["a", "b", "a"]), json!(["b", "a"]), true),
            (ordered, json!(["a", "b"]), json!(["b", "a"]), false),
            (ordered, json!(["a", "b"]), json!(["a", "b"]), true),
            (exact, json!(null), json!([]), true),
            (ordered, json!([]), json!(null), true),
            (exact, json!(""), json!(null), false),
            (exact, json!(1), json!(1.0), true),
            (exact, json!(1), json!("1"), false),
            (exact, json!(0.5), json!(0.25), false),
            (exact, json!(["a"]), json!("a"), false),
            (exact, json!([{"x": 1, "y": 2}]), json!([{"y": 2, "x": 1}]), true),
            (exact, json!({"x": [1, 2]}), json!({"x": [2, 1]}), false),
            (
                exact,
                json!(9_007_199_254_740_993_u64),
                json!(9_007_199_254_740_992_u64),
                false,
            ),
        ];
        for (rules, left, right, expected) in cases {
            assert_eq!(
                rules.same(Some(&left), Some(&right)),
                expected,
                "{left} {right} {rules:?}"
            );
            assert_eq!(
                rules.same(Some(&right), Some(&left)),
                expected,
                "{right} {left} {rules:?}"
            );
        }
        assert!(exact.same(None, Some(&json!(null))));
        assert!(!exact.same(None, Some(&json!(false))));
    }

    #[test]
    fn a_creation_sends_what_may_be_sent() {
        let schema = AccountSchema::parse(&json!({"properties": {
            "id": {"x-usher-mutability": "read-only"},
            "login": {"x-usher-mutability": "create-only"}
        }}))
        .unwrap();
        let desired = json!({"id": "1", "login": "a", "title": null, "mail": "a@x"});
        let sent = schema.creatable(desired.as_object().unwrap());
        assert_eq!(Value::Object(sent), json!({"login": "a", "mail": "a@x"}));
    }
}
