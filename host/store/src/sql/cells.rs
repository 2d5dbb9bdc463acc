//! Reading rows: every value is checked, and one that makes no sense is named by table, column and row.
//!
//! Statements that are read here name each column `"table.column"`, so that the name alone says where a bad value is.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use usher_lifecycle::account::AccountState;
use usher_lifecycle::name::Name;
use usher_lifecycle::operation::{OperationState, Priority};
use usher_lifecycle::state::IdentityState;
use uuid::Uuid;

use super::audit_rows::SubjectKey;
use super::db::{Cell, Row};
use crate::sqlite::reads::ENDED;
use crate::{DiskTrouble, SnapshotState, StoreError};

/// A row with the number by which errors name it.
pub(crate) struct Cells<'r> {
    row: &'r Row,
    id: i64,
}

impl<'r> Cells<'r> {
    /// Wraps a row; `id` is the column that holds its number.
    pub(crate) fn new(row: &'r Row, id: &'static str) -> Result<Self, StoreError> {
        let id = Cells { row, id: 0 }.get::<i64>(id)?;
        Ok(Self { row, id })
    }

    /// Wraps a row that has no number yet; errors name row 0.
    pub(crate) fn unnumbered(row: &'r Row) -> Self {
        Self { row, id: 0 }
    }

