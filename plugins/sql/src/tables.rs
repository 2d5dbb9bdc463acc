//! The tables of the settings in the SQL of one dialect: quoted names, placeholders, and rows read back.

use usher_sdk::prelude::*;
use usher_sdk::sql::{Dialect, Statement, Value as Sql, placeholder, quote_identifier};

use crate::settings::{Column, ColumnType, IdType, Settings};
use crate::values;

/// The settings, and which SQL is spoken.
pub(crate) struct Tables<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) dialect: Dialect,
    /// The quoted table of users.
    pub(crate) users: String,
    /// The quoted column of the id.
    pub(crate) id: String,
}

/// The memberships, quoted.
pub(crate) struct MembershipNames {
    pub(crate) table: String,
    pub(crate) user: String,
    pub(crate) entitlement: String,
    pub(crate) entitlement_kind: IdType,
}

impl<'a> Tables<'a> {
    pub(crate) fn new(settings: &'a Settings, dialect: Dialect) -> Result<Self, Error> {
        let id = quote_identifier(&dialect, &settings.users.id)?;
        let mut tables = Self {
            settings,
            dialect,
            users: String::new(),
            id,
        };
        tables.users = tables.table(&settings.users.table)?;
        Ok(tables)
    }

    /// A table, quoted, in the schema of the settings.
    pub(crate) fn table(&self, name: &str) -> Result<String, Error> {
        let name = self.quoted(name)?;
        match &self.settings.schema {
            Some(schema) => Ok(format!("{}.{name}", self.quoted(schema)?)),
            None => Ok(name),
        }
    }

    /// Begins a statement.
    pub(crate) fn text(&self, sql: impl Into<String>) -> Text<'_> {
        Text {
            dialect: &self.dialect,
            sql: sql.into(),
            parameters: Vec::new(),
        }
    }

    /// A name, quoted.
    pub(crate) fn quoted(&self, name: &str) -> Result<String, Error> {
        quote_identifier(&self.dialect, name)
    }

    /// The quoted column of an attribute, and what it holds.
    pub(crate) fn column(&self, attribute: &str) -> Result<(String, ColumnType), Error> {
        let Some(column) = self.settings.users.columns.get(attribute) else {
            return Err(Error::invalid(format!(
                "attribute `{attribute}` has no column in the settings"
            )));
        };
        Ok((self.quoted(column_name(attribute, column))?, column.kind))
    }

    /// Whether an attribute is kept in the column of the id.
    pub(crate) fn is_id(&self, attribute: &str) -> bool {
        let users = &self.settings.users;
        let column = users
            .columns
            .get(attribute)
            .map(|column| column_name(attribute, column));
        column.is_some_and(|column| column.eq_ignore_ascii_case(&users.id))
    }

    /// `SELECT` of everything an account is read from, up to and with `FROM`.
    pub(crate) fn select(&self) -> Result<String, Error> {
        let users = &self.settings.users;
        let mut names = vec![self.id.clone()];
        let status = users.status.as_ref().map(|status| &status.column);
        for column in users.marker.iter().chain(status) {
            names.push(self.quoted(column)?);
        }
        for (attribute, column) in &users.columns {
            names.push(self.quoted(column_name(attribute, column))?);
        }
        Ok(format!("SELECT {} FROM {}", names.join(", "), self.users))
    }

    /// The columns a new account fills, but not an id that the database makes.
    pub(crate) fn written(&self) -> Result<Vec<String>, Error> {
        let users = &self.settings.users;
        let mut names = Vec::new();
        if let Some(attribute) = &users.id_from
            && !self.is_id(attribute)
        {
            names.push(self.id.clone());
        }
        let status = users.status.as_ref().map(|status| &status.column);
        for column in users.marker.iter().chain(status) {
            names.push(self.quoted(column)?);
        }
        for (attribute, column) in &users.columns {
            names.push(self.quoted(column_name(attribute, column))?);
        }
        Ok(names)
    }

    /// The account in a row of [`Tables::select`].
    pub(crate) fn account(&self, row: Vec<Sql>) -> Result<Account, Error> {
        let users = &self.settings.users;
        let mut values = row.into_iter();
        let mut next = || values.next().unwrap_or(Sql::Null);
        let Some(id) = next().to_id() else {
            let why = format!(
                "column `{}` of table `{}` holds an id that is neither text nor a whole number",
                users.id, users.table
            );
            return Err(Error::misconfigured(why));
        };
        let mut account = Account::new(id);
        if users.marker.is_some() {
            account.marker = next().to_id();
        }
        if let Some(status) = &users.status {
            let held = next();
            if values::is_scalar(&held, &status.enabled) {
                account = account.status(true);
            } else if values::is_scalar(&held, &status.disabled) {
                account = account.status(false);
            }
        }
        for (attribute, column) in &users.columns {
            if let Some(value) = values::attribute(column.kind, &next()) {
                account.attributes.set(attribute.clone(), value);
            }
        }
        Ok(account)
    }

    /// The memberships; misconfigured when the settings have none.
    pub(crate) fn memberships(&self) -> Result<MembershipNames, Error> {
        let Some(memberships) = &self.settings.memberships else {
            return Err(Error::misconfigured(
                "settings: `memberships`: accounts cannot hold anything without it",
            ));
        };
        Ok(MembershipNames {
            table: self.table(&memberships.table)?,
            user: self.quoted(&memberships.user)?,
            entitlement: self.quoted(&memberships.entitlement)?,
            entitlement_kind: memberships.entitlement_type.unwrap_or(IdType::Text),
        })
    }

    /// How the different ids in a column are asked for, one row each.
    pub(crate) fn distinct(&self, column: &str, kind: IdType) -> Distinct {
        if !matches!((&self.dialect, kind), (Dialect::Mysql, IdType::Text)) {
            return Distinct {
                shown: format!("DISTINCT {column}"),
                ..Distinct::already(column.to_owned())
            };
        }
        let bytes = bytes_of(column);
        Distinct {
            // All of a group are the same.
            shown: format!("MIN({column})"),
            grouped: format!(" GROUP BY {bytes}"),
            compared: bytes,
        }
    }

    /// The id of an account as the database takes it; `None` when no row can have it.
    pub(crate) fn account_id(&self, id: &str) -> Option<Sql> {
        values::id(self.settings.users.id_kind(), id)
    }
}

