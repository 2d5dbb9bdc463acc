//! Between JSON, settings, ids and values of the database.

use usher_sdk::prelude::*;
use usher_sdk::sql::{Dialect, Value as Sql};

use crate::settings::{ColumnType, IdType, Scalar};

/// An attribute's value as the column takes it.
pub(crate) fn bind(dialect: &Dialect, name: &str, kind: ColumnType, value: &Value) -> Result<Sql, Error> {
    let bound = match (kind, value) {
        (_, Value::Null) => Some(Sql::Null),
        (ColumnType::Text, Value::String(text)) => Some(Sql::Text(text.clone())),
        (ColumnType::Integer, Value::Number(number)) => number.as_i64().map(Sql::Integer),
        (ColumnType::Boolean, Value::Bool(value)) => Some(boolean(dialect, *value)),
        (ColumnType::Text | ColumnType::Integer | ColumnType::Boolean, _) => None,
    };
    let wanted = match kind {
        ColumnType::Text => "text",
        ColumnType::Integer => "a whole number",
        ColumnType::Boolean => "true or false",
    };
    bound.ok_or_else(|| Error::invalid(format!("attribute `{name}` must be {wanted}")))
}

/// A column's value as an attribute; `None` for bytes, which no attribute can hold. A value of another type than the
/// settings say is shown as it is.
pub(crate) fn attribute(kind: ColumnType, value: &Sql) -> Option<Value> {
    match (kind, value) {
        (ColumnType::Boolean, Sql::Integer(number @ (0 | 1))) => Some(Value::Bool(*number == 1)),
        (ColumnType::Boolean | ColumnType::Text | ColumnType::Integer, value) => value.to_json(),
    }
}

/// A value of the settings as the database takes it.
pub(crate) fn scalar(dialect: &Dialect, value: &Scalar) -> Sql {
    match value {
        Scalar::Boolean(value) => boolean(dialect, *value),
        Scalar::Integer(value) => Sql::Integer(*value),
        Scalar::Text(value) => Sql::Text(value.clone()),
    }
}

/// Whether the database holds this value of the settings; true and 1, false and 0 are the same.
pub(crate) fn is_scalar(held: &Sql, wanted: &Scalar) -> bool {
    match (held, wanted) {
        (Sql::Boolean(held), Scalar::Boolean(wanted)) => held == wanted,
        (Sql::Integer(held), Scalar::Boolean(wanted)) => *held == i64::from(*wanted),
        (Sql::Boolean(held), Scalar::Integer(wanted)) => i64::from(*held) == *wanted,
        (Sql::Integer(held), Scalar::Integer(wanted)) => held == wanted,
        (Sql::Text(held), Scalar::Text(wanted)) => held == wanted,
        (Sql::Null | Sql::Real(_) | Sql::Blob(_) | Sql::Text(_) | Sql::Boolean(_) | Sql::Integer(_), _) => {
            false
        }
    }
}

/// An id as the database takes it; `None` when no row can have it.
pub(crate) fn id(kind: IdType, id: &str) -> Option<Sql> {
    match kind {
        IdType::Text => Some(Sql::Text(id.to_owned())),
        // `007` and `+7` are not the ids we gave out.
        IdType::Integer => id
            .parse::<i64>()
            .ok()
            .filter(|number| number.to_string() == id)
            .map(Sql::Integer),
    }
}

fn boolean(dialect: &Dialect, value: bool) -> Sql {
    match dialect {
        Dialect::Sqlite | Dialect::Mysql => Sql::Integer(i64::from(value)),
        Dialect::Postgresql | Dialect::Other(_) => Sql::Boolean(value),
    }
}
