//! The sandbox with real guests: what they may do works, what they may not does not, and the host says which it was.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod compiling;
mod containment;
mod egress;
mod guest_sql;
mod guest_sql_servers;
mod hostile;
mod languages;
mod loading;
mod log_lines;
mod neighbours;
mod oauth2;
mod peer;
mod secret_hunt;
mod secrets;
mod support;
#[path = "../../src/test_components.rs"]
mod test_components;
