//! Roles: what they are, and how the policy document says it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Positions;
use super::parse::{Expressions, LABEL_CHARS_MAX, optional, read_slot};
use super::rollout::{Rollout, read_rollout};
use crate::account::{AccountSlot, Entitlements};
use crate::document::hint::did_you_mean;
use crate::document::item::Item;
use crate::document::reader::Table;
use crate::expr::Rule;
use crate::name::RoleName;

/// Most roles of a document: each is evaluated for every person.
pub const ROLES_MAX: usize = 1_000;
/// Longest overlap, in days: a year; what is needed longer is a role of its own.
pub const OVERLAP_DAYS_MAX: u32 = 366;
/// Most bytes of the parameters of an entitlement, as JSON: they travel with every grant.
pub const PARAMETERS_BYTES_MAX: usize = 4_096;

/// A named bundle of accounts and entitlements.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// Who has it by rule; without one it is given by assignment only (or by a role that includes it).
    pub when: Option<Rule>,
    /// For whom it gives anything yet.
    pub rollout: Rollout,
    /// Roles that whoever has this one has, too, in the order of the document. Never in a circle.
    pub includes: Vec<RoleName>,
    /// How long it is kept when no rule gives it any more, in days of 24 hours; 0 is not at all. Never beyond the end of the employment.
    pub overlap_days: u32,
    /// The accounts it gives, in the order of the document.
    pub accounts: Vec<AccountSlot>,
    /// The entitlements it gives, by account: id → parameters, `null` when none are said.
    pub entitlements: BTreeMap<AccountSlot, Entitlements>,
    /// The places of `includes` among the policy's roles.
    pub(crate) included: Vec<usize>,
}

/// A role that was read, with the items of its `includes`.
type ReadRole<'r, 'd> = (Role, Vec<Item<'r, 'd>>);

/// All roles, in the order of the document.
pub(super) fn read_roles(
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
    // Of roles that could not be read nothing is known, so an unknown name may only be a mistake further up.
    if !whole {
        return None;
    }
    include(roles)
}

fn read_role<'r, 'd>(
    mut table: Table<'r, 'd>,
    names: &mut BTreeSet<RoleName>,
    expressions: &mut Expressions<'_>,
    positions: &mut Positions,
) -> Option<ReadRole<'r, 'd>> {
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
    let when = optional(table.take("when"), None, |item| expressions.rule(&item).map(Some));
    let rollout = read_rollout(&table, expressions);
    let includes = optional(table.take("includes"), Vec::new(), |item| read_includes(&item));
    let overlap_days = optional(table.take("overlap-days"), 0, |item| {
        item.number(0..=OVERLAP_DAYS_MAX)
    });
    let accounts = optional(table.take("accounts"), Vec::new(), |item| {
        read_accounts(&item, positions)
    });
    let entitlements = optional(table.take("entitlements"), BTreeMap::new(), |item| {
        read_entitlements(&item, positions)
    });
    table.finish();
    let (includes, items) = includes?.into_iter().unzip();
    let role = Role {
        name: name?,
        when: when?,
        rollout: rollout?,
        includes,
        overlap_days: overlap_days?,
        accounts: accounts?,
        entitlements: entitlements?,
        included: Vec::new(),
    };
    fresh.then_some((role, items))
}

fn read_includes<'r, 'd>(item: &Item<'r, 'd>) -> Option<Vec<(RoleName, Item<'r, 'd>)>> {
    let mut includes: Vec<(RoleName, Item<'r, 'd>)> = Vec::new();
    let mut whole = true;
    for item in item.list()? {
        match item.parsed::<RoleName>() {
            Some(name) if includes.iter().any(|(known, _)| *known == name) => {
                item.mistake(format!("`{name}` is named twice"));
                whole = false;
            }
            Some(name) => includes.push((name, item)),
            None => whole = false,
        }
    }
    whole.then_some(includes)
}

