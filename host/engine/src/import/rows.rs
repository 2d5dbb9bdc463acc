//! The rows of a CSV text: header first, then one row at a time with where it starts.

use std::io::Cursor;

use csv::{Position, Reader, ReaderBuilder, StringRecord};
use usher_lifecycle::policy::SourcePolicy;

use super::cells::shown;

/// Most columns of a file.
const COLUMNS_MAX: usize = 1_000;
/// Most bytes of one row.
pub(super) const ROW_BYTES_MAX: u64 = 1024 * 1024;

/// Reads the rows of a text.
pub(super) struct Rows<'t> {
    reader: Reader<Cursor<&'t [u8]>>,
    record: StringRecord,
    /// How many fields the header has.
    pub(super) width: usize,
    /// Where each column of the policy is, in the policy's order.
    pub(super) columns: Vec<usize>,
    /// Where the key is.
    pub(super) key: usize,
}

/// One row.
pub(super) struct Row<'r> {
    /// Where it starts, in bytes of the text (blank lines before it included).
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// Its fields.
    pub(super) fields: &'r StringRecord,
}

impl<'t> Rows<'t> {
    /// Reads the header. The error names every column that is missing or twice there.
    pub(super) fn new(text: &'t str, source: &SourcePolicy) -> Result<Self, String> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(source.delimiter)
            .from_reader(Cursor::new(text.as_bytes()));
        let mut record = StringRecord::new();
        let found = reader
            .read_record(&mut record)
            .map_err(|error| error.to_string())?;
        if !found {
            return Err("the file is empty. Nobody is ended by an empty file.".to_owned());
        }
        let header: Vec<&str> = record.iter().map(str::trim).collect();
        let (key, columns) = locate(&header, source)?;
        let width = header.len();
        Ok(Self {
            reader,
            width,
            columns,
            key,
            record,
        })
    }

    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Row<'_>> {
        let offset = self.reader.position().byte();
        // The text is valid UTF-8 and rows may have any number of fields, so reading from memory does not fail; if it ever
        // did, the row is the last.
        let found = self.reader.read_record(&mut self.record).unwrap_or(false);
        let bytes = self.reader.position().byte() - offset;
        found.then_some(Row {
            offset,
            bytes,
            fields: &self.record,
        })
    }

    /// The row that starts at an offset [`Rows::next`] gave before.
    pub(super) fn at(&mut self, offset: u64) -> Option<Row<'_>> {
        if self.reader.position().byte() != offset {
            let mut position = Position::new();
            position.set_byte(offset);
            self.reader.seek(position).ok()?;
        }
        self.next()
    }
}

/// Finds the policy's columns in the header.
fn locate(header: &[&str], source: &SourcePolicy) -> Result<(usize, Vec<usize>), String> {
    if header.len() > COLUMNS_MAX {
        return Err(format!(
            "the header has {} columns; at most {COLUMNS_MAX} are read",
            header.len()
        ));
    }
    let mut wrong = Vec::new();
    let mut find = |name: &str| {
        let mut places = header
            .iter()
            .enumerate()
            .filter(|(_, column)| **column == name)
            .map(|(at, _)| at);
        match (places.next(), places.next()) {
            (Some(place), None) => place,
            (Some(_), Some(_)) => {
                wrong.push(format!("column `{name}` is there twice"));
                0
            }
            (None, _) => {
                let near = header
                    .iter()
                    .find(|column| column.to_lowercase() == name.to_lowercase());
                let hint = near
                    .map(|near| format!(" (there is `{}`)", shown(near)))
                    .unwrap_or_default();
                wrong.push(format!("column `{name}` is missing{hint}"));
                0
            }
        }
    };
    let columns: Vec<usize> = source.columns.iter().map(|column| find(&column.name)).collect();
    let named = source.columns.iter().position(|column| column.name == source.key);
    let key = named.map_or_else(|| find(&source.key), |at| columns[at]);
    if wrong.is_empty() {
        return Ok((key, columns));
    }
    let mut message = format!("the header does not fit the policy: {}", wrong.join(", "));
    if header.len() == 1 {
        let delimiter = char::from(source.delimiter);
        message += &format!(
            ". It has one column only: is `{}` really the delimiter?",
            delimiter.escape_default()
        );
    }
    Err(message)
}

/// Refuses a text in which a quote opens and never closes: every row after it would be lost inside one field.
pub(super) fn check_quotes(text: &str, source: &SourcePolicy) -> Result<(), String> {
    match open_quote(text, source.delimiter) {
        None => Ok(()),
        Some(offset) => Err(format!(
            "a quote that opens in the row on line {} is never closed: the rest of the file is inside it",
            super::text::lines_of(text, &[offset])[0]
        )),
    }
}

/// Where the row starts in which a quote opens that is never closed, if there is one. A quote opens only at the start of a field.
fn open_quote(text: &str, delimiter: u8) -> Option<u64> {
    #[derive(PartialEq)]
    enum At {
        FieldStart,
        Plain,
        Quoted,
        QuoteInQuoted,
    }
    let (mut at, mut row, mut opened) = (At::FieldStart, 0, 0);
    if !text.as_bytes().contains(&b'"') {
        return None;
    }
    for (offset, byte) in text.bytes().enumerate() {
        at = match (at, byte) {
            (At::FieldStart, b'"') => {
                opened = row;
                At::Quoted
            }
            (At::Quoted, b'"') => At::QuoteInQuoted,
            (At::Quoted, _) => At::Quoted,
            (At::QuoteInQuoted, b'"') => At::Quoted,
            (_, b'\n' | b'\r') => {
                row = offset + 1;
                At::FieldStart
            }
            (_, byte) if byte == delimiter => At::FieldStart,
            (At::FieldStart | At::Plain | At::QuoteInQuoted, _) => At::Plain,
        };
    }
    (at == At::Quoted).then_some(opened as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_that_never_closes_is_found_where_it_opens() {
        for closed in [
            "a,b\n\"x\",\"y \"\"z\"\" \"\n",
            "a\n5\" disk\n",
            "a\n\"multi\nline\"",
            "",
        ] {
            assert_eq!(open_quote(closed, b','), None, "{closed:?}");
        }
        assert_eq!(open_quote("a,b\n1,\"x\n2,y\n", b','), Some(4));
        assert_eq!(open_quote("a,b\n1,x\n2,\"y \"\"", b','), Some(8));
    }
}
