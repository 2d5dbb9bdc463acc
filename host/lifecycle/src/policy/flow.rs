//! Flows: what an account is made from besides the person, namely what their other accounts were observed to have.
//!
//! `[flows]` names such values; mappings read them like attributes of the person, as `identity.NAME`. So a mailbox can be made from the name the
//! directory gave. Rules cannot read them: who has a role never depends on what a target says.

use std::collections::{BTreeMap, BTreeSet};

use super::Positions;
use super::mapping::Mapping;
use super::parse::{LABEL_CHARS_MAX, optional, read_slot};
use super::source::{KINDS, unspeakable};
use serde_json::Value;

use crate::account::{AccountSlot, AccountState, ObservedAccount};
use crate::attributes::Attributes;
use crate::document::item::Item;
use crate::expr::{AttributeKind, Declared};

/// Most flows of a document: each is looked up for every person who has one of the accounts made from it.
pub const FLOWS_MAX: usize = 200;

/// Longest date or instant, in bytes: `2026-03-02T00:00:00.000000000+01:00[Europe/Berlin]` and some more.
const DATE_BYTES_MAX: usize = 64;

/// A value that comes from an account as it was last observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// What mappings call it.
    pub name: String,
    /// The account it comes from.
    pub account: AccountSlot,
    /// What of the account.
    pub takes: FlowTakes,
    /// What kind of value it is; one of another kind is as good as none.
    pub kind: AttributeKind,
}

/// What of an account flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowTakes {
    /// The target's own id of the account.
    Id,
    /// An attribute.
    Attribute(String),
}

/// What was read: the flows, and what mappings may read.
pub(super) struct Flows {
    pub(super) flows: Vec<Flow>,
    pub(super) declared: Declared,
}

impl Flows {
    /// A document without any.
    pub(super) fn none(declared: &Declared) -> Self {
        Self {
            flows: Vec::new(),
            declared: declared.clone(),
        }
    }
}

/// Reads `[flows]`. `declared`: the attributes of people.
pub(super) fn read_flows(
    item: &Item<'_, '_>,
    declared: &Declared,
    positions: &mut Positions,
) -> Option<Flows> {
    let entries = item.table()?.entries();
    if entries.len() > FLOWS_MAX {
        item.mistake(format!("more than {FLOWS_MAX} flows"));
        return None;
    }
    let mut read = Flows::none(declared);
    let mut whole = true;
    for (name, item) in entries {
        if let Some(why) = unspeakable(name) {
            item.mistake_of_key(why);
            whole = false;
        } else if declared.contains_key(name) {
            item.mistake_of_key(format!("a source gives `{name}` already: choose another name"));
            whole = false;
        }
        match read_flow(name, &item) {
            Some(flow) => {
                positions.insert(format!("flows.{name}"), item.place());
                read.declared.insert(name.to_owned(), flow.kind);
                read.flows.push(flow);
            }
            None => whole = false,
        }
    }
    whole.then_some(read)
}

/// `{ account = "directory", attribute = "userPrincipalName", type = "text" }` or `{ account = "directory", id = true }`.
fn read_flow(name: &str, item: &Item<'_, '_>) -> Option<Flow> {
    let table = item.table()?;
    let account = table
        .need(
            "account",
            "which account it comes from, like account = \"directory\"",
        )
        .and_then(|item| read_slot(&item, item.text()?));
    let id = optional(table.take("id"), false, |item| item.flag());
    let attribute = optional(table.take("attribute"), None, |item| {
        item.label(LABEL_CHARS_MAX).map(|name| Some(name.to_owned()))
    });
    let kind = optional(table.take("type"), AttributeKind::Text, |item| {
        item.choice(&KINDS)
    });
    table.finish();
    let takes = match (attribute?, id?) {
        (Some(attribute), false) => FlowTakes::Attribute(attribute),
        (None, true) if kind? == AttributeKind::Text => FlowTakes::Id,
        (None, true) => {
            table.mistake("the id of an account is always text");
            return None;
        }
        (Some(_), true) | (None, false) => {
            table.mistake(
                "needs either `attribute` (of the account) or `id = true` (the target's own id of it)",
            );
            return None;
        }
    };
    Some(Flow {
        name: name.to_owned(),
        account: account?,
        takes,
        kind: kind?,
    })
}

/// Which accounts each account is made from.
pub(super) fn made_from(
    mappings: &BTreeMap<AccountSlot, Mapping>,
    flows: &[Flow],
) -> BTreeMap<AccountSlot, BTreeSet<AccountSlot>> {
    let mut made_from = BTreeMap::new();
    if flows.is_empty() {
        return made_from;
    }
    for (slot, mapping) in mappings {
        let reads: BTreeSet<&str> = mapping
            .attributes
            .values()
            .flat_map(|attribute| attribute.make.reads())
            .collect();
        let accounts: BTreeSet<AccountSlot> = flows
            .iter()
            .filter(|flow| reads.contains(flow.name.as_str()))
            .map(|flow| flow.account.clone())
            .collect();
        if !accounts.is_empty() {
            made_from.insert(slot.clone(), accounts);
        }
    }
    made_from
}

