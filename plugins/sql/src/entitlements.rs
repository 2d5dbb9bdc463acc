//! Memberships as rows.

use usher_sdk::prelude::*;
use usher_sdk::sql::{SqlErrorKind, Value as Sql};

use crate::tables::{Distinct, MembershipNames, Tables};
use crate::{SqlTables, values};

/// Most rows of a page: the host gives at most 1,000 rows for one query.
const MAX_PAGE_ROWS: u32 = 1_000;

/// Most entitlements of one account; the host gives no more rows for one query.
const MAX_HELD: i64 = 1_000;

impl Entitlements for SqlTables {
    fn list(&self, cursor: Option<&str>, limit: u32) -> Result<Page<Entitlement>, Error> {
        if self.settings.memberships.is_none() {
            return Ok(Page::last(Vec::new()));
        }
        let tables = self.tables()?;
        let names = tables.memberships()?;
        let limit = limit.min(MAX_PAGE_ROWS);
        let (id, mut text) = match &self.settings.entitlements {
            Some(table) => {
                let id = tables.quoted(&table.id)?;
                let name = tables.quoted(table.name.as_deref().unwrap_or(&table.id))?;
                let from = tables.table(&table.table)?;
                let text = tables.text(format!("SELECT {id}, {name} FROM {from}"));
                (Distinct::already(id), text)
            }
            None => {
                let id = tables.distinct(&names.entitlement, names.entitlement_kind);
                let text = tables.text(format!("SELECT {} FROM {}", id.shown, names.table));
                (id, text)
            }
        };
        if let Some(cursor) = cursor {
            let after = values::id(names.entitlement_kind, cursor).ok_or_else(bad_cursor)?;
            text = text.sql(format!(" WHERE {} > ", id.compared)).bind(after);
        }
        let statement = text
            .sql(format!("{} ORDER BY {} LIMIT ", id.grouped, id.compared))
            .bind(i64::from(limit).into())
            .done();
        let rows = self.endpoint.query(statement.sql, statement.parameters)?.rows;
        let next = next_cursor(&rows, limit);
        let kind = self
            .settings
            .entitlements
            .as_ref()
            .and_then(|table| table.kind.as_deref())
            .unwrap_or("group");
        let items = rows.iter().filter_map(|row| {
            let id = row.first()?.to_id()?;
            let name = row.get(1).and_then(Sql::to_id).unwrap_or_else(|| id.clone());
            Some(Entitlement {
                id,
                kind: kind.to_owned(),
                name,
            })
        });
        Ok(Page::new(items.collect(), next))
    }

    fn members(&self, entitlement: &str, cursor: Option<&str>, limit: u32) -> Result<Page<Holding>, Error> {
        let tables = self.tables()?;
        let names = tables.memberships()?;
        let Some(key) = values::id(names.entitlement_kind, entitlement) else {
            return Err(missing_entitlement(entitlement));
        };
        if cursor.is_none() && !self.entitlement_exists(&tables, &key)? {
            return Err(missing_entitlement(entitlement));
        }
        let limit = limit.min(MAX_PAGE_ROWS);
        let user = tables.distinct(&names.user, self.settings.users.id_kind());
        let mut text = tables
            .text(format!("SELECT {} FROM {} WHERE ", user.shown, names.table))
            .exactly(&names.entitlement, &key);
        if let Some(cursor) = cursor {
            let after = tables.account_id(cursor).ok_or_else(bad_cursor)?;
            text = text.sql(format!(" AND {} > ", user.compared)).bind(after);
        }
        let statement = text
            .sql(format!("{} ORDER BY {} LIMIT ", user.grouped, user.compared))
            .bind(i64::from(limit).into())
            .done();
        let rows = self.endpoint.query(statement.sql, statement.parameters)?.rows;
        let next = next_cursor(&rows, limit);
        let accounts = rows.iter().filter_map(|row| row.first()?.to_id());
        Ok(Page::new(
            accounts
                .map(|account| Holding::new(account, entitlement))
                .collect(),
            next,
        ))
    }

    fn held(&self, account: &str) -> Result<Vec<Holding>, Error> {
        if self.settings.memberships.is_none() {
            return Ok(Vec::new());
        }
        let tables = self.tables()?;
        let names = tables.memberships()?;
        let Some(key) = tables.account_id(account) else {
            return Ok(Vec::new());
        };
        let entitlement = tables.distinct(&names.entitlement, names.entitlement_kind);
        let statement = tables
            .text(format!(
                "SELECT {} FROM {} WHERE ",
                entitlement.shown, names.table
            ))
            .exactly(&names.user, &key)
            .sql(format!(
                "{} ORDER BY {} LIMIT ",
                entitlement.grouped, entitlement.compared
            ))
            .bind(MAX_HELD.into())
            .done();
        let rows = self.endpoint.query(statement.sql, statement.parameters)?.rows;
        let held = rows.iter().filter_map(|row| row.first()?.to_id());
        Ok(held
            .map(|entitlement| Holding::new(account, entitlement))
            .collect())
    }

