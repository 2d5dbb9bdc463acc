//! Reads the rules that tell whose an account is.

use std::collections::BTreeMap;

use super::Positions;
use super::parse::{Expressions, LABEL_CHARS_MAX, optional, read_slot};
use crate::account::AccountSlot;
use crate::correlation::{Comparison, Correlation, Rule};
use crate::document::item::Item;
use crate::document::reader::Table;

/// Most rules of one kind of account: each is tried for every account nobody owns, and evaluated for every identity.
pub const CORRELATION_RULES_MAX: usize = 20;
/// Most comparisons of one rule.
pub const COMPARISONS_MAX: usize = 20;
/// Most that a comparison weighs: weights are read as percent, and nothing is more certain.
pub const WEIGHT_MAX: u32 = 100;

pub(super) fn read_correlation(
    item: &Item<'_, '_>,
    expressions: &mut Expressions<'_>,
    positions: &mut Positions,
) -> Option<BTreeMap<AccountSlot, Correlation>> {
    let mut all = BTreeMap::new();
    let mut whole = true;
    for (key, item) in item.table()?.entries() {
        let slot = read_slot(&item, key);
        let rules = read_rules(&item, expressions);
        match (slot, rules) {
            (Some(slot), Some(_)) if all.contains_key(&slot) => {
                item.mistake_of_key(format!("there are other rules for `{slot}`"));
                whole = false;
            }
            (Some(slot), Some(rules)) => {
                positions.insert(format!("correlation.{slot}"), item.place());
                for (place, rule) in item.list()?.iter().enumerate() {
                    positions.insert(format!("correlation.{slot}[{place}]"), rule.place());
                }
                all.insert(slot, Correlation { rules });
            }
            (None, _) | (_, None) => whole = false,
        }
    }
    whole.then_some(all)
}

fn read_rules(item: &Item<'_, '_>, expressions: &mut Expressions<'_>) -> Option<Vec<Rule>> {
    let items = item.list()?;
    if !(1..=CORRELATION_RULES_MAX).contains(&items.len()) {
        item.mistake(format!("must be from 1 to {CORRELATION_RULES_MAX} rules"));
        return None;
    }
    let rules: Vec<Option<Rule>> = items
        .iter()
        .map(|item| read_rule(&item.table()?, expressions))
        .collect();
    rules.into_iter().collect()
}

fn read_rule(table: &Table<'_, '_>, expressions: &mut Expressions<'_>) -> Option<Rule> {
    let rule = match (table.take("exact"), table.take("weighted")) {
        (Some(exact), None) => read_exact(&exact, expressions).map(Rule::Exact),
        (None, Some(weighted)) => read_weighted(table, &weighted, expressions),
        (Some(_), Some(item)) => {
            item.mistake_of_key("either `exact` or `weighted`, not both");
            None
        }
        (None, None) => {
            table.mistake("needs `exact` (what must be equal) or `weighted` (what counts how much)");
            None
        }
    };
    table.finish();
    rule
}

fn read_exact(item: &Item<'_, '_>, expressions: &mut Expressions<'_>) -> Option<Vec<Comparison>> {
    let entries = item.table()?.entries();
    if !is_sane(item, entries.len()) {
        return None;
    }
    let read = |(name, item): &(&str, Item<'_, '_>)| {
        if !is_attribute(name) {
            item.mistake_of_key(wrong_name());
            return None;
        }
        if !item.is_table() {
            return Some(Comparison {
                account: (*name).to_owned(),
                identity: expressions.mapper(item)?,
                ignore_case: false,
            });
        }
        let table = item.table()?;
        let comparison = read_comparison(&table, Some((*name).to_owned()), expressions);
        table.finish();
        comparison
    };
    let comparisons: Vec<Option<Comparison>> = entries.iter().map(read).collect();
    comparisons.into_iter().collect()
}

fn read_weighted(
    rule: &Table<'_, '_>,
    item: &Item<'_, '_>,
    expressions: &mut Expressions<'_>,
) -> Option<Rule> {
    let link = rule.need(
        "link",
        "the weight from which an account is somebody's, like link = 90",
    );
    let link = link.and_then(|item| Some((item.number(1..=weight_sum_max())?, item)));
    let ask = rule.need("ask", "the weight from which a person is asked, like ask = 50");
    let ask = ask.and_then(|item| Some((item.number(1..=weight_sum_max())?, item)));
    let items = item.list()?;
    if !is_sane(item, items.len()) {
        return None;
    }
    let comparisons: Vec<Option<(Comparison, u32)>> = items
        .iter()
        .map(|item| {
            let table = item.table()?;
            let account = table
                .need("account", "which attribute of the account")
                .and_then(|item| {
                    let name = item.text()?;
                    if !is_attribute(name) {
                        item.mistake(wrong_name());
                        return None;
                    }
                    Some(name.to_owned())
                });
            let weight = table
                .need("weight", "how much it counts, like weight = 60")
                .and_then(|item| item.number(1..=WEIGHT_MAX));
            let comparison = read_comparison(&table, account, expressions);
            table.finish();
            Some((comparison?, weight?))
        })
        .collect();
    let comparisons: Vec<(Comparison, u32)> = comparisons.into_iter().collect::<Option<_>>()?;
    let ((link, link_item), (ask, ask_item)) = (link?, ask?);
    let all: u32 = comparisons.iter().map(|(_, weight)| *weight).sum();
    if link > all {
        link_item.mistake(format!("is never reached: all weights together are {all}"));
        return None;
    }
    if ask > link {
        ask_item.mistake(format!("cannot be more than link ({link})"));
        return None;
    }
    Some(Rule::Weighted {
        comparisons,
        link,
        ask,
    })
}

/// `identity` and `case`; the attribute is known where it is a key.
fn read_comparison(
    table: &Table<'_, '_>,
    account: Option<String>,
    expressions: &mut Expressions<'_>,
) -> Option<Comparison> {
    let identity = table
        .need("identity", "the value of the person: an expression")
        .and_then(|item| expressions.mapper(&item));
    let ignore_case = optional(table.take("case"), false, |item| {
        item.choice(&[("ignore", true), ("exact", false)])
    });
    Some(Comparison {
        account: account?,
        identity: identity?,
        ignore_case: ignore_case?,
    })
}

const fn weight_sum_max() -> u32 {
    // COMPARISONS_MAX is small: no truncation.
    WEIGHT_MAX * COMPARISONS_MAX as u32
}

fn is_sane(item: &Item<'_, '_>, comparisons: usize) -> bool {
    let sane = (1..=COMPARISONS_MAX).contains(&comparisons);
    if !sane {
        item.mistake(format!("must compare from 1 to {COMPARISONS_MAX} attributes"));
    }
    sane
}

fn is_attribute(name: &str) -> bool {
    !name.is_empty() && name.chars().count() <= LABEL_CHARS_MAX && !name.chars().any(char::is_control)
}

fn wrong_name() -> String {
    format!("the name of an attribute has from 1 to {LABEL_CHARS_MAX} characters and no control characters")
}
