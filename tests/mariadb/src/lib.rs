//! A MariaDB server that a test starts for itself and stops, as `usher-test-postgres` does for PostgreSQL.
//!
//! [`shared`] is the server of this test process, with [`Server::fresh_database`] for each test; a test that needs other settings
//! starts one of its own. It runs in a temporary folder on a free port of 127.0.0.1 and leaves nothing behind, even when the test is
//! killed: a shell waits at the end of a pipe for this process to end.

mod programs;
mod server;
mod template;

use std::sync::LazyLock;

pub use programs::Programs;
pub use server::Server;

/// Why tests with MariaDB cannot run here, if so.
#[must_use]
pub fn skip_reason() -> Option<String> {
    Programs::find().err()
}

/// The server of this test process, started the first time. `None` where MariaDB is not installed, which is printed, and is an error
/// under `CI=true`.
pub fn shared() -> anyhow::Result<Option<&'static Server>> {
    static SHARED: LazyLock<Result<Server, String>> =
        LazyLock::new(|| Server::start().map_err(|error| format!("{error:#}")));
    usher_test_server::shared("MariaDB", skip_reason(), &SHARED)
}
