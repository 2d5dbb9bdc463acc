//! What a fresh machine lacks.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};
use usher_test_postgres::Programs;

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

/// Sees to it that tests can start a PostgreSQL server: installs it by the system's package manager where we may, and says so where not. Under
/// `CI=true` there is no test run without it.
pub(crate) fn postgres() -> anyhow::Result<()> {
    if let Err(reason) = Programs::find() {
        println!("{reason}");
        if let Some(prefix) = installer(is_root(), is_installed) {
            install(prefix, "postgresql");
        }
    }
    if let Some(warning) = without_postgres(Programs::find().map(drop), usher_test_postgres::required())? {
        println!("{warning}");
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
fn install(prefix: &[&str], package: &str) {
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
    let install = ["install", "--yes", "--no-install-recommends", package];
    println!("installing {package} by apt-get");
    if run(apt(&install)).is_err() {
        // When this fails, the next says what that means.
        let _ = run(apt(&["update"]));
        if let Err(error) = run(apt(&install)) {
            println!("{package} could not be installed: {error:#}");
        }
    }
}

/// What is said when there is no PostgreSQL after all; an error where it is required.
fn without_postgres(found: Result<(), String>, required: bool) -> anyhow::Result<Option<String>> {
    match found {
        Ok(()) => Ok(None),
        Err(reason) if required => bail!("CI=true, so the tests with PostgreSQL must run, but {reason}"),
        Err(reason) => Ok(Some(format!(
            "every test with PostgreSQL will be SKIPPED (SQLite's are run): {reason}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::{installer, without_postgres};

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
    fn a_run_without_postgres_says_so_and_fails_under_ci() {
        let missing = || Err("PostgreSQL is not installed".to_owned());
        assert_eq!(without_postgres(Ok(()), true).unwrap(), None);
        let warning = without_postgres(missing(), false).unwrap().unwrap();
        assert!(
            warning.contains("SKIPPED") && warning.contains("not installed"),
            "{warning}"
        );
        assert!(
            without_postgres(missing(), true)
                .unwrap_err()
                .to_string()
                .contains("CI=true")
        );
    }
}
