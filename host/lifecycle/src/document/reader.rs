//! Reads a TOML document item by item and collects every mistake with its place, instead of stopping at the first.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::hint::did_you_mean;
use super::{DocumentError, DocumentErrors};

/// Largest document, in bytes: some thousand roles. A larger one is no policy but a mistake.
pub const DOCUMENT_BYTES_MAX: usize = 1_048_576;
/// Most mistakes that are listed: nobody reads more at once.
pub const MISTAKES_MAX: usize = 100;
/// Most syntax mistakes that are listed: most follow from the first.
const SYNTAX_MISTAKES_MAX: usize = 10;

/// Where something is: line and column, both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A document being read.
pub(crate) struct Reader<'d> {
    file: &'d str,
    text: &'d str,
    mistakes: RefCell<Vec<(usize, DocumentError)>>,
    /// There were syntax mistakes: what is missing may only be unreadable.
    recovered: Cell<bool>,
}

impl<'d> Reader<'d> {
    /// Reads a document with `read`, and returns what it made of it if there was no mistake.
    pub(crate) fn read<T>(
        file: &'d str,
        text: &'d str,
        read: impl FnOnce(&Table<'_, 'd>) -> Option<T>,
    ) -> Result<T, DocumentErrors> {
        let reader = Self {
            file,
            text,
            mistakes: RefCell::default(),
            recovered: Cell::new(false),
        };
        if text.len() > DOCUMENT_BYTES_MAX {
            reader.mistake(
                0,
                "",
                format!("the document is larger than {DOCUMENT_BYTES_MAX} bytes"),
            );
            return reader.finish(None);
        }
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors.iter().take(SYNTAX_MISTAKES_MAX) {
            let at = error.span().map_or(0, |span| span.start);
            reader.mistake(at, "", format!("not TOML: {}", error.message()));
        }
        reader.recovered.set(!errors.is_empty());
        let table = Table {
            reader: &reader,
            table: root.get_ref(),
            path: String::new(),
            at: 0,
            taken: RefCell::default(),
        };
        let made = read(&table);
        table.finish();
        reader.finish(made)
    }

    fn finish<T>(self, made: Option<T>) -> Result<T, DocumentErrors> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|(at, _)| *at);
        let more = mistakes.len().saturating_sub(MISTAKES_MAX);
        let mut errors: Vec<DocumentError> = mistakes
            .into_iter()
            .take(MISTAKES_MAX)
            .map(|(_, error)| error)
            .collect();
        if let Some(last) = errors.last_mut().filter(|_| more > 0) {
            last.message.push_str(&format!(" (and {more} more mistakes)"));
        }
        match made {
            Some(made) if errors.is_empty() => Ok(made),
            _ if errors.is_empty() => {
                // A reader gives nothing only after a mistake; were that ever broken, this still says so.
                Err(DocumentErrors(vec![DocumentError {
                    file: self.file.to_owned(),
                    line: 0,
                    column: 0,
                    path: String::new(),
                    expression: None,
                    message: "the document cannot be used".to_owned(),
                }]))
            }
            _ => Err(DocumentErrors(errors)),
        }
    }

    pub(crate) fn place(&self, at: usize) -> Place {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..]
                .trim_start_matches('\u{feff}')
                .chars()
                .count()
                + 1,
        }
    }

    fn mistake(&self, at: usize, path: &str, message: impl Into<String>) {
        self.mistake_in(at, path, None, message);
    }

    fn mistake_in(&self, at: usize, path: &str, expression: Option<&str>, message: impl Into<String>) {
        let Place { line, column } = self.place(at);
        let error = DocumentError {
            file: self.file.to_owned(),
            line,
            column,
            path: if path.is_empty() {
                "document".to_owned()
            } else {
                path.to_owned()
            },
            expression: expression.map(ToOwned::to_owned),
            message: message.into(),
        };
        self.mistakes.borrow_mut().push((at, error));
    }
}

/// A table of the document. Every key that nobody takes is a mistake.
pub(crate) struct Table<'r, 'd> {
    reader: &'r Reader<'d>,
    table: &'r DeTable<'d>,
    path: String,
    at: usize,
    taken: RefCell<BTreeSet<String>>,
}

impl<'r, 'd> Table<'r, 'd> {
    /// Gives the table another path: an element of an array is better known by its name than by its number.
    pub(crate) fn rename(&mut self, path: String) {
        self.path = path;
    }

    /// An item, if it is there.
    pub(crate) fn take(&self, key: &str) -> Option<Item<'r, 'd>> {
        self.taken.borrow_mut().insert(key.to_owned());
        let (name, value) = self.table.get_key_value(key)?;
        Some(self.item(name, value))
    }

    /// An item that must be there; `why` says what for.
    pub(crate) fn need(&self, key: &str, why: &str) -> Option<Item<'r, 'd>> {
        let item = self.take(key);
        if item.is_none() && !self.reader.recovered.get() {
            self.mistake(format!("`{key}` is missing: {why}"));
        }
        item
    }

    /// All items in the order of the document.
    pub(crate) fn entries(&self) -> Vec<(&'r str, Item<'r, 'd>)> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut taken = self.taken.borrow_mut();
        let items = entries.into_iter().map(|(key, value)| {
            taken.insert(key.get_ref().to_string());
            (key.get_ref().as_ref(), self.item(key, value))
        });
        items.collect()
    }

    fn item(
        &self,
        key: &'r Spanned<std::borrow::Cow<'d, str>>,
        value: &'r Spanned<DeValue<'d>>,
    ) -> Item<'r, 'd> {
        let name = key.get_ref();
        let path = if self.path.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.path)
        };
        Item {
            reader: self.reader,
            path,
            key_at: key.span().start,
            value,
        }
    }

    /// A mistake of the table as a whole.
    pub(crate) fn mistake(&self, message: impl Into<String>) {
        self.reader.mistake(self.at, &self.path, message);
    }

    /// Reports the keys that nobody took.
    pub(crate) fn finish(&self) {
        let taken = self.taken.borrow();
        for (key, _) in self.table.iter() {
            let name = key.get_ref().as_ref();
            if !taken.contains(name) {
                let hint = did_you_mean(name, taken.iter());
                let path = if self.path.is_empty() {
                    "document"
                } else {
                    &self.path
                };
                let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
                self.reader
                    .mistake(key.span().start, path, format!("unknown key `{shown}`{hint}"));
            }
        }
    }
}

/// A value of the document with its place.
pub(crate) struct Item<'r, 'd> {
    reader: &'r Reader<'d>,
    path: String,
    key_at: usize,
    value: &'r Spanned<DeValue<'d>>,
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
