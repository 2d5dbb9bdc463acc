//! What an update should reach.

use serde_json::Value;

use crate::Attributes;

/// What happens to one attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The whole new value; `null` clears the attribute.
    Replace(Value),
    /// Values to add to a set and to take out of it.
    Members {
        /// The values to add.
        add: Vec<Value>,
        /// The values to take out.
        remove: Vec<Value>,
    },
}

impl Change {
    /// The value after the change, given the one before; `null` when the attribute is absent (then).
    pub fn applied_to(&self, before: Option<&Value>) -> Value {
        match self {
            Self::Replace(value) => value.clone(),
            Self::Members { add, remove } => {
                let mut values = match before {
                    None | Some(Value::Null) => Vec::new(),
                    Some(Value::Array(values)) => values.clone(),
                    Some(single) => vec![single.clone()],
                };
                values.retain(|value| !remove.contains(value));
                for value in add {
                    if !values.contains(value) {
                        values.push(value.clone());
                    }
                }
                if values.is_empty() {
                    Value::Null
                } else {
                    Value::Array(values)
                }
            }
        }
    }
}

/// What an update should reach. A system with partial updates uses `changes`; one that only takes whole documents reads
/// the record afresh and uses [`UpdateRequest::merged_over`].
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateRequest {
    /// The attributes to change, by name, and no others.
    pub changes: Vec<(String, Change)>,
    /// Every attribute Usher manages, as it should be afterwards.
    pub desired: Attributes,
    /// The version the change was worked out from, if the system gave one; send it as a precondition.
    pub version: Option<String>,
}

impl UpdateRequest {
    /// Makes the changes to attributes as they are.
    pub fn apply_to(&self, attributes: &mut Attributes) {
        for (name, change) in &self.changes {
            let after = change.applied_to(attributes.get(name));
            attributes.set(name.clone(), after);
        }
    }

    /// The whole document to send to a system that takes nothing less: what it holds now, with what Usher manages and
    /// the changes over it.
    pub fn merged_over(&self, mut current: Attributes) -> Attributes {
        for (name, value) in self.desired.iter() {
            current.set(name, value.clone());
        }
        for (name, change) in &self.changes {
            if self.desired.get(name).is_none() {
                let after = change.applied_to(current.get(name));
                current.set(name.clone(), after);
            }
        }
        current
    }

    /// The new value of each changed attribute, `null` where it is cleared. A set is given whole, as desired.
    pub fn new_values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.changes.iter().map(|(name, change)| {
            let value = match change {
                Change::Replace(value) => value,
                Change::Members { .. } => self.desired.get(name).unwrap_or(&Value::Null),
            };
            (name.as_str(), value)
        })
    }

    /// The new values as a JSON Merge Patch (RFC 7396), which many APIs take for PATCH.
    pub fn merge_patch(&self) -> Value {
        Value::Object(
            self.new_values()
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request() -> UpdateRequest {
        UpdateRequest {
            changes: vec![
                ("title".into(), Change::Replace(json!("Lead"))),
                ("phone".into(), Change::Replace(Value::Null)),
                (
                    "tags".into(),
                    Change::Members {
                        add: vec![json!("b")],
                        remove: vec![json!("a")],
                    },
                ),
            ],
            desired: Attributes::new().with("title", "Lead").with("name", "Zoë"),
            version: None,
        }
    }

    #[test]
    fn changes_touch_only_what_they_name_and_repeat_to_the_same() {
        let mut attributes = Attributes::new()
            .with("title", "Dev")
            .with("phone", "1")
            .with("tags", json!(["a", "c"]))
            .with("own", true);
        request().apply_to(&mut attributes);
        let once = attributes.clone();
        assert_eq!(
            once,
            Attributes::new()
                .with("title", "Lead")
                .with("tags", json!(["c", "b"]))
                .with("own", true)
        );
        request().apply_to(&mut attributes);
        assert_eq!(attributes, once);
    }

    #[test]
    fn a_set_that_loses_its_last_member_is_absent() {
        let change = Change::Members {
            add: vec![],
            remove: vec![json!("a")],
        };
        assert_eq!(change.applied_to(Some(&json!(["a"]))), Value::Null);
        assert_eq!(change.applied_to(None), Value::Null);
        assert_eq!(change.applied_to(Some(&json!("a"))), Value::Null);
    }

    #[test]
    fn a_merge_patch_names_only_what_changes() {
        assert_eq!(
            request().merge_patch(),
            json!({ "title": "Lead", "phone": null, "tags": null })
        );
    }

    #[test]
    fn whole_documents_keep_what_usher_does_not_manage() {
        let merged = request().merged_over(Attributes::new().with("own", 1).with("phone", "1"));
        assert_eq!(
            merged,
            Attributes::new()
                .with("own", 1)
                .with("title", "Lead")
                .with("name", "Zoë")
                .with("tags", json!(["b"]))
        );
    }
}
