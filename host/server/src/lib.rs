//! What Usher answers over HTTP: health and metrics.
//!
//! Never imports: sqlx, wasmtime, the connectors.
