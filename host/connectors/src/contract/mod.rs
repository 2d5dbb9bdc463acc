//! The contract with guests, one module for each version. Conversions between a version's types and domain types are in its module
//! and nowhere else.

mod signature;
pub(crate) mod v0_1;

use usher_lifecycle::connector::CallError;

/// How a call of a guest failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The guest trapped, or the host ended it.
    Ended(wasmtime::Error),
    /// The guest answered with an error.
    Guest(CallError),
    /// The guest answered something it may not.
    Nonsense(String),
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self::Ended(error)
    }
}
