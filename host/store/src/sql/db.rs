//! One way to speak to both databases: a statement with its values goes into a transaction, rows come out.
//!
//! Statements are written once, with `$1`-style parameters, which both databases take; where the dialects differ, both texts stand
//! side by side. A batch of rows goes in as one JSON array through `json_each`: SQLite has it, on PostgreSQL the first migration
//! makes it.

use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Decode, Executor, Postgres, Row as _, Sqlite, Transaction, Type};

use crate::sqlite::reads::{ENDED, Read};

/// A statement in both dialects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

impl Sql {
    /// The same text on both.
    pub(crate) const fn both(text: &'static str) -> Self {
        Self {
            sqlite: text,
            postgres: text,
        }
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self::both(text)
    }
}

/// A transaction on one of the two.
pub(crate) enum Tx<'a> {
    Sqlite(Transaction<'a, Sqlite>),
    Postgres(Transaction<'a, Postgres>),
    /// On SQLite, one that only reads: it can be ended from outside.
    Reading(Arc<Read>),
}

impl Tx<'_> {
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
            Self::Reading(_) => Ok(()),
        }
    }

    /// Whether other writers may be at work on the same rows.
    pub(crate) const fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(_) | Self::Reading(_) => false,
            Self::Postgres(_) => true,
        }
    }
}

/// A row of one of the two.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What can be read from a row of either.
pub(crate) trait Cell<'r>:
    Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>
{
}

impl<'r, T> Cell<'r> for T where T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres> {}

impl Row {
    /// The value of a column by its name.
    pub(crate) fn get<'r, T: Cell<'r>>(&'r self, name: &str) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(name),
            Self::Postgres(row) => row.try_get(name),
        }
    }

    /// The value of a column by its place, from 0.
    pub(crate) fn at<'r, T: Cell<'r>>(&'r self, place: usize) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(place),
            Self::Postgres(row) => row.try_get(place),
        }
    }
}

/// A value bound to a parameter.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(Some(value.clone()))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value))
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(value: Option<Vec<u8>>) -> Self {
        Self::Bytes(value)
    }
}

/// A statement with its values.
pub(crate) struct Query {
    text: Text,
    values: Vec<Value>,
}

enum Text {
    Fixed(Sql),
    /// Put together from fixed parts, the same for both; never from values.
    Composed(String),
}

/// A statement to run.
pub(crate) fn query(sql: impl Into<Sql>) -> Query {
    Query {
        text: Text::Fixed(sql.into()),
        values: Vec::new(),
    }
}

/// A statement put together from fixed parts; values are always bound.
pub(crate) fn composed(sql: String) -> Query {
    Query {
        text: Text::Composed(sql),
        values: Vec::new(),
    }
}

impl Query {
    /// Binds the next parameter.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it; how many rows it changed.
    pub(crate) async fn execute(self, tx: &mut Tx<'_>) -> Result<u64, sqlx::Error> {
        match tx {
            Tx::Sqlite(tx) => Ok(tx.execute(self.for_sqlite()).await?.rows_affected()),
            Tx::Postgres(tx) => Ok(tx.execute(self.for_postgres()).await?.rows_affected()),
            Tx::Reading(read) => {
                let mut read = read.transaction().await;
                Ok(open(&mut read)?.execute(self.for_sqlite()).await?.rows_affected())
            }
        }
    }

    /// Runs it; all rows.
    pub(crate) async fn fetch_all(self, tx: &mut Tx<'_>) -> Result<Vec<Row>, sqlx::Error> {
        match tx {
            Tx::Sqlite(tx) => {
                let rows = tx.fetch_all(self.for_sqlite()).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Tx::Postgres(tx) => {
                let rows = tx.fetch_all(self.for_postgres()).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
            Tx::Reading(read) => {
                let mut read = read.transaction().await;
                let rows = open(&mut read)?.fetch_all(self.for_sqlite()).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
        }
    }

    /// Runs it; the first row, if any.
    pub(crate) async fn fetch_optional(self, tx: &mut Tx<'_>) -> Result<Option<Row>, sqlx::Error> {
        match tx {
            Tx::Sqlite(tx) => Ok(tx.fetch_optional(self.for_sqlite()).await?.map(Row::Sqlite)),
            Tx::Postgres(tx) => Ok(tx.fetch_optional(self.for_postgres()).await?.map(Row::Postgres)),
            Tx::Reading(read) => {
                let mut read = read.transaction().await;
                let row = open(&mut read)?.fetch_optional(self.for_sqlite()).await?;
                Ok(row.map(Row::Sqlite))
            }
        }
    }

    /// Runs it; the first row, which there must be.
    pub(crate) async fn fetch_one(self, tx: &mut Tx<'_>) -> Result<Row, sqlx::Error> {
        self.fetch_optional(tx).await?.ok_or(sqlx::Error::RowNotFound)
    }

    fn for_sqlite(self) -> sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments> {
        let query = match self.text {
            Text::Fixed(sql) => sqlx::query(sql.sqlite),
            Text::Composed(sql) => sqlx::query(AssertSqlSafe(sql)),
        };
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        })
    }

    fn for_postgres(self) -> sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments> {
        let query = match self.text {
            Text::Fixed(sql) => sqlx::query(sql.postgres),
            Text::Composed(sql) => sqlx::query(AssertSqlSafe(sql)),
        };
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        })
    }
}

/// The transaction of a read that was not ended.
fn open<'r>(
    read: &'r mut Option<Transaction<'static, Sqlite>>,
) -> Result<&'r mut Transaction<'static, Sqlite>, sqlx::Error> {
    read.as_mut()
        .ok_or_else(|| sqlx::Error::Protocol(ENDED.to_owned()))
}
