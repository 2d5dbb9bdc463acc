#![doc = include_str!("../README.md")]

// The generated code names the SDK from within and from without alike.
extern crate self as usher_sdk;

mod account;
mod attributes;
#[doc(hidden)]
pub mod bindings;
mod connector;
mod convert;
mod deadline;
mod error;
mod export;
mod guest;
pub mod http;
pub mod log;
mod schema;
pub mod sql;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod update;

pub use account::{Account, Entitlement, Holding, Page, Status};
pub use attributes::Attributes;
#[doc(hidden)]
pub use connector::Package;
pub use connector::{
    Accounts, Capability, CheckReport, CheckStep, Connector, Creation, Entitlements, Find, Write,
};
pub use deadline::time_left;
pub use error::{Effect, Error, ErrorKind};
pub use schema::{Attribute, Schema};
pub use serde_json;
pub use update::{Change, UpdateRequest};
#[doc(hidden)]
pub use wit_bindgen::rt as __rt;

/// What most connectors need: `use usher_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::http::{Http, Response, encode};
    pub use crate::{
        Account, Accounts, Attribute, Attributes, Capability, Change, CheckReport, Connector, Creation,
        Entitlement, Entitlements, Error, Find, Holding, Page, Schema, UpdateRequest, Write,
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
    pub use serde_json::{Value, json};
}
