//! Attributes into CEL values and results back into JSON.

use std::collections::HashMap;

use cel::Value as CelValue;
use cel::common::traits::Indexer;
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::objects::{Key, OptionalValue};
use serde_json::{Map, Number, Value};

use super::{ACCOUNT, LIST_BYTES_MAX, LIST_ITEMS_MAX, PERSON, TEXT_BYTES_MAX};
use crate::attributes::Attributes;
use crate::state::IdentityState;

/// `identity` and `state`, or `account`. Texts are borrowed, nothing is copied.
#[derive(Debug)]
pub(super) struct Variables<'a> {
    word: &'static str,
    subject: CelMap<'a>,
    state: Option<CelString<'static>>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(attributes: &'a Attributes, state: IdentityState) -> Self {
        Self {
            word: PERSON,
            subject: CelMap::from(members(attributes)),
            state: Some(CelString::from(state.to_string())),
        }
    }

    /// `account.id` is the target's own id, whatever attribute of that name there is.
    pub(super) fn of_account(id: &'a str, attributes: &'a Attributes) -> Self {
        let mut account = members(attributes);
        account.insert(
            CelMapKey::String(CelString::from("id")),
            Box::new(CelString::from(id)),
        );
        Self {
            word: ACCOUNT,
            subject: CelMap::from(account),
            state: None,
        }
    }
}

fn members(attributes: &Attributes) -> HashMap<CelMapKey<'_>, Box<dyn Val + '_>> {
    attributes
        .iter()
        // `null` is absent, so that has() says no.
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            (
                CelMapKey::String(CelString::from(name.as_str())),
                from_json(value),
            )
        })
        .collect()
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if let ("state", Some(state)) = (variable, &self.state) {
            return Some(CowVal::Borrowed(state));
        }
        match variable.strip_prefix(self.word)? {
            "" => Some(CowVal::Borrowed(&self.subject)),
            // The library asks for the whole dotted name first; answering it saves the lookup of `identity`.
            rest => {
                let name = rest.strip_prefix('.')?;
                Indexer::get(&self.subject, &CelString::from(name)).ok()
            }
        }
    }
}

fn from_json(value: &Value) -> Box<dyn Val + '_> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(truth) => Box::new(CelBool::from(*truth)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Box::new(CelInt::from(whole)),
            (None, Some(whole)) => Box::new(CelUInt::from(whole)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => Box::new(CelList::from(items.iter().map(from_json).collect::<Vec<_>>())),
        Value::Object(members) => Box::new(CelMap::from(
            members
                .iter()
                .map(|(name, value)| {
                    (
                        CelMapKey::String(CelString::from(name.as_str())),
                        from_json(value),
                    )
                })
                .collect::<HashMap<_, _>>(),
        )),
    }
}

/// Why an attribute is too large for an expression, if it is.
pub(super) fn oversize(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            (text.len() > TEXT_BYTES_MAX).then(|| format!("is longer than {TEXT_BYTES_MAX} bytes"))
        }
        Value::Array(items) if items.len() > LIST_ITEMS_MAX => {
            Some(format!("has more than {LIST_ITEMS_MAX} elements"))
        }
        Value::Array(_) | Value::Object(_) => {
            (bytes(value) > LIST_BYTES_MAX).then(|| format!("has more than {LIST_BYTES_MAX} bytes"))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 1 + text.len(),
        Value::Array(items) => items.iter().map(bytes).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| name.len() + bytes(value))
            .sum(),
    }
}

/// A result as JSON. An absent optional is `null`.
pub(super) fn to_json(value: &CelValue) -> Result<Value, String> {
    match value {
        CelValue::Null => Ok(Value::Null),
        CelValue::Bool(truth) => Ok(Value::Bool(*truth)),
        CelValue::Int(whole) => Ok(Value::from(*whole)),
        CelValue::UInt(whole) => Ok(Value::from(*whole)),
        CelValue::Float(number) => Number::from_f64(*number)
            .map(Value::Number)
            .ok_or_else(|| "the result is not a finite number".to_owned()),
        CelValue::String(text) => Ok(Value::String(text.as_str().to_owned())),
        CelValue::List(items) => items.iter().map(to_json).collect(),
        CelValue::Map(members) => {
            let mut object = Map::new();
            for (key, member) in members.map.iter() {
                let Key::String(name) = key else {
                    return Err("the keys of a map must be texts".to_owned());
                };
                object.insert(name.as_str().to_owned(), to_json(member)?);
            }
            Ok(Value::Object(object))
        }
        CelValue::Opaque(opaque) => match opaque.downcast_ref::<OptionalValue>() {
            Some(optional) => optional.value().map_or(Ok(Value::Null), to_json),
            None => Err(no_attribute(value)),
        },
        CelValue::Bytes(_)
        | CelValue::Duration(_)
        | CelValue::Function(..)
        | CelValue::Timestamp(_)
        | CelValue::Struct(_) => Err(no_attribute(value)),
    }
}

fn no_attribute(value: &CelValue) -> String {
    format!(
        "a value of type {} cannot be an attribute; make it text with string()",
        value.type_of()
    )
}

/// A result as a truth.
pub(super) fn to_truth(value: &CelValue) -> Result<bool, String> {
    match value {
        CelValue::Bool(truth) => Ok(*truth),
        _ => Err(format!(
            "a rule must be true or false; this one gives a value of type {}",
            value.type_of()
        )),
    }
}
