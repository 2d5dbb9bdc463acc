//! The program as the process that compiles components for itself.

#![expect(clippy::unwrap_used, reason = "helpers of tests may end the test")]

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The smallest component there is.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

fn open_files(process: u32) -> Vec<String> {
    let folder = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let mut names: Vec<_> = folder
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn files_left_open_by_whoever_started_it_are_closed_before_a_component_is_read() {
    let mut child = Command::new("sh")
        .args(["-c", "exec 9</dev/null; exec \"$0\" compile-component 2048 60"])
        .arg(env!("CARGO_BIN_EXE_usher"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while open_files(child.id()) != ["0", "1", "2"] {
        assert!(Instant::now() < deadline, "{:?}", open_files(child.id()));
        std::thread::yield_now();
    }
    let input = child.stdin.as_mut().unwrap();
    input.write_all(&(EMPTY.len() as u64).to_le_bytes()).unwrap();
    input.write_all(EMPTY).unwrap();
    let mut code = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut code).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(code.starts_with(b"\x7fELF"), "{} bytes", code.len());
}
