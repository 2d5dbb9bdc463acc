//! Values between guests and PostgreSQL. Bound values go as text of the type the server inferred; results come in its binary forms.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::BytesMut;
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, ToSpan as _};
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};
use tokio_postgres::{Column, Row};

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

/// A value of a row.
pub(super) fn cell(row: &Row, index: usize, column: &Column) -> Result<SqlValue, SqlError> {
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

/// Days and microseconds are counted from here.
const EPOCH: Date = Date::constant(2000, 1, 1);

fn date(raw: &[u8]) -> Option<String> {
    Some(match i32::from_be_bytes(raw.try_into().ok()?) {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => EPOCH.checked_add(days.days()).ok()?.to_string(),
    })
}

fn time(raw: &[u8]) -> Option<String> {
    let since_midnight = microseconds(raw)?;
    // PostgreSQL has a 24:00.
    if since_midnight == 86_400_000_000 {
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
            let epoch = DateTime::from_parts(EPOCH, Time::midnight());
            let when = epoch.checked_add(SignedDuration::from_micros(since)).ok()?;
            format!("{when}{zone}")
        }
    })
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
