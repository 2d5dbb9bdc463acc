//! The program libFuzzer drives: its `main` is libFuzzer's own. `USHER_FUZZ_TARGET` names the target.

#![no_main]
#![allow(unsafe_code, reason = "libFuzzer, which is C++, calls a function by its name")]

use std::sync::OnceLock;

use libfuzzer_sys as _;
use usher_fuzz::{TARGETS, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("USHER_FUZZ_TARGET").unwrap_or_default();
    match usher_fuzz::target(&name) {
        Some(target) => target,
        None => panic!(
            "USHER_FUZZ_TARGET must be one of {:?}",
            TARGETS.iter().map(|(name, _)| name)
        ),
    }
}

/// Runs one input. A panic that gets out of here is a finding; one that the host itself catches is not.
// SAFETY: the signature is the one libfuzzer-sys declares; nothing else has this name.
#[unsafe(no_mangle)]
#[allow(
    improper_ctypes_definitions,
    reason = "called by Rust code only, as libfuzzer-sys declares it"
)]
pub extern "C" fn rust_fuzzer_test_input(data: &[u8]) -> i32 {
    TARGET.get_or_init(chosen)(data);
    0
}
