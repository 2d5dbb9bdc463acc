//! Clearing away when the process that started a server is gone, however it went.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// Reads until the process that started it ends and the pipe with it (a SIGKILL too), stops the server of the folder by the database's own
/// lines, and removes the folder.
fn script(stop: &str) -> String {
    format!("while read -r _; do :; done\n{stop}\nrm -rf \"$1\"\n")
}

/// A shell that waits for this process to end. Dropped: it clears away now, and is waited for.
#[derive(Debug)]
pub struct Watchdog(Child);

impl Watchdog {
    /// Watches over a folder. `stop` is shell that stops the server which may run in it: the folder is `$1`.
    pub fn over(folder: &Path, stop: &str) -> anyhow::Result<Self> {
        let child = Command::new("/bin/sh")
            .args(["-c", &script(stop), "watchdog"])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: what ends a test (Ctrl-C, a runner's time limit) goes to the test's group.
            .process_group(0)
            .spawn()
            .context("starting /bin/sh")?;
        Ok(Self(child))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It cannot be told to anybody here when it failed; the folder is a temporary one.
        let _ = self.0.wait();
    }
}
