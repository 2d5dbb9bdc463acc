//! Reads the sources of the policy document.

use std::collections::BTreeMap;

use super::parse::{LABEL_CHARS_MAX, optional};
use super::{BadRows, Column, ColumnKind, LifecycleAttributes, SourcePolicy};
use crate::document::item::Item;
use crate::document::reader::Table;
use crate::expr::{AttributeKind, Declared};
use crate::name::SourceName;

/// Most sources of a document.
pub const SOURCES_MAX: usize = 100;
/// Most columns of a source: wider than any HR export.
pub const COLUMNS_MAX: usize = 500;
/// Most snapshots a missing row may be waited for.
pub const ABSENT_SNAPSHOTS_MAX: u32 = 100;
/// Longest separator of a list, in characters.
pub const SEPARATOR_CHARS_MAX: usize = 8;

/// Words that CEL keeps for itself: `identity.in` does not parse.
const RESERVED: [&str; 20] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "while",
];

/// The types of attributes, by the words of the document.
pub(super) const KINDS: [(&str, AttributeKind); 5] = [
    ("text", AttributeKind::Text),
    ("date", AttributeKind::Date),
    ("integer", AttributeKind::Integer),
    ("boolean", AttributeKind::Boolean),
    ("list", AttributeKind::List),
];

/// What was read of the sources.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// The sources in the order of the document; nothing after a mistake.
    pub(super) sources: Option<Vec<SourcePolicy>>,
    /// The attributes they declare, as far as they could be read.
    pub(super) declared: Declared,
}

/// Attribute → what it is, and the source that said so first.
type Kinds = BTreeMap<String, (AttributeKind, SourceName)>;

fn attribute_kind(kind: &ColumnKind) -> AttributeKind {
    match kind {
        ColumnKind::Text => AttributeKind::Text,
        ColumnKind::Date => AttributeKind::Date,
        ColumnKind::Integer => AttributeKind::Integer,
        ColumnKind::Boolean => AttributeKind::Boolean,
        ColumnKind::List { .. } => AttributeKind::List,
    }
}

fn kind_word(kind: AttributeKind) -> &'static str {
    match kind {
        AttributeKind::Text => "text",
        AttributeKind::Date => "date",
        AttributeKind::Integer => "integer",
        AttributeKind::Boolean => "boolean",
        AttributeKind::List => "list",
    }
}

/// All sources, in the order of the document.
pub(super) fn read_sources(item: &Item<'_, '_>) -> Sources {
    let mut kinds = Kinds::new();
    let sources = read_each(item, &mut kinds);
    let declared = kinds.into_iter().map(|(name, (kind, _))| (name, kind)).collect();
    Sources { sources, declared }
}

fn read_each(item: &Item<'_, '_>, kinds: &mut Kinds) -> Option<Vec<SourcePolicy>> {
    let entries = item.table()?.entries();
    if entries.is_empty() || entries.len() > SOURCES_MAX {
        item.mistake(format!("must name from 1 to {SOURCES_MAX} sources"));
        return None;
    }
    let mut sources = Vec::new();
    let mut whole = true;
    for (name, item) in entries {
        let name = match name.parse::<SourceName>() {
            Ok(name) => Some(name),
            Err(error) => {
                item.mistake_of_key(error.to_string());
                None
            }
        };
        match item.table().and_then(|table| read_source(&table, name?, kinds)) {
            Some(source) => sources.push(source),
            None => whole = false,
        }
    }
    whole.then_some(sources)
}

