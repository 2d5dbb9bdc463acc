//! Users as rows.

use usher_sdk::prelude::*;
use usher_sdk::sql::{SqlError, SqlErrorKind, Value as Sql};

use crate::new_account::{NewAccount, bound, key_of};
use crate::settings::Delete;
use crate::tables::Tables;
use crate::{SqlTables, values};

/// Most rows of a page: the host gives at most 1,000 rows for one query, and a page must stay below 1 MiB.
const MAX_PAGE_ROWS: u32 = 500;

/// Most accounts `find` looks at: more than one is ambiguous anyway.
const MAX_FOUND: i64 = 10;

impl Accounts for SqlTables {
    fn schema(&self) -> Result<Schema, Error> {
        let mut schema = Schema::new();
        let tables = Tables::new(&self.settings, usher_sdk::sql::Dialect::Sqlite)?;
        for (name, column) in &self.settings.users.columns {
            let mut attribute = match column.kind {
                crate::settings::ColumnType::Text => Attribute::text(),
                crate::settings::ColumnType::Integer => Attribute::integer(),
                crate::settings::ColumnType::Boolean => Attribute::boolean(),
            };
            let is_id_source = self.settings.users.id_from.as_ref() == Some(name);
            if column.required || is_id_source || self.settings.key.contains(name) {
                attribute = attribute.required();
            }
            if is_id_source || self.settings.key == [name.as_str()] {
                attribute = attribute.unique();
            }
            if is_id_source || tables.is_id(name) {
                attribute = attribute.create_only();
            }
            schema = schema.attribute(name, attribute);
        }
        Ok(schema)
    }

    fn create(&self, write: &Write, attributes: &Attributes) -> Result<Account, Error> {
        let tables = self.tables()?;
        let new = NewAccount::read(&tables, attributes)?;
        match self.endpoint.execute(&[new.insert(&tables, write)?]) {
            Ok(changed) if changed.first().is_some_and(|rows| *rows > 0) => {
                let found = self
                    .created(&tables, write, &new)
                    .map_err(Error::effect_applied)?;
                let lost =
                    || Error::other("row-vanished", "the new row is not there any more").effect_applied();
                found.ok_or_else(lost)
            }
            Ok(_) => self.taken(&tables, write, &new)?.unwrap_or_else(|| {
                Err(Error::unavailable(
                    "an account with this key was there and is gone again",
                ))
            }),
            Err(error) if error.kind == SqlErrorKind::Constraint => self
                .taken(&tables, write, &new)?
                .unwrap_or_else(|| Err(error.into())),
            Err(error) => Err(error.into()),
        }
    }

    fn update(&self, _: &Write, id: &str, request: &UpdateRequest) -> Result<Account, Error> {
        let tables = self.tables()?;
        let current = self.required(id)?;
        let mut set = Vec::new();
        for (name, value) in request.new_values() {
            if current.attributes.get(name).unwrap_or(&Value::Null) == value {
                continue;
            }
            if tables.is_id(name) || self.settings.users.id_from.as_deref() == Some(name) {
                return Err(Error::unsupported(format!(
                    "attribute `{name}` is the id of the account and never changes"
                )));
            }
            let (column, kind) = tables.column(name)?;
            set.push((column, values::bind(&tables.dialect, name, kind, value)?));
        }
        if set.is_empty() {
            return Ok(current);
        }
        let mut wanted = current.attributes;
        request.apply_to(&mut wanted);
        self.refuse_taken_key(&tables, id, &wanted)?;
        self.set(&tables, id, set).map_err(|error| match error.kind {
            SqlErrorKind::Constraint => match self.refuse_taken_key(&tables, id, &wanted) {
                Err(conflict) => conflict,
                Ok(()) => error.into(),
            },
            _ => error.into(),
        })?;
        self.required(id)
    }

    fn set_enabled(&self, _: &Write, id: &str, enabled: bool) -> Result<Account, Error> {
        let Some(status) = &self.settings.users.status else {
            return Err(Error::unsupported(
                "settings: `users.status`: accounts cannot be disabled without it",
            ));
        };
        let tables = self.tables()?;
        let value = if enabled {
            &status.enabled
        } else {
            &status.disabled
        };
        let column = tables.quoted(&status.column)?;
        let set = self.set(
            &tables,
            id,
            vec![(column, values::scalar(&tables.dialect, value))],
        );
        // Who is not there is said first: an id that no row can have is refused as a value.
        let account = self.required(id);
        set?;
        account
    }

