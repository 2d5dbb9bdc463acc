//! The JSON Schema of an account's attributes, built attribute by attribute.

use serde_json::{Map, Value, json};

/// The attributes an account of this system can have.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    properties: Map<String, Value>,
    required: Vec<Value>,
}

impl Schema {
    /// No attributes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one attribute more.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, attribute: Attribute) -> Self {
        let name = name.into();
        if attribute.required {
            self.required.push(Value::from(name.clone()));
        }
        self.properties.insert(name, Value::Object(attribute.schema));
        self
    }

    /// The schema as a document.
    pub fn to_json(&self) -> Value {
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": self.properties,
            "additionalProperties": false,
        });
        if !self.required.is_empty() {
            schema["required"] = Value::from(self.required.clone());
        }
        schema
    }
}

/// One attribute of a [`Schema`].
#[derive(Debug, Clone)]
pub struct Attribute {
    schema: Map<String, Value>,
    required: bool,
}

impl Attribute {
    fn of_type(name: &str) -> Self {
        let mut schema = Map::new();
        schema.insert("type".to_owned(), Value::from(name));
        Self {
            schema,
            required: false,
        }
    }

    /// Text.
    pub fn text() -> Self {
        Self::of_type("string")
    }

    /// A whole number.
    pub fn integer() -> Self {
        Self::of_type("integer")
    }

    /// True or false.
    pub fn boolean() -> Self {
        Self::of_type("boolean")
    }

    /// A set of texts.
    pub fn texts() -> Self {
        Self::of_type("array")
            .with("items", json!({ "type": "string" }))
            .with("uniqueItems", json!(true))
    }

    /// Any other JSON Schema.
    pub fn schema(schema: Map<String, Value>) -> Self {
        Self {
            schema,
            required: false,
        }
    }

    /// It must be given when an account is created.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// No two accounts have the same value.
    #[must_use]
    pub fn unique(self) -> Self {
        self.with("x-usher-unique", json!(true))
    }

    /// The system does not tell upper from lower case.
    #[must_use]
    pub fn ignore_case(self) -> Self {
        self.with("x-usher-case", json!("ignore"))
    }

    /// The system sets it; nobody else can.
    #[must_use]
    pub fn read_only(self) -> Self {
        self.with("x-usher-mutability", json!("read-only"))
    }

    /// It can be given when an account is created and never changed.
    #[must_use]
    pub fn create_only(self) -> Self {
        self.with("x-usher-mutability", json!("create-only"))
    }

    /// The order of the values means something.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.schema.remove("uniqueItems");
        self.with("x-usher-ordered", json!(true))
    }

    /// The value is the id of another account.
    #[must_use]
    pub fn reference(self) -> Self {
        self.with("x-usher-reference", json!(true))
    }

    /// With a line for people.
    #[must_use]
    pub fn describe(self, text: &str) -> Self {
        self.with("description", json!(text))
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.schema.insert(name.to_owned(), value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_says_what_the_contract_asks_for() {
        let schema = Schema::new()
            .attribute("login", Attribute::text().required().unique().ignore_case())
            .attribute("tags", Attribute::texts())
            .attribute("id", Attribute::integer().read_only());
        insta::assert_json_snapshot!(schema.to_json(), @r#"
        {
          "$schema": "https://json-schema.org/draft/2020-12/schema",
          "additionalProperties": false,
          "properties": {
            "id": {
              "type": "integer",
              "x-usher-mutability": "read-only"
            },
            "login": {
              "type": "string",
              "x-usher-case": "ignore",
              "x-usher-unique": true
            },
            "tags": {
              "items": {
                "type": "string"
              },
              "type": "array",
              "uniqueItems": true
            }
          },
          "required": [
            "login"
          ],
          "type": "object"
        }
        "#);
    }
}
