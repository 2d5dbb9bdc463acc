//! Values between guests and MySQL or MariaDB.

use mysql_async::consts::ColumnType;
use mysql_async::{Column, Params, Value};

use crate::sql::{SqlError, SqlErrorKind, SqlValue};

/// The character set of what is not text.
const BINARY: u16 = 63;

/// The values of a statement.
pub(super) fn bind(statement: &mysql_async::Statement, values: &[SqlValue]) -> Result<Params, SqlError> {
    let wanted = usize::from(statement.num_params());
    if wanted != values.len() {
        let why = format!(
            "the statement has {wanted} placeholders and {} values",
            values.len()
        );
        return Err(SqlError::new(SqlErrorKind::InvalidStatement, why));
    }
    if values.is_empty() {
        return Ok(Params::Empty);
    }
    let values = values.iter().map(|value| match value {
        SqlValue::Null => Value::NULL,
        SqlValue::Boolean(value) => Value::Int(i64::from(*value)),
        SqlValue::Integer(value) => Value::Int(*value),
        SqlValue::Real(value) => Value::Double(*value),
        SqlValue::Text(value) => Value::Bytes(value.clone().into_bytes()),
        SqlValue::Blob(value) => Value::Bytes(value.clone()),
    });
    Ok(Params::Positional(values.collect()))
}

/// What a column holds, as far as guests are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Number,
    Text,
    Bytes,
    Bits,
    Date,
    DateTime,
    /// A moment: sessions keep time in UTC.
    Timestamp,
    Time,
}

/// The form of a column; nothing when guests have none for it.
fn form(column: &Column) -> Option<Form> {
    use ColumnType as T;
    Some(match column.column_type() {
        T::MYSQL_TYPE_TINY
        | T::MYSQL_TYPE_SHORT
        | T::MYSQL_TYPE_INT24
        | T::MYSQL_TYPE_LONG
        | T::MYSQL_TYPE_LONGLONG
        | T::MYSQL_TYPE_YEAR
        | T::MYSQL_TYPE_FLOAT
        | T::MYSQL_TYPE_DOUBLE
        | T::MYSQL_TYPE_NULL => Form::Number,
        T::MYSQL_TYPE_DECIMAL
        | T::MYSQL_TYPE_NEWDECIMAL
        | T::MYSQL_TYPE_JSON
        | T::MYSQL_TYPE_ENUM
        | T::MYSQL_TYPE_SET => Form::Text,
        T::MYSQL_TYPE_VARCHAR
        | T::MYSQL_TYPE_VAR_STRING
        | T::MYSQL_TYPE_STRING
        | T::MYSQL_TYPE_TINY_BLOB
        | T::MYSQL_TYPE_MEDIUM_BLOB
        | T::MYSQL_TYPE_LONG_BLOB
        | T::MYSQL_TYPE_BLOB => {
            if column.character_set() == BINARY {
                Form::Bytes
            } else {
                Form::Text
            }
        }
        T::MYSQL_TYPE_BIT => Form::Bits,
        T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => Form::Date,
        T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2 => Form::DateTime,
        T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2 => Form::Timestamp,
        T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2 => Form::Time,
        _ => return None,
    })
}

/// Whether a column can be given to a guest.
pub(super) fn check_type(column: &Column) -> Result<(), SqlError> {
    match form(column) {
        Some(_) => Ok(()),
        None => {
            let what = format!("{:?}", column.column_type());
            let what = what.trim_start_matches("MYSQL_TYPE_").to_ascii_lowercase();
            Err(SqlError::unsupported_type(&column.name_str(), &what))
        }
    }
}

/// A value of a row.
pub(super) fn cell(value: Value, column: &Column) -> Result<SqlValue, SqlError> {
    let form = form(column);
    let strange = || {
        let why = format!(
            "column `{}`: the database sent what its type does not allow",
            column.name_str()
        );
        SqlError::new(SqlErrorKind::Other("mysql-value".to_owned()), why)
    };
    Ok(match (value, form) {
        (Value::NULL, _) => SqlValue::Null,
        (Value::Int(value), _) => SqlValue::Integer(value),
        (Value::UInt(value), _) => SqlValue::Integer(i64::try_from(value).map_err(|_| too_large(column))?),
        // By its shortest text: 0.1 is not to become 0.10000000149.
        (Value::Float(value), _) => SqlValue::Real(value.to_string().parse().map_err(|_| strange())?),
        (Value::Double(value), _) => SqlValue::Real(value),
        (Value::Bytes(bytes), Some(Form::Bits)) => {
            SqlValue::Integer(bits(&bytes).ok_or_else(|| too_large(column))?)
        }
        (Value::Bytes(bytes), Some(Form::Bytes)) => SqlValue::Blob(bytes),
        (Value::Bytes(bytes), _) => SqlValue::Text(String::from_utf8(bytes).map_err(|_| {
            let why = "a text of the database is not UTF-8";
            SqlError::new(SqlErrorKind::Other("text-encoding".to_owned()), why)
        })?),
        (Value::Date(year, month, day, hour, minute, second, micros), form) => {
            let date = format!("{year:04}-{month:02}-{day:02}");
            let zone = if form == Some(Form::Timestamp) { "Z" } else { "" };
            SqlValue::Text(match form {
                Some(Form::Date) => date,
                _ => format!(
                    "{date}T{hour:02}:{minute:02}:{second:02}{}{zone}",
                    fraction(micros)
                ),
            })
        }
        (Value::Time(negative, days, hours, minutes, seconds, micros), _) => {
            let sign = if negative { "-" } else { "" };
            let hours = u64::from(days) * 24 + u64::from(hours);
            SqlValue::Text(format!(
                "{sign}{hours:02}:{minutes:02}:{seconds:02}{}",
                fraction(micros)
            ))
        }
    })
}

fn too_large(column: &Column) -> SqlError {
    SqlError::unsupported_type(&column.name_str(), "a number beyond 64 bits with a sign")
}

/// Without zeros at its end, as ISO 8601 times of the other databases are.
fn fraction(micros: u32) -> String {
    if micros == 0 {
        return String::new();
    }
    format!(".{micros:06}").trim_end_matches('0').to_owned()
}

fn bits(bytes: &[u8]) -> Option<i64> {
    let number = bytes.iter().try_fold(0_u64, |number, byte| {
        Some(number.checked_mul(256)? + u64::from(*byte))
    });
    number.and_then(|number| i64::try_from(number).ok())
}
