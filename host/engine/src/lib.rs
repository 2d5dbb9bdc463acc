//! The loop: imports facts, plans, claims operations, calls connectors, records outcomes, keeps timers.
//!
//! Speaks to ports only (store, connectors, clock, randomness, probes), each with a real and a simulated implementation, so
//! that the whole loop runs in a deterministic simulation.
//!
//! Never imports: sqlx, wasmtime, axum; never reads the wall clock or ad-hoc randomness.

pub mod ports;
