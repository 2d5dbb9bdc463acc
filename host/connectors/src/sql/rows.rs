//! The rows of a query, collected under its limits while they come, whatever the database.

use super::{ROW_SET_BYTES_MAX, ROWS_MAX, RowSet, SqlError, SqlValue};

/// Collects rows. Each value is asked for before it is copied, so that neither a large value nor a row of many is held a second time.
pub(super) struct Rows {
    collected: RowSet,
    bytes_left: usize,
}

impl Rows {
    pub(super) fn new(columns: Vec<String>) -> Self {
        Self {
            collected: RowSet {
                columns,
                rows: Vec::new(),
            },
            bytes_left: ROW_SET_BYTES_MAX,
        }
    }

    /// Begins the next row.
    pub(super) fn begin(&mut self) -> Result<(), SqlError> {
        if self.collected.rows.len() == ROWS_MAX {
            return Err(SqlError::too_much());
        }
        let width = self.collected.columns.len();
        // A row of nulls takes room, too.
        self.room_for(width.saturating_mul(SqlValue::OWN_BYTES))?;
        self.collected.rows.push(Vec::with_capacity(width));
        Ok(())
    }

    /// Whether a value that will have so many bytes still fits.
    pub(super) fn room_for(&self, bytes: usize) -> Result<(), SqlError> {
        if bytes > self.bytes_left {
            Err(SqlError::too_much())
        } else {
            Ok(())
        }
    }

    /// The next value of the row that was begun last.
    pub(super) fn push(&mut self, value: SqlValue) -> Result<(), SqlError> {
        let bytes = value.bytes();
        self.room_for(bytes)?;
        self.bytes_left -= bytes;
        if let Some(row) = self.collected.rows.last_mut() {
            row.push(value);
        }
        Ok(())
    }

    /// All of them.
    pub(super) fn done(self) -> RowSet {
        self.collected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(count: usize) -> Rows {
        Rows::new(vec![String::new(); count])
    }

    #[test]
    fn rows_end_at_their_number() {
        let mut rows = columns(1);
        for _ in 0..ROWS_MAX {
            rows.begin().unwrap();
            rows.push(SqlValue::Null).unwrap();
        }
        assert_eq!(rows.begin().unwrap_err(), SqlError::too_much());
        assert_eq!(rows.done().rows, vec![vec![SqlValue::Null]; ROWS_MAX]);
    }

    #[test]
    fn a_value_is_refused_before_it_is_there_and_a_row_before_it_is_whole() {
        let mut rows = columns(2);
        rows.begin().unwrap();
        let half = ROW_SET_BYTES_MAX / 2;
        rows.push(SqlValue::Blob(vec![0; half])).unwrap();
        assert_eq!(rows.room_for(half).unwrap_err(), SqlError::too_much());
        rows.room_for(half - SqlValue::OWN_BYTES).unwrap();
        assert_eq!(
            rows.push(SqlValue::Blob(vec![0; half])).unwrap_err(),
            SqlError::too_much()
        );
    }

    #[test]
    fn nothing_is_for_nothing() {
        for nothing in [
            SqlValue::Null,
            SqlValue::Text(String::new()),
            SqlValue::Blob(vec![]),
        ] {
            let mut rows = columns(ROW_SET_BYTES_MAX / ROWS_MAX);
            let filled = (0..ROWS_MAX).try_for_each(|_| {
                rows.begin()?;
                (0..ROW_SET_BYTES_MAX / ROWS_MAX).try_for_each(|_| rows.push(nothing.clone()))
            });
            assert_eq!(filled.unwrap_err(), SqlError::too_much(), "{nothing:?}");
        }
    }
}
