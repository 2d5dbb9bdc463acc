//! The loop: imports facts, plans, claims operations, calls connectors, records outcomes, keeps timers.
//!
//! Speaks to ports only (store, connectors, clock, randomness, probes), each with a real and a simulated implementation, so
//! that the whole loop runs in a deterministic simulation.
//!
//! Never imports: sqlx, wasmtime, axum; never reads the wall clock or ad-hoc randomness.

mod documents;
mod engine;
mod error;
pub mod import;
mod observer;
mod personal;
pub mod plan;
pub mod ports;
mod progress;
pub mod reconcile;
pub mod run;
pub mod serve;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod views;

pub use documents::Proposed;
pub use engine::{Engine, Ports};
pub use error::{EngineError, TargetError};
pub use observer::{Ending, NoObserver, Observer, Outcomes, Part, Seen};
pub use personal::{FactSet, RecordJoined, RecordKey};
pub use progress::{NoProgress, Phase, Progress};

#[cfg(test)]
mod tests;
