//! From a row to a source record: every cell by its type, then what must hold between them.

use std::collections::HashMap;

use jiff::tz::TimeZoneDatabase;
use sha2::{Digest as _, Sha256};
use usher_lifecycle::attributes::{Attributes, Digest};
use usher_lifecycle::facts::When;
use usher_lifecycle::policy::SourcePolicy;

use super::cells::{self, Cell, FIELD_BYTES_MAX, shown};
use super::rows::{ROW_BYTES_MAX, Row, Rows};

/// Most bytes of a key: it is shown, indexed and compared everywhere.
const KEY_BYTES_MAX: usize = 1_024;

/// One thing wrong with a row.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) column: Option<String>,
    pub(super) message: String,
}

/// What a row is.
#[derive(Debug)]
pub(super) enum Read {
    /// A record under this key. `join`: what tells whose it is.
    Good {
        key: String,
        digest: Digest,
        join: Option<String>,
    },
    /// Something is wrong. The key, if it could be told.
    Bad { key: Option<String>, wrong: Vec<Wrong> },
}

/// Reads rows of one source. Keeps what is worth keeping from row to row.
pub(super) struct Reader<'p> {
    source: &'p SourcePolicy,
    zones: &'p TimeZoneDatabase,
    /// The file has bytes that could not be decoded; cells that hold U+FFFD are bad.
    damaged: bool,
    /// The policy's columns in the order of their attributes, so that the JSON is sorted.
    sorted: Vec<usize>,
    /// Zone names seen and whether they are known: there are few of them and many people.
    zones_seen: HashMap<String, bool>,
    /// The JSON text of the last good row's attributes.
    json: Vec<u8>,
}

impl<'p> Reader<'p> {
    pub(super) fn new(source: &'p SourcePolicy, zones: &'p TimeZoneDatabase, damaged: bool) -> Self {
        let mut sorted: Vec<usize> = (0..source.columns.len()).collect();
        sorted.sort_by(|left, right| {
            source.columns[*left]
                .attribute
                .cmp(&source.columns[*right].attribute)
        });
        Self {
            source,
            zones,
            damaged,
            sorted,
            zones_seen: HashMap::new(),
            json: Vec::new(),
        }
    }

    /// The attributes of the last good row.
    pub(super) fn attributes(&self) -> Attributes {
        // The text was just written as a JSON object.
        serde_json::from_slice(&self.json).unwrap_or_default()
    }

    /// Reads a row. Places come from [`Rows`].
    pub(super) fn read(&mut self, row: &Row<'_>, places: &Places) -> Read {
        let mut wrong = Vec::new();
        let key = self.key(row, places, &mut wrong);
        if row.bytes > ROW_BYTES_MAX {
            wrong.push(Wrong {
                column: None,
                message: format!("the row has more than {ROW_BYTES_MAX} bytes"),
            });
        } else if row.fields.len() != places.width {
            let message = format!(
                "the row has {} fields, the header has {}: a delimiter or a quote too many or too few",
                row.fields.len(),
                places.width
            );
            wrong.push(Wrong {
                column: None,
                message,
            });
        } else {
            self.attributes_of(row, places, &mut wrong);
        }
        let join = if wrong.is_empty() {
            self.join(row, places, &mut wrong)
        } else {
            None
        };
        match key {
            Some(key) if wrong.is_empty() => {
                let digest = self.digest(join.as_deref());
                Read::Good { key, digest, join }
            }
            key => Read::Bad { key, wrong },
        }
    }

    /// Of the attributes, and of what tells whose they are: a policy that begins to say so makes every record differ once.
    fn digest(&self, join: Option<&str>) -> Digest {
        let mut hasher = Sha256::new_with_prefix(&self.json);
        if let Some(join) = join {
            // No JSON text goes on with this.
            hasher.update([0]);
            hasher.update(join);
        }
        let full = hasher.finalize();
        let mut short = Digest::default();
        short.copy_from_slice(&full[..16]);
        short
    }

    fn key(&self, row: &Row<'_>, places: &Places, wrong: &mut Vec<Wrong>) -> Option<String> {
        let column = Some(self.source.key.clone());
        let key = row.fields.get(places.key).unwrap_or_default().trim();
        if key.is_empty() {
            wrong.push(Wrong {
                column,
                message: "the key is empty".to_owned(),
            });
            return None;
        }
        if let Err(message) = self.plain(key) {
            wrong.push(Wrong { column, message });
            return None;
        }
        if key.len() > KEY_BYTES_MAX {
            wrong.push(Wrong {
                column,
                message: format!("the key has more than {KEY_BYTES_MAX} bytes"),
            });
            return None;
        }
        Some(key.to_owned())
    }

    /// What tells whose the record is, without regard to case.
    fn join(&self, row: &Row<'_>, places: &Places, wrong: &mut Vec<Wrong>) -> Option<String> {
        let attribute = self.source.join.as_deref()?;
        let mut columns = self.source.columns.iter().enumerate();
        let (at, column) = columns.find(|(_, column)| column.attribute == attribute)?;
        let text = row.fields.get(places.columns[at])?.trim();
        let join = match cells::read(&column.kind, text) {
            Ok(Cell::Absent) | Err(_) => return None,
            // `007` is the number 7.
            Ok(Cell::Integer(number)) => number.to_string(),
            Ok(Cell::Text(_) | Cell::Boolean(_) | Cell::List(_)) => text.to_lowercase(),
        };
        if join.len() > KEY_BYTES_MAX {
            wrong.push(Wrong {
                column: Some(column.name.clone()),
                message: format!("what records are joined by has more than {KEY_BYTES_MAX} bytes"),
            });
            return None;
        }
        Some(join)
    }

