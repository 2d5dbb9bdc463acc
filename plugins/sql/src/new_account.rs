//! A user that is to be made: its columns, and what must not be there yet.

use usher_sdk::prelude::*;
use usher_sdk::sql::{Dialect, Statement, Value as Sql};

use crate::tables::Tables;
use crate::values;

/// An account that is to be made.
pub(crate) struct NewAccount {
    columns: Vec<(String, Sql)>,
    /// What must not be there yet.
    pub(crate) key: Vec<(String, Sql)>,
    /// Its id, when we choose it.
    pub(crate) id: Option<Sql>,
}

impl NewAccount {
    /// Checks the attributes and finds their columns.
    pub(crate) fn read(tables: &Tables<'_>, attributes: &Attributes) -> Result<Self, Error> {
        let settings = tables.settings;
        for name in settings.key.iter().chain(&settings.users.id_from) {
            if attributes
                .get(name)
                .is_none_or(|value| value.as_str() == Some(""))
            {
                return Err(Error::invalid(format!(
                    "attribute `{name}` is required and must not be empty"
                )));
            }
        }
        let mut columns = bound(tables, attributes.iter())?;
        let mut id = None;
        if let Some(name) = &settings.users.id_from {
            let (_, kind) = tables.column(name)?;
            let value = attributes.get(name).unwrap_or(&Value::Null);
            let value = values::bind(&tables.dialect, name, kind, value)?;
            if !tables.is_id(name) {
                columns.push((tables.id.clone(), value.clone()));
            }
            id = Some(value);
        }
        Ok(Self {
            columns,
            key: key_of(tables, attributes)?,
            id,
        })
    }

    /// One statement that makes the row or, when the key is taken, does nothing.
    pub(crate) fn insert(&self, tables: &Tables<'_>, write: &Write) -> Result<Statement, Error> {
        let users = &tables.settings.users;
        let mut columns = self.columns.clone();
        if let Some(status) = &users.status {
            columns.push((
                tables.quoted(&status.column)?,
                values::scalar(&tables.dialect, &status.enabled),
            ));
        }
        if let Some(marker) = &users.marker {
            columns.push((tables.quoted(marker)?, Sql::from(write.intent_id.as_str())));
        }
        let mut ways: Vec<Vec<(String, Sql)>> = Vec::new();
        ways.extend(self.id.iter().map(|id| vec![(tables.id.clone(), id.clone())]));
        ways.extend((!self.key.is_empty()).then(|| self.key.clone()));
        if let Some(marker) = &users.marker {
            ways.push(vec![(
                tables.quoted(marker)?,
                Sql::from(write.intent_id.as_str()),
            )]);
        }
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let mut text = tables
            .text(format!(
                "INSERT INTO {} ({}) SELECT ",
                tables.users,
                names.join(", ")
            ))
            .bind_all(columns.iter().map(|(_, value)| value.clone()))
            .sql(match tables.dialect {
                // MariaDB has no WHERE without a FROM.
                Dialect::Mysql => " FROM DUAL",
                Dialect::Sqlite | Dialect::Postgresql | Dialect::Other(_) => "",
            })
            .sql(format!(
                " WHERE NOT EXISTS (SELECT 1 FROM {} WHERE ",
                tables.users
            ));
        for (position, conditions) in ways.iter().enumerate() {
            text = text
                .sql(if position == 0 { "(" } else { " OR (" })
                .all_equal(conditions)
                .sql(")");
        }
        Ok(text.sql(")").done())
    }
}

/// The key these attributes make, as quoted columns and values.
pub(crate) fn key_of(tables: &Tables<'_>, attributes: &Attributes) -> Result<Vec<(String, Sql)>, Error> {
    let key = tables.settings.key.iter();
    bound(
        tables,
        key.map(|name| (name.as_str(), attributes.get(name).unwrap_or(&Value::Null))),
    )
}

/// Attributes as quoted columns and values.
pub(crate) fn bound<'a>(
    tables: &Tables<'_>,
    attributes: impl Iterator<Item = (&'a str, &'a Value)>,
) -> Result<Vec<(String, Sql)>, Error> {
    attributes
        .map(|(name, value)| {
            let (column, kind) = tables.column(name)?;
            Ok((column, values::bind(&tables.dialect, name, kind, value)?))
        })
        .collect()
}
