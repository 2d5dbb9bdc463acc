//! The pure core of Usher: facts → lifecycle state → desired accounts → plan.
//!
//! Owns the words of the field as types (identity, source record, account, entitlement, operation, cause), the policy
//! and targets documents, rules and mappings, and every decision that can be made without asking the world: the state
//! of a person at a moment, what their accounts should be, what to do next about an account, what to do after an attempt.
//!
//! Never imports: tokio, sqlx, wasmtime, axum, a clock, randomness, files. The moment, the zone database and every id
//! are parameters, so the same input always gives the same answer.

pub mod account;
pub mod assignment;
pub mod attributes;
pub mod budget;
pub mod cause;
mod circle;
pub mod connector;
pub mod correlation;
pub mod diff;
pub mod document;
pub mod drift;
pub mod erasure;
pub mod expr;
pub mod facts;
pub mod ids;
pub mod name;
pub mod operation;
pub mod plan;
pub mod policy;
pub mod queue;
pub mod reservation;
pub mod retry;
pub mod schema;
pub mod settle;
pub mod situation;
pub mod state;
pub mod table;
pub mod targets;
pub mod transitions;
