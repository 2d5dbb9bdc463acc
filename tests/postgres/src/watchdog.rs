//! Clearing away when the process that started a server is gone, however it went.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use std::os::unix::process::CommandExt;

use anyhow::Context;

/// Reads until the process that started it ends and the pipe with it (a SIGKILL too), then stops the server of the folder and
/// removes the folder. 200 looks of 50 ms: 10 s for a server that hangs. Its lock file
/// goes before it does, and tells even where nobody reaps orphans.
const SCRIPT: &str = r#"
while read -r _; do :; done
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null; then
    looks=0
    while [ -e "$1/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null && [ "$looks" -lt 200 ]; do
        sleep 0.05
        looks=$((looks + 1))
    done
    [ "$looks" -eq 200 ] && kill -KILL "$pid" 2>/dev/null
fi
rm -rf "$1"
"#;

/// A shell that waits for this process to end. Dropped: it clears away now, and is waited for.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Watches over a folder with, perhaps, a server's `data` in it.
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