fn read_source(table: &Table<'_, '_>, name: SourceName, kinds: &mut Kinds) -> Option<SourcePolicy> {
    let kind = optional(table.take("kind"), (), |item| item.choice(&[("snapshot", ())]));
    let format = optional(table.take("format"), (), |item| item.choice(&[("csv", ())]));
    let delimiter = optional(table.take("delimiter"), b',', |item| read_delimiter(&item));
    let encoding = optional(table.take("encoding"), "utf-8".to_owned(), |item| {
        read_encoding(&item)
    });
    let key = table
        .need("key", "the column with the source's own key of a person")
        .and_then(|item| item.label(LABEL_CHARS_MAX).map(ToOwned::to_owned));
    let bad_rows = optional(table.take("bad-rows"), BadRows::default(), |item| {
        item.choice(&[("set-aside", BadRows::SetAside), ("refuse", BadRows::Refuse)])
    });
    let bad_rows_max_percent = optional(table.take("bad-rows-max-percent"), 10, |item| {
        item.number(0..=100)
    });
    let shrink_max_percent = optional(table.take("shrink-max-percent"), 30, |item| item.number(0..=100));
    let absent_after_snapshots = optional(table.take("absent-after-snapshots"), 2, |item| {
        item.number(1..=ABSENT_SNAPSHOTS_MAX)
    });
    let columns = table
        .need("columns", "which columns become which attributes")
        .and_then(|item| read_columns(&item, &name, kinds));
    let join = match (&columns, table.take("join")) {
        (_, None) => Some(None),
        (Some(columns), Some(item)) => {
            read_column_attribute(&item, columns, &[AttributeKind::Text, AttributeKind::Integer]).map(Some)
        }
        // It cannot be checked; the mistakes in the columns come first.
        (None, Some(_)) => None,
    };
    let lifecycle = table.take("lifecycle");
    let lifecycle = match (&columns, lifecycle) {
        (_, None) => Some(LifecycleAttributes::default()),
        (Some(columns), Some(item)) => item.table().and_then(|table| read_lifecycle(&table, columns)),
        // Its attributes cannot be checked; the mistakes in the columns come first.
        (None, Some(_)) => None,
    };
    table.finish();
    kind?;
    format?;
    Some(SourcePolicy {
        name,
        delimiter: delimiter?,
        encoding: encoding?,
        key: key?,
        bad_rows: bad_rows?,
        bad_rows_max_percent: bad_rows_max_percent?,
        shrink_max_percent: shrink_max_percent?,
        absent_after_snapshots: absent_after_snapshots?,
        columns: columns?,
        join: join?,
        lifecycle: lifecycle?,
    })
}

fn read_delimiter(item: &Item<'_, '_>) -> Option<u8> {
    match item.text()?.as_bytes() {
        [byte] if *byte == b'\t' || (byte.is_ascii_punctuation() && *byte != b'"') || *byte == b' ' => {
            Some(*byte)
        }
        _ => {
            item.mistake("must be one character of punctuation, or a tab: \",\" \";\" \"|\" \"\\t\"");
            None
        }
    }
}

fn read_encoding(item: &Item<'_, '_>) -> Option<String> {
    let text = item.text()?;
    let looks_right = !text.is_empty()
        && text.len() <= 40
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':' | b'.'));
    if !looks_right {
        item.mistake("must be the label of an encoding, like \"utf-8\", \"windows-1252\" or \"utf-16le\"");
    }
    looks_right.then(|| text.to_ascii_lowercase())
}

fn read_columns(item: &Item<'_, '_>, source: &SourceName, kinds: &mut Kinds) -> Option<Vec<Column>> {
    let entries = item.table()?.entries();
    if entries.is_empty() || entries.len() > COLUMNS_MAX {
        item.mistake(format!("must name from 1 to {COLUMNS_MAX} columns"));
        return None;
    }
    let mut columns: Vec<Column> = Vec::new();
    let mut whole = true;
    for (name, item) in entries {
        let Some(column) = item.table().and_then(|table| read_column(&table, name)) else {
            whole = false;
            continue;
        };
        let kind = attribute_kind(&column.kind);
        if let Some(twin) = columns.iter().find(|known| known.attribute == column.attribute) {
            item.mistake(format!(
                "`{}` is already made from column `{}`",
                column.attribute, twin.name
            ));
            whole = false;
        }
        match kinds.get(&column.attribute) {
            Some((other, by)) if *other != kind => {
                item.mistake(format!(
                    "`{}` is of type {} here, but of type {} in source {by}",
                    column.attribute,
                    kind_word(kind),
                    kind_word(*other)
                ));
                whole = false;
            }
            Some(_) => {}
            None => drop(kinds.insert(column.attribute.clone(), (kind, source.clone()))),
        }
        columns.push(column);
    }
    whole.then_some(columns)
}

