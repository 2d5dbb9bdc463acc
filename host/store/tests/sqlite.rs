//! SQLite keeps what every store must keep. What is only SQLite's is tested in `src/sqlite`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod conformance;

use conformance::Database;

/// Where the promises are kept.
#[allow(clippy::unnecessary_wraps, reason = "PostgreSQL may be missing")]
fn database() -> Option<Database> {
    Some(Database::sqlite())
}

/// How many random histories are played.
const HISTORIES: u32 = 32;
