//! What differs between the attributes wanted and those the target holds, and which of it is to be written.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::account::{ObservedAccount, Written};
use crate::attributes::Attributes;
use crate::connector::AttributeChange;
use crate::schema::{AccountSchema, AttributeSchema, Mutability, present};

/// Stands for the value of a secret attribute wherever people look.
pub const HIDDEN: &str = "(hidden)";

/// One attribute that will change, for people. `null` is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AttributeDiff {
    /// Attribute name.
    pub name: String,
    /// What the target holds.
    pub from: Value,
    /// What it will hold.
    pub to: Value,
}

/// Something people should know about an account that leads to no operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "note")]
pub enum Note {
    /// The attribute differs, but the target does not let it be changed.
    NotChangeable {
        /// Attribute name.
        attribute: String,
        /// `read-only` or `create-only`.
        mutability: &'static str,
    },
    /// The value was written with success, yet the target keeps another: it is not written again.
    KeepsAnotherValue {
        /// Attribute name.
        attribute: String,
    },
    /// The target cannot do what is wanted.
    Blocked {
        /// Why.
        reason: String,
    },
    /// Nothing is done to this account for now.
    LeftAlone {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotChangeable {
                attribute,
                mutability,
            } => {
                write!(
                    f,
                    "{attribute} differs but is {mutability} in the target: it stays as it is"
                )
            }
            Self::KeepsAnotherValue { attribute } => {
                write!(
                    f,
                    "{attribute} was written, but the target keeps another value: not written again"
                )
            }
            Self::Blocked { reason } => write!(f, "blocked: {reason}"),
            Self::LeftAlone { reason } => write!(f, "left as it is: {reason}"),
        }
    }
}

/// What is to be written, and what people see of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// What to write.
    pub changes: Vec<AttributeChange>,
    /// The same for people.
    pub shown: Vec<AttributeDiff>,
    /// What is not written, and why.
    pub notes: Vec<Note>,
    /// All attributes that may be written, as they should be; `null` where none is wanted. What an update carries besides.
    pub desired: Attributes,
}

/// Compares what is wanted with what is observed. Only the `managed` names (every attribute that has a mapping, also those that are `null`
/// now) and those wanted are looked at; others in the target are left alone.
pub fn diff(
    desired: &Attributes,
    managed: &[String],
    observed: &ObservedAccount,
    schema: &AccountSchema,
) -> Diff {
    let mut diff = Diff::default();
    let mut clears = false;
    let names: BTreeSet<&String> = managed.iter().chain(desired.keys()).collect();
    for name in &names {
        let rules = schema.attribute(name);
        if rules.mutability == Mutability::ReadWrite {
            diff.desired.insert(
                (*name).clone(),
                desired.get(*name).cloned().unwrap_or(Value::Null),
            );
        }
    }
    for name in names {
        let rules = schema.attribute(name);
        let wanted = present(desired.get(name));
        let has = present(observed.attributes.get(name));
        if rules.same(wanted, has) {
            continue;
        }
        match rules.mutability {
            // A secret cannot be read back, so that it is missing says nothing.
            Mutability::ReadOnly | Mutability::CreateOnly if rules.secret && has.is_none() => {}
            Mutability::ReadOnly | Mutability::CreateOnly => diff.notes.push(Note::NotChangeable {
                attribute: name.clone(),
                mutability: rules.mutability.as_str(),
            }),
            Mutability::ReadWrite => {
                clears |= wanted.is_none();
                diff.changes.push(change(name, rules, wanted, has));
                diff.shown.push(shown(name, rules, has, wanted));
            }
        }
    }
    if !diff.changes.is_empty() && is_written(&diff.desired, desired, clears, observed, schema) {
        for change in std::mem::take(&mut diff.changes) {
            if !schema.attribute(change.name()).secret {
                diff.notes.push(Note::KeepsAnotherValue {
                    attribute: change.name().to_owned(),
                });
            }
        }
        diff.shown.clear();
    }
    diff
}

/// Everything a creation sends, for people.
pub fn shown_creation(attributes: &Attributes, schema: &AccountSchema) -> Vec<AttributeDiff> {
    attributes
        .iter()
        .map(|(name, value)| shown(name, schema.attribute(name), None, Some(value)))
        .collect()
}

/// Exactly this was written before, and the target still holds what it made of it: writing it again would change nothing, for ever.
/// A creation carries no `null`, so it proves nothing about attributes to be cleared.
fn is_written(
    updated: &Attributes,
    desired: &Attributes,
    clears: bool,
    observed: &ObservedAccount,
    schema: &AccountSchema,
) -> bool {
    let Some(written) = observed.written else {
        return false;
    };
    let by_update = written == Written::of(updated, &observed.attributes);
    let by_creation = !clears && written == Written::of(&schema.creatable(desired), &observed.attributes);
    by_update || by_creation
}

fn change(
    name: &str,
    rules: AttributeSchema,
    wanted: Option<&Value>,
    has: Option<&Value>,
) -> AttributeChange {
    match (wanted, has) {
        (Some(Value::Array(wanted)), Some(Value::Array(has))) if !rules.ordered => AttributeChange::Members {
            name: name.to_owned(),
            add: without(wanted, has, rules),
            remove: without(has, wanted, rules),
        },
        (wanted, _) => AttributeChange::Replace {
            name: name.to_owned(),
            value: wanted.cloned().unwrap_or(Value::Null),
        },
    }
}

/// The members of `these` that are not among `those`, each once.
fn without(these: &[Value], those: &[Value], rules: AttributeSchema) -> Vec<Value> {
    let mut seen: BTreeSet<String> = those.iter().map(|value| rules.canonical(value)).collect();
    these
        .iter()
        .filter(|value| seen.insert(rules.canonical(value)))
        .cloned()
        .collect()
}

fn shown(name: &str, rules: AttributeSchema, from: Option<&Value>, to: Option<&Value>) -> AttributeDiff {
    let show = |value: Option<&Value>| match value {
        None => Value::Null,
        Some(_) if rules.secret => Value::String(HIDDEN.to_owned()),
        Some(value) => value.clone(),
    };
    AttributeDiff {
        name: name.to_owned(),
        from: show(from),
        to: show(to),
    }
}
