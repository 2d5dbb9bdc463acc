//! The contracts that decide a person's state, read from the attributes of their records.
//!
//! - Contracts are the records of sources that declare `start`; where the person has none of those, of sources that declare `end` and have
//!   them now. One without any date counts (as open) only where no other says more.
//! - What the other records say (`end`, leave, `zone`) completes each contract that does not say it itself, by authority: a list of
//!   leavers, a source of leave.
//! - Who is in no such source has one contract without dates, for as long as any source has them.
//! - A record that is missing from a source that declares `start` is a contract that ended then, whatever its dates; those that cannot be
//!   read do not matter. Missing from any other source ends only who is missing from all: a leaver taken off the list again goes on.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde_json::Value;

use super::{ExpressionError, LifecycleAttributes, Policy};
use crate::facts::{Contract, Employment, Leave, SourceRecord, When};

/// Longest name of a contract in a cause, in characters.
const CONTRACT_NAME_CHARS_MAX: usize = 80;

/// Which of the lifecycle attributes, and its key in the document.
type Pick = (&'static str, fn(&LifecycleAttributes) -> Option<&String>);

const START: Pick = ("start", |attributes| attributes.start.as_ref());
const END: Pick = ("end", |attributes| attributes.end.as_ref());
const LEAVE_FROM: Pick = ("leave-from", |attributes| attributes.leave_from.as_ref());
const LEAVE_UNTIL: Pick = ("leave-until", |attributes| attributes.leave_until.as_ref());
const ZONE: Pick = ("zone", |attributes| attributes.zone.as_ref());
const ID: Pick = ("id", |attributes| attributes.id.as_ref());

/// What a source can say of contracts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    /// Nothing but leave or a zone.
    Other,
    /// When they end.
    Ends,
    /// When they start.
    Starts,
}

fn says(lifecycle: &LifecycleAttributes) -> Says {
    match (&lifecycle.start, &lifecycle.end) {
        (Some(_), _) => Says::Starts,
        (None, Some(_)) => Says::Ends,
        (None, None) => Says::Other,
    }
}

impl Policy {
    /// The contracts that decide a person's lifecycle state, in the order of authority.
    ///
    /// # Errors
    /// Every date that cannot be read, a zone that is not known, and records of which no source is in the policy.
    pub fn employment(
        &self,
        records: &[SourceRecord],
        zones: &TimeZoneDatabase,
    ) -> Result<Employment, Vec<ExpressionError>> {
        let mut reading = Reading {
            policy: self,
            zones,
            known: self.known(records),
            present: self.by_authority(records),
            problems: Vec::new(),
        };
        let contracts = reading.contracts();
        if reading.problems.is_empty() {
            Ok(Employment { contracts })
        } else {
            Err(reading.problems)
        }
    }

    fn lifecycle(&self, record: &SourceRecord) -> Option<&LifecycleAttributes> {
        Some(&self.source(&record.source)?.lifecycle)
    }

    fn says(&self, record: &SourceRecord) -> Says {
        self.lifecycle(record).map_or(Says::Other, says)
    }

    /// What a record says.
    fn find<'p, 'r>(&'p self, record: &'r SourceRecord, (key, pick): Pick) -> Option<Found<'p, 'r>> {
        let attribute = pick(self.lifecycle(record)?)?;
        let value = record
            .attributes
            .get(attribute)
            .filter(|value| !value.is_null())?;
        Some(Found {
            record,
            key,
            attribute,
            value,
        })
    }
}

/// The records of one person being read.
struct Reading<'a> {
    policy: &'a Policy,
    zones: &'a TimeZoneDatabase,
    /// All of them, in the order of authority.
    known: Vec<&'a SourceRecord>,
    /// Those that are not missing, unless all are.
    present: Vec<&'a SourceRecord>,
    problems: Vec<ExpressionError>,
}

impl<'a> Reading<'a> {
    fn contracts(&mut self) -> Vec<Contract> {
        let starts = |record: &&SourceRecord| self.policy.says(record) == Says::Starts;
        let pool = if self.known.iter().any(starts) {
            self.known.clone()
        } else {
            self.present.clone()
        };
        let Some(most) = pool.iter().map(|record| self.policy.says(record)).max() else {
            self.problems.push(problem(
                "sources",
                "",
                "no source of the policy knows this person any more",
            ));
            return Vec::new();
        };
        let records = match most {
            Says::Starts | Says::Ends => self.contract_records(pool, most),
            // The first stands for all.
            Says::Other => pool.into_iter().take(1).collect(),
        };
        let everywhere = self.missing_everywhere();
        let named = records.len() > 1;
        records
            .into_iter()
            .map(|record| {
                let (name, absent_since) = match most {
                    Says::Other => (None, everywhere),
                    Says::Ends => (self.name(record, named), everywhere),
                    Says::Starts => {
                        let elsewhere = record.absent_since.is_some() && everywhere.is_none();
                        (self.name(record, named || elsewhere), record.absent_since)
                    }
                };
                self.contract(record, most, name, absent_since)
            })
            .collect()
    }

