//! What crosses crates: the support that tests in several crates share, and the demo. The tests themselves are in `tests/tests/`.

pub mod application;
mod components;
pub mod demo;
pub mod programs;
pub mod rehearsal;
pub mod scim_server;

pub use components::{component, language_component};
