//! What every database server that a test starts for itself shares: its process, its folder, what clears away after it, and what is said
//! where it cannot run. `usher-test-postgres` and `usher-test-mariadb` add what is each database's own.

mod command;
mod folder;
mod process;
mod watchdog;

use std::sync::LazyLock;

use anyhow::bail;

pub use command::feed;
pub use folder::{build_folder, copy, private_folder, template};
pub use process::{Kind, Process, on_a_free_port};
pub use watchdog::Watchdog;

/// Whether a test that cannot run is a failure: under `CI=true`.
#[must_use]
pub fn required() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// The server of a test process, started the first time. `None` where the database is not installed (`missing` says so), which is printed, and is
/// an error under `CI=true`.
pub fn shared<S>(
    database: &str,
    missing: Option<String>,
    server: &'static LazyLock<Result<S, String>>,
) -> anyhow::Result<Option<&'static S>> {
    if let Some(reason) = missing {
        skipped(database, &reason, required())?;
        return Ok(None);
    }
    match &**server {
        Ok(server) => Ok(Some(server)),
        Err(reason) => bail!("{database} does not start: {reason}"),
    }
}

#[allow(
    clippy::print_stderr,
    reason = "a test that does not run says so where test runners show it"
)]
fn skipped(database: &str, reason: &str, required: bool) -> anyhow::Result<()> {
    if required {
        bail!("CI=true, so tests with {database} must run, but {reason}");
    }
    eprintln!("skipped: this test needs {database}, but {reason}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::skipped;

    #[test]
    fn a_missing_server_is_a_failure_under_ci_only() {
        skipped("PostgreSQL", "it is not installed", false).unwrap();
        let refused = skipped("PostgreSQL", "it is not installed", true).unwrap_err();
        assert!(refused.to_string().contains("CI=true"), "{refused}");
    }
}