    /// Those that are contracts.
    fn contract_records(&self, mut records: Vec<&'a SourceRecord>, most: Says) -> Vec<&'a SourceRecord> {
        records.retain(|record| self.policy.says(record) == most);
        let has_dates = |record: &SourceRecord| {
            [START, END]
                .into_iter()
                .any(|pick| self.policy.find(record, pick).is_some())
        };
        let dated = |record: &&SourceRecord| record.absent_since.is_none() && has_dates(record);
        if records.len() > 1 && records.iter().any(dated) {
            records.retain(|record| record.absent_since.is_some() || has_dates(record));
        }
        records
    }

    /// Since when all records have been missing.
    fn missing_everywhere(&self) -> Option<Timestamp> {
        let absences: Option<Vec<Timestamp>> = self.known.iter().map(|record| record.absent_since).collect();
        absences?.into_iter().max()
    }

    fn contract(
        &mut self,
        record: &SourceRecord,
        most: Says,
        name: Option<String>,
        absent_since: Option<Timestamp>,
    ) -> Contract {
        let start = self.when(record, START);
        let end = match self.policy.find(record, END) {
            Some(_) => self.when(record, END),
            None => self.completing(END, most).and_then(|other| self.when(other, END)),
        };
        let leave = match self.policy.find(record, LEAVE_FROM) {
            Some(_) => self.leave(record),
            None => {
                self.no_first_day(record);
                self.completing(LEAVE_FROM, most)
                    .and_then(|other| self.leave(other))
            }
        };
        Contract {
            source: record.source.clone(),
            key: record.key.clone(),
            name,
            start,
            end,
            leave,
            zone: self.zone(record),
            absent_since,
        }
    }

    /// The record that says by authority what a contract does not: one that is no contract itself.
    fn completing(&self, pick: Pick, most: Says) -> Option<&'a SourceRecord> {
        let others = self.present.iter().copied();
        let no_contract = |record: &&SourceRecord| match self.policy.says(record) {
            // There is no contract then but the one made of all records.
            Says::Other => true,
            Says::Ends | Says::Starts => self.policy.says(record) < most,
        };
        self.first(others.filter(no_contract), pick)
    }

    /// Of some records the one that says something by authority.
    fn first(&self, records: impl Iterator<Item = &'a SourceRecord>, pick: Pick) -> Option<&'a SourceRecord> {
        let saying = records.filter_map(|record| {
            let found = self.policy.find(record, pick)?;
            Some((self.policy.rank(found.attribute, &record.source), record))
        });
        saying.min_by_key(|(rank, _)| *rank).map(|(_, record)| record)
    }

    fn leave(&mut self, record: &SourceRecord) -> Option<Leave> {
        let until = self.when(record, LEAVE_UNTIL);
        Some(Leave {
            from: self.when(record, LEAVE_FROM)?,
            until,
        })
    }

    fn no_first_day(&mut self, record: &SourceRecord) {
        if let Some(found) = self.policy.find(record, LEAVE_UNTIL) {
            self.report(record, found.problem("a leave has a last day but no first day"));
        }
    }

    /// A day or an instant, in ISO form.
    fn when(&mut self, record: &SourceRecord, pick: Pick) -> Option<When> {
        let found = self.policy.find(record, pick)?;
        read_when(&found)
            .map_err(|problem| self.report(record, problem))
            .ok()
    }

    /// The zone of a contract: its own, else the person's by authority, else the policy's.
    fn zone(&mut self, record: &SourceRecord) -> TimeZone {
        let policy = self.policy;
        let found = policy.find(record, ZONE).or_else(|| {
            let other = self.first(self.present.iter().copied(), ZONE)?;
            policy.find(other, ZONE)
        });
        if let Some(found) = found {
            if let Some(zone) = found.value.as_str().and_then(|name| self.zones.get(name).ok()) {
                return zone;
            }
            let message = "is not the name of a time zone, like Europe/Berlin";
            self.report(found.record, found.problem(message));
        }
        self.zones.get(&policy.zone).unwrap_or_else(|_| {
            let problem = problem("zone", &policy.zone, "there is no time zone of this name");
            self.report(record, problem);
            TimeZone::UTC
        })
    }

    /// Remembers a problem, once where it concerns several contracts. What a missing record says does not matter: it has ended.
    fn report(&mut self, record: &SourceRecord, problem: ExpressionError) {
        if record.absent_since.is_none() && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// `C17` where the source names it; else `hr/1001` where it must be told from others.
    fn name(&self, record: &SourceRecord, named: bool) -> Option<String> {
        let id = self.policy.find(record, ID).and_then(|found| match found.value {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
        let name = id.or_else(|| named.then(|| format!("{}/{}", record.source, record.key)))?;
        Some(name.chars().take(CONTRACT_NAME_CHARS_MAX).collect())
    }
}

/// An attribute found for a lifecycle date.
struct Found<'p, 'r> {
    record: &'r SourceRecord,
    key: &'static str,
    attribute: &'p str,
    value: &'r Value,
}

impl Found<'_, '_> {
    fn problem(&self, message: &str) -> ExpressionError {
        let path = format!("sources.{}.lifecycle.{}", self.record.source, self.key);
        problem(&path, self.attribute, message)
    }
}

/// A day or an instant, in ISO form.
fn read_when(found: &Found<'_, '_>) -> Result<When, ExpressionError> {
    let text = found.value.as_str().unwrap_or_default().trim();
    // Exactly a date: jiff would also take the date out of a longer text and lose the rest.
    if text.len() == "2026-03-02".len()
        && let Ok(day) = text.parse::<Date>()
    {
        return Ok(When::Day(day));
    }
    text.parse::<Timestamp>().map(When::Instant).map_err(|_| {
        found.problem("is not a date like 2026-03-02 nor an instant like 2026-03-02T08:00:00+01:00")
    })
}

fn problem(path: &str, expression: &str, message: &str) -> ExpressionError {
    let attribute = if expression.is_empty() {
        String::new()
    } else {
        format!("`{expression}`: ")
    };
    ExpressionError {
        path: path.to_owned(),
        expression: expression.to_owned(),
        message: format!("{attribute}{message}"),
    }
}
