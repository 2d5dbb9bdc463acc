//! One cell: from text to a value of the type the policy gives the column.

use jiff::Timestamp;
use jiff::civil::Date;
use usher_lifecycle::facts::When;
use usher_lifecycle::policy::ColumnKind;

/// Most bytes of one cell. A longer one is a broken quote, not a fact about a person.
pub(super) const FIELD_BYTES_MAX: usize = 64 * 1024;
/// Most values of one list cell.
const LIST_VALUES_MAX: usize = 1_000;

/// A cell that was read. Empty text and white space mean absent; text is trimmed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    Absent,
    Text(&'a str),
    Integer(i64),
    Boolean(bool),
    List(Vec<&'a str>),
}

/// Reads a cell. The error says what is wrong and what would be right.
pub(super) fn read<'a>(kind: &ColumnKind, raw: &'a str) -> Result<Cell<'a>, String> {
    let text = raw.trim();
    if text.is_empty() {
        return Ok(Cell::Absent);
    }
    match kind {
        ColumnKind::Text => Ok(Cell::Text(text)),
        ColumnKind::Date => when(text).map(|_| Cell::Text(text)),
        ColumnKind::Integer => text
            .parse()
            .map(Cell::Integer)
            .map_err(|_| format!("`{}` is not a whole number such as 42", shown(text))),
        ColumnKind::Boolean => boolean(text)
            .map(Cell::Boolean)
            .ok_or_else(|| format!("`{}` is neither true nor false", shown(text))),
        ColumnKind::List { separator } => list(text, separator).map(Cell::List),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Lists are sets: empty and repeated values are left out.
fn list<'a>(text: &'a str, separator: &str) -> Result<Vec<&'a str>, String> {
    let mut values: Vec<&str> = Vec::new();
    for value in text
        .split(separator)
        .map(str::trim)
        .filter(|value| !value.is_empty())
    {
        if !values.contains(&value) {
            values.push(value);
        }
        if values.len() > LIST_VALUES_MAX {
            return Err(format!("more than {LIST_VALUES_MAX} values in one list"));
        }
    }
    Ok(values)
}

/// Reads a day (`2026-03-02`) or an instant with an offset (`2026-03-02T08:00:00Z`).
pub(super) fn when(text: &str) -> Result<When, String> {
    let bytes = text.as_bytes();
    let day_shaped = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if day_shaped {
        return text
            .parse::<Date>()
            .map(When::Day)
            .map_err(|_| format!("there is no day {text}"));
    }
    if text.contains('T')
        && let Ok(instant) = text.parse::<Timestamp>()
    {
        return Ok(When::Instant(instant));
    }
    Err(format!(
        "`{}` is not a date: write 2026-03-02 (or, for an instant, 2026-03-02T08:00:00Z)",
        shown(text)
    ))
}

/// A value as shown in a message: short, on one line, nothing a terminal would obey.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_CHARS: usize = 40;
    let mut short: String = text.chars().take(SHOWN_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
        .chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_reads_what_it_should_and_nothing_else() {
        let list = ColumnKind::List {
            separator: ";".to_owned(),
        };
        assert_eq!(read(&ColumnKind::Text, "  Zoë "), Ok(Cell::Text("Zoë")));
        assert_eq!(read(&ColumnKind::Text, " \t"), Ok(Cell::Absent));
        assert_eq!(read(&ColumnKind::Integer, "-7"), Ok(Cell::Integer(-7)));
        assert_eq!(read(&ColumnKind::Boolean, "Yes"), Ok(Cell::Boolean(true)));
        assert_eq!(read(&list, "b; a ;;b"), Ok(Cell::List(vec!["b", "a"])));
        assert_eq!(
            read(&ColumnKind::Date, "2026-03-02"),
            Ok(Cell::Text("2026-03-02"))
        );
        assert_eq!(
            read(&ColumnKind::Date, "2026-03-02T08:00:00+01:00"),
            Ok(Cell::Text("2026-03-02T08:00:00+01:00"))
        );
        for (kind, text) in [
            (ColumnKind::Integer, "4.5"),
            (ColumnKind::Integer, "99999999999999999999"),
            (ColumnKind::Boolean, "maybe"),
            (ColumnKind::Date, "2026-02-30"),
            (ColumnKind::Date, "02.03.2026"),
            (ColumnKind::Date, "2026-3-2"),
            (ColumnKind::Date, "20260302"),
            (ColumnKind::Date, "2026-03-02T08:00:00"),
            (ColumnKind::Date, "٢٠٢٦-٠٣-٠٢"),
        ] {
            assert!(read(&kind, text).is_err(), "{text}");
        }
    }
}
