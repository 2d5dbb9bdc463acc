//! The schema's versions, the same numbers on both databases.
//!
//! A schema change ships in two releases: first *expand* (new tables and columns beside the old, old programs go on), later *contract* (what no
//! program uses any more goes). So several hosts can be upgraded one after the other while they work on one database.

use crate::StoreError;

/// One numbered change of the schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration {
    /// What it does.
    pub(crate) sql: &'static str,
    /// The oldest schema version a program may know to work with the result. Its own number for a change that old programs do not bear
    /// (contract); an older one for a change beside the old (expand).
    pub(crate) works_from: i64,
}

/// From which version on each migration's result works. Add at the end; a published one never changes.
///
/// Version 4 only adds, and is a contract all the same: an older program that went on planning would know nothing of holds and enable who is
/// held, and one that erased would leave names behind. The same holds for version 5: an older program would make two people of two records that
/// belong together.
pub(crate) const WORKS_FROM: [i64; 5] = [1, 2, 3, 4, 5];

/// The version of the schema this program works with.
pub const SCHEMA_VERSION: i64 = WORKS_FROM.len() as i64;

/// From which version on a program may use a database that this one makes.
pub(crate) const fn works_from() -> i64 {
    WORKS_FROM[WORKS_FROM.len() - 1]
}

/// Puts the texts of a database's migrations beside their numbers.
pub(crate) fn migrations(texts: [&'static str; WORKS_FROM.len()]) -> Vec<Migration> {
    let pairs = texts.into_iter().zip(WORKS_FROM);
    pairs
        .map(|(sql, works_from)| Migration { sql, works_from })
        .collect()
}

/// Whether a program that knows `known` may use a database of version `found`, which works from `works_from` on.
pub(crate) fn check(found: i64, works_from: i64, known: i64) -> Result<(), StoreError> {
    if found <= known || works_from <= known {
        return Ok(());
    }
    Err(StoreError::Version(format!(
        "the database has schema version {found}, which works with programs that know version {works_from} or later; this program knows \
         versions up to {known}; use the program that wrote it, or a newer one"
    )))
}

/// Whether a migration may run while the oldest program at work knows `oldest` (`None`: nobody is at work).
pub(crate) fn may_run(number: i64, migration: &Migration, oldest: Option<i64>) -> Result<(), StoreError> {
    match oldest {
        Some(oldest) if oldest < migration.works_from => Err(StoreError::Version(format!(
            "schema version {number} does not work with a program that is still at work on this database (it knows version {oldest}); stop or \
             upgrade every other host first, then start this one again"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_program_works_while_the_schema_only_grew() {
        check(3, 3, 3).unwrap();
        check(2, 2, 3).unwrap();
        check(4, 3, 3).unwrap();
        let refused = check(5, 4, 3).unwrap_err();
        assert!(
            matches!(&refused, StoreError::Version(message) if message.contains("version 5")),
            "{refused}"
        );
    }

    #[test]
    fn what_breaks_old_programs_waits_for_them() {
        let contract = Migration {
            sql: "",
            works_from: 4,
        };
        may_run(5, &contract, None).unwrap();
        may_run(5, &contract, Some(4)).unwrap();
        assert!(may_run(5, &contract, Some(3)).is_err());
    }
}