/// Finds the included roles. Those that are not there and those that lead back to themselves are mistakes.
fn include(read: Vec<ReadRole<'_, '_>>) -> Option<Vec<Role>> {
    let (mut roles, items): (Vec<Role>, Vec<Vec<Item<'_, '_>>>) = read.into_iter().unzip();
    let places: BTreeMap<RoleName, usize> = roles
        .iter()
        .enumerate()
        .map(|(place, role)| (role.name.clone(), place))
        .collect();
    let mut whole = true;
    for (role, items) in roles.iter_mut().zip(&items) {
        for (name, item) in role.includes.iter().zip(items) {
            match places.get(name) {
                Some(place) => role.included.push(*place),
                None => {
                    let names: Vec<String> = places.keys().map(ToString::to_string).collect();
                    item.mistake(format!(
                        "there is no role `{name}`{}",
                        did_you_mean(name.as_str(), names.iter())
                    ));
                    whole = false;
                }
            }
        }
    }
    if !whole {
        return None;
    }
    let mut circles = Circles {
        roles: &roles,
        items: &items,
        way: Vec::new(),
        done: vec![false; roles.len()],
        found: false,
    };
    (0..roles.len()).for_each(|place| circles.follow(place));
    let found = circles.found;
    (!found).then_some(roles)
}

/// Looks for roles that include themselves.
struct Circles<'a, 'r, 'd> {
    roles: &'a [Role],
    items: &'a [Vec<Item<'r, 'd>>],
    /// The roles from the one begun with to the one looked at.
    way: Vec<usize>,
    done: Vec<bool>,
    found: bool,
}

impl Circles<'_, '_, '_> {
    /// As deep as roles are inside each other: at most [`ROLES_MAX`] small frames.
    fn follow(&mut self, place: usize) {
        if self.done[place] {
            return;
        }
        self.way.push(place);
        for (next, item) in self.roles[place].included.iter().zip(&self.items[place]) {
            match self.way.iter().position(|earlier| earlier == next) {
                Some(start) => {
                    let circle = self.way[start..].iter().chain([next]);
                    let names: Vec<&str> = circle.map(|place| self.roles[*place].name.as_str()).collect();
                    item.mistake(format!("a role cannot include itself: {}", names.join(" → ")));
                    self.found = true;
                }
                None => self.follow(*next),
            }
        }
        self.way.pop();
        self.done[place] = true;
    }
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
) -> Option<BTreeMap<AccountSlot, Entitlements>> {
    let path = item.path();
    let mut entitlements = BTreeMap::new();
    let mut whole = true;
    for (key, item) in item.table()?.entries() {
        let slot = read_slot(&item, key);
        let mut given = Entitlements::new();
        let listed = item.list();
        whole &= listed.is_some();
        for one in listed.into_iter().flatten() {
            match read_entitlement(&one) {
                Some((id, _)) if given.contains_key(&id) => {
                    one.mistake("is named twice");
                    whole = false;
                }
                Some((id, parameters)) => drop(given.insert(id, parameters)),
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
                entitlements.insert(slot, given);
            }
            None => whole = false,
        }
    }
    whole.then_some(entitlements)
}

/// `"vpn"` or `{ id = "vpn", parameters = { level = 2 } }`.
fn read_entitlement(item: &Item<'_, '_>) -> Option<(String, Value)> {
    if !item.is_table() {
        return Some((item.label(LABEL_CHARS_MAX)?.to_owned(), Value::Null));
    }
    let table = item.table()?;
    let id = table
        .need("id", "the entitlement, as its target knows it")
        .and_then(|item| item.label(LABEL_CHARS_MAX).map(ToOwned::to_owned));
    let parameters = optional(table.take("parameters"), Value::Null, |item| {
        item.table()?;
        let parameters = item.json()?;
        if parameters.to_string().len() > PARAMETERS_BYTES_MAX {
            item.mistake(format!("must not be larger than {PARAMETERS_BYTES_MAX} bytes"));
            return None;
        }
        Some(parameters)
    });
    table.finish();
    Some((id?, parameters?))
}
