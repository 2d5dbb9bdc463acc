//! The sandbox: runs connectors as WebAssembly components that reach nothing the operator did not grant.
//!
//! Owns wasmtime, the conversion between the contract (WIT) and domain types, egress, guest SQL, limits and the
//! native-code cache. Never imports: the store, the engine. Domain types go outward; wasmtime's stay inside.

mod port;

pub use port::Connector;
