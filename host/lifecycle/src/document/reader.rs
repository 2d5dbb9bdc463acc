//! Reads a TOML document item by item and collects every mistake with its place, instead of stopping at the first.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::hint::did_you_mean;
use super::item::Item;
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
    pub(super) text: &'d str,
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

    pub(super) fn mistake(&self, at: usize, path: &str, message: impl Into<String>) {
        self.mistake_in(at, path, None, message);
    }

    pub(super) fn mistake_in(
        &self,
        at: usize,
        path: &str,
        expression: Option<&str>,
        message: impl Into<String>,
    ) {
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
    pub(super) reader: &'r Reader<'d>,
    pub(super) table: &'r DeTable<'d>,
    pub(super) path: String,
    pub(super) at: usize,
    pub(super) taken: RefCell<BTreeSet<String>>,
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
        // After a syntax mistake a key may stand where its header did not put it.
        if self.reader.recovered.get() {
            return;
        }
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