    fn delete(&self, _: &Write, id: &str) -> Result<(), Error> {
        match self.settings.delete {
            Delete::Row => (),
            Delete::Never => {
                return Err(Error::unsupported(
                    "settings: `delete`: accounts are never deleted",
                ));
            }
        }
        let tables = self.tables()?;
        let Some(key) = tables.account_id(id) else {
            return Ok(());
        };
        let mut statements = Vec::new();
        if self.settings.memberships.is_some() {
            let names = tables.memberships()?;
            let text = tables.text(format!("DELETE FROM {} WHERE ", names.table));
            statements.push(text.exactly(&names.user, &key).done());
        }
        let text = tables.text(format!("DELETE FROM {} WHERE ", tables.users));
        statements.push(text.exactly(&tables.id, &key).done());
        match self.endpoint.execute(&statements) {
            Ok(_) => Ok(()),
            // An id that no row can have.
            Err(error) if error.kind == SqlErrorKind::Constraint && self.get(id)?.is_none() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn get(&self, id: &str) -> Result<Option<Account>, Error> {
        let tables = self.tables()?;
        match tables.account_id(id) {
            Some(key) => Ok(self
                .select(&tables, &[(tables.id.clone(), key)])?
                .into_iter()
                .find(|account| account.id == id)),
            None => Ok(None),
        }
    }

    fn find(&self, query: &Find) -> Result<Vec<Account>, Error> {
        let tables = self.tables()?;
        let conditions = match query {
            Find::Marker(intent) => {
                let Some(marker) = &self.settings.users.marker else {
                    return Err(Error::unsupported(
                        "settings: `users.marker`: no marker is kept without it",
                    ));
                };
                vec![(tables.quoted(marker)?, Sql::from(intent.as_str()))]
            }
            Find::Unique(key) => bound(&tables, key.iter())?,
        };
        if conditions.is_empty() {
            return Err(Error::invalid("find: no attributes were given"));
        }
        self.select(&tables, &conditions)
    }

    fn list(&self, cursor: Option<&str>, limit: u32) -> Result<Page<Account>, Error> {
        let tables = self.tables()?;
        let limit = limit.min(MAX_PAGE_ROWS);
        let mut text = tables.text(tables.select()?);
        if let Some(cursor) = cursor {
            let Some(after) = tables.account_id(cursor) else {
                return Err(Error::invalid("list: the cursor is not one this connector gave"));
            };
            text = text.sql(format!(" WHERE {} > ", tables.id)).bind(after);
        }
        let text = text
            .sql(format!(" ORDER BY {} LIMIT ", tables.id))
            .bind(i64::from(limit).into());
        let statement = text.done();
        let rows = self.endpoint.query(statement.sql, statement.parameters)?.rows;
        let accounts: Vec<Account> = rows
            .into_iter()
            .map(|row| tables.account(row))
            .collect::<Result<_, _>>()?;
        let full = accounts.len() >= limit as usize;
        let next = accounts.last().filter(|_| full).map(|account| account.id.clone());
        Ok(Page::new(accounts, next))
    }
}

impl SqlTables {
    fn required(&self, id: &str) -> Result<Account, Error> {
        self.get(id)?.ok_or_else(|| {
            Error::not_found(format!(
                "table `{}` has no user `{id}`",
                self.settings.users.table
            ))
        })
    }

    fn set(&self, tables: &Tables<'_>, id: &str, set: Vec<(String, Sql)>) -> Result<(), SqlError> {
        let Some(key) = tables.account_id(id) else {
            return Ok(());
        };
        let mut text = tables.text(format!("UPDATE {} SET ", tables.users));
        for (position, (column, value)) in set.into_iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            text = text.sql(format!("{comma}{column} = ")).bind(value);
        }
        let statement = text.sql(" WHERE ").exactly(&tables.id, &key).done();
        self.endpoint.execute(&[statement]).map(|_| ())
    }

    fn select(&self, tables: &Tables<'_>, conditions: &[(String, Sql)]) -> Result<Vec<Account>, Error> {
        let text = tables.text(tables.select()?).sql(" WHERE ").all_equal(conditions);
        let text = text
            .sql(format!(" ORDER BY {} LIMIT ", tables.id))
            .bind(MAX_FOUND.into());
        let statement = text.done();
        match self.endpoint.query(statement.sql, statement.parameters) {
            Ok(found) => found.rows.into_iter().map(|row| tables.account(row)).collect(),
            // A value that its column cannot hold: no row has it.
            Err(error) if error.kind == SqlErrorKind::Constraint => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// The row just made.
    fn created(
        &self,
        tables: &Tables<'_>,
        write: &Write,
        new: &NewAccount,
    ) -> Result<Option<Account>, Error> {
        let conditions = match (&self.settings.users.marker, &new.id) {
            (_, Some(id)) => vec![(tables.id.clone(), id.clone())],
            (Some(marker), None) => vec![(tables.quoted(marker)?, Sql::from(write.intent_id.as_str()))],
            (None, None) => new.key.clone(),
        };
        Ok(self.select(tables, &conditions)?.into_iter().next())
    }

    /// Who is in the way of a new account: that is a conflict, unless it is the very account an earlier attempt made.
    fn taken(
        &self,
        tables: &Tables<'_>,
        write: &Write,
        new: &NewAccount,
    ) -> Result<Option<Result<Account, Error>>, Error> {
        let by_id = new.id.iter().map(|id| vec![(tables.id.clone(), id.clone())]);
        let by_key = (!new.key.is_empty()).then(|| new.key.clone());
        let mut ways = by_id.chain(by_key).collect::<Vec<_>>();
        if let Some(marker) = &self.settings.users.marker {
            ways.insert(
                0,
                vec![(tables.quoted(marker)?, Sql::from(write.intent_id.as_str()))],
            );
        }
        for conditions in ways {
            if let Some(there) = self.select(tables, &conditions)?.into_iter().next() {
                return Ok(Some(
                    if there.marker.as_deref() == Some(write.intent_id.as_str()) {
                        Ok(there)
                    } else {
                        Err(conflict(&there.id))
                    },
                ));
            }
        }
        Ok(None)
    }

    /// Another account that has the key these attributes make.
    fn refuse_taken_key(&self, tables: &Tables<'_>, id: &str, wanted: &Attributes) -> Result<(), Error> {
        if self.settings.key.is_empty() {
            return Ok(());
        }
        let key = key_of(tables, wanted)?;
        match self
            .select(tables, &key)?
            .into_iter()
            .find(|account| account.id != id)
        {
            Some(other) => Err(conflict(&other.id)),
            None => Ok(()),
        }
    }
}

fn conflict(existing: &str) -> Error {
    Error::conflict(format!("the key belongs to user `{existing}`")).existing(existing)
}
