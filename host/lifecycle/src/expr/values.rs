//! Attributes into CEL values and results back into JSON.

use std::collections::HashMap;

use cel::common::traits::Indexer;
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString, CelUInt,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use serde_json::{Map, Number, Value};

use super::{LIST_BYTES_MAX, LIST_ITEMS_MAX, TEXT_BYTES_MAX};
use crate::attributes::Attributes;
use crate::state::IdentityState;

/// `identity` and `state`. Texts are borrowed, nothing is copied.
#[derive(Debug)]
pub(super) struct Variables<'a> {
    identity: CelMap<'a>,
    state: CelString<'static>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(attributes: &'a Attributes, state: IdentityState) -> Self {
        let identity = attributes
            .iter()
            // `null` is absent, so that has() says no.
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| {
                (
                    CelMapKey::String(CelString::from(name.as_str())),
                    from_json(value),
                )
            })
            .collect::<HashMap<_, _>>();
        Self {
            identity: CelMap::from(identity),
            state: CelString::from(state.to_string()),
        }
    }
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            "identity" => Some(CowVal::Borrowed(&self.identity)),
            "state" => Some(CowVal::Borrowed(&self.state)),
            // The library asks for the whole dotted name first; answering it saves the lookup of `identity`.
            _ => {
                let name = variable.strip_prefix("identity.")?;
                Indexer::get(&self.identity, &CelString::from(name)).ok()
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
pub(super) fn to_json(value: &dyn Val) -> Result<Value, String> {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Ok(Value::String(text.inner().to_owned()));
    }
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return Ok(Value::Bool(*truth.inner()));
    }
    if let Some(whole) = value.downcast_ref::<CelInt>() {
        return Ok(Value::from(*whole.inner()));
    }
    if let Some(whole) = value.downcast_ref::<CelUInt>() {
        return Ok(Value::from(*whole.inner()));
    }
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        let finite = Number::from_f64(*number.inner());
        return finite
            .map(Value::Number)
            .ok_or_else(|| "the result is not a finite number".to_owned());
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return Ok(Value::Null);
    }
    if let Some(items) = value.downcast_ref::<CelList>() {
        return items.inner().iter().map(|item| to_json(item.as_ref())).collect();
    }
    if let Some(optional) = value.downcast_ref::<CelOptional>() {
        return optional.option().map_or(Ok(Value::Null), to_json);
    }
    if let Some(members) = value.downcast_ref::<CelMap>() {
        let mut object = Map::new();
        for (key, member) in members.inner() {
            let CelMapKey::String(name) = key else {
                return Err("the keys of a map must be texts".to_owned());
            };
            object.insert(name.inner().to_owned(), to_json(member.as_ref())?);
        }
        return Ok(Value::Object(object));
    }
    Err(format!(
        "a value of type {} cannot be an attribute; make it text with string()",
        type_name(value)
    ))
}

/// The CEL name of a value's type.
pub(super) fn type_name(value: &dyn Val) -> String {
    value.get_type().name().to_owned()
}
