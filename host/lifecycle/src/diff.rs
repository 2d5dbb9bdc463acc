//! What differs between the attributes wanted and those the target holds, and which of it is to be written.

use std::collections::{BTreeMap, BTreeSet};
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

/// When an attribute is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strength {
    /// Only when the account is created; afterwards it is the target's.
    Initial,
    /// Always: what differs is corrected.
    #[default]
    Normal,
    /// Only where the target has nothing (or an empty text); never cleared.
    Weak,
}

/// Every attribute that has a mapping, also those that are `null` for this person → when it is written.
pub type Managed = BTreeMap<String, Strength>;

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
    /// Something of it is done only after something else.
    Waits {
        /// What, and for what.
        reason: String,
    },
    /// The account is protected: nothing is ever done to it.
    Protected {
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
            Self::Waits { reason } => write!(f, "waits: {reason}"),
            Self::Protected { reason } => write!(f, "protected, so nothing is done: {reason}"),
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

/// Compares what is wanted with what is observed. Only the `managed` names and those wanted are looked at; others in the target are left
/// alone, and so are those whose strength lets the target have its own value.
pub fn diff(
    desired: &Attributes,
    managed: &Managed,
    observed: &ObservedAccount,
    schema: &AccountSchema,
) -> Diff {
    let mut diff = Diff::default();
    let mut clears = false;
    let names: BTreeSet<&String> = managed
        .keys()
        .chain(desired.keys())
        .filter(|name| {
            let strength = managed.get(*name).copied().unwrap_or_default();
            is_compared(strength, desired.get(*name), observed.attributes.get(*name))
        })
        .collect();
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

/// Whether an attribute of an account that exists is ours to write.
fn is_compared(strength: Strength, wanted: Option<&Value>, has: Option<&Value>) -> bool {
    match strength {
        Strength::Initial => false,
        Strength::Normal => true,
        Strength::Weak => {
            present(wanted).is_some()
                && present(has).is_none_or(|has| has.as_str().is_some_and(str::is_empty))
        }
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::account::{AccountState, after_work};
    use crate::connector::AccountRecord;
    use crate::operation::Work;

    fn object(value: &Value) -> Attributes {
        value.as_object().unwrap().clone()
    }

    fn observed(attributes: &Value) -> ObservedAccount {
        ObservedAccount {
            state: AccountState::Enabled,
            external_id: Some("1".to_owned()),
            attributes: object(attributes),
            ..ObservedAccount::absent()
        }
    }

    fn schema() -> AccountSchema {
        AccountSchema::parse(&json!({"properties": {
            "id": {"x-usher-mutability": "read-only"},
            "login": {"x-usher-mutability": "create-only", "x-usher-case": "ignore"},
            "mails": {"type": "array", "x-usher-case": "ignore"},
            "path": {"type": "array", "x-usher-ordered": true},
            "password": {"x-usher-secret": true},
            "pin": {"x-usher-secret": true, "x-usher-mutability": "create-only"}
        }}))
        .unwrap()
    }

    fn normal(names: &[&str]) -> Managed {
        names
            .iter()
            .map(|name| ((*name).to_owned(), Strength::Normal))
            .collect()
    }

    fn found(desired: &Value, managed: &[&str], has: &Value) -> Diff {
        diff(&object(desired), &normal(managed), &observed(has), &schema())
    }

    fn changes(diff: &Diff) -> Value {
        serde_json::to_value(&diff.changes).unwrap()
    }

    #[test]
    fn only_what_differs_is_written_and_what_is_not_managed_is_left_alone() {
        let diff = found(
            &json!({"title": "Chief", "city": "Köln"}),
            &["title", "city"],
            &json!({"title": "Clerk", "city": "Köln", "shoeSize": 43}),
        );
        assert_eq!(
            changes(&diff),
            json!([{"how": "replace", "name": "title", "value": "Chief"}])
        );
        assert_eq!(
            serde_json::to_value(&diff.shown).unwrap(),
            json!([{"name": "title", "from": "Clerk", "to": "Chief"}])
        );
        assert_eq!(
            Value::Object(diff.desired),
            json!({"city": "Köln", "title": "Chief"})
        );
    }

    #[test]
    fn a_mapping_that_is_null_now_clears_what_the_target_has() {
        let diff = found(&json!({}), &["manager", "title"], &json!({"manager": "7"}));
        assert_eq!(
            changes(&diff),
            json!([{"how": "replace", "name": "manager", "value": null}])
        );
        assert_eq!(
            Value::Object(diff.desired),
            json!({"manager": null, "title": null}),
            "told to whole-document targets"
        );
    }

    #[test]
    fn sets_change_by_member_and_lists_as_a_whole() {
        let diff = found(
            &json!({"mails": ["A@x", "n@x", "N@x"], "path": ["b", "a"]}),
            &[],
            &json!({"mails": ["a@X", "old@x"], "path": ["a", "b"]}),
        );
        assert_eq!(
            changes(&diff),
            json!([
                {"how": "members", "name": "mails", "add": ["n@x"], "remove": ["old@x"]},
                {"how": "replace", "name": "path", "value": ["b", "a"]}
            ])
        );
    }

    #[test]
    fn what_the_target_does_not_let_change_is_a_note() {
        let diff = found(
            &json!({"id": "2", "login": "new"}),
            &[],
            &json!({"id": "1", "login": "old"}),
        );
        assert!(diff.changes.is_empty() && diff.shown.is_empty() && diff.desired.is_empty());
        let notes: Vec<String> = diff.notes.iter().map(ToString::to_string).collect();
        assert_eq!(
            notes,
            [
                "id differs but is read-only in the target: it stays as it is",
                "login differs but is create-only in the target: it stays as it is"
            ]
        );
        assert!(
            found(&json!({"login": "OLD"}), &[], &json!({"login": "old"}))
                .notes
                .is_empty()
        );
    }

    #[test]
    fn a_secret_is_written_once_and_never_shown() {
        let desired = json!({"password": "hunter2", "pin": "1234"});
        let first = found(&desired, &["password", "pin"], &json!({}));
        assert_eq!(changes(&first)[0]["value"], "hunter2");
        assert!(!format!("{:?} {:?}", first.shown, first.notes).contains("hunter2"));
        assert!(
            first.notes.is_empty(),
            "that a create-only secret cannot be read says nothing"
        );

        let work = Work::Update {
            changes: first.changes,
            desired: first.desired,
        };
        let record = answer(&json!({}));
        let after = after_work(&observed(&json!({})), &work, Some(&record));
        let again = diff(&object(&desired), &Managed::new(), &after, &schema());
        assert!(again.changes.is_empty() && again.notes.is_empty());
        let changed = json!({"password": "hunter3", "pin": "1234"});
        assert_eq!(
            diff(&object(&changed), &Managed::new(), &after, &schema())
                .changes
                .len(),
            1
        );
    }

    fn answer(attributes: &Value) -> AccountRecord {
        AccountRecord {
            id: "1".to_owned(),
            attributes: object(attributes),
            state: AccountState::Enabled,
            version: None,
            marker: None,
        }
    }

    #[test]
    fn a_target_that_keeps_another_value_is_not_written_to_for_ever() {
        let desired = object(&json!({"phone": "0221 1", "title": "Chief"}));
        let managed = normal(&["phone", "title"]);
        let keeps = json!({"phone": "+492211", "title": "Chief", "lastModified": 1});
        let created = after_work(
            &ObservedAccount::absent(),
            &Work::Create {
                attributes: schema().creatable(&desired),
            },
            Some(&answer(&keeps)),
        );
        let after_creation = diff(&desired, &managed, &created, &schema());
        assert_eq!(after_creation.changes, []);
        assert_eq!(
            after_creation.notes,
            [Note::KeepsAnotherValue {
                attribute: "phone".to_owned()
            }]
        );

        // What the target changes of its own does not matter; what changes of ours does, once.
        let mut touched = created.clone();
        touched.attributes.insert("lastModified".to_owned(), json!(2));
        assert_eq!(diff(&desired, &managed, &touched, &schema()).changes, []);
        let mut drifted = created;
        drifted.attributes.insert("phone".to_owned(), json!("+49000"));
        let drift = diff(&desired, &managed, &drifted, &schema());
        assert_eq!(drift.changes.len(), 1);
        let work = Work::Update {
            changes: drift.changes,
            desired: drift.desired,
        };
        let written = after_work(&drifted, &work, Some(&answer(&keeps)));
        assert_eq!(diff(&desired, &managed, &written, &schema()).changes, []);

        let mut promoted = desired;
        promoted.insert("title".to_owned(), json!("Head"));
        let names: Vec<String> = diff(&promoted, &managed, &written, &schema())
            .changes
            .iter()
            .map(|change| change.name().to_owned())
            .collect();
        assert_eq!(names, ["phone", "title"], "another wish is another try");
    }

    #[test]
    fn an_attribute_that_becomes_managed_and_empty_is_cleared_after_a_creation() {
        let desired = object(&json!({"title": "Chief"}));
        let holds = json!({"title": "Chief", "manager": "7"});
        let created = after_work(
            &ObservedAccount::absent(),
            &Work::Create {
                attributes: desired.clone(),
            },
            Some(&answer(&holds)),
        );
        let managed = normal(&["title", "manager"]);
        let clear = diff(&desired, &managed, &created, &schema());
        assert_eq!(
            changes(&clear),
            json!([{"how": "replace", "name": "manager", "value": null}])
        );
        // A target that will not let go of it is asked once.
        let work = Work::Update {
            changes: clear.changes,
            desired: clear.desired,
        };
        let refused = after_work(&created, &work, Some(&answer(&holds)));
        assert_eq!(diff(&desired, &managed, &refused, &schema()).changes, []);
    }

    #[test]
    fn what_the_target_may_have_its_own_way_is_left_alone() {
        let managed: Managed = [
            ("title", Strength::Initial),
            ("city", Strength::Weak),
            ("phone", Strength::Weak),
            ("room", Strength::Weak),
            ("desk", Strength::Normal),
        ]
        .map(|(name, strength)| (name.to_owned(), strength))
        .into();
        let desired = object(&json!({"title": "Chief", "city": "Köln", "phone": "1", "desk": "7"}));
        let has = observed(&json!({"title": "Boss", "city": "Bonn", "phone": "", "room": "12", "desk": "6"}));
        let found = diff(&desired, &managed, &has, &schema());
        let names: Vec<&str> = found.changes.iter().map(AttributeChange::name).collect();
        assert_eq!(
            names,
            ["desk", "phone"],
            "the weak one only where there is nothing"
        );
        assert_eq!(
            Value::Object(found.desired),
            json!({"desk": "7", "phone": "1"}),
            "a whole-document target keeps what it has of the others"
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let text = prop::sample::select(vec!["a", "A", "b", "c", ""]).prop_map(Value::from);
        prop_oneof![
            Just(Value::Null),
            text.clone(),
            (0..3_i64).prop_map(Value::from),
            prop::sample::select(vec![json!(1.0), json!(true), json!({"x": [1, "A"]})]),
            prop::collection::vec(text, 0..4).prop_map(Value::Array),
        ]
    }

    fn any_attributes() -> impl Strategy<Value = Attributes> {
        let names = vec!["id", "login", "mails", "path", "password", "title"];
        prop::collection::btree_map(prop::sample::select(names), any_value(), 0..6).prop_map(|map| {
            map.into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn what_was_written_needs_no_writing(
            desired in any_attributes(),
            has in any_attributes(),
            strengths in prop::collection::vec(prop::sample::select(vec![Strength::Normal, Strength::Weak, Strength::Initial]), 4),
        ) {
            let names = ["mails", "path", "title", "password"].map(str::to_owned);
            let managed: Managed = names.into_iter().zip(strengths).collect();
            let before = observed(&Value::Object(has));
            let found = diff(&desired, &managed, &before, &schema());
            prop_assert_eq!(found.changes.len(), found.shown.len());
            prop_assert!(found.changes.iter().all(|c| schema().attribute(c.name()).mutability == Mutability::ReadWrite));
            let work = Work::Update { changes: found.changes, desired: found.desired };
            // A target that does exactly as told, and one that does nothing at all.
            for answer in [None, Some(answer(&Value::Object(before.attributes.clone())))] {
                let after = after_work(&before, &work, answer.as_ref());
                let again = diff(&desired, &managed, &after, &schema());
                prop_assert_eq!(&again.changes, &vec![]);
                if answer.is_none() {
                    let kept = |note: &Note| matches!(note, Note::KeepsAnotherValue { .. });
                    prop_assert!(!again.notes.iter().any(kept), "{:?}", again.notes);
                }
            }
        }
    }
}
