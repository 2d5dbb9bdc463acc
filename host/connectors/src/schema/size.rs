//! How large a schema really is: with every reference followed, as an evaluation sees it.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::pattern;
use crate::guest_text::line_of;

/// Parts of a schema once every reference in it is followed: without a cap, thirty lines of references can stand for a billion.
pub(super) const PARTS_MAX: usize = 10_000;
/// Deepest nesting with every reference followed: each level is a frame on the host's stack, when the schema is compiled and again
/// when a document is checked.
pub(super) const LEVELS_MAX: usize = 256;
/// The one dialect. Another one has other keywords that refer, name a base or recurse, which would not be seen here.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Keywords that make a reference mean something else than a place in this document, or lead out of it.
const REFUSED: [&str; 6] = [
    "$id",
    "id",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveRef",
];
/// Keywords whose members are named by the author: their names are no keywords.
const NAMED: [&str; 5] = [
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
];
/// Keywords that hold data, not schemas.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];
/// Longest reference quoted in a message, in bytes.
const QUOTED_BYTES_MAX: usize = 100;

/// Measures one document.
pub(super) struct Expansion<'s> {
    document: &'s Value,
    /// The parts and levels of the definitions seen; `None` while one is being measured.
    definitions: HashMap<&'s str, Option<Size>>,
    /// What the patterns cost; see [`pattern::cost`].
    patterns: usize,
}

/// What a part of a schema stands for.
#[derive(Clone, Copy, Debug)]
struct Size {
    parts: usize,
    levels: usize,
}

impl Size {
    const ONE: Self = Self { parts: 1, levels: 1 };

    /// With something inside it.
    fn and(self, inner: Self) -> Self {
        Self {
            parts: self.parts.saturating_add(inner.parts),
            levels: self.levels.max(inner.levels + 1),
        }
    }
}

/// Refuses a schema that is too large, refers to itself, or leads out of its document.
pub(super) fn check(document: &Value) -> Result<(), String> {
    let mut expansion = Expansion {
        document,
        definitions: HashMap::new(),
        patterns: 0,
    };
    let size = expansion.schema(document, 0)?;
    if size.parts > PARTS_MAX {
        return Err(format!("a schema that stands for more than {PARTS_MAX} parts"));
    }
    Ok(())
}

impl<'s> Expansion<'s> {
    /// A schema, or an array of them. `above`: the levels of the recursion so far.
    fn schema(&mut self, part: &'s Value, above: usize) -> Result<Size, String> {
        // Checked on the way down: the recursion itself must not get deeper.
        if above > LEVELS_MAX {
            return Err(format!(
                "a schema that nests deeper than {LEVELS_MAX} levels with its references"
            ));
        }
        let mut size = Size::ONE;
        match part {
            Value::Array(items) => {
                for item in items {
                    size = size.and(self.schema(item, above + 1)?);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    size = size.and(self.keyword(name, member, above + 1)?);
                }
                size = with_unevaluated(members, size);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(size)
    }

    fn keyword(&mut self, name: &'s str, member: &'s Value, above: usize) -> Result<Size, String> {
        match (name, member) {
            ("$ref", Value::String(reference)) => self.follow(reference, above),
            ("$schema", Value::String(dialect)) if dialect.trim_end_matches('#') != DIALECT => {
                Err(format!("`$schema` must be {DIALECT}"))
            }
            (refused, Value::String(_)) if REFUSED.contains(&refused) => {
                Err(format!("`{refused}` is not accepted"))
            }
            ("pattern", Value::String(text)) => self.pattern(text),
            (named, Value::Object(members)) if NAMED.contains(&named) => {
                let mut size = Size::ONE;
                for (key, schema) in members {
                    if named == "patternProperties" {
                        self.pattern(key)?;
                    }
                    size = size.and(self.schema(schema, above + 1)?);
                }
                Ok(size)
            }
            (data, _) if DATA.contains(&data) => Ok(Size {
                parts: count(member),
                levels: 1,
            }),
            _ => self.schema(member, above),
        }
    }

    fn pattern(&mut self, text: &str) -> Result<Size, String> {
        self.patterns += pattern::cost(text)?;
        if self.patterns > pattern::COST_MAX {
            return Err("patterns that are too large together".to_owned());
        }
        Ok(Size::ONE)
    }

    fn follow(&mut self, reference: &'s str, above: usize) -> Result<Size, String> {
        match self.definitions.get(reference) {
            Some(Some(size)) if above + size.levels > LEVELS_MAX => {
                return Err(format!(
                    "a schema that nests deeper than {LEVELS_MAX} levels with its references"
                ));
            }
            Some(Some(size)) => return Ok(*size),
            Some(None) => return Err("a schema that refers to itself".to_owned()),
            None => {}
        }
        let place = reference.strip_prefix('#').filter(|place| !place.contains('%'));
        let definition = place
            .and_then(|place| self.document.pointer(place))
            .ok_or_else(|| {
                format!(
                    "the reference `{}` leads nowhere in the schema",
                    line_of(reference, QUOTED_BYTES_MAX)
                )
            })?;
        self.definitions.insert(reference, None);
        let size = self.schema(definition, above + 1)?;
        self.definitions.insert(reference, Some(size));
        Ok(size)
    }
}

/// `unevaluated…` looks again at everything beside and below it, so that nested ones cost more than their sum.
fn with_unevaluated(members: &Map<String, Value>, size: Size) -> Size {
    let again = ["unevaluatedProperties", "unevaluatedItems"]
        .iter()
        .filter(|keyword| members.contains_key(**keyword))
        .count();
    Size {
        parts: size.parts.saturating_mul(1 + again),
        ..size
    }
}

/// Values in a piece of data; bounded by the depth documents may have.
fn count(data: &Value) -> usize {
    1 + match data {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
