//! Reads the policy document.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Sources, read_sources};
use super::{Mapping, Policy, Positions, Role, Unassigned};
use crate::account::AccountSlot;
use crate::document::DocumentErrors;
use crate::document::item::Item;
use crate::document::reader::{Place, Reader, Table};
use crate::expr::{Declared, Mapper, Mistake, MistakeKind, Rule};
use crate::name::{Name, RoleName};

/// Longest retention, in days: ten years, longer than any law asks.
pub const RETENTION_DAYS_MAX: u32 = 3_650;
/// Retention when the document says nothing, in days.
pub const RETENTION_DAYS_DEFAULT: u32 = 30;
/// Most roles of a document: each is evaluated for every person.
pub const ROLES_MAX: usize = 1_000;
/// Most expressions of a document: each is compiled on a thread of its own, one after the other.
pub const EXPRESSIONS_MAX: usize = 5_000;
/// Longest name of an attribute or id of an entitlement, in characters; directories allow no more for a distinguished name.
pub const LABEL_CHARS_MAX: usize = 255;

/// Reads a policy document. `file` is the name shown in errors.
///
/// # Errors
/// Every mistake found, in the order of their lines.
pub fn parse(file: &str, text: &str) -> Result<Policy, DocumentErrors> {
    Reader::read(file, text, read_policy)
}

fn read_policy(root: &Table<'_, '_>) -> Option<Policy> {
    let zone = root
        .need(
            "zone",
            "the time zone of people who have none of their own, like zone = \"Europe/Berlin\"",
        )
        .and_then(|item| read_zone(&item));
    let retention_days = optional(root.take("retention-days"), RETENTION_DAYS_DEFAULT, |item| {
        item.number(0..=RETENTION_DAYS_MAX)
    });
    let unassigned = optional(root.take("unassigned"), Unassigned::default(), |item| {
        item.choice(&[("disable", Unassigned::Disable), ("delete", Unassigned::Delete)])
    });
    let sources_item = root.need("sources", "without one nobody is known; begin with [sources.hr]");
    let Sources { sources, declared } = sources_item.map(|item| read_sources(&item)).unwrap_or_default();
    let mut expressions = Expressions {
        declared: &declared,
        complete: sources.is_some(),
        left: EXPRESSIONS_MAX,
    };
    let mut positions = Positions::new();
    let roles = optional(root.take("roles"), Vec::new(), |item| {
        read_roles(&item, &mut expressions, &mut positions)
    });
    let mappings = optional(root.take("mappings"), BTreeMap::new(), |item| {
        read_mappings(&item, &mut expressions, &mut positions)
    });
    Some(Policy {
        zone: zone?,
        retention_days: retention_days?,
        unassigned: unassigned?,
        sources: sources?,
        roles: roles?,
        mappings: mappings?,
        positions,
    })
}

/// The value of an item that may be missing: the default then, nothing when it is wrong.
pub(super) fn optional<'r, 'd, T>(
    item: Option<Item<'r, 'd>>,
    default: T,
    read: impl FnOnce(Item<'r, 'd>) -> Option<T>,
) -> Option<T> {
    item.map_or(Some(default), read)
}

/// An IANA name by its form; whether it exists is asked where the zone database is.
fn read_zone(item: &Item<'_, '_>) -> Option<String> {
    let text = item.label(LABEL_CHARS_MAX)?;
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+'))
    };
    if text.split('/').all(part) {
        Some(text.to_owned())
    } else {
        item.mistake("must be the IANA name of a time zone, like \"Europe/Berlin\" or \"UTC\"");
        None
    }
}

struct Expressions<'a> {
    declared: &'a Declared,
    /// All attributes could be read. If not, an unknown one may only be a mistake further up.
    complete: bool,
    left: usize,
}

impl Expressions<'_> {
    fn compile<T>(
        &mut self,
        item: &Item<'_, '_>,
        compile: fn(&str, &str, &Declared) -> Result<T, Vec<Mistake>>,
    ) -> Option<T> {
        let source = item.text()?;
        let Some(left) = self.left.checked_sub(1) else {
            item.mistake(format!("more than {EXPRESSIONS_MAX} expressions"));
            return None;
        };
        self.left = left;
        match compile(item.path(), source, self.declared) {
            Ok(compiled) => Some(compiled),
            Err(mistakes) => {
                let trusted = |mistake: &Mistake| self.complete || mistake.kind == MistakeKind::Expression;
                for mistake in mistakes.into_iter().filter(trusted) {
                    item.mistake_in_expression(source, mistake.offset, mistake.message);
                }
                None
            }
        }
    }
}

fn read_roles(
    item: &Item<'_, '_>,
    expressions: &mut Expressions<'_>,
    positions: &mut Positions,
) -> Option<Vec<Role>> {
    let items = item.list()?;
    if items.len() > ROLES_MAX {
        item.mistake(format!("more than {ROLES_MAX} roles"));
        return None;
    }
    let mut names = BTreeSet::new();
    let mut roles = Vec::new();
    let mut whole = true;
    for item in items {
        match item
            .table()
            .and_then(|table| read_role(table, &mut names, expressions, positions))
        {
            Some(role) => roles.push(role),
            None => whole = false,
        }
    }
    whole.then_some(roles)
}

