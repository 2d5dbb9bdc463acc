//! Reads what follows from what a reconcile finds in a target.

use std::collections::BTreeMap;

use super::Positions;
use super::parse::optional;
use crate::document::item::Item;
use crate::document::reader::Table;
use crate::name::TargetName;

/// How many accounts that nobody owns one reconcile disables when the document says nothing: a wrong rule must not lock out a company.
pub const UNMATCHED_MAX_DEFAULT: u32 = 10;
/// The most that may be said.
pub const UNMATCHED_MAX: u32 = 100_000;

/// What follows from the situations of a target's accounts. An ambiguous or disputed account always waits for a person; what a person has
/// decided is never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reactions {
    /// Nobody owns it, and it is exactly one identity's by the rules.
    pub unlinked: UnlinkedReaction,
    /// Nobody owns it, and it is nobody's.
    pub unmatched: UnmatchedReaction,
    /// More of them than this, and a reconcile disables none: a person must look first.
    pub unmatched_max: u32,
    /// The target has it no more.
    pub missing: MissingReaction,
}

/// What follows from an unlinked account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnlinkedReaction {
    /// It is reported.
    #[default]
    Report,
    /// It becomes that identity's, and is made as its mapping says.
    Link,
}

/// What follows from an unmatched account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnmatchedReaction {
    /// It is reported.
    #[default]
    Report,
    /// It is disabled.
    Disable,
}

/// What follows from a missing account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingReaction {
    /// It is reported, and made again only when a person unlinks it.
    #[default]
    Report,
    /// It is made again, where a role gives it.
    Create,
}

impl Default for Reactions {
    fn default() -> Self {
        Self {
            unlinked: UnlinkedReaction::default(),
            unmatched: UnmatchedReaction::default(),
            unmatched_max: UNMATCHED_MAX_DEFAULT,
            missing: MissingReaction::default(),
        }
    }
}

pub(super) fn read_reactions(
    item: &Item<'_, '_>,
    positions: &mut Positions,
) -> Option<BTreeMap<TargetName, Reactions>> {
    let mut all = BTreeMap::new();
    let mut whole = true;
    for (key, item) in item.table()?.entries() {
        let name = key.parse::<TargetName>().map_err(|error| {
            item.mistake_of_key(error.to_string());
        });
        let reactions = item.table().and_then(|table| read_of_target(&table));
        match (name, reactions) {
            (Ok(name), Some(reactions)) => {
                positions.insert(format!("reactions.{name}"), item.place());
                all.insert(name, reactions);
            }
            (Err(()), _) | (_, None) => whole = false,
        }
    }
    whole.then_some(all)
}

fn read_of_target(table: &Table<'_, '_>) -> Option<Reactions> {
    let unlinked = optional(table.take("unlinked"), UnlinkedReaction::default(), |item| {
        item.choice(&[
            ("report", UnlinkedReaction::Report),
            ("link", UnlinkedReaction::Link),
        ])
    });
    let unmatched = optional(table.take("unmatched"), UnmatchedReaction::default(), |item| {
        item.choice(&[
            ("report", UnmatchedReaction::Report),
            ("disable", UnmatchedReaction::Disable),
        ])
    });
    let unmatched_max = optional(table.take("unmatched-max"), UNMATCHED_MAX_DEFAULT, |item| {
        item.number(0..=UNMATCHED_MAX)
    });
    let missing = optional(table.take("missing"), MissingReaction::default(), |item| {
        item.choice(&[
            ("report", MissingReaction::Report),
            ("create", MissingReaction::Create),
        ])
    });
    // They may be said, so that a document can name all situations.
    let ambiguous = optional(table.take("ambiguous"), (), |item| item.choice(&[("report", ())]));
    let disputed = optional(table.take("disputed"), (), |item| item.choice(&[("report", ())]));
    table.finish();
    ambiguous.and(disputed)?;
    Some(Reactions {
        unlinked: unlinked?,
        unmatched: unmatched?,
        unmatched_max: unmatched_max?,
        missing: missing?,
    })
}
