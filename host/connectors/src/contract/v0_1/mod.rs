//! Contract version 0.1.0: `usher:connector@0.1.0` and `usher:host@0.1.0`.

mod calls;
mod check;
mod convert;
mod host;

use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use crate::state::State;
pub(crate) use calls::Guest;
pub(crate) use check::check_exports;

pub(crate) mod wit {
    #![allow(
        missing_docs,
        clippy::all,
        unreachable_pub,
        reason = "generated from wit/, where everything is documented"
    )]
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "everything",
        imports: { "usher:host/sql.query": async, "usher:host/sql.execute": async },
        exports: { default: async },
        require_store_data_send: true,
    });
}

use wit::exports::usher::connector as exported;

/// The version all interfaces of this module carry.
const VERSION: &str = "0.1.0";
/// The optional ones.
const ENTITLEMENTS: &str = "usher:connector/entitlements@0.1.0";

/// Where a component's exports are; looked up once for each component.
#[derive(Clone)]
pub(crate) struct Exports {
    connector: exported::connector::GuestIndices,
    accounts: exported::accounts::GuestIndices,
    entitlements: Option<exported::entitlements::GuestIndices>,
}

impl Exports {
    /// Finds the exports. The error names the function that is missing.
    pub(crate) fn find(component: &Component, pre: &InstancePre<State>) -> wasmtime::Result<Self> {
        let optional = component
            .component_type()
            .exports(component.engine())
            .any(|(name, _)| name == ENTITLEMENTS);
        Ok(Self {
            connector: exported::connector::GuestIndices::new(pre)?,
            accounts: exported::accounts::GuestIndices::new(pre)?,
            entitlements: optional
                .then(|| exported::entitlements::GuestIndices::new(pre))
                .transpose()?,
        })
    }

    /// Whether the optional `entitlements` is there.
    pub(crate) fn has_entitlements(&self) -> bool {
        self.entitlements.is_some()
    }
}

/// Offers `usher:host/log`.
pub(crate) fn link_log(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::usher::host::log::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

/// Offers `usher:host/sql`.
pub(crate) fn link_sql(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::usher::host::sql::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}
