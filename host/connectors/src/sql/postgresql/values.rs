//! Values between guests and PostgreSQL. Bound values go as text of the type the server inferred; results come in its binary forms.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::BytesMut;
use jiff::SignedDuration;
use jiff::civil::Time;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};
use tokio_postgres::{Column, Row};

use crate::sql::rows::Rows;
use crate::sql::{SqlError, SqlErrorKind, SqlValue};

type Failure = Box<dyn std::error::Error + Sync + Send>;

/// A value as text. What it is never shows: the library logs what is bound.
pub(super) struct Bound {
    text: Option<String>,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl ToSql for Bound {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        Ok(match &self.text {
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// The values of a statement, as texts of these types.
pub(super) fn bind(types: &[Type], values: &[SqlValue]) -> Result<Vec<Bound>, SqlError> {
    if types.len() != values.len() {
        let why = format!(
            "the statement has {} placeholders and {} values",
            types.len(),
            values.len()
        );
        return Err(SqlError::new(SqlErrorKind::InvalidStatement, why));
    }
    let pairs = types.iter().zip(values).enumerate();
    pairs
        .map(|(index, (ty, value))| match text(inner(ty), value) {
            Some(text) => Ok(Bound { text }),
            None => {
                let why = format!("value {} is bytes; the statement wants {}", index + 1, ty.name());
                Err(SqlError::new(SqlErrorKind::InvalidStatement, why))
            }
        })
        .collect()
}

/// The text of a value; the outer nothing when it has none in this type, the inner one for NULL.
fn text(ty: &Type, value: &SqlValue) -> Option<Option<String>> {
    let hexadecimal = |bytes: &[u8]| {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("\\x{digits}")
    };
    Some(Some(match value {
        SqlValue::Null => return Some(None),
        SqlValue::Boolean(value) if is_integer(ty) => i64::from(*value).to_string(),
        SqlValue::Boolean(value) => value.to_string(),
        SqlValue::Integer(value) => value.to_string(),
        SqlValue::Real(value) => real(*value),
        SqlValue::Text(value) if *ty == Type::BYTEA => hexadecimal(value.as_bytes()),
        SqlValue::Text(value) => value.clone(),
        SqlValue::Blob(value) if *ty == Type::BYTEA => hexadecimal(value),
        SqlValue::Blob(_) => return None,
    }))
}

fn real(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        value.to_string()
    }
}

fn is_integer(ty: &Type) -> bool {
    [Type::INT2, Type::INT4, Type::INT8].contains(ty)
}

/// What a domain is made of; any other type itself.
fn inner(ty: &Type) -> &Type {
    match ty.kind() {
        Kind::Domain(of) => inner(of),
        _ => ty,
    }
}

/// Whether a column can be given to a guest.
pub(super) fn check_type(column: &str, ty: &Type) -> Result<(), SqlError> {
    if decoder(ty).is_some() {
        Ok(())
    } else {
        Err(SqlError::unsupported_type(column, &format!("{:?}", ty.name())))
    }
}

/// A value of a row, if there is room for it.
pub(super) fn cell(row: &Row, index: usize, column: &Column, rows: &Rows) -> Result<SqlValue, SqlError> {
    let strange = || {
        let why = format!(
            "column `{}`: the database sent what its type does not allow",
            column.name()
        );
        SqlError::new(SqlErrorKind::Other("postgresql-value".to_owned()), why)
    };
    let raw: Option<Raw<'_>> = row.try_get(index).map_err(|_| strange())?;
    let Some(raw) = raw else { return Ok(SqlValue::Null) };
    let decode = decoder(column.type_()).ok_or_else(strange)?;
    rows.room_for(match *inner(column.type_()) {
        Type::NUMERIC => numeric_bytes(raw.0).ok_or_else(strange)?,
        _ => raw.0.len(),
    })?;
    decode(raw.0).ok_or_else(strange)
}

/// The bytes of a value, of whatever type.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

type Decoder = fn(&[u8]) -> Option<SqlValue>;

/// How values of a type are read; nothing when they have no form here.
fn decoder(ty: &Type) -> Option<Decoder> {
    let ty = inner(ty);
    Some(match *ty {
        Type::BOOL => |raw| Some(SqlValue::Boolean(*raw.first()? != 0)),
        Type::INT2 => |raw| Some(SqlValue::Integer(i16::from_be_bytes(raw.try_into().ok()?).into())),
        Type::INT4 => |raw| Some(SqlValue::Integer(i32::from_be_bytes(raw.try_into().ok()?).into())),
        Type::INT8 => |raw| Some(SqlValue::Integer(i64::from_be_bytes(raw.try_into().ok()?))),
        Type::OID => |raw| Some(SqlValue::Integer(u32::from_be_bytes(raw.try_into().ok()?).into())),
        // By its shortest text: 0.1 is not to become 0.10000000149.
        Type::FLOAT4 => |raw| {
            let value = f32::from_be_bytes(raw.try_into().ok()?);
            value.to_string().parse().ok().map(SqlValue::Real)
        },
        Type::FLOAT8 => |raw| Some(SqlValue::Real(f64::from_be_bytes(raw.try_into().ok()?))),
        // What functions return that return nothing.
        Type::VOID => |_| Some(SqlValue::Null),
        Type::BYTEA => |raw| Some(SqlValue::Blob(raw.to_vec())),
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::CHAR
        | Type::UNKNOWN
        | Type::JSON
        | Type::XML => utf8,
        Type::JSONB => |raw| match raw.split_first()? {
            (1, json) => utf8(json),
            _ => None,
        },
        Type::NUMERIC => |raw| numeric(raw).map(SqlValue::Text),
        Type::UUID => |raw| uuid(raw).map(SqlValue::Text),
        Type::DATE => |raw| date(raw).map(SqlValue::Text),
        Type::TIME => |raw| time(raw).map(SqlValue::Text),
        Type::TIMESTAMP => |raw| timestamp(raw, "").map(SqlValue::Text),
        Type::TIMESTAMPTZ => |raw| timestamp(raw, "Z").map(SqlValue::Text),
        Type::INET | Type::CIDR => |raw| network(raw).map(SqlValue::Text),
        _ if matches!(ty.kind(), Kind::Enum(_)) || ty.name() == "citext" => utf8,
        _ => return None,
    })
}

fn utf8(raw: &[u8]) -> Option<SqlValue> {
    Some(SqlValue::Text(std::str::from_utf8(raw).ok()?.to_owned()))
}

fn uuid(raw: &[u8]) -> Option<String> {
    let raw: [u8; 16] = raw.try_into().ok()?;
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    Some(parts.join("-"))
}

fn microseconds(raw: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(raw.try_into().ok()?))
}

/// Days from 0000-03-01 to 2000-01-01, from where PostgreSQL counts days and microseconds.
const EPOCH_DAYS: i64 = 730_425;
/// Days of 400 years: after them the calendar is the same again.
const ERA_DAYS: i64 = 146_097;
const DAY_MICROSECONDS: i64 = 86_400_000_000;

fn date(raw: &[u8]) -> Option<String> {
    Some(match i32::from_be_bytes(raw.try_into().ok()?) {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => day(days.into()),
    })
}

/// The date so many days after 2000-01-01, as ISO 8601 writes it: a year beyond 0 to 9999 has a sign and six digits, and the year
/// before 1 is 0. PostgreSQL has more years than date libraries know, and one mistyped year must not make a table unreadable.
fn day(days_after_2000: i64) -> String {
    let days = days_after_2000 + EPOCH_DAYS;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    // Years begin in March here, so that a leap day is the last of its year.
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, later) = if month_from_march < 10 {
        (month_from_march + 3, 0)
    } else {
        (month_from_march - 9, 1)
    };
    let year = era * 400 + year_of_era + later;
    if (0..=9_999).contains(&year) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:+07}-{month:02}-{day:02}")
    }
}

