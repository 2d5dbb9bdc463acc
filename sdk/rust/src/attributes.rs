//! The attributes of an account: a JSON object with typed getters.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;

/// The attributes of one account. `null` means absent: setting an attribute to `null` takes it away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Map<String, Value>")]
pub struct Attributes(Map<String, Value>);

impl Attributes {
    /// No attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of an attribute, if it is present.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The text of an attribute; an error when it is there and not text.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        self.typed(name, "text", Value::as_str)
    }

    /// The text of an attribute; an error when it is absent, empty or not text.
    pub fn required_text(&self, name: &str) -> Result<&str, Error> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            Some(_) | None => Err(Error::invalid(format!(
                "attribute `{name}` is required and must not be empty"
            ))),
        }
    }

    /// The whole number of an attribute; an error when it is there and not a whole number.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Error> {
        self.typed(name, "a whole number", Value::as_i64)
    }

    /// The truth value of an attribute; an error when it is there and neither true nor false.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Error> {
        self.typed(name, "true or false", Value::as_bool)
    }

    /// The values of an attribute; empty when it is absent, an error when it is not an array.
    pub fn list(&self, name: &str) -> Result<&[Value], Error> {
        Ok(self
            .typed(name, "a list", Value::as_array)?
            .map_or(&[], Vec::as_slice))
    }

    fn typed<'a, T>(
        &'a self,
        name: &str,
        what: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(read) => Ok(Some(read)),
                None => Err(Error::invalid(format!("attribute `{name}` must be {what}"))),
            },
        }
    }

    /// Sets an attribute; `null` removes it.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        if value.is_null() {
            self.0.remove(&name);
        } else {
            self.0.insert(name, value);
        }
    }

    /// The same with one attribute more.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Takes an attribute away and returns what it was.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// The attributes present, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.as_str(), value))
    }

    /// The attributes as a type of your own.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_path_to_error::deserialize(Value::Object(self.0.clone()))
            .map_err(|error| Error::invalid(format!("attributes: {error}")))
    }

    /// The attributes as a JSON object.
    pub fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Ok(Self::from(object)),
            Ok(_) => Err("not a JSON object".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) fn to_text(&self) -> String {
        self.to_json().to_string()
    }
}

impl From<Map<String, Value>> for Attributes {
    fn from(mut object: Map<String, Value>) -> Self {
        object.retain(|_, value| !value.is_null());
        Self(object)
    }
}

impl TryFrom<Value> for Attributes {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self, Error> {
        match value {
            Value::Object(object) => Ok(Self::from(object)),
            _ => Err(Error::other(
                "unreadable-answer",
                "an account must be a JSON object",
            )),
        }
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut attributes = Self::new();
        for (name, value) in pairs {
            attributes.set(name, value);
        }
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn null_is_absent() {
        let mut attributes = Attributes::from_text(r#"{"a": null, "b": 1}"#).unwrap();
        assert_eq!(attributes.get("a"), None);
        attributes.set("b", Value::Null);
        assert_eq!(attributes, Attributes::new());
    }

    #[test]
    fn a_wrong_type_is_named() {
        let attributes = Attributes::new()
            .with("age", "old")
            .with("groups", json!(["a"]))
            .with("n", 3);
        assert_eq!(
            attributes.integer("age").unwrap_err().message,
            "attribute `age` must be a whole number"
        );
        assert_eq!(attributes.list("groups").unwrap(), [json!("a")]);
        assert_eq!(attributes.list("none").unwrap(), [json!(null); 0]);
        assert_eq!(attributes.integer("n").unwrap(), Some(3));
        assert!(
            attributes
                .required_text("none")
                .unwrap_err()
                .message
                .contains("`none` is required")
        );
    }

    #[test]
    fn only_objects_are_attributes() {
        assert!(Attributes::from_text("[1]").is_err());
        assert!(Attributes::from_text("{").is_err());
    }

    #[test]
    fn parse_names_the_attribute() {
        #[derive(serde::Deserialize, Debug)]
        #[allow(dead_code, reason = "only parsed")]
        struct User {
            age: u8,
        }
        let error = Attributes::new().with("age", 300).parse::<User>().unwrap_err();
        assert!(
            error.message.starts_with("attributes: age: invalid value"),
            "{}",
            error.message
        );
    }
}
