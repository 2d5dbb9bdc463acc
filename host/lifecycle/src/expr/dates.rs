//! Days, as texts like `2026-03-02`: what sources give and most targets take. There is no today: what depends on it would be another answer
//! each day, and is decided by the person's state and by assignments instead.

use cel::ExecutionError;
use cel::common::types::{CelInt, CelString};
use jiff::civil::Date;
use jiff::fmt::strtime;
use jiff::{Span, Timestamp};

type Answer<T> = Result<T, ExecutionError>;

/// What a pattern of `formatDate` may have after a `%`: the rest of strftime is about times, or makes much from little.
const CONVERSIONS: &str = "YymdejBbAa%";

/// Whether `formatDate` takes a pattern.
pub(super) fn is_date_pattern(pattern: &str) -> bool {
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        if c == '%'
            && !rest
                .next()
                .is_some_and(|conversion| CONVERSIONS.contains(conversion))
        {
            return false;
        }
    }
    true
}

/// `date(text)`: the day of a date or of an instant (as it is written there).
pub(super) fn date(text: &CelString<'_>) -> Answer<CelString<'static>> {
    Ok(shown(read("date", text)?))
}

/// `day.addDays(n)`, also backwards.
pub(super) fn add_days(text: &CelString<'_>, days: &CelInt) -> Answer<CelString<'static>> {
    add("addDays", text, Span::new().try_days(*days.inner()))
}

/// `day.addMonths(n)`: the last day of the month where the month is shorter.
pub(super) fn add_months(text: &CelString<'_>, months: &CelInt) -> Answer<CelString<'static>> {
    add("addMonths", text, Span::new().try_months(*months.inner()))
}

/// `day.daysUntil(other)`: negative when the other is earlier.
pub(super) fn days_until(text: &CelString<'_>, other: &CelString<'_>) -> Answer<CelInt> {
    let (from, to) = (read("daysUntil", text)?, read("daysUntil", other)?);
    let days = from.until(to).map_err(|_| wrong("daysUntil"))?.get_days();
    Ok(CelInt::from(i64::from(days)))
}

/// `day.year()`.
pub(super) fn year(text: &CelString<'_>) -> Answer<CelInt> {
    Ok(CelInt::from(i64::from(read("year", text)?.year())))
}

/// `day.month()`: from 1.
pub(super) fn month(text: &CelString<'_>) -> Answer<CelInt> {
    Ok(CelInt::from(i64::from(read("month", text)?.month())))
}

/// `day.day()`: of the month, from 1.
pub(super) fn day(text: &CelString<'_>) -> Answer<CelInt> {
    Ok(CelInt::from(i64::from(read("day", text)?.day())))
}

/// `day.formatDate('%d.%m.%Y')`; names of months and days are English.
pub(super) fn format_date(text: &CelString<'_>, pattern: &CelString<'_>) -> Answer<CelString<'static>> {
    let day = read("formatDate", text)?;
    if !is_date_pattern(pattern.inner()) {
        return Err(wrong("formatDate"));
    }
    let formatted = strtime::format(pattern.inner(), day);
    formatted.map(CelString::from).map_err(|_| wrong("formatDate"))
}

fn add(function: &str, text: &CelString<'_>, span: Result<Span, jiff::Error>) -> Answer<CelString<'static>> {
    let day = read(function, text)?;
    let later = span.and_then(|span| day.checked_add(span));
    later.map(shown).map_err(|_| wrong(function))
}

fn read(function: &str, text: &CelString<'_>) -> Answer<Date> {
    let text = text.inner().trim();
    // jiff takes the date out of any longer text, too: what is longer must be an instant.
    let whole = text.len() == "2026-03-02".len() || text.parse::<Timestamp>().is_ok();
    text.parse::<Date>()
        .ok()
        .filter(|_| whole)
        .ok_or_else(|| wrong(function))
}

fn shown(day: Date) -> CelString<'static> {
    CelString::from(day.to_string())
}

/// Without the value: it may be a person's.
fn wrong(function: &str) -> ExecutionError {
    ExecutionError::function_error(function, "not a day")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> CelString<'static> {
        CelString::from(text.to_owned())
    }

    #[test]
    fn days_are_read_added_and_formatted() {
        let of = |answer: Answer<CelString<'static>>| {
            answer
                .map(|text| text.inner().to_owned())
                .unwrap_or_else(|_| "wrong".to_owned())
        };
        for (given, expected) in [
            ("2026-03-02", "2026-03-02"),
            (" 2026-03-02 ", "2026-03-02"),
            ("2026-03-02T23:30:00-08:00", "2026-03-02"),
            ("2026-02-30", "wrong"),
            ("2026-03-02 and more", "wrong"),
            ("02.03.2026", "wrong"),
            ("", "wrong"),
        ] {
            assert_eq!(of(date(&text(given))), expected, "{given}");
        }
        for (given, days, expected) in [
            ("2028-02-28", 1, "2028-02-29"),
            ("2026-03-02", -2, "2026-02-28"),
            ("9999-12-31", 1, "wrong"),
            ("2026-03-02", i64::MAX, "wrong"),
        ] {
            assert_eq!(of(add_days(&text(given), &CelInt::from(days))), expected);
        }
        assert_eq!(
            of(add_months(&text("2026-01-31"), &CelInt::from(1))),
            "2026-02-28"
        );
        assert_eq!(
            *days_until(&text("2026-03-02"), &text("2026-02-28"))
                .unwrap()
                .inner(),
            -2
        );
        for (pattern, expected) in [
            ("%d.%m.%Y", "02.03.2026"),
            ("%e %B %y (%A, %j)", " 2 March 26 (Monday, 061)"),
            ("100%%", "100%"),
            ("%H", "wrong"),
            ("%9999999d", "wrong"),
            ("%", "wrong"),
        ] {
            assert_eq!(
                of(format_date(&text("2026-03-02"), &text(pattern))),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn every_conversion_stays_below_the_bound() {
        for conversion in CONVERSIONS.chars() {
            for day in ["-009999-01-01", "9999-09-30", "2026-09-30"] {
                let day: Date = day.parse().unwrap();
                let made = strtime::format(format!("%{conversion}"), day).unwrap();
                assert!(
                    made.len() <= 2 * super::super::functions::PATTERN_GROWTH as usize,
                    "%{conversion}: {made}"
                );
            }
        }
    }
}
