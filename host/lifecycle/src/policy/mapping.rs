//! Mappings: how the attributes of an account are made from those of a person, and how the policy document says it.
//!
//! An attribute is `name = "expression"`, or a table: `{ value = "expression", strength = "initial" }`. One that must be unique in its
//! target is `{ value = "expression", unique = true }` (numbered when taken: `jdoe`, `jdoe2`) or
//! `{ candidates = ["first choice", "second choice"], unique = true }`; `follow-name = true` asks for a new one when the name it was made from
//! changes.

use std::collections::BTreeMap;

use super::Positions;
use super::parse::{Expressions, LABEL_CHARS_MAX, optional, read_slot};
use crate::account::AccountSlot;
use crate::diff::{Managed, Strength};
use crate::document::item::Item;
use crate::document::reader::Table;
use crate::expr::Mapper;

/// Most candidates of a unique attribute that are written in the document: each is evaluated for every joiner.
pub const CANDIDATES_MAX: usize = 20;

/// How the attributes of an account are made from those of a person.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// Account attribute → how its value is made.
    pub attributes: BTreeMap<String, AttributeMapping>,
    /// The strength of each, ready for comparing.
    pub managed: Managed,
}

/// How one attribute is made.
#[derive(Clone, Debug)]
pub struct AttributeMapping {
    /// From what.
    pub make: Make,
    /// When it is written.
    pub strength: Strength,
}

/// From what an attribute is made.
#[derive(Clone, Debug)]
pub enum Make {
    /// From an expression.
    Value(Mapper),
    /// A name that is unique in its target: reserved by the store, of the candidates the first that is free.
    Unique {
        /// In the order of the document, at least one. When all are taken, the first is numbered.
        candidates: Vec<Mapper>,
        /// A reserved name that is no candidate any more is given up for a new one. Else it stays as long as it is reserved.
        follow_name: bool,
    },
}

impl Make {
    /// The attributes its expressions read.
    pub fn reads(&self) -> impl Iterator<Item = &str> {
        let mappers = match self {
            Self::Value(mapper) => std::slice::from_ref(mapper),
            Self::Unique { candidates, .. } => candidates,
        };
        mappers.iter().flat_map(Mapper::reads)
    }
}

/// All mappings.
pub(super) fn read_mappings(
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
                for (name, item) in item.table()?.entries() {
                    positions.insert(format!("mappings.{slot}.{name}"), item.place());
                }
                mappings.insert(slot, mapping);
            }
            (None, _) | (_, None) => whole = false,
        }
    }
    whole.then_some(mappings)
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
        match read_attribute(&item, expressions) {
            Some(attribute) => {
                mapping.managed.insert(name.to_owned(), attribute.strength);
                mapping.attributes.insert(name.to_owned(), attribute);
            }
            None => whole = false,
        }
    }
    whole.then_some(mapping)
}

fn read_attribute(item: &Item<'_, '_>, expressions: &mut Expressions<'_>) -> Option<AttributeMapping> {
    if !item.is_table() {
        let make = Make::Value(expressions.mapper(item)?);
        return Some(AttributeMapping {
            make,
            strength: Strength::default(),
        });
    }
    let table = item.table()?;
    let strength = optional(table.take("strength"), Strength::default(), |item| {
        item.choice(&[
            ("initial", Strength::Initial),
            ("normal", Strength::Normal),
            ("weak", Strength::Weak),
        ])
    });
    let unique = optional(table.take("unique"), false, |item| item.flag());
    let follow = table.take("follow-name");
    let follow_name = optional(follow, false, |item| match (item.flag(), unique) {
        (Some(true), Some(false)) => {
            item.mistake("only an attribute with unique = true follows the name");
            None
        }
        (flag, _) => flag,
    });
    let from = read_from(&table, unique, expressions);
    table.finish();
    let make = match (from?, unique?) {
        (From::Value(mapper), false) => Make::Value(mapper),
        (From::Value(mapper), true) => Make::Unique {
            candidates: vec![mapper],
            follow_name: follow_name?,
        },
        (From::Candidates(candidates), _) => Make::Unique {
            candidates,
            follow_name: follow_name?,
        },
    };
    Some(AttributeMapping {
        make,
        strength: strength?,
    })
}

enum From {
    Value(Mapper),
    Candidates(Vec<Mapper>),
}

fn read_from(table: &Table<'_, '_>, unique: Option<bool>, expressions: &mut Expressions<'_>) -> Option<From> {
    match (table.take("value"), table.take("candidates")) {
        (Some(value), None) => expressions.mapper(&value).map(From::Value),
        (None, Some(item)) => {
            if unique == Some(false) {
                item.mistake("candidates are for an attribute with unique = true");
                return None;
            }
            let items = item.list()?;
            if !(1..=CANDIDATES_MAX).contains(&items.len()) {
                item.mistake(format!("must be from 1 to {CANDIDATES_MAX} expressions"));
                return None;
            }
            let compiled: Vec<Option<Mapper>> = items.iter().map(|item| expressions.mapper(item)).collect();
            compiled
                .into_iter()
                .collect::<Option<Vec<Mapper>>>()
                .map(From::Candidates)
        }
        (Some(_), Some(item)) => {
            item.mistake("either `value` or `candidates`, not both");
            None
        }
        (None, None) => {
            // A key of a nested attribute name looks like this: nested.name = "…".
            table.mistake("needs `value` (an expression) or `candidates` (several, with unique = true)");
            None
        }
    }
}
