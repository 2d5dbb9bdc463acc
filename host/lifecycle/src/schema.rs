//! What a connector's account schema says about each attribute: how values compare and whether they may be written.
//!
//! The schema comes from a guest and is hostile: only top-level `properties` and our own annotations are read, `$ref` is never
//! followed, everything else is ignored.

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
        Ok(Self { attributes })
    }

    /// What is known of an attribute; one the schema does not name may be written and is compared exactly.
    pub fn attribute(&self, name: &str) -> AttributeSchema {
        self.attributes.get(name).copied().unwrap_or_default()
    }

    /// Whether the schema names an attribute.
    pub fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
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
