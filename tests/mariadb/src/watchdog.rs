//! Clearing away when the process that started a server is gone, however it went.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// Reads until the process that started it ends and the pipe with it (a SIGKILL too), then stops the server of the folder and
/// removes the folder. Nothing in a test's server is worth an orderly end.
const SCRIPT: &str = r#"
while read -r _; do :; done
pid=$(cat "$1/pid" 2>/dev/null)
[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null
rm -rf "$1"
"#;

/// A shell that waits for this process to end. Dropped: it clears away now, and is waited for.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Watches over a folder with, perhaps, a server's `pid` in it.
    pub(crate) fn over(folder: &Path) -> anyhow::Result<Self> {
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "watchdog"])
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