fn time(raw: &[u8]) -> Option<String> {
    let since_midnight = microseconds(raw)?;
    // PostgreSQL has a 24:00.
    if since_midnight == DAY_MICROSECONDS {
        return Some("24:00:00".to_owned());
    }
    let time = Time::midnight().checked_add(SignedDuration::from_micros(since_midnight));
    Some(time.ok()?.to_string())
}

fn timestamp(raw: &[u8], zone: &str) -> Option<String> {
    Some(match microseconds(raw)? {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        since => {
            let since_midnight = SignedDuration::from_micros(since.rem_euclid(DAY_MICROSECONDS));
            let time = Time::midnight().checked_add(since_midnight).ok()?;
            format!("{}T{time}{zone}", day(since.div_euclid(DAY_MICROSECONDS)))
        }
    })
}

/// How long the text of a number is, at most: a few bytes can be a number of 131,072 digits.
fn numeric_bytes(raw: &[u8]) -> Option<usize> {
    let word = |index: usize| Some(u16::from_be_bytes([*raw.get(index)?, *raw.get(index + 1)?]));
    let (weight, scale) = (word(2)?.cast_signed(), word(6)?);
    let whole = usize::try_from(i32::from(weight) + 1).unwrap_or(0) * 4;
    Some("-0.".len() + whole + usize::from(scale))
}

