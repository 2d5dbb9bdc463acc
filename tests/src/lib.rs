//! What crosses crates: the support that tests in several crates share, and the demo. The tests themselves are in `tests/tests/`.

mod components;
pub mod programs;
pub mod scim_server;

pub use components::component;
