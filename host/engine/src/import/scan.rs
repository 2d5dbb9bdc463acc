//! The first reading of a file: every row checked, compared with what is known, and counted. Nothing is written.

use std::collections::HashMap;

use jiff::tz::TimeZoneDatabase;
use usher_lifecycle::policy::SourcePolicy;
use usher_store::IndexEntry;

use super::record::{Places, Read, Reader, Wrong};
use super::report::RowProblem;
use super::rows::{Rows, check_quotes};
use super::text::{Text, lines_of};

/// Most problems kept in memory; all are counted.
const PROBLEMS_KEPT_MAX: usize = 10_000;
/// How often progress is told, in rows.
const PROGRESS_ROWS: u64 = 5_000;

/// What a record is against what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    New,
    Changed,
    Returned,
    Unchanged,
    /// The person stays as they were.
    Aside,
}

/// What the file says under one key.
#[derive(Clone, Copy, Debug)]
struct Seen {
    offset: u64,
    fate: Fate,
    /// Another row has the same key.
    twice: bool,
}

/// The file, read and compared.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) rows: u64,
    pub(super) new: u64,
    pub(super) changed: u64,
    pub(super) returned: u64,
    pub(super) unchanged: u64,
    pub(super) set_aside: u64,
    /// Bad rows of whom it cannot be told whose they are: any missing person may be in one of them.
    pub(super) unattributed: u64,
    /// Where the rows to stage start, ascending.
    pub(super) offsets: Vec<u64>,
    /// Known records that are not in the file and not long confirmed as gone, sorted.
    pub(super) missing: Vec<String>,
    /// Known records missing in the last file and in a bad row of this one, sorted: they are there, so absences start from none again.
    pub(super) aside_again: Vec<String>,
    pub(super) problems_total: u64,
    pub(super) problems: Vec<RowProblem>,
}

struct Found {
    offset: u64,
    key: Option<String>,
    wrong: Wrong,
    /// The message ends with the line of this row.
    other: Option<u64>,
}

/// Reads the whole text. The error says why the file as a whole cannot be read.
pub(super) fn scan(
    text: &Text<'_>,
    source: &SourcePolicy,
    zones: &TimeZoneDatabase,
    known: &HashMap<String, IndexEntry>,
    progress: &mut dyn FnMut(u64),
) -> Result<Scan, String> {
    check_quotes(&text.text, source)?;
    let mut rows = Rows::new(&text.text, source)?;
    let places = Places::of(&rows);
    let mut reader = Reader::new(source, zones, text.damaged);
    let mut scanning = Scanning {
        known,
        seen: HashMap::with_capacity(known.len()),
        found: Vec::new(),
        scan: Scan::default(),
    };
    while let Some(row) = rows.next() {
        let read = reader.read(&row, &places);
        scanning.add(row.offset, row.fields.len() == places.width, read);
        if scanning.scan.rows.is_multiple_of(PROGRESS_ROWS) {
            progress(row.offset);
        }
    }
    Ok(scanning.finish(&text.text))
}

struct Scanning<'k> {
    known: &'k HashMap<String, IndexEntry>,
    seen: HashMap<String, Seen>,
    found: Vec<Found>,
    scan: Scan,
}

