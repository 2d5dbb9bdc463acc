//! What Usher answers over HTTP: whether it is well (`/healthz`, `/livez`, `/readyz`) and what it has done (`/metrics`).
//!
//! [`Board`] is told by the engine what happens in the loop; [`Site`] puts that beside what the store says; [`Server`] answers with it.
//!
//! Invariants:
//! - Nothing personal is told: counts by target and verb, never a key, a name or an id of a person.
//! - Every connection, request and answer has a limit, and no request reaches the store more often than [`Site`] allows.
//!
//! Never imports: sqlx, wasmtime, the connectors.

mod address;
mod board;
mod connection;
mod health;
mod listener;
mod metrics;
mod process;
mod queue;
mod routes;
mod server;
mod site;

pub use address::{AddressError, ListenAddress};
pub use board::Board;
pub use health::{Health, LoopPart, Status};
pub use server::{BindError, Server};
pub use site::{About, Site};

#[cfg(test)]
mod tests;
