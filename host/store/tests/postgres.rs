//! PostgreSQL keeps what every store must keep, alike to SQLite; several writers on it do too.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod conformance;
mod replicas;

use proptest::prelude::*;

use conformance::{Database, histories};

/// Where the promises are kept.
fn database() -> Option<Database> {
    Database::postgres()
}

/// How many random histories are played, each in a database of its own.
const HISTORIES: u32 = 8;

proptest! {
    #![proptest_config(ProptestConfig { cases: HISTORIES, ..ProptestConfig::default() })]

    /// The same history on both ends alike, letter for letter.
    #[test]
    fn random_histories_end_alike_on_both(history in histories::moves()) {
        if let Some(postgres) = database() {
            let expected = histories::wait_for(histories::the_queue_keeps_its_promises(&Database::sqlite(), &history));
            let found = histories::wait_for(histories::the_queue_keeps_its_promises(&postgres, &history));
            prop_assert_eq!(expected, found);
        }
    }
}

/// Migrations of one number are one change: there is none that only one database has.
#[test]
fn migrations_have_equal_numbers() {
    let names = |database: &str| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("migrations")
            .join(database);
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert!(names("sqlite").len() >= 3);
    assert_eq!(names("sqlite"), names("postgres"));
}