impl Scanning<'_> {
    /// `whole`: the row has as many fields as the header, so the key is where it should be.
    fn add(&mut self, offset: u64, whole: bool, read: Read) {
        self.scan.rows += 1;
        let (key, fate) = match read {
            Read::Good { key, digest, .. } => {
                let fate = match self.known.get(&key) {
                    None => Fate::New,
                    Some(entry) if entry.absent || entry.missing_snapshots > 0 => Fate::Returned,
                    Some(entry) if entry.digest == digest => Fate::Unchanged,
                    Some(_) => Fate::Changed,
                };
                (key, fate)
            }
            Read::Bad { key, wrong } => {
                self.scan.set_aside += 1;
                for wrong in wrong {
                    self.tell(offset, key.clone(), wrong, None);
                }
                match key {
                    Some(key) if whole => (key, Fate::Aside),
                    Some(key) if self.known.contains_key(&key) => {
                        // A quote that is never closed swallows the rows after it: whose they were cannot be told.
                        self.scan.unattributed += 1;
                        (key, Fate::Aside)
                    }
                    // No key, or what stands in the key's place may be another field.
                    _ => {
                        self.scan.unattributed += 1;
                        return;
                    }
                }
            }
        };
        match self.seen.get_mut(&key) {
            None => {
                self.seen.insert(
                    key,
                    Seen {
                        offset,
                        fate,
                        twice: false,
                    },
                );
            }
            Some(first) => {
                let before = first.offset;
                let (first_was_good, first_told) = (first.fate != Fate::Aside, first.twice);
                (first.fate, first.twice) = (Fate::Aside, true);
                // Bad rows are counted once each.
                self.scan.set_aside += u64::from(fate != Fate::Aside) + u64::from(first_was_good);
                if !first_told {
                    self.same_key(before, &key, offset);
                }
                self.same_key(offset, &key, before);
            }
        }
    }

    fn same_key(&mut self, offset: u64, key: &str, other: u64) {
        let wrong = Wrong {
            column: None,
            message: "the same key is also on line ".to_owned(),
        };
        self.tell(offset, Some(key.to_owned()), wrong, Some(other));
    }

    fn tell(&mut self, offset: u64, key: Option<String>, wrong: Wrong, other: Option<u64>) {
        self.scan.problems_total += 1;
        if self.found.len() < PROBLEMS_KEPT_MAX {
            self.found.push(Found {
                offset,
                key,
                wrong,
                other,
            });
        }
    }

    fn finish(mut self, text: &str) -> Scan {
        self.scan.problems = with_lines(text, self.found);
        let scan = &mut self.scan;
        for (key, seen) in &self.seen {
            match seen.fate {
                Fate::New => scan.new += 1,
                Fate::Changed => scan.changed += 1,
                Fate::Returned => scan.returned += 1,
                Fate::Unchanged => scan.unchanged += 1,
                Fate::Aside => {
                    let missed = |entry: &IndexEntry| !entry.absent && entry.missing_snapshots > 0;
                    if self.known.get(key).is_some_and(missed) {
                        scan.aside_again.push(key.clone());
                    }
                }
            }
            if matches!(seen.fate, Fate::New | Fate::Changed | Fate::Returned) {
                scan.offsets.push(seen.offset);
            }
        }
        scan.offsets.sort_unstable();
        scan.aside_again.sort_unstable();
        let gone = self
            .known
            .iter()
            .filter(|(key, entry)| !entry.absent && !self.seen.contains_key(*key));
        scan.missing = gone.map(|(key, _)| key.clone()).collect();
        scan.missing.sort_unstable();
        self.scan
    }
}

/// Problems by line, at most as many as a report lists.
fn with_lines(text: &str, mut found: Vec<Found>) -> Vec<RowProblem> {
    found.sort_by_key(|found| found.offset);
    found.truncate(super::report::PROBLEMS_LISTED_MAX);
    let mut offsets: Vec<u64> = found
        .iter()
        .flat_map(|found| [Some(found.offset), found.other])
        .flatten()
        .collect();
    offsets.sort_unstable();
    let lines = lines_of(text, &offsets);
    let line_at = |offset: u64| offsets.binary_search(&offset).map_or(0, |at| lines[at]);
    found
        .into_iter()
        .map(|found| RowProblem {
            line: line_at(found.offset),
            column: found.wrong.column,
            key: found.key,
            message: match found.other {
                Some(other) => format!("{}{}; neither row counts", found.wrong.message, line_at(other)),
                None => found.wrong.message,
            },
        })
        .collect()
}