    /// A value of the type the column is declared to have.
    pub(crate) fn get<T>(&self, name: &'static str) -> Result<T, StoreError>
    where
        T: Cell<'r>,
    {
        self.row
            .get(name)
            .map_err(|error| self.corrupt(name, error.to_string()))
    }

    /// An error about a column.
    pub(crate) fn corrupt(&self, name: &'static str, reason: impl Into<String>) -> StoreError {
        let (table, column) = name.split_once('.').unwrap_or(("", name));
        StoreError::Corrupt {
            table,
            column,
            row: self.id,
            reason: reason.into(),
        }
    }

    /// A number that cannot be negative.
    pub(crate) fn count<T: TryFrom<i64>>(&self, name: &'static str) -> Result<T, StoreError> {
        let value: i64 = self.get(name)?;
        T::try_from(value).map_err(|_| self.corrupt(name, format!("{value} is out of range")))
    }

    /// 0 or 1.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, StoreError> {
        match self.get::<i64>(name)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.corrupt(name, format!("{other} is neither 0 nor 1"))),
        }
    }

    /// A moment.
    pub(crate) fn time(&self, name: &'static str) -> Result<Timestamp, StoreError> {
        let micros: i64 = self.get(name)?;
        Timestamp::from_microsecond(micros).map_err(|error| self.corrupt(name, error.to_string()))
    }

    /// A moment, if there is one.
    pub(crate) fn time_if_any(&self, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
        match self.get::<Option<i64>>(name)? {
            None => Ok(None),
            Some(_) => self.time(name).map(Some),
        }
    }

    /// A JSON document.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, StoreError> {
        let text: &str = self.get(name)?;
        serde_json::from_str(text).map_err(|error| self.corrupt(name, error.to_string()))
    }

    /// A public id.
    pub(crate) fn uuid(&self, name: &'static str) -> Result<Uuid, StoreError> {
        let bytes: &[u8] = self.get(name)?;
        Uuid::from_slice(bytes).map_err(|error| self.corrupt(name, error.to_string()))
    }

    /// Bytes of a fixed length.
    pub(crate) fn bytes<const N: usize>(&self, name: &'static str) -> Result<[u8; N], StoreError> {
        let bytes: &[u8] = self.get(name)?;
        bytes
            .try_into()
            .map_err(|_| self.corrupt(name, format!("{} bytes, not {N}", bytes.len())))
    }

    /// The key of an identity's audit.
    pub(crate) fn subject_key(&self, name: &'static str) -> Result<SubjectKey, StoreError> {
        match self.get::<Option<&[u8]>>(name)? {
            None => Ok(SubjectKey::NotMade),
            Some([]) => Ok(SubjectKey::Destroyed),
            Some(_) => self.bytes(name).map(SubjectKey::Sealed),
        }
    }

    /// A name.
    pub(crate) fn name(&self, name: &'static str) -> Result<Name, StoreError> {
        let text: &str = self.get(name)?;
        text.parse()
            .map_err(|error: usher_lifecycle::name::NameError| self.corrupt(name, error.to_string()))
    }

    /// Where an operation is.
    pub(crate) fn operation_state(&self, name: &'static str) -> Result<OperationState, StoreError> {
        self.one_of(name, &OperationState::ALL, |state| state as i64)
    }

    /// A priority.
    pub(crate) fn priority(&self, name: &'static str) -> Result<Priority, StoreError> {
        self.one_of(name, &Priority::ALL, |priority| priority as i64)
    }

    /// The state of an account.
    pub(crate) fn account_state(&self, name: &'static str) -> Result<AccountState, StoreError> {
        self.one_of(name, &AccountState::ALL, account_state_code)
    }

    /// Where a snapshot is.
    pub(crate) fn snapshot_state(&self, name: &'static str) -> Result<SnapshotState, StoreError> {
        const ALL: [SnapshotState; 4] = [
            SnapshotState::Staging,
            SnapshotState::Accepted,
            SnapshotState::Absorbed,
            SnapshotState::Refused,
        ];
        self.one_of(name, &ALL, |state| state as i64)
    }

    /// The recorded state of an identity.
    pub(crate) fn identity_state(&self, name: &'static str) -> Result<Option<IdentityState>, StoreError> {
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
pub(crate) const fn identity_state_code(state: IdentityState) -> i64 {
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
pub(crate) const fn account_state_code(state: AccountState) -> i64 {
    match state {
        AccountState::Absent => 0,
        AccountState::Enabled => 1,
        AccountState::Disabled => 2,
        AccountState::Unknown => 3,
    }
}

/// Turns a database error into one for the caller, in the database's words.
pub(crate) fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| {
        let Some(database) = error.as_database_error() else {
            let message = match error {
                sqlx::Error::Protocol(message) if message == ENDED => message,
                other => other.to_string(),
            };
            return StoreError::Unavailable { doing, message };
        };
        let message = database.message().to_owned();
        match kind_of(database.code().as_deref().unwrap_or_default()) {
            Kind::Contended => StoreError::Contended(format!("{doing}: {message}")),
            Kind::Damaged => StoreError::Damaged(format!("{doing}: the database is damaged: {message}")),
            Kind::Disk(trouble) => StoreError::Disk {
                doing,
                trouble,
                message,
            },
            Kind::Other => StoreError::Unavailable { doing, message },
        }
    }
}

enum Kind {
    /// Others were at the same rows.
    Contended,
    /// The file is broken.
    Damaged,
    Disk(DiskTrouble),
    Other,
}

/// What a database's error code means to the caller. Codes of five characters are PostgreSQL's; SQLite's are numbers of up to four digits,
/// whose last eight bits say the kind.
fn kind_of(code: &str) -> Kind {
    match code {
        // Serialization failure, deadlock, a lock not had in time, and a unique key that another transaction took meanwhile.
        "40001" | "40P01" | "55P03" | "23505" => return Kind::Contended,
        "53100" => return Kind::Disk(DiskTrouble::Full),
        // A standby, or a database that was set so.
        "25006" => return Kind::Disk(DiskTrouble::ReadOnly),
        "58030" => return Kind::Disk(DiskTrouble::Refuses),
        "XX001" | "XX002" => return Kind::Damaged,
        _ => {}
    }
    if code.len() > 4 {
        return Kind::Other;
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(8 | 14) => Kind::Disk(DiskTrouble::ReadOnly),
        Ok(10) => Kind::Disk(DiskTrouble::Refuses),
        Ok(11 | 26) => Kind::Damaged,
        Ok(13) => Kind::Disk(DiskTrouble::Full),
        Ok(_) | Err(_) => Kind::Other,
    }
}

/// The first column of each row.
pub(crate) fn numbers(rows: &[Row]) -> Result<Vec<i64>, StoreError> {
    rows.iter()
        .map(|row| row.at(0).map_err(failed("reading numbers")))
        .collect()
}

/// Rows as one JSON parameter: a statement per batch, never one per row.
pub(crate) fn json_of<T: serde::Serialize + ?Sized>(
    doing: &'static str,
    value: &T,
) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unavailable {
        doing,
        message: format!("cannot be written as JSON: {error}"),
    })
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// A moment as stored.
pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}