fn read_role(
    mut table: Table<'_, '_>,
    names: &mut BTreeSet<RoleName>,
    expressions: &mut Expressions<'_>,
    positions: &mut Positions,
) -> Option<Role> {
    let name_item = table.need("name", "roles are known by it");
    let name: Option<RoleName> = name_item.as_ref().and_then(Item::parsed);
    if let Some(name) = &name {
        table.rename(format!("roles.{name}"));
    }
    let mut fresh = true;
    if let (Some(item), Some(name)) = (name_item, &name)
        && !names.insert(name.clone())
    {
        item.mistake(format!("there is another role `{name}`"));
        fresh = false;
    }
    let when = table
        .need(
            "when",
            "who has the role, like when = \"identity.contract == 'permanent'\"",
        )
        .and_then(|item| expressions.compile(&item, Rule::compile));
    let accounts = optional(table.take("accounts"), Vec::new(), |item| {
        read_accounts(&item, positions)
    });
    let entitlements = optional(table.take("entitlements"), BTreeMap::new(), |item| {
        read_entitlements(&item, positions)
    });
    table.finish();
    let role = Role {
        name: name?,
        when: when?,
        accounts: accounts?,
        entitlements: entitlements?,
    };
    fresh.then_some(role)
}

fn read_accounts(item: &Item<'_, '_>, positions: &mut Positions) -> Option<Vec<AccountSlot>> {
    let mut accounts = Vec::new();
    let mut whole = true;
    for item in item.list()? {
        let slot = item.text().and_then(|text| read_slot(&item, text));
        match slot {
            Some(slot) if accounts.contains(&slot) => {
                item.mistake(format!("`{slot}` is named twice"));
                whole = false;
            }
            Some(slot) => {
                positions.insert(item.path().to_owned(), item.place());
                accounts.push(slot);
            }
            None => whole = false,
        }
    }
    whole.then_some(accounts)
}

fn read_entitlements(
    item: &Item<'_, '_>,
    positions: &mut Positions,
) -> Option<BTreeMap<AccountSlot, Vec<String>>> {
    let path = item.path();
    let mut entitlements = BTreeMap::new();
    let mut whole = true;
    for (key, item) in item.table()?.entries() {
        let slot = read_slot(&item, key);
        let mut ids: Vec<String> = Vec::new();
        let listed = item.list();
        whole &= listed.is_some();
        for id in listed.into_iter().flatten() {
            match id.label(LABEL_CHARS_MAX) {
                Some(text) if ids.iter().any(|known| known == text) => {
                    id.mistake("is named twice");
                    whole = false;
                }
                Some(text) => ids.push(text.to_owned()),
                None => whole = false,
            }
        }
        match slot {
            Some(slot) if entitlements.contains_key(&slot) => {
                item.mistake_of_key(format!("`{slot}` is named twice"));
                whole = false;
            }
            Some(slot) => {
                positions.insert(format!("{path}.{slot}"), item.place());
                entitlements.insert(slot, ids);
            }
            None => whole = false,
        }
    }
    whole.then_some(entitlements)
}

fn read_mappings(
    item: &Item<'_, '_>,
    expressions: &mut Expressions<'_>,
    positions: &mut Positions,
) -> Option<BTreeMap<AccountSlot, Mapping>> {
    let mut mappings = BTreeMap::new();
    let mut whole = true;
    for (key, item) in item.table()?.entries() {
        let slot = read_slot(&item, key);
        let mapping = read_mapping(&item, expressions);
        match (slot, mapping) {
            (Some(slot), Some(_)) if mappings.contains_key(&slot) => {
                item.mistake_of_key(format!("there is another mapping for `{slot}`"));
                whole = false;
            }
            (Some(slot), Some(mapping)) => {
                positions.insert(format!("mappings.{slot}"), item.place());
                positions.extend(attribute_places(&item, &slot));
                mappings.insert(slot, mapping);
            }
            (None, _) | (_, None) => whole = false,
        }
    }
    whole.then_some(mappings)
}

/// Where the attributes of a mapping are.
fn attribute_places(item: &Item<'_, '_>, slot: &AccountSlot) -> Vec<(String, Place)> {
    let entries = item.table().map(|table| table.entries()).unwrap_or_default();
    let place = |(name, item): (&str, Item<'_, '_>)| (format!("mappings.{slot}.{name}"), item.place());
    entries.into_iter().map(place).collect()
}

fn read_mapping(item: &Item<'_, '_>, expressions: &mut Expressions<'_>) -> Option<Mapping> {
    let entries = item.table()?.entries();
    if entries.is_empty() {
        item.mistake("maps no attribute");
        return None;
    }
    let mut mapping = Mapping::default();
    let mut whole = true;
    for (name, item) in entries {
        if name.is_empty() || name.chars().count() > LABEL_CHARS_MAX || name.chars().any(char::is_control) {
            item.mistake_of_key(format!(
                "the name of an attribute has from 1 to {LABEL_CHARS_MAX} characters and no control characters"
            ));
            whole = false;
            continue;
        }
        match expressions.compile(&item, Mapper::compile) {
            Some(mapper) => drop(mapping.attributes.insert(name.to_owned(), mapper)),
            None => whole = false,
        }
    }
    whole.then_some(mapping)
}

/// `target` or `target/kind`.
fn read_slot(item: &Item<'_, '_>, text: &str) -> Option<AccountSlot> {
    let (target, kind) = match text.split_once('/') {
        Some((target, kind)) => (target, Some(kind)),
        None => (text, None),
    };
    let kind: Result<Name, _> = kind.map_or_else(|| Ok(Name::primary()), str::parse);
    match (target.parse::<Name>(), kind) {
        (Ok(target), Ok(kind)) => Some(AccountSlot { target, kind }),
        (Err(error), _) | (_, Err(error)) => {
            item.mistake_of_key(format!("must be a target, or target/kind: {error}"));
            None
        }
    }
}
