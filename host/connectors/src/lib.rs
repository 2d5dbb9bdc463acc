//! The sandbox: runs connectors as WebAssembly components that reach nothing the operator did not grant.
//!
//! Owns wasmtime, the conversion between the contract (WIT) and domain types, egress, guest SQL, limits and the
//! native-code cache. Never imports: the store, the engine. Domain types go outward; wasmtime's stay inside.
//!
//! [`Sandbox`] loads a component for a target and gives a [`Generation`], which is a [`Connector`].

#[cfg(test)]
mod certificates;
mod compile;
mod component;
mod contract;
mod engine;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod generation;
mod guest_text;
mod http;
mod inspect;
mod journal;
mod json;
mod limits;
mod link;
mod listing;
mod log;
mod native_cache;
mod placeholders;
mod port;
mod runner;
mod sandbox;
mod schema;
mod secret_check;
mod secrets;
mod sql;
mod state;
#[cfg(test)]
mod test_components;
mod turns;

pub use compile::{CompileLimits, Compiler, compile_component};
pub use error::{LoadError, SandboxError};
pub use generation::Generation;
pub use inspect::{Access, Import, Inspection};
pub use listing::{Listed, Listing};
pub use native_cache::CodeKey;
pub use port::Connector;
pub use sandbox::{CodeFolder, Sandbox};
pub use secrets::{FixedSecrets, Kept, PLACEHOLDER_BYTES, SecretString, Secrets};