    fn grant(
        &self,
        _: &Write,
        account: &str,
        entitlement: &str,
        parameters: Option<&Value>,
    ) -> Result<(), Error> {
        if parameters
            .is_some_and(|value| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty()))
        {
            return Err(Error::invalid(format!(
                "entitlement `{entitlement}` takes no parameters"
            )));
        }
        let tables = self.tables()?;
        let names = tables.memberships()?;
        let user = tables
            .account_id(account)
            .ok_or_else(|| self.missing_account(account))?;
        let held = values::id(names.entitlement_kind, entitlement)
            .ok_or_else(|| missing_entitlement(entitlement))?;
        let result = self.endpoint.execute(&[insert(&tables, &names, &user, &held)?]);
        match result {
            Ok(changed) if changed.first().is_some_and(|rows| *rows > 0) => Ok(()),
            Ok(_) => self.why_not_granted(&tables, account, (&user, entitlement, &held)),
            // Somebody else granted it in the same moment, or a key of the table points to nothing.
            Err(error) if error.kind == SqlErrorKind::Constraint => {
                match self.why_not_granted(&tables, account, (&user, entitlement, &held)) {
                    Err(why) if why.kind == usher_sdk::ErrorKind::Unavailable => Err(error.into()),
                    known => known,
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn revoke(&self, _: &Write, account: &str, entitlement: &str) -> Result<(), Error> {
        let tables = self.tables()?;
        let names = tables.memberships()?;
        let (Some(user), Some(held)) = (
            tables.account_id(account),
            values::id(names.entitlement_kind, entitlement),
        ) else {
            return Ok(());
        };
        let statement = tables
            .text(format!("DELETE FROM {} WHERE ", names.table))
            .all_exactly(&[
                (names.user.clone(), user.clone()),
                (names.entitlement.clone(), held.clone()),
            ])
            .done();
        match self.endpoint.execute(&[statement]) {
            Ok(_) => Ok(()),
            // An id that no row can have.
            Err(error) if error.kind == SqlErrorKind::Constraint => {
                let pair = [(names.user, user), (names.entitlement, held)];
                if self.exists(&tables, &names.table, &pair)? {
                    Err(error.into())
                } else {
                    Ok(())
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// One statement that adds the member when user and entitlement exist and it is not one yet.
fn insert(
    tables: &Tables<'_>,
    names: &MembershipNames,
    user: &Sql,
    held: &Sql,
) -> Result<usher_sdk::sql::Statement, Error> {
    let MembershipNames {
        table,
        user: user_column,
        entitlement,
        ..
    } = names;
    let (users, id) = (&tables.users, &tables.id);
    let mut text = tables.text(format!(
        "INSERT INTO {table} ({user_column}, {entitlement}) SELECT u.{id}, "
    ));
    text = match &tables.settings.entitlements {
        Some(of) => {
            let (from, of_id) = (tables.table(&of.table)?, tables.quoted(&of.id)?);
            text.sql(format!("e.{of_id} FROM {users} u, {from} e WHERE "))
                .exactly(&format!("e.{of_id}"), held)
                .sql(" AND ")
        }
        None => text.bind(held.clone()).sql(format!(" FROM {users} u WHERE ")),
    };
    let pair = [
        (user_column.clone(), user.clone()),
        (entitlement.clone(), held.clone()),
    ];
    Ok(text
        .exactly(&format!("u.{id}"), user)
        .sql(format!(" AND NOT EXISTS (SELECT 1 FROM {table} WHERE "))
        .all_exactly(&pair)
        .sql(")")
        .done())
}

impl SqlTables {
    fn exists(&self, tables: &Tables<'_>, table: &str, conditions: &[(String, Sql)]) -> Result<bool, Error> {
        let text = tables
            .text(format!("SELECT 1 FROM {table} WHERE "))
            .all_exactly(conditions);
        let statement = text.sql(" LIMIT ").bind(1.into()).done();
        match self.endpoint.query(statement.sql, statement.parameters) {
            Ok(found) => Ok(!found.rows.is_empty()),
            // A value that its column cannot hold.
            Err(error) if error.kind == SqlErrorKind::Constraint => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Without a table of entitlements each one a membership could name exists.
    fn entitlement_exists(&self, tables: &Tables<'_>, key: &Sql) -> Result<bool, Error> {
        match &self.settings.entitlements {
            None => Ok(true),
            Some(of) => {
                let (from, id) = (tables.table(&of.table)?, tables.quoted(&of.id)?);
                self.exists(tables, &from, &[(id, key.clone())])
            }
        }
    }

    /// Nothing was added: it is held already, or one of the two is missing.
    fn why_not_granted(
        &self,
        tables: &Tables<'_>,
        account: &str,
        (user, entitlement, held): (&Sql, &str, &Sql),
    ) -> Result<(), Error> {
        let names = tables.memberships()?;
        if self.exists(
            tables,
            &names.table,
            &[(names.user, user.clone()), (names.entitlement, held.clone())],
        )? {
            return Ok(());
        }
        if !self.exists(tables, &tables.users, &[(tables.id.clone(), user.clone())])? {
            return Err(self.missing_account(account));
        }
        if !self.entitlement_exists(tables, held)? {
            return Err(missing_entitlement(entitlement));
        }
        Err(Error::unavailable("the membership was there and is gone again"))
    }

    fn missing_account(&self, account: &str) -> Error {
        Error::not_found(format!(
            "table `{}` has no user `{account}`",
            self.settings.users.table
        ))
    }
}

fn missing_entitlement(entitlement: &str) -> Error {
    Error::not_found(format!("there is no entitlement `{entitlement}`"))
}

fn bad_cursor() -> Error {
    Error::invalid("list: the cursor is not one this connector gave")
}

fn next_cursor(rows: &[Vec<Sql>], limit: u32) -> Option<String> {
    let full = rows.len() >= limit as usize;
    rows.last().filter(|_| full).and_then(|row| row.first()?.to_id())
}
