//! Views as text. Every function is pure: a view in, text out, the same each time.

pub(crate) mod account;
pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod connectors;
pub(crate) mod difference;
pub(crate) mod escape;
pub(crate) mod found;
pub(crate) mod freeze;
pub(crate) mod held;
pub(crate) mod history;
pub(crate) mod identity;
pub(crate) mod import;
pub(crate) mod ink;
pub(crate) mod operations;
pub(crate) mod personal_facts;
pub(crate) mod plan;
pub(crate) mod reconcile;
pub(crate) mod secrets;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod stops;
pub(crate) mod table;
pub(crate) mod targets;
pub(crate) mod timeline;
pub(crate) mod why;

#[cfg(test)]
pub(crate) mod samples;