/// Base 10,000: count of digits, weight of the first, sign, digits after the point that are shown, the digits.
fn numeric(raw: &[u8]) -> Option<String> {
    let words: Vec<u16> = raw
        .chunks_exact(2)
        .map(|word| u16::from_be_bytes([word[0], word[1]]))
        .collect();
    let [count, weight, sign, scale, digits @ ..] = words.as_slice() else {
        return None;
    };
    let sign = match sign {
        0 => "",
        0x4000 => "-",
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    if digits.len() != usize::from(*count) {
        return None;
    }
    let weight = i32::from(weight.cast_signed());
    let digit = |position: i32| -> u16 {
        let index = usize::try_from(position).ok();
        index.and_then(|index| digits.get(index)).copied().unwrap_or(0)
    };
    let mut whole: String = (0..=weight)
        .map(|position| format!("{:04}", digit(position)))
        .collect();
    whole = whole.trim_start_matches('0').to_owned();
    if whole.is_empty() {
        whole.push('0');
    }
    let scale = usize::from(*scale);
    let groups = i32::try_from(scale.div_ceil(4)).ok()?;
    let mut fraction: String = (1..=groups)
        .map(|group| format!("{:04}", digit(weight + group)))
        .collect();
    fraction.truncate(scale);
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// Family, bits of the network, whether it is a `cidr`, bytes of the address, the address.
fn network(raw: &[u8]) -> Option<String> {
    let [_, bits, cidr, _, address @ ..] = raw else {
        return None;
    };
    let (address, all) = match address.len() {
        4 => (Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?).to_string(), 32),
        16 => (
            Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).to_string(),
            128,
        ),
        _ => return None,
    };
    Some(if *bits == all && *cidr == 0 {
        address
    } else {
        format!("{address}/{bits}")
    })
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use jiff::civil::{Date, DateTime};

    use super::*;

    /// Numbers all over the range, near both its ends, and near what tests give.
    fn numbers(from: i64, to: i64, near: &[i64]) -> impl Iterator<Item = i64> {
        let step = (to / 100_000 - from / 100_000) | 1;
        let over = (0..100_000).map(move |count| from.saturating_add(step.saturating_mul(count)).min(to));
        let edges = [from, to, 0].into_iter().chain(near.to_vec());
        over.chain(
            edges.flat_map(move |edge| {
                (-1_000..=1_000).map(move |off| edge.saturating_add(off).clamp(from, to))
            }),
        )
    }

    #[test]
    fn every_date_has_a_form_and_those_that_can_be_compared_are_right() {
        let epoch = Date::constant(2000, 1, 1);
        let near = [-730_119, -730_485, 2_921_939, 59, 60];
        for days in numbers(i32::MIN.into(), i32::MAX.into(), &near) {
            let days = i32::try_from(days).unwrap();
            let shown = date(&days.to_be_bytes()).unwrap();
            if (-730_485..=2_921_939).contains(&days) {
                let known = epoch.checked_add(days.days()).unwrap();
                assert_eq!(shown, known.to_string(), "{days}");
            }
        }
        for (days, expected) in [
            (i32::MAX, "infinity"),
            (i32::MIN, "-infinity"),
            (0, "2000-01-01"),
            (-730_120, "0000-12-31"),
            (2_921_940, "+010000-01-01"),
            // The first and the last PostgreSQL has: 4714-11-24 BC and 5874897-12-31.
            (-2_451_545, "-004713-11-24"),
            (2_145_031_948, "+5874897-12-31"),
        ] {
            assert_eq!(date(&days.to_be_bytes()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn every_moment_has_a_form_and_those_that_can_be_compared_are_right() {
        let epoch = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);
        let near = [-730_119 * DAY_MICROSECONDS, 2_921_940 * DAY_MICROSECONDS];
        for micros in numbers(i64::MIN, i64::MAX, &near) {
            let shown = timestamp(&micros.to_be_bytes(), "Z").unwrap();
            let known = epoch.checked_add(SignedDuration::from_micros(micros));
            if let Some(known) = known.ok().filter(|known| known.year() >= 0) {
                assert_eq!(shown, format!("{known}Z"), "{micros}");
            }
            let _ = time(&micros.to_be_bytes());
        }
        for (micros, expected) in [
            (i64::MAX, "infinity"),
            (i64::MIN, "-infinity"),
            (-1, "1999-12-31T23:59:59.999999"),
        ] {
            assert_eq!(timestamp(&micros.to_be_bytes(), "").as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_length_of_a_number_is_known_before_it_is_printed() {
        let words = |words: &[u16]| -> Vec<u8> { words.iter().flat_map(|word| word.to_be_bytes()).collect() };
        for (raw, shown_bytes) in [
            (words(&[0, 0, 0, 0]), 1),
            (words(&[1, 0, 0x4000, 0, 9_999]), 5),
            (words(&[1, 0xFFFF, 0, 4, 1]), 6),
            (words(&[1, 32_767, 0, 0, 1_000]), 131_072),
            (words(&[1, 0x8000, 0, 65_535, 1]), 65_537),
        ] {
            let shown = numeric(&raw).unwrap();
            assert_eq!(shown.len(), shown_bytes, "{raw:?}");
            assert!(numeric_bytes(&raw).unwrap() >= shown_bytes, "{raw:?}");
        }
        assert_eq!(numeric_bytes(&[0; 7]), None);
    }
}
