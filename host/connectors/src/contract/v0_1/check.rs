//! Whether a component exports what this version of the contract says, function by function, before anything of it runs.

use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};

use super::VERSION;
use crate::contract::signature;
use crate::error::LoadError;
use crate::guest_text::line_of;

/// Every exported interface of this version, its functions, and their types line by line. A test holds it to `wit/`.
const SIGNATURES: &str = include_str!("signatures.txt");
/// Interfaces every connector exports, without package and version.
const REQUIRED: [&str; 2] = ["connector", "accounts"];
const PACKAGE: &str = "usher:connector/";

/// One interface of the contract.
struct Interface {
    name: &'static str,
    functions: Vec<(&'static str, Vec<&'static str>)>,
}

/// Reads [`SIGNATURES`]: interfaces at the margin, functions below them, types below these.
fn interfaces() -> Vec<Interface> {
    let mut interfaces: Vec<Interface> = Vec::new();
    for line in SIGNATURES.lines() {
        let text = line.trim_start();
        let interface = interfaces.last_mut();
        match (line.len() - text.len(), interface) {
            (0, _) => interfaces.push(Interface {
                name: text,
                functions: Vec::new(),
            }),
            (2, Some(interface)) => interface.functions.push((text, Vec::new())),
            (_, Some(interface)) => {
                if let Some((_, lines)) = interface.functions.last_mut() {
                    lines.push(text);
                }
            }
            (_, None) => {}
        }
    }
    interfaces
}

/// The names of what a component exports, when it exports what it must and all of that has the right type. What the contract does not know is left alone:
/// language tools export things of their own.
pub(crate) fn check_exports(component: &Component) -> Result<Vec<String>, LoadError> {
    let (ty, engine) = (component.component_type(), component.engine());
    let names: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
    for interface in interfaces() {
        let name = format!("{PACKAGE}{}@{VERSION}", interface.name);
        let exported = ty.get_export(engine, &name).map(|export| export.ty);
        match exported {
            Some(ComponentItem::ComponentInstance(instance)) => {
                check_interface(component, &name, &interface, &instance)?;
            }
            Some(_) => {
                return Err(LoadError::Contract(format!(
                    "its export `{name}` is not an interface"
                )));
            }
            None => check_missing(&name, interface.name, &names)?,
        }
    }
    Ok(names)
}

fn check_missing(name: &str, interface: &str, exports: &[String]) -> Result<(), LoadError> {
    let other = exports.iter().find_map(|export| {
        export
            .strip_prefix(PACKAGE)?
            .strip_prefix(interface)?
            .strip_prefix('@')
    });
    let why = match other {
        Some(version) => format!(
            "it exports `{interface}` of version {} of the contract, and this host knows {VERSION}; rebuild it with the SDK (or the wit/ folder) \
             of contract {VERSION}, or use a host that knows the other",
            line_of(version, 40)
        ),
        None if !REQUIRED.contains(&interface) => return Ok(()),
        None if exports.is_empty() => {
            format!(
                "it exports nothing; with the Rust SDK, is `export!(YourConnector)` in the crate? `{name}` is missing"
            )
        }
        None => format!(
            "it does not export the interface `{name}`; it exports: {}",
            line_of(&exports.join(", "), 500)
        ),
    };
    Err(LoadError::Contract(why))
}

fn check_interface(
    component: &Component,
    name: &str,
    interface: &Interface,
    exported: &ComponentInstance,
) -> Result<(), LoadError> {
    for (function, expected) in &interface.functions {
        let Some(found) = function_of(component, exported, function) else {
            return Err(LoadError::Contract(format!(
                "its `{name}` lacks the function `{function}`, which contract {VERSION} has; an interface is exported whole or not at all"
            )));
        };
        if let Some(difference) = signature::difference(expected, &signature::lines(&found)) {
            return Err(LoadError::Contract(format!(
                "its function `{function}` of `{name}` has another type than contract {VERSION} says: {difference}; build it against the wit/ folder of \
                 contract {VERSION}"
            )));
        }
    }
    Ok(())
}

fn function_of(component: &Component, exported: &ComponentInstance, name: &str) -> Option<ComponentFunc> {
    match exported.get_export(component.engine(), name)?.ty {
        ComponentItem::ComponentFunc(function) => Some(function),
        _ => None,
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
