//! Stubs for what interpreters import without a connector ever using it: files and sockets. No host code stands behind them;
//! every use ends the call, but the question which folders there are: none.

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType, Val};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};

use crate::limits::Forbidden;
use crate::state::State;

/// Stands for all resources that no guest can ever get hold of.
struct Nothing;

/// Links stubs for the imports that need them.
pub(super) fn link(component: &Component, linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let ty = component.component_type();
    for (name, item) in ty.imports(component.engine()) {
        let stubbed = name.starts_with("wasi:filesystem/") || name.starts_with("wasi:sockets/");
        if let (true, ComponentItem::ComponentInstance(interface)) = (stubbed, &item.ty) {
            stub(component, &mut linker.instance(name)?, name, interface)?;
        }
    }
    Ok(())
}

fn stub(
    component: &Component,
    linker: &mut LinkerInstance<'_, State>,
    interface: &str,
    ty: &ComponentInstance,
) -> wasmtime::Result<()> {
    for (name, item) in ty.exports(component.engine()) {
        match &item.ty {
            ComponentItem::ComponentFunc(_) if name == "get-directories" => {
                linker.func_new(name, |_, _, _, results| {
                    results.fill(Val::List(Vec::new()));
                    Ok(())
                })?;
            }
            ComponentItem::ComponentFunc(_) => {
                let what = format!("{interface}#{name}");
                linker.func_new(name, move |_, _, _, _| {
                    Err(wasmtime::Error::new(Forbidden(what.clone())))
                })?;
            }
            ComponentItem::Resource(_) => linker.resource(name, resource(name), |_, _| Ok(()))?,
            // Types need no definition; there is nothing else in an interface of WASI.
            _ => {}
        }
    }
    Ok(())
}

/// The resources that come from `wasi:io` must be the real ones, or the types do not match.
fn resource(name: &str) -> ResourceType {
    match name {
        "input-stream" => ResourceType::host::<DynInputStream>(),
        "output-stream" => ResourceType::host::<DynOutputStream>(),
        "pollable" => ResourceType::host::<DynPollable>(),
        "error" => ResourceType::host::<wasmtime::Error>(),
        _ => ResourceType::host::<Nothing>(),
    }
}
