//! The dates that decide a person's state, read from their attributes.

use jiff::tz::TimeZoneDatabase;

use super::{ExpressionError, Policy};
use crate::facts::{Employment, SourceRecord};

impl Policy {
    /// The dates that decide a person's lifecycle state, by authority.
    ///
    /// # Errors
    /// Every date that cannot be read, and a zone that is not known.
    pub fn employment(
        &self,
        records: &[SourceRecord],
        zones: &TimeZoneDatabase,
    ) -> Result<Employment, Vec<ExpressionError>> {
        let _ = (records, zones);
        Err(Vec::new())
    }
}
