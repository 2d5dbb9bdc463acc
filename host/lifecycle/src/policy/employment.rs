//! The contracts that decide a person's state, read from the attributes of their records.
//!
//! - Contracts are the records of sources that declare `start`; where the person has none of those, of sources that declare `end` and have
//!   them now. One without any date counts (as open) only where no other says more.
//! - The contracts of one source decide: the first in the order of the document that has any for the person. Several of them are several
//!   contracts. Those of a later source (a directory export that has a `start`, too) keep nobody whom the first has ended. Only where the
//!   first has lost the person does a later source take over, with contracts that start after those of the first ended.
//! - What records of other sources say (`end`, leave, `zone`) completes each contract that does not say it itself, by authority: a list of
//!   leavers, a source of leave, a directory. But an `end` from a source of contracts that lies before the start ended another contract.
//! - Who is in no such source has one contract without dates, for as long as any source has them.
//! - A record that is missing from a source that declares `start` is a contract that ended then, whatever its dates; those that cannot be
//!   read do not matter. Missing from any other source ends only who is missing from all: a leaver taken off the list again goes on.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde_json::Value;

use super::{ExpressionError, LifecycleAttributes, Policy};
use crate::facts::{Contract, Employment, Leave, SourceRecord, When};
use crate::state::{begin_of, end_of};

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
        let employment = reading.employment();
        if reading.problems.is_empty() {
            Ok(employment)
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
    fn employment(&mut self) -> Employment {
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
            return Employment::default();
        };
        let records = match most {
            Says::Starts | Says::Ends => self.contract_records(pool, most),
            // The first stands for all.
            Says::Other => pool.into_iter().take(1).collect(),
        };
        let mut employment = Employment::default();
        for own in records.chunk_by(|one, other| one.source == other.source) {
            self.add_source(own, most, &mut employment);
        }
        employment
    }

    /// Adds the contracts of one source: they decide, or are among the others.
    fn add_source(&mut self, records: &[&'a SourceRecord], most: Says, employment: &mut Employment) {
        let everywhere = self.missing_everywhere();
        let first = employment.contracts.is_empty();
        let over = all_lost(&employment.contracts);
        for record in records {
            let problems = self.problems.len();
            let (name, absent_since) = match most {
                Says::Other => (None, everywhere),
                Says::Ends => (self.name(record, records.len() > 1), everywhere),
                Says::Starts => {
                    let elsewhere = record.absent_since.is_some() && everywhere.is_none();
                    let named = records.len() > 1 || elsewhere || !first;
                    (self.name(record, named), record.absent_since)
                }
            };
            let contract = self.contract(record, name, absent_since);
            let start = contract.start.and_then(|start| begin_of(start, &contract.zone));
            let takes_over = || over.zip(start).is_some_and(|(over, start)| over <= start);
            if first || takes_over() {
                employment.contracts.push(contract);
            } else {
                // What cannot be read there decides nothing, so it stops nothing.
                if self.problems.len() == problems {
                    employment.others.push(contract);
                }
                self.problems.truncate(problems);
            }
        }
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
        name: Option<String>,
        absent_since: Option<Timestamp>,
    ) -> Contract {
        let start = self.when(record, START);
        let end = match self.policy.find(record, END) {
            Some(_) => self.when(record, END),
            None => self
                .completing(END, record, |other| !self.ends_before(other, start))
                .and_then(|other| self.when(other, END)),
        };
        let leave = match self.policy.find(record, LEAVE_FROM) {
            Some(_) => self.leave(record),
            None => {
                self.no_first_day(record);
                self.completing(LEAVE_FROM, record, |_| true)
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

    /// The record that says by authority what a contract does not: one of another source, if there is more than one contract at all.
    fn completing(
        &self,
        pick: Pick,
        contract: &SourceRecord,
        counts: impl Fn(&SourceRecord) -> bool,
    ) -> Option<&'a SourceRecord> {
        let others = self.present.iter().copied().filter(|record| {
            // Where nobody says anything of contracts, there is but the one made of all records.
            let other = self.policy.says(record) == Says::Other || record.source != contract.source;
            other && counts(record)
        });
        self.first(others, pick)
    }

    /// Whether the end that a record of contracts says is before this start.
    fn ends_before(&self, record: &SourceRecord, start: Option<When>) -> bool {
        let found = self.policy.find(record, END);
        let end = found.and_then(|found| read_when(&found).ok());
        let end = end.and_then(|end| end_of(end, &TimeZone::UTC));
        let start = start.and_then(|start| begin_of(start, &TimeZone::UTC));
        self.policy.says(record) == Says::Starts && end.zip(start).is_some_and(|(end, start)| end <= start)
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

/// When the last of these contracts ended, if there are any and their source has lost them all.
fn all_lost(contracts: &[Contract]) -> Option<Timestamp> {
    let ends = contracts.iter().map(|contract| {
        let end = contract.end.and_then(|end| end_of(end, &contract.zone));
        let lost = contract.absent_since?;
        Some(end.map_or(lost, |end| end.min(lost)))
    });
    ends.collect::<Option<Vec<Timestamp>>>()?.into_iter().max()
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
