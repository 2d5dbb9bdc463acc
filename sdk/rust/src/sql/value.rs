//! Values bound to statements and returned by queries.

use serde_json::Value as Json;

/// A value, bound or returned.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// True or false, in databases that have it.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// As JSON; `None` for bytes and for numbers JSON has not (infinite, not a number).
    pub fn to_json(&self) -> Option<Json> {
        match self {
            Self::Null => Some(Json::Null),
            Self::Boolean(value) => Some(Json::from(*value)),
            Self::Integer(value) => Some(Json::from(*value)),
            Self::Real(value) => serde_json::Number::from_f64(*value).map(Json::Number),
            Self::Text(value) => Some(Json::from(value.as_str())),
            Self::Blob(_) => None,
        }
    }

    /// From a JSON value; `None` for arrays, objects and whole numbers beyond 64 bits.
    pub fn from_json(json: &Json) -> Option<Self> {
        match json {
            Json::Null => Some(Self::Null),
            Json::Bool(value) => Some(Self::Boolean(*value)),
            Json::Number(number) if number.is_f64() => number.as_f64().map(Self::Real),
            Json::Number(number) => number.as_i64().map(Self::Integer),
            Json::String(value) => Some(Self::Text(value.clone())),
            Json::Array(_) | Json::Object(_) => None,
        }
    }

    /// As the text of an id: text as it is, whole numbers in digits; `None` for anything else.
    pub fn to_id(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Null | Self::Boolean(_) | Self::Real(_) | Self::Blob(_) => None,
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn json_and_back(text in ".*", number: i64, real in proptest::num::f64::NORMAL, flag: bool) {
            for value in [Value::Null, Value::Text(text), Value::Integer(number), Value::Real(real), Value::Boolean(flag)] {
                prop_assert_eq!(Value::from_json(&value.to_json().unwrap()), Some(value));
            }
        }
    }

    #[test]
    fn what_json_has_not() {
        assert_eq!(Value::Blob(vec![1]).to_json(), None);
        assert_eq!(Value::Real(f64::NAN).to_json(), None);
        assert_eq!(Value::from_json(&serde_json::json!([1])), None);
        assert_eq!(Value::from_json(&serde_json::json!(u64::MAX)), None);
    }
}
