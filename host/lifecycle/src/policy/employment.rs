//! The dates that decide a person's state, read from their attributes.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde_json::Value;

use super::{ExpressionError, LifecycleAttributes, Policy};
use crate::facts::{Employment, Leave, SourceRecord, When};

/// Which of the lifecycle attributes, and its key in the document.
type Pick = (&'static str, fn(&LifecycleAttributes) -> Option<&String>);

const START: Pick = ("start", |attributes| attributes.start.as_ref());
const END: Pick = ("end", |attributes| attributes.end.as_ref());
const LEAVE_FROM: Pick = ("leave-from", |attributes| attributes.leave_from.as_ref());
const LEAVE_UNTIL: Pick = ("leave-until", |attributes| attributes.leave_until.as_ref());
const ZONE: Pick = ("zone", |attributes| attributes.zone.as_ref());

impl Policy {
    /// The dates that decide a person's lifecycle state, by authority: of several source records the first that says something.
    /// Missing from all sources counts from the last that lost them.
    ///
    /// # Errors
    /// Every date that cannot be read, a zone that is not known, and records of which no source is in the policy.
    pub fn employment(
        &self,
        records: &[SourceRecord],
        zones: &TimeZoneDatabase,
    ) -> Result<Employment, Vec<ExpressionError>> {
        let records = self.by_authority(records);
        let mut problems = Vec::new();
        if records.is_empty() {
            problems.push(problem(
                "sources",
                "",
                "no source of the policy knows this person any more",
            ));
        }
        let mut when = |pick: Pick| match self.first(&records, pick) {
            None => None,
            Some(found) => read_when(&found).map_err(|problem| problems.push(problem)).ok(),
        };
        let start = when(START);
        let end = when(END);
        let from = when(LEAVE_FROM);
        let until = when(LEAVE_UNTIL);
        if from.is_none()
            && until.is_some()
            && let Some(found) = self.first(&records, LEAVE_UNTIL)
        {
            problems.push(problem(
                &found.path,
                found.attribute,
                "a leave has a last day but no first day",
            ));
        }
        let zone = self
            .zone_of(&records, zones)
            .map_err(|problem| problems.push(problem))
            .ok();
        // All are present or all are absent.
        let absent_since = records.iter().filter_map(|record| record.absent_since).max();
        match zone {
            Some(zone) if problems.is_empty() => Ok(Employment {
                start,
                end,
                leave: from.map(|from| Leave { from, until }),
                zone,
                absent_since,
            }),
            _ => Err(problems),
        }
    }

    fn first<'r>(&self, records: &[&'r SourceRecord], (key, pick): Pick) -> Option<Found<'_, 'r>> {
        records.iter().find_map(|record| {
            let attribute = pick(&self.source(&record.source)?.lifecycle)?;
            let value = record
                .attributes
                .get(attribute)
                .filter(|value| !value.is_null())?;
            Some(Found {
                path: format!("sources.{}.lifecycle.{key}", record.source),
                attribute,
                value,
            })
        })
    }

    fn zone_of(
        &self,
        records: &[&SourceRecord],
        zones: &TimeZoneDatabase,
    ) -> Result<TimeZone, ExpressionError> {
        match self.first(records, ZONE) {
            Some(found) => found
                .value
                .as_str()
                .and_then(|name| zones.get(name).ok())
                .ok_or_else(|| {
                    problem(
                        &found.path,
                        found.attribute,
                        "is not the name of a time zone, like Europe/Berlin",
                    )
                }),
            None => zones
                .get(&self.zone)
                .map_err(|_| problem("zone", &self.zone, "there is no time zone of this name")),
        }
    }
}

/// An attribute found for a lifecycle date.
struct Found<'p, 'r> {
    path: String,
    attribute: &'p str,
    value: &'r Value,
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
        let message = "is not a date like 2026-03-02 nor an instant like 2026-03-02T08:00:00+01:00";
        problem(&found.path, found.attribute, message)
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
