//! The demo: `cargo xtask demo` builds what it needs and starts it.
fn main() {}
