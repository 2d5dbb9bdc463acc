//! Reads which sources have authority over an attribute, where that is not the order of the sources.

use std::collections::BTreeMap;

use super::SourcePolicy;
use crate::document::hint::did_you_mean;
use crate::document::item::Item;

/// Attribute → all sources that give it, as places in the list of sources: those that are named, then the others as they come.
pub(super) fn read_authority(
    item: &Item<'_, '_>,
    sources: Option<&[SourcePolicy]>,
) -> Option<BTreeMap<String, Vec<usize>>> {
    let entries = item.table()?.entries();
    // What cannot be read above cannot be named here; its mistakes come first.
    let sources = sources?;
    let mut authority = BTreeMap::new();
    let mut whole = true;
    for (attribute, item) in entries {
        match read_order(attribute, &item, sources) {
            Some(order) => drop(authority.insert(attribute.to_owned(), order)),
            None => whole = false,
        }
    }
    whole.then_some(authority)
}

fn gives(source: &SourcePolicy, attribute: &str) -> bool {
    source.columns.iter().any(|column| column.attribute == attribute)
}

fn read_order(attribute: &str, item: &Item<'_, '_>, sources: &[SourcePolicy]) -> Option<Vec<usize>> {
    let giving: Vec<usize> = (0..sources.len())
        .filter(|index| sources.get(*index).is_some_and(|source| gives(source, attribute)))
        .collect();
    if giving.is_empty() {
        let columns = sources.iter().flat_map(|source| &source.columns);
        let hint = did_you_mean(attribute, columns.map(|column| &column.attribute));
        item.mistake_of_key(format!(
            "no column of any source becomes an attribute of this name{hint}"
        ));
        return None;
    }
    let items = item.list()?;
    if items.is_empty() {
        item.mistake("must name at least one source");
        return None;
    }
    let mut order = Vec::new();
    let mut whole = true;
    for item in items {
        match read_source(&item, sources) {
            Some(index) if order.contains(&index) => {
                item.mistake("is named twice");
                whole = false;
            }
            Some(index) if !giving.contains(&index) => {
                item.mistake(format!("no column of this source becomes `{attribute}`"));
                whole = false;
            }
            Some(index) => order.push(index),
            None => whole = false,
        }
    }
    let others: Vec<usize> = giving
        .into_iter()
        .filter(|index| !order.contains(index))
        .collect();
    order.extend(others);
    whole.then_some(order)
}

fn read_source(item: &Item<'_, '_>, sources: &[SourcePolicy]) -> Option<usize> {
    let text = item.text()?;
    let found = sources.iter().position(|source| source.name.as_str() == text);
    if found.is_none() {
        let names: Vec<String> = sources.iter().map(|source| source.name.to_string()).collect();
        let hint = did_you_mean(text, names.iter());
        item.mistake(format!("there is no source of this name{hint}"));
    }
    found
}