/// The ids in a column in the words of SQL. On MySQL texts that only count as equal are different ids, of which none may be left out.
pub(crate) struct Distinct {
    pub(crate) shown: String,
    /// A clause behind the conditions.
    pub(crate) grouped: String,
    /// What pages are ordered and cut by.
    pub(crate) compared: String,
}

impl Distinct {
    /// Of a column that holds each id once.
    pub(crate) fn already(column: String) -> Self {
        Self {
            shown: column.clone(),
            grouped: String::new(),
            compared: column,
        }
    }
}

/// A text on MySQL as bytes, which are only equal when they are the same.
fn bytes_of(column: &str) -> String {
    format!("CAST(CONVERT({column} USING utf8mb4) AS BINARY)")
}

fn column_name<'a>(attribute: &'a str, column: &'a Column) -> &'a str {
    column.column.as_deref().unwrap_or(attribute)
}

/// A statement being written: text and bound values side by side, so that their order cannot differ.
pub(crate) struct Text<'a> {
    dialect: &'a Dialect,
    sql: String,
    parameters: Vec<Sql>,
}

impl Text<'_> {
    /// More text.
    pub(crate) fn sql(mut self, sql: impl AsRef<str>) -> Self {
        self.sql.push_str(sql.as_ref());
        self
    }

    /// A placeholder and its value.
    pub(crate) fn bind(mut self, value: Sql) -> Self {
        self.parameters.push(value);
        self.sql
            .push_str(&placeholder(self.dialect, self.parameters.len()));
        self
    }

    /// `column = id`, and nothing that only counts as equal: on MySQL texts usually do whatever their case and accents, and a change
    /// would go to somebody else's row.
    pub(crate) fn exactly(self, column: &str, id: &Sql) -> Self {
        let exact = matches!((self.dialect, id), (Dialect::Mysql, Sql::Text(_)));
        let text = self.sql(format!("{column} = ")).bind(id.clone());
        if exact {
            text.sql(format!(" AND {} = ", bytes_of(column))).bind(id.clone())
        } else {
            text
        }
    }

    /// [`Text::exactly`] of each, joined by `AND`.
    pub(crate) fn all_exactly(mut self, ids: &[(String, Sql)]) -> Self {
        for (position, (column, id)) in ids.iter().enumerate() {
            let text = if position == 0 { self } else { self.sql(" AND ") };
            self = text.exactly(column, id);
        }
        self
    }

    /// `column = value`, joined by `AND`; a NULL is asked for as SQL wants it.
    pub(crate) fn all_equal(mut self, columns: &[(String, Sql)]) -> Self {
        for (position, (column, value)) in columns.iter().enumerate() {
            let and = if position == 0 { "" } else { " AND " };
            self = match value {
                Sql::Null => self.sql(format!("{and}{column} IS NULL")),
                value => self.sql(format!("{and}{column} = ")).bind(value.clone()),
            };
        }
        self
    }

    /// Placeholders and their values, with commas between.
    pub(crate) fn bind_all(mut self, values: impl IntoIterator<Item = Sql>) -> Self {
        for (position, value) in values.into_iter().enumerate() {
            self = if position == 0 { self } else { self.sql(", ") };
            self = self.bind(value);
        }
        self
    }

    /// The whole statement.
    pub(crate) fn done(self) -> Statement {
        Statement::new(self.sql, self.parameters)
    }
}