    /// What every cell must be.
    fn plain(&self, raw: &str) -> Result<(), String> {
        if raw.len() > FIELD_BYTES_MAX {
            return Err(format!("the field has more than {FIELD_BYTES_MAX} bytes"));
        }
        if self.damaged && raw.contains('\u{FFFD}') {
            return Err(format!(
                "`{}` holds bytes that are not {}: export the file in that encoding, or change `encoding` of the source",
                shown(raw),
                self.source.encoding
            ));
        }
        if raw.contains('\0') {
            return Err("the field holds a NUL character".to_owned());
        }
        Ok(())
    }

    /// Writes the attributes as sorted JSON and checks each cell.
    fn attributes_of(&mut self, row: &Row<'_>, places: &Places, wrong: &mut Vec<Wrong>) {
        self.json.clear();
        self.json.push(b'{');
        for at in 0..self.sorted.len() {
            let column = &self.source.columns[self.sorted[at]];
            let raw = row
                .fields
                .get(places.columns[self.sorted[at]])
                .unwrap_or_default();
            let cell = self.plain(raw).and_then(|()| cells::read(&column.kind, raw));
            let message = match cell {
                Ok(Cell::Absent) if column.required => "is required but empty".to_owned(),
                Ok(Cell::Absent) => continue,
                Ok(cell) => {
                    if self.json.len() > 1 {
                        self.json.push(b',');
                    }
                    push_json(&mut self.json, column.attribute.as_str());
                    self.json.push(b':');
                    push_cell(&mut self.json, &cell);
                    continue;
                }
                Err(message) => message,
            };
            // An empty key has been told already.
            if column.name != self.source.key {
                wrong.push(Wrong {
                    column: Some(column.name.clone()),
                    message,
                });
            }
        }
        self.json.push(b'}');
        self.lifecycle(row, places, wrong);
    }

    /// What must hold of the lifecycle attributes.
    fn lifecycle(&mut self, row: &Row<'_>, places: &Places, wrong: &mut Vec<Wrong>) {
        let source = self.source;
        let meaning = &source.lifecycle;
        let cell = |attribute: &Option<String>| {
            let attribute = attribute.as_deref()?;
            let at = source
                .columns
                .iter()
                .position(|column| column.attribute == attribute)?;
            let text = row.fields.get(places.columns[at])?.trim();
            (!text.is_empty()).then_some((&source.columns[at], text))
        };
        let mut date = |attribute: &Option<String>| {
            let (column, text) = cell(attribute)?;
            match cells::when(text) {
                Ok(when) => Some((column, text, when)),
                // A column of type date has been told already.
                Err(message) => {
                    if !wrong
                        .iter()
                        .any(|told| told.column.as_deref() == Some(&column.name))
                    {
                        wrong.push(Wrong {
                            column: Some(column.name.clone()),
                            message,
                        });
                    }
                    None
                }
            }
        };
        let spans = [
            (date(&meaning.start), date(&meaning.end)),
            (date(&meaning.leave_from), date(&meaning.leave_until)),
        ];
        for (from, until) in spans {
            if let (Some((first, begin, from)), Some((column, end, until))) = (from, until)
                && ends_before(until, from)
            {
                let message = format!("{end} is before {begin} (column {})", first.name);
                wrong.push(Wrong {
                    column: Some(column.name.clone()),
                    message,
                });
            }
        }
        if let Some((column, name)) = cell(&meaning.zone)
            && !self.zone_is_known(name)
        {
            let message = format!(
                "there is no time zone `{}`: write an IANA name such as Europe/Berlin",
                shown(name)
            );
            wrong.push(Wrong {
                column: Some(column.name.clone()),
                message,
            });
        }
    }

    fn zone_is_known(&mut self, name: &str) -> bool {
        /// Names kept; beyond it each is looked up (hostile files only: there are about 600 zones).
        const ZONES_SEEN_MAX: usize = 2_000;
        if let Some(known) = self.zones_seen.get(name) {
            return *known;
        }
        let known = self.zones.get(name).is_ok();
        if self.zones_seen.len() < ZONES_SEEN_MAX {
            self.zones_seen.insert(name.to_owned(), known);
        }
        known
    }
}

/// Where the columns are in this file.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) width: usize,
    pub(super) columns: Vec<usize>,
    pub(super) key: usize,
}

impl Places {
    pub(super) fn of(rows: &Rows<'_>) -> Self {
        Self {
            width: rows.width,
            columns: rows.columns.clone(),
            key: rows.key,
        }
    }
}

/// A day against an instant is not compared: which comes first depends on the zone.
fn ends_before(until: When, from: When) -> bool {
    match (until, from) {
        (When::Day(until), When::Day(from)) => until < from,
        (When::Instant(until), When::Instant(from)) => until < from,
        (When::Day(_), When::Instant(_)) | (When::Instant(_), When::Day(_)) => false,
    }
}

fn push_json(json: &mut Vec<u8>, value: impl serde::Serialize) {
    // Writing text, numbers and lists of text into memory cannot fail.
    let _ = serde_json::to_writer(json, &value);
}

fn push_cell(json: &mut Vec<u8>, cell: &Cell<'_>) {
    match cell {
        Cell::Absent => push_json(json, ()),
        Cell::Text(text) => push_json(json, text),
        Cell::Integer(number) => push_json(json, number),
        Cell::Boolean(truth) => push_json(json, truth),
        Cell::List(values) => push_json(json, values),
    }
}
