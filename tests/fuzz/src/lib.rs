//! Fuzz targets: each takes any bytes, hands them to something that parses what guests, files or peers send, and panics when a promise
//! is broken. `tests/short.rs` runs all of them in every test run; `cargo xtask fuzz` runs them under libFuzzer. See README.md.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a fuzz target panics when a promise is broken"
)]

mod documents;
mod egress;
mod files;
mod guest;
mod peer;
mod sql;

/// One target.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("guest-json", guest::json),
    ("guest-schema", guest::schema),
    ("guest-text", guest::text),
    ("egress-uri", egress::uri),
    ("egress-address", egress::address),
    ("policy", documents::policy),
    ("targets", documents::targets),
    ("expression", documents::expression),
    ("peer-answer", peer::answer),
    ("hr-file", files::hr),
    ("checkpoint", files::checkpoint),
    ("key-file", files::key),
    ("sql-statement", sql::statement),
    ("sql-sqlite", sql::sqlite),
];

/// The target of a name.
pub fn target(name: &str) -> Option<Target> {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, target)| *target)
}

/// The input as text: most parsers take nothing else, and bytes that are no text would never get in.
fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// The first line and the rest.
fn head_and_rest(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

/// Whether a terminal would take anything in this for a command, or hide or reorder it.
fn steers_a_terminal(text: &str) -> bool {
    text.chars().any(|c| {
        c.is_control() || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    })
}
