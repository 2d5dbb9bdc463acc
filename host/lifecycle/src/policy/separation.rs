//! Separation of duties: what nobody may have at once, and how the policy document says it.
//!
//! A conflict is worked out for each person when they are planned: nothing new is given of what excludes each other, what is held already stays and
//! is reported. An entitlement counts where a role gives it.

use std::collections::BTreeSet;
use std::fmt;

use super::Role;
use super::parse::{LABEL_CHARS_MAX, read_slot};
use crate::account::AccountSlot;
use crate::document::hint::did_you_mean;
use crate::document::item::Item;
use crate::document::reader::Table;
use crate::name::Name;

/// Most separations of a document: each is looked at for every person who has a role.
pub const SEPARATIONS_MAX: usize = 200;
/// Most roles and entitlements of one separation.
const DUTIES_MAX: usize = 50;

/// Roles and entitlements of which a person may have one only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Separation {
    /// Its name: exceptions and problems say it.
    pub name: Name,
    /// What excludes each other, in the order of the document; at least two.
    pub of: Vec<Duty>,
}

/// One side of a separation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// A role: its place among the policy's roles, and its name.
    Role(usize, Name),
    /// An entitlement of an account.
    Entitlement(AccountSlot, String),
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(_, name) => write!(f, "role:{name}"),
            Self::Entitlement(slot, id) => write!(f, "entitlement:{slot}:{id}"),
        }
    }
}

/// All separations; `roles` are nothing when they could not be read.
pub(super) fn read_separations(item: &Item<'_, '_>, roles: Option<&[Role]>) -> Option<Vec<Separation>> {
    let items = item.list()?;
    if items.len() > SEPARATIONS_MAX {
        item.mistake(format!("more than {SEPARATIONS_MAX} separations"));
        return None;
    }
    let mut names = BTreeSet::new();
    let read = |item: Item<'_, '_>| read_separation(item.table()?, &mut names, roles);
    let separations: Vec<Option<Separation>> = items.into_iter().map(read).collect();
    separations.into_iter().collect()
}

fn read_separation(
    mut table: Table<'_, '_>,
    names: &mut BTreeSet<Name>,
    roles: Option<&[Role]>,
) -> Option<Separation> {
    let name_item = table.need("name", "exceptions name it");
    let name: Option<Name> = name_item.as_ref().and_then(Item::parsed);
    if let Some(name) = &name {
        table.rename(format!("separation.{name}"));
    }
    let mut fresh = true;
    if let (Some(item), Some(name)) = (name_item, &name)
        && !names.insert(name.clone())
    {
        item.mistake(format!("there is another separation `{name}`"));
        fresh = false;
    }
    let why = "what excludes each other, like of = [\"role:payer\", \"role:approver\"]";
    let of = table.need("of", why).and_then(|item| read_duties(&item, roles?));
    table.finish();
    let separation = Separation { name: name?, of: of? };
    fresh.then_some(separation)
}

fn read_duties(item: &Item<'_, '_>, roles: &[Role]) -> Option<Vec<Duty>> {
    let items = item.list()?;
    if !(2..=DUTIES_MAX).contains(&items.len()) {
        item.mistake(format!("must name from 2 to {DUTIES_MAX} roles or entitlements"));
        return None;
    }
    let mut duties: Vec<Duty> = Vec::new();
    let mut whole = true;
    for item in items {
        let duty = read_duty(&item, roles);
        let mistake = duty.as_ref().and_then(|duty| {
            let entangled = |other: &&Duty| gives(roles, duty, other) || gives(roles, other, duty);
            if duties.contains(duty) {
                Some(format!("`{duty}` is named twice"))
            } else {
                let other = duties.iter().find(entangled)?;
                Some(format!(
                    "`{duty}` and `{other}` cannot be apart: one role gives both"
                ))
            }
        });
        match (duty, mistake) {
            (Some(duty), None) => duties.push(duty),
            (Some(_), Some(message)) => {
                item.mistake(message);
                whole = false;
            }
            (None, _) => whole = false,
        }
    }
    whole.then_some(duties)
}

/// `role:payer` or `entitlement:app:ledger`.
fn read_duty(item: &Item<'_, '_>, roles: &[Role]) -> Option<Duty> {
    let text = item.label(LABEL_CHARS_MAX)?;
    match text.split_once(':') {
        Some(("role", name)) => {
            let place = roles.iter().position(|role| role.name.as_str() == name);
            if place.is_none() {
                let names: Vec<String> = roles.iter().map(|role| role.name.to_string()).collect();
                item.mistake(format!(
                    "there is no such role{}",
                    did_you_mean(name, names.iter())
                ));
            }
            place.map(|place| Duty::Role(place, roles[place].name.clone()))
        }
        Some(("entitlement", rest)) if rest.split_once(':').is_some_and(|(_, id)| !id.is_empty()) => {
            let (slot, id) = rest.split_once(':')?;
            let slot = read_slot(item, slot)?;
            let given = |role: &Role| {
                role.entitlements
                    .get(&slot)
                    .is_some_and(|given| given.contains_key(id))
            };
            if !roles.iter().any(given) {
                item.mistake("no role gives this entitlement");
                return None;
            }
            Some(Duty::Entitlement(slot, id.to_owned()))
        }
        _ => {
            item.mistake(
                "must be \"role:NAME\" or \"entitlement:TARGET:ID\" (or entitlement:TARGET/KIND:ID)",
            );
            None
        }
    }
}

/// Whether whoever has one duty has the other, too.
fn gives(roles: &[Role], one: &Duty, other: &Duty) -> bool {
    let Duty::Role(from, _) = one else {
        return false;
    };
    let mut seen = vec![false; roles.len()];
    let mut open = vec![*from];
    while let Some(place) = open.pop() {
        if std::mem::replace(&mut seen[place], true) {
            continue;
        }
        let found = match other {
            Duty::Role(to, _) => place == *to,
            Duty::Entitlement(slot, id) => roles[place]
                .entitlements
                .get(slot)
                .is_some_and(|given| given.contains_key(id)),
        };
        if found {
            return true;
        }
        open.extend(&roles[place].included);
    }
    false
}