impl Flow {
    /// The value, where the account is there and has it.
    pub(crate) fn value(&self, accounts: &[(AccountSlot, ObservedAccount)]) -> Option<Value> {
        let (_, account) = accounts.iter().find(|(slot, _)| *slot == self.account)?;
        let id = account
            .external_id
            .as_ref()
            .filter(|_| account.state != AccountState::Absent)?;
        match &self.takes {
            FlowTakes::Id => Some(Value::String(id.clone())),
            FlowTakes::Attribute(name) => account
                .attributes
                .get(name)
                .filter(|value| is_of(value, self.kind))
                .cloned(),
        }
    }
}

/// What an expression costs was worked out for values of its declared kind: a target does not get to send another.
fn is_of(value: &Value, kind: AttributeKind) -> bool {
    match kind {
        AttributeKind::Text => value.is_string(),
        AttributeKind::Date => value.as_str().is_some_and(|text| text.len() <= DATE_BYTES_MAX),
        AttributeKind::Integer => value.is_i64() || value.is_u64(),
        AttributeKind::Boolean => value.is_boolean(),
        AttributeKind::List => value
            .as_array()
            .is_some_and(|items| items.iter().all(Value::is_string)),
    }
}

/// The attributes of a person together with what flows from their accounts.
pub(crate) fn with_flows(
    flows: &[Flow],
    attributes: &Attributes,
    accounts: &[(AccountSlot, ObservedAccount)],
) -> Attributes {
    let mut all = attributes.clone();
    for flow in flows {
        if let Some(value) = flow.value(accounts) {
            all.insert(flow.name.clone(), value);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::parse_strictly;

    fn document(flows: &str, mappings: &str) -> String {
        format!(
            "zone = 'UTC'\n[sources.hr]\nkey = 'id'\n[sources.hr.columns]\nid = {{ attribute = 'id' }}\n[flows]\n{flows}\n{mappings}"
        )
    }

    fn mistakes(flows: &str, mappings: &str) -> String {
        parse_strictly("policy.toml", &document(flows, mappings))
            .map(|_| ())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn mistakes_in_flows_are_listed() {
        insta::assert_snapshot!(
            mistakes(
                "id = { account = 'app', attribute = 'login' }\n\
                 'two words' = { account = 'app', attribute = 'login' }\n\
                 both = { account = 'app', attribute = 'login', id = true }\n\
                 neither = { account = 'app' }\n\
                 number = { account = 'app', id = true, type = 'integer' }\n\
                 nowhere = { attribute = 'login' }\n\
                 other = { account = 'app', attribute = 'login', strength = 'weak' }",
                "",
            ),
            @r#"
            policy.toml:7:1: flows.id: a source gives `id` already: choose another name
            policy.toml:8:1: flows.two words: must be a word of ASCII letters, digits and _, as expressions name it: identity.givenName
            policy.toml:9:1: flows.both: needs either `attribute` (of the account) or `id = true` (the target's own id of it)
            policy.toml:10:1: flows.neither: needs either `attribute` (of the account) or `id = true` (the target's own id of it)
            policy.toml:11:1: flows.number: the id of an account is always text
            policy.toml:12:1: flows.nowhere: `account` is missing: which account it comes from, like account = "directory"
            policy.toml:13:49: flows.other: unknown key `strength`
            "#
        );
    }

    #[test]
    fn a_rule_cannot_read_what_flows_and_a_mapping_must_read_it_as_what_it_is() {
        insta::assert_snapshot!(
            mistakes(
                "login = { account = 'app', attribute = 'login', type = 'integer' }",
                "[[roles]]\nname = 'r'\nwhen = \"identity.login == 1\"\n[mappings.mail]\naddress = \"identity.login + '@x.org'\"",
            ),
            @r#"
            policy.toml:10:9: roles.r.when: unknown attribute `login`
                identity.login == 1
            policy.toml:12:27: mappings.mail.address: + does not work on whole number and text
                identity.login + '@x.org'
            "#
        );
    }

    #[test]
    fn an_account_is_not_made_from_itself() {
        insta::assert_snapshot!(
            mistakes(
                "a = { account = 'app', id = true }\nb = { account = 'mail', id = true }",
                "[mappings.app]\nx = 'identity.b'\n[mappings.mail]\nx = 'identity.a'",
            ),
            @r#"policy.toml:6:2: flows: an account would be made from itself: app from mail from app"#
        );
    }

    #[test]
    fn only_a_value_of_the_declared_kind_flows_and_only_from_an_account_that_is_there() {
        let text = document(
            "n = { account = 'app', attribute = 'n', type = 'integer' }\nkey = { account = 'app', id = true }",
            "[mappings.mail]\nx = 'identity.n'\n[mappings.wiki]\nx = 'identity.id'",
        );
        let policy = parse_strictly("policy.toml", &text).unwrap();
        let app: AccountSlot = policy.flows[0].account.clone();
        assert_eq!(policy.made_from.len(), 1);
        assert!(policy.made_from.values().next().unwrap().contains(&app));
        let flowing = |state, value: Value| {
            let account = ObservedAccount {
                state,
                external_id: Some("7".to_owned()),
                attributes: json!({ "n": value }).as_object().unwrap().clone(),
                ..ObservedAccount::absent()
            };
            Value::Object(with_flows(
                &policy.flows,
                &Attributes::new(),
                &[(app.clone(), account)],
            ))
        };
        assert_eq!(
            flowing(AccountState::Disabled, json!(3)),
            json!({ "n": 3, "key": "7" })
        );
        assert_eq!(
            flowing(AccountState::Enabled, json!(["x"])),
            json!({ "key": "7" })
        );
        assert_eq!(flowing(AccountState::Absent, json!(3)), json!({}));
    }
}
