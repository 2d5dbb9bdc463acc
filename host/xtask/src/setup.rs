//! What a fresh machine lacks.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use crate::cargo::{GUEST_TARGET, is_installed, run};

/// Sees to it that connectors can be compiled.
pub(crate) fn guest_target() -> anyhow::Result<()> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("starting rustc")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if sysroot.join("lib/rustlib").join(GUEST_TARGET).is_dir() {
        return Ok(());
    }
    if !is_installed("rustup", &["--version"]) {
        bail!(
            "this Rust has no {GUEST_TARGET} and there is no rustup to add it; install rustup from https://rustup.rs"
        );
    }
    run(Command::new("rustup").args(["target", "add", GUEST_TARGET])).with_context(|| {
        format!("connectors need the Rust target {GUEST_TARGET}; `rustup target add {GUEST_TARGET}` failed")
    })
}

/// A database server that tests start.
struct DatabaseServer {
    name: &'static str,
    /// Debian's packages of it.
    packages: &'static [&'static str],
    /// Why it cannot be started, if so.
    missing: fn() -> Option<String>,
}

const DATABASE_SERVERS: [DatabaseServer; 2] = [
    DatabaseServer {
        name: "PostgreSQL",
        packages: &["postgresql"],
        missing: usher_test_postgres::skip_reason,
    },
    DatabaseServer {
        name: "MariaDB",
        packages: &["mariadb-server-core", "mariadb-client-core"],
        missing: usher_test_mariadb::skip_reason,
    },
];

/// Sees to it that tests can start the database servers they need: installs them by the system's package manager where we may, and
/// says so where not. Under `CI=true` there is no test run without them.
pub(crate) fn database_servers() -> anyhow::Result<()> {
    for server in &DATABASE_SERVERS {
        if let Some(reason) = (server.missing)() {
            println!("{reason}");
            if let Some(prefix) = installer(is_root(), is_installed) {
                install(prefix, server.packages);
            }
        }
        if let Some(warning) = without(server.name, (server.missing)(), usher_test_server::required())? {
            println!("{warning}");
        }
    }
    Ok(())
}

/// What to put before `apt-get`, when it is there and we may use it without being asked for a password.
fn installer(is_root: bool, runs: impl Fn(&str, &[&str]) -> bool) -> Option<&'static [&'static str]> {
    if !runs("apt-get", &["--version"]) {
        None
    } else if is_root {
        Some(&[])
    } else if runs("sudo", &["-n", "true"]) {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Lists of packages may be missing or old (a fresh container has none): they are fetched when the first try fails.
fn install(prefix: &[&str], packages: &[&str]) {
    let apt = |arguments: &[&str]| {
        let words = [
            prefix,
            &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"],
            arguments,
        ]
        .concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    };
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    let packages = packages.join(" and ");
    println!("installing {packages} by apt-get");
    if run(apt(&install)).is_err() {
        // When this fails, the next says what that means.
        let _ = run(apt(&["update"]));
        if let Err(error) = run(apt(&install)) {
            println!("{packages} could not be installed: {error:#}");
        }
    }
}

/// What is said when there is no such server after all; an error where it is required.
fn without(server: &str, missing: Option<String>, required: bool) -> anyhow::Result<Option<String>> {
    match missing {
        None => Ok(None),
        Some(reason) if required => bail!("CI=true, so the tests with {server} must run, but {reason}"),
        Some(reason) => Ok(Some(format!(
            "every test with {server} will be SKIPPED: {reason}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::{installer, without};

    #[test]
    fn packages_are_installed_only_where_nobody_is_asked_for_a_password() {
        let with =
            |programs: &'static [&'static str]| move |program: &str, _: &[&str]| programs.contains(&program);
        assert_eq!(installer(true, with(&["apt-get"])), Some(&[][..]));
        assert_eq!(
            installer(false, with(&["apt-get", "sudo"])),
            Some(&["sudo", "-n"][..])
        );
        assert_eq!(installer(false, with(&["apt-get"])), None);
        assert_eq!(installer(true, with(&["sudo"])), None);
    }

    #[test]
    fn a_run_without_a_server_says_so_and_fails_under_ci() {
        let missing = || Some("it is not installed".to_owned());
        assert_eq!(without("MariaDB", None, true).unwrap(), None);
        let warning = without("MariaDB", missing(), false).unwrap().unwrap();
        assert!(
            warning.contains("MariaDB will be SKIPPED") && warning.contains("not installed"),
            "{warning}"
        );
        let refused = without("MariaDB", missing(), true).unwrap_err();
        assert!(refused.to_string().contains("CI=true"), "{refused}");
    }
}
