//! Reading rows: every value is checked, and one that makes no sense is named by table, column and row.
//!
//! Statements that are read here name each column `"table.column"`, so that the name alone says where a bad value is.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type};
use usher_lifecycle::account::AccountState;
use usher_lifecycle::name::Name;
use usher_lifecycle::operation::{OperationState, Priority};
use usher_lifecycle::state::IdentityState;
use uuid::Uuid;

use crate::{SnapshotState, StoreError};

/// A row with the number by which errors name it.
pub(super) struct Cells<'r> {
    row: &'r SqliteRow,
    id: i64,
}

impl<'r> Cells<'r> {
    /// Wraps a row; `id` is the column that holds its number.
    pub(super) fn new(row: &'r SqliteRow, id: &'static str) -> Result<Self, StoreError> {
        let id = Cells { row, id: 0 }.get::<i64>(id)?;
        Ok(Self { row, id })
    }

    /// Wraps a row that has no number yet; errors name row 0.
    pub(super) fn unnumbered(row: &'r SqliteRow) -> Self {
        Self { row, id: 0 }
    }

    /// A value of the type the column is declared to have.
    pub(super) fn get<T>(&self, name: &'static str) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite>,
    {
        self.row
            .try_get(name)
            .map_err(|error| self.corrupt(name, error.to_string()))
    }

    /// An error about a column.
    pub(super) fn corrupt(&self, name: &'static str, reason: impl Into<String>) -> StoreError {
        let (table, column) = name.split_once('.').unwrap_or(("", name));
        StoreError::Corrupt {
            table,
            column,
            row: self.id,
            reason: reason.into(),
        }
    }

    /// A number that cannot be negative.
    pub(super) fn count<T: TryFrom<i64>>(&self, name: &'static str) -> Result<T, StoreError> {
        let value: i64 = self.get(name)?;
        T::try_from(value).map_err(|_| self.corrupt(name, format!("{value} is out of range")))
    }

    /// 0 or 1.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, StoreError> {
        match self.get::<i64>(name)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.corrupt(name, format!("{other} is neither 0 nor 1"))),
        }
    }

    /// A moment.
    pub(super) fn time(&self, name: &'static str) -> Result<Timestamp, StoreError> {
        let micros: i64 = self.get(name)?;
        Timestamp::from_microsecond(micros).map_err(|error| self.corrupt(name, error.to_string()))
    }

    /// A moment, if there is one.
    pub(super) fn time_if_any(&self, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
        match self.get::<Option<i64>>(name)? {
            None => Ok(None),
            Some(_) => self.time(name).map(Some),
        }
    }

    /// A JSON document.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, StoreError> {
        let text: &str = self.get(name)?;
        serde_json::from_str(text).map_err(|error| self.corrupt(name, error.to_string()))
    }

    /// A public id.
    pub(super) fn uuid(&self, name: &'static str) -> Result<Uuid, StoreError> {
        let bytes: &[u8] = self.get(name)?;
        Uuid::from_slice(bytes).map_err(|error| self.corrupt(name, error.to_string()))
    }

    /// Bytes of a fixed length.
    pub(super) fn bytes<const N: usize>(&self, name: &'static str) -> Result<[u8; N], StoreError> {
        let bytes: &[u8] = self.get(name)?;
        bytes
            .try_into()
            .map_err(|_| self.corrupt(name, format!("{} bytes, not {N}", bytes.len())))
    }

    /// A name.
    pub(super) fn name(&self, name: &'static str) -> Result<Name, StoreError> {
        let text: &str = self.get(name)?;
        text.parse()
            .map_err(|error: usher_lifecycle::name::NameError| self.corrupt(name, error.to_string()))
    }

    /// Where an operation is.
    pub(super) fn operation_state(&self, name: &'static str) -> Result<OperationState, StoreError> {
        self.one_of(name, &OperationState::ALL, |state| state as i64)
    }

    /// A priority.
    pub(super) fn priority(&self, name: &'static str) -> Result<Priority, StoreError> {
        self.one_of(name, &Priority::ALL, |priority| priority as i64)
    }

    /// The state of an account.
    pub(super) fn account_state(&self, name: &'static str) -> Result<AccountState, StoreError> {
        self.one_of(name, &AccountState::ALL, account_state_code)
    }

    /// Where a snapshot is.
    pub(super) fn snapshot_state(&self, name: &'static str) -> Result<SnapshotState, StoreError> {
        const ALL: [SnapshotState; 4] = [
            SnapshotState::Staging,
            SnapshotState::Accepted,
            SnapshotState::Absorbed,
            SnapshotState::Refused,
        ];
        self.one_of(name, &ALL, |state| state as i64)
    }

    /// The recorded state of an identity.
    pub(super) fn identity_state(&self, name: &'static str) -> Result<Option<IdentityState>, StoreError> {
        match self.get::<Option<i64>>(name)? {
            None => Ok(None),
            Some(_) => self
                .one_of(name, &IdentityState::ALL, identity_state_code)
                .map(Some),
        }
    }

    fn one_of<T: Copy>(
        &self,
        name: &'static str,
        all: &[T],
        code: impl Fn(T) -> i64,
    ) -> Result<T, StoreError> {
        let value: i64 = self.get(name)?;
        all.iter()
            .copied()
            .find(|one| code(*one) == value)
            .ok_or_else(|| self.corrupt(name, format!("there is no state {value}")))
    }
}

/// The stored number of an identity's state.
pub(super) const fn identity_state_code(state: IdentityState) -> i64 {
    match state {
        IdentityState::Staged => 0,
        IdentityState::Active => 1,
        IdentityState::Suspended => 2,
        IdentityState::Leaving => 3,
        IdentityState::Departed => 4,
        IdentityState::Erased => 5,
    }
}

/// The stored number of an account's state.
pub(super) const fn account_state_code(state: AccountState) -> i64 {
    match state {
        AccountState::Absent => 0,
        AccountState::Enabled => 1,
        AccountState::Disabled => 2,
        AccountState::Unknown => 3,
    }
}

/// Turns a database error into one for the caller, in the database's words.
pub(super) fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| {
        let message = match error.as_database_error() {
            Some(database) => database.message().to_owned(),
            None => error.to_string(),
        };
        StoreError::Unavailable { doing, message }
    }
}

/// Rows as one JSON parameter: a statement per batch, never one per row.
pub(super) fn json_of<T: serde::Serialize + ?Sized>(
    doing: &'static str,
    value: &T,
) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unavailable {
        doing,
        message: format!("cannot be written as JSON: {error}"),
    })
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// A moment as stored.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}
