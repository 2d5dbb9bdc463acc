//! The front page promises a whole connector in under 80 lines. The file is real: it is a crate of the workspace.

const FRONT_PAGE: &str = include_str!("../README.md");
const EXAMPLE: &str = include_str!("../examples/directory/src/lib.rs");

fn first_code_block() -> Option<&'static str> {
    let (_, after) = FRONT_PAGE.split_once("```rust,ignore\n")?;
    Some(after.split_once("```\n")?.0)
}

#[test]
fn it_shows_the_example_as_it_is() {
    assert_eq!(
        first_code_block(),
        Some(EXAMPLE),
        "copy sdk/rust/examples/directory/src/lib.rs into sdk/rust/README.md"
    );
}

#[test]
fn it_is_under_80_lines() {
    assert!(EXAMPLE.lines().count() < 80, "{} lines", EXAMPLE.lines().count());
}