fn read_column(table: &Table<'_, '_>, name: &str) -> Option<Column> {
    let attribute = table
        .need(
            "attribute",
            "the attribute the column becomes, like attribute = \"givenName\"",
        )
        .and_then(|item| read_attribute(&item));
    let required = optional(table.take("required"), false, |item| item.flag());
    let separator = table.take("separator");
    let kind = optional(table.take("type"), AttributeKind::Text, |item| {
        item.choice(&KINDS)
    });
    let kind = match (kind, separator) {
        (Some(AttributeKind::List), separator) => optional(separator, ";".to_owned(), |item| {
            item.label(SEPARATOR_CHARS_MAX).map(ToOwned::to_owned)
        })
        .map(|separator| ColumnKind::List { separator }),
        (Some(_), Some(item)) => {
            item.mistake("only a column of type = \"list\" has a separator");
            None
        }
        (Some(AttributeKind::Text), None) => Some(ColumnKind::Text),
        (Some(AttributeKind::Date), None) => Some(ColumnKind::Date),
        (Some(AttributeKind::Integer), None) => Some(ColumnKind::Integer),
        (Some(AttributeKind::Boolean), None) => Some(ColumnKind::Boolean),
        (None, _) => None,
    };
    table.finish();
    if name.is_empty() || name.chars().count() > LABEL_CHARS_MAX {
        table.mistake(format!(
            "the name of a column has from 1 to {LABEL_CHARS_MAX} characters"
        ));
        return None;
    }
    Some(Column {
        name: name.to_owned(),
        attribute: attribute?,
        kind: kind?,
        required: required?,
    })
}

/// A name that an expression can say after `identity.`.
fn read_attribute(item: &Item<'_, '_>) -> Option<String> {
    let text = item.label(LABEL_CHARS_MAX)?;
    if let Some(why) = unspeakable(text) {
        item.mistake(why);
        return None;
    }
    Some(text.to_owned())
}

/// Why an expression cannot say a name after `identity.`, if it cannot.
pub(super) fn unspeakable(name: &str) -> Option<String> {
    let word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.len() <= LABEL_CHARS_MAX;
    if !word {
        let rule =
            "must be a word of ASCII letters, digits and _, as expressions name it: identity.givenName";
        Some(rule.to_owned())
    } else if RESERVED.contains(&name) {
        Some(format!(
            "`{name}` is a word of the expression language; choose another name"
        ))
    } else {
        None
    }
}

fn read_lifecycle(table: &Table<'_, '_>, columns: &[Column]) -> Option<LifecycleAttributes> {
    let attribute_of = |key: &str, wanted: &[AttributeKind]| {
        optional(table.take(key), None, |item| {
            read_column_attribute(&item, columns, wanted).map(Some)
        })
    };
    let attribute = |key: &str, wanted: AttributeKind| attribute_of(key, &[wanted]);
    let start = attribute("start", AttributeKind::Date);
    let end = attribute("end", AttributeKind::Date);
    let leave_from = attribute("leave-from", AttributeKind::Date);
    let leave_until = attribute("leave-until", AttributeKind::Date);
    let zone = attribute("zone", AttributeKind::Text);
    let id = attribute_of("id", &[AttributeKind::Text, AttributeKind::Integer]);
    table.finish();
    if matches!((&leave_from, &leave_until), (Some(None), Some(Some(_)))) {
        table.mistake("`leave-until` needs `leave-from`: a leave that never begins never ends");
        return None;
    }
    Some(LifecycleAttributes {
        start: start?,
        end: end?,
        leave_from: leave_from?,
        leave_until: leave_until?,
        zone: zone?,
        id: id?,
    })
}

fn read_column_attribute(
    item: &Item<'_, '_>,
    columns: &[Column],
    wanted: &[AttributeKind],
) -> Option<String> {
    let text = item.text()?;
    let Some(column) = columns.iter().find(|column| column.attribute == text) else {
        let names: Vec<String> = columns.iter().map(|column| column.attribute.clone()).collect();
        let hint = crate::document::hint::did_you_mean(text, names.iter());
        item.mistake(format!(
            "no column of this source becomes an attribute of this name{hint}"
        ));
        return None;
    };
    let kind = attribute_kind(&column.kind);
    if !wanted.contains(&kind) {
        let words: Vec<String> = wanted
            .iter()
            .map(|kind| format!("\"{}\"", kind_word(*kind)))
            .collect();
        item.mistake(format!(
            "column `{}` must be of type = {} for this, it is of type \"{}\"",
            column.name,
            words.join(" or "),
            kind_word(kind)
        ));
        return None;
    }
    Some(text.to_owned())
}
