//! One value of a TOML document: read as what is wanted, or reported at its place.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::DeValue;

use super::reader::{Place, Reader, Table};

/// A value of the document with its place.
pub(crate) struct Item<'r, 'd> {
    pub(super) reader: &'r Reader<'d>,
    pub(super) path: String,
    pub(super) key_at: usize,
    pub(super) value: &'r Spanned<DeValue<'d>>,
}

impl<'r, 'd> Item<'r, 'd> {
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Where its value is.
    pub(crate) fn place(&self) -> Place {
        self.reader.place(self.at())
    }

    fn at(&self) -> usize {
        // A table written under a header spans all its lines; its key is what a person looks for.
        if self.value.get_ref().is_table() {
            self.key_at
        } else {
            self.value.span().start
        }
    }

    /// A mistake at the value.
    pub(crate) fn mistake(&self, message: impl Into<String>) {
        self.reader.mistake(self.at(), &self.path, message);
    }

    /// A mistake at the key.
    pub(crate) fn mistake_of_key(&self, message: impl Into<String>) {
        self.reader.mistake(self.key_at, &self.path, message);
    }

    /// A mistake inside a text that is an expression, `offset` bytes from its start.
    pub(crate) fn mistake_in_expression(&self, expression: &str, offset: usize, message: impl Into<String>) {
        let span = self.value.span();
        // Where the text stands in the document as it is (no escapes), the offset is exact; else the start has to do.
        let written = self
            .reader
            .text
            .get(span.clone())
            .and_then(|raw| raw.find(expression));
        let at = written.map_or(span.start, |start| span.start + start + offset);
        self.reader.mistake_in(at, &self.path, Some(expression), message);
    }

    fn wrong_type(&self, wanted: &str) {
        self.mistake(format!(
            "must be {wanted}, not {}",
            with_article(self.value.get_ref())
        ));
    }

    pub(crate) fn text(&self) -> Option<&'r str> {
        let text = self.value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type("a text in quotes");
        }
        text
    }

    pub(crate) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// A text that is not empty and not longer than `chars_max`, without control characters.
    pub(crate) fn label(&self, chars_max: usize) -> Option<&'r str> {
        let text = self.text()?;
        if text.is_empty() {
            self.mistake("must not be empty");
            None
        } else if text.chars().count() > chars_max {
            self.mistake(format!("must not be longer than {chars_max} characters"));
            None
        } else if text.chars().any(char::is_control) {
            self.mistake("must not contain control characters");
            None
        } else {
            Some(text)
        }
    }

    /// A text that parses.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self) -> Option<T> {
        match self.text()?.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.mistake(error.to_string());
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let chosen = choices
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, choice)| *choice);
        if chosen.is_none() {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.mistake(format!("must be {}", words.join(" or ")));
        }
        chosen
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        let flag = self.value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type("true or false");
        }
        flag
    }

    /// A whole number in a range.
    pub(crate) fn number<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let Some(written) = self.value.get_ref().as_integer() else {
            self.wrong_type("a whole number");
            return None;
        };
        let number = i64::from_str_radix(written.as_str(), written.radix()).ok();
        let number = number
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| range.contains(number));
        if number.is_none() {
            self.mistake(format!("must be from {} to {}", range.start(), range.end()));
        }
        number
    }

    pub(crate) fn table(&self) -> Option<Table<'r, 'd>> {
        self.table_as("a table")
    }

    /// A table, called `wanted` when it is none.
    pub(crate) fn table_as(&self, wanted: &str) -> Option<Table<'r, 'd>> {
        let table = self.value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(wanted);
        }
        table.map(|table| Table {
            reader: self.reader,
            table,
            path: self.path.clone(),
            at: self.key_at,
            taken: RefCell::default(),
        })
    }

    /// The elements of an array.
    pub(crate) fn list(&self) -> Option<Vec<Item<'r, 'd>>> {
        let Some(list) = self.value.get_ref().as_array() else {
            self.wrong_type("a list in brackets");
            return None;
        };
        let items = list.iter().enumerate().map(|(index, value)| Item {
            reader: self.reader,
            path: format!("{}[{index}]", self.path),
            key_at: value.span().start,
            value,
        });
        Some(items.collect())
    }

    /// The value as JSON. Dates become text; a number that JSON cannot hold is a mistake.
    pub(crate) fn json(&self) -> Option<Value> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(Value::String(text.to_string())),
            DeValue::Integer(written) => {
                let number = i64::from_str_radix(written.as_str(), written.radix()).ok();
                if number.is_none() {
                    self.mistake("the number is too large");
                }
                number.map(Value::from)
            }
            DeValue::Float(written) => {
                let number = written.as_str().parse().ok().and_then(Number::from_f64);
                if number.is_none() {
                    self.mistake("must be a finite number");
                }
                number.map(Value::Number)
            }
            DeValue::Boolean(flag) => Some(Value::Bool(*flag)),
            DeValue::Datetime(time) => Some(Value::String(time.to_string())),
            DeValue::Array(_) => {
                let items: Vec<Option<Value>> = self.list()?.iter().map(Item::json).collect();
                items.into_iter().collect()
            }
            DeValue::Table(_) => {
                let entries = self.table()?.entries();
                let members: Vec<Option<(String, Value)>> = entries
                    .iter()
                    .map(|(key, item)| Some(((*key).to_owned(), item.json()?)))
                    .collect();
                members
                    .into_iter()
                    .collect::<Option<Map<_, _>>>()
                    .map(Value::Object)
            }
        }
    }
}

fn with_article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
