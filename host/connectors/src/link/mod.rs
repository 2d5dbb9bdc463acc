//! What is linked into a component: the base that is always there and harmless, and what the target grants. What is not linked
//! cannot be reached.

mod stubs;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::p2::bindings::{cli, random};
use wasmtime_wasi::random::WasiRandom;

use crate::contract::v0_1;
use crate::inspect::{Access, Import};
use crate::state::State;

/// Prefixes of the names of imports, and what it takes to have them. The first that fits counts.
const ACCESS: [(&str, Access); 9] = [
    ("usher:connector/types@0.1.0", Access::Always),
    ("usher:host/log@0.1.0", Access::Always),
    ("usher:host/sql@0.1.0", Access::SqlGrant),
    ("wasi:http/types@0.2.", Access::HttpGrant),
    ("wasi:http/outgoing-handler@0.2.", Access::HttpGrant),
    ("wasi:filesystem/", Access::Stubbed),
    ("wasi:sockets/", Access::Stubbed),
    ("wasi:cli/", Access::Always),
    ("wasi:", Access::Always),
];
/// Interfaces of WASI that are linked, without their version.
const BASE: [&str; 18] = [
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
];

/// What this host offers of its own; with the Rust SDK, `log` comes with every connector and `usher_sdk::sql` brings `sql`.
fn offered() -> impl Iterator<Item = &'static str> {
    let names = ACCESS.iter().map(|(name, _)| *name);
    names.filter(|name| name.starts_with("usher:"))
}

/// What a component imports, and what each import needs.
pub(crate) fn imports(component: &Component) -> Vec<Import> {
    let ty = component.component_type();
    let imports = ty.imports(component.engine());
    imports
        .map(|(name, item)| Import {
            name: name.to_owned(),
            access: access(name, &item.ty),
        })
        .collect()
}

fn access(name: &str, item: &ComponentItem) -> Access {
    if !matches!(item, ComponentItem::ComponentInstance(_)) {
        return Access::Unknown;
    }
    match ACCESS.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        Some((prefix, Access::Always)) if prefix.starts_with("wasi:") => match name.split_once('@') {
            Some((interface, version)) if version.starts_with("0.2.") && BASE.contains(&interface) => {
                Access::Always
            }
            _ => Access::Unknown,
        },
        Some((_, access)) => *access,
        None => Access::Unknown,
    }
}

/// Why an import is not offered, and what its author can do: the end of a sentence that names it.
pub(crate) fn why_unknown(name: &str) -> String {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    let version = crate::guest_text::line_of(version, 40);
    let mut ours = offered().filter_map(|known| known.split_once('@'));
    if let Some((_, known)) = ours.find(|(known, _)| *known == interface) {
        return format!(
            "of which this host offers version {known} and not {version}; rebuild it with the SDK (or the wit/ folder) of contract {known}"
        );
    }
    if interface.starts_with("usher:") {
        return format!(
            "which this host does not offer; it has {}: leave out the part of the SDK that needs it, or use a newer host",
            offered().collect::<Vec<_>>().join(", ")
        );
    }
    if interface.starts_with("wasi:") && version.starts_with("0.3") {
        return "which is WASI 0.3; connectors use WASI 0.2: with Rust build for wasm32-wasip2".to_owned();
    }
    if interface.starts_with("wasi:") {
        return "which this host does not offer; connectors have wasi:http and the harmless part of WASI 0.2"
            .to_owned();
    }
    format!(
        "which no host of connectors offers; it has {}, wasi:http and the harmless part of WASI 0.2",
        offered().collect::<Vec<_>>().join(", ")
    )
}

/// What a target grants, as far as linking is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    pub(crate) http: bool,
    pub(crate) sql: bool,
}

/// Links a component: the base, stubs for what it imports needlessly, and what is granted.
pub(crate) fn link(component: &Component, granted: Granted) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(component.engine());
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(&mut linker)?;
    let l = &mut linker;
    cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    random::insecure::add_to_linker::<State, WasiRandom>(l, |state| state.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(l, |state| state.ctx().ctx.random())?;
    v0_1::link_log(l)?;
    if granted.sql {
        v0_1::link_sql(l)?;
    }
    if granted.http {
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(l)?;
    }
    stubs::link(component, l)?;
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_with_unknown_imports_is_seen_through() {
        let engine = &crate::engine::runtime().unwrap().engine;
        // A component in its binary form that imports one function, `evil`: what no host interface is.
        let bytes = b"\0asm\x0d\0\x01\0\x07\x05\x01\x40\0\x01\0\x0a\x09\x01\0\x04evil\x01\0";
        let component = Component::from_binary(engine, bytes).unwrap();
        assert_eq!(
            imports(&component),
            [Import {
                name: "evil".to_owned(),
                access: Access::Unknown
            }]
        );
    }
}
