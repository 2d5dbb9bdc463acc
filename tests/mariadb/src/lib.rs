//! A MariaDB server that a test starts for itself and stops, as `usher-test-postgres` does for PostgreSQL.
//!
//! [`shared`] is the server of this test process, with [`Server::fresh_database`] for each test; a test that needs other settings
//! starts one of its own. It runs in a temporary folder on a free port of 127.0.0.1 and leaves nothing behind, even when the test is
//! killed: a shell waits at the end of a pipe for this process to end.

mod programs;
mod server;
mod template;
mod watchdog;

use std::sync::LazyLock;

use anyhow::bail;

pub use programs::Programs;
pub use server::Server;

/// Why tests with MariaDB cannot run here, if so.
#[must_use]
pub fn skip_reason() -> Option<String> {
    Programs::find().err()
}

/// Whether a test that cannot run is a failure: under `CI=true`.
#[must_use]
pub fn required() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// The server of this test process, started the first time. `None` where MariaDB is not installed, which is printed, and is an error
/// under `CI=true`.
pub fn shared() -> anyhow::Result<Option<&'static Server>> {
    static SHARED: LazyLock<Result<Server, String>> =
        LazyLock::new(|| Server::start().map_err(|error| format!("{error:#}")));
    if let Some(reason) = skip_reason() {
        skipped(&reason, required())?;
        return Ok(None);
    }
    match &*SHARED {
        Ok(server) => Ok(Some(server)),
        Err(reason) => bail!("MariaDB does not start: {reason}"),
    }
}

#[allow(
    clippy::print_stderr,
    reason = "a test that does not run says so where test runners show it"
)]
fn skipped(reason: &str, required: bool) -> anyhow::Result<()> {
    if required {
        bail!("CI=true, so tests with MariaDB must run, but {reason}");
    }
    eprintln!("skipped: this test needs MariaDB, but {reason}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::skipped;

    #[test]
    fn a_missing_server_is_a_failure_under_ci_only() {
        skipped("it is not installed", false).unwrap();
        let refused = skipped("it is not installed", true).unwrap_err();
        assert!(refused.to_string().contains("CI=true"), "{refused}");
    }
}
