//! From bytes to a component that follows the contract, or a message its author can act on.

use sha2::{Digest as _, Sha256};
use usher_lifecycle::targets::{Grants, Target};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::contract::v0_1::{REQUIRED, VERSION};
use crate::error::LoadError;
use crate::inspect::{Access, Import};
use crate::native_cache::NativeCache;

/// Largest component: Python connectors have about 20 MiB.
pub(crate) const COMPONENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A compiled component that exports what the contract asks for.
pub(crate) struct Loaded {
    pub(crate) component: Component,
    /// SHA-256, lower-case hexadecimal.
    pub(crate) digest: String,
    pub(crate) size_bytes: usize,
    pub(crate) exports: Vec<String>,
    pub(crate) imports: Vec<Import>,
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Compiles (or takes from the cache) and checks; blocks, for seconds with large components.
pub(crate) fn load(engine: &Engine, cache: Option<&NativeCache>, bytes: &[u8]) -> Result<Loaded, LoadError> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge {
            bytes: bytes.len(),
            max: COMPONENT_BYTES_MAX,
        });
    }
    check_header(bytes)?;
    let digest = hex(&Sha256::digest(bytes));
    let component = match cache.and_then(|cache| cache.get(engine, &digest)) {
        Some(component) => component,
        None => {
            let component = Component::from_binary(engine, bytes).map_err(|error| refused(&error))?;
            if let Some(cache) = cache {
                cache.put(engine, &digest, &component);
            }
            component
        }
    };
    let ty = component.component_type();
    let exports: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
    check_exports(&exports)?;
    let imports = crate::link::imports(&component);
    check_imports_known(&imports)?;
    Ok(Loaded {
        digest,
        size_bytes: bytes.len(),
        exports,
        imports,
        component,
    })
}

/// The first eight bytes tell a component from the things that are handed in by mistake.
fn check_header(bytes: &[u8]) -> Result<(), LoadError> {
    let why = match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => return Ok(()),
        Some(b"\0asm\x01\0\0\0") => {
            "it is a core WebAssembly module; build for the target wasm32-wasip2, or wrap it with `wasm-tools component new`"
        }
        Some(header) if header.starts_with(b"\0asm") => "it is WebAssembly of a kind this host does not know",
        Some(header) if header.starts_with(b"(") => "it is WebAssembly text; a connector is the binary form",
        Some(_) => "it does not start as WebAssembly does; is this the right file?",
        None => "the file is empty or cut off",
    };
    Err(LoadError::NotAComponent(why.to_owned()))
}

fn refused(error: &wasmtime::Error) -> LoadError {
    let text = crate::guest_text::line_of(&format!("{error:#}"), 600);
    let hint = if text.contains("async feature") {
        " (connectors are synchronous: with JavaScript on QuickJS build with `--sync`)"
    } else {
        ""
    };
    LoadError::NotAComponent(format!("it does not compile: {text}{hint}"))
}

fn check_exports(exports: &[String]) -> Result<(), LoadError> {
    for required in REQUIRED {
        if exports.iter().any(|export| export == required) {
            continue;
        }
        let interface = required.split('@').next().unwrap_or(required);
        let other = exports
            .iter()
            .find_map(|export| export.strip_prefix(interface)?.strip_prefix('@'));
        let why = match other {
            Some(version) => {
                format!(
                    "it is made for version {version} of the contract, this host knows {VERSION}; rebuild it with an SDK of that version"
                )
            }
            None if exports.is_empty() => {
                format!(
                    "it exports nothing; with the Rust SDK, is `export!(YourConnector)` in the crate? `{required}` is missing"
                )
            }
            None => format!("it does not export `{required}`; it exports: {}", list(exports)),
        };
        return Err(LoadError::Contract(why));
    }
    Ok(())
}

fn list(names: &[String]) -> String {
    crate::guest_text::line_of(&names.join(", "), 500)
}

fn check_imports_known(imports: &[Import]) -> Result<(), LoadError> {
    match imports.iter().find(|import| import.access == Access::Unknown) {
        Some(import) => Err(LoadError::Contract(format!(
            "it imports `{}`, which this host does not offer; connectors have usher:host/log, usher:host/sql, wasi:http and the \
             harmless part of WASI 0.2",
            crate::guest_text::line_of(&import.name, 200)
        ))),
        None => Ok(()),
    }
}

/// Whether the target grants what the component imports.
pub(crate) fn check_granted(imports: &[Import], target: &Target) -> Result<(), LoadError> {
    let missing = imports
        .iter()
        .find_map(|import| Some((import, missing_grant(import.access, &target.grants)?)));
    let Some((import, grant)) = missing else {
        return Ok(());
    };
    let target = target.name.to_string();
    let grant = format!("[[targets.{target}.grants.{grant}");
    Err(LoadError::NotGranted {
        import: import.name.clone(),
        target,
        grant,
    })
}

fn missing_grant(access: Access, grants: &Grants) -> Option<&'static str> {
    match access {
        Access::HttpGrant if grants.http.is_empty() => {
            Some("http]]\nscheme = \"https\"\nhost = \"host.example.com\"")
        }
        Access::SqlGrant if grants.sql.is_empty() => {
            Some("sql]]\nendpoint = \"app\"\nsqlite = \"/path/to/the/database.db\"")
        }
        Access::HttpGrant | Access::SqlGrant | Access::Always | Access::Stubbed | Access::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        let engine = &crate::engine::runtime().unwrap().engine;
        match load(engine, None, bytes) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_no_connector_is_refused_with_a_reason() {
        let cases: [(&[u8], &str); 7] = [
            (b"", "empty"),
            (b"\x7fELF\x02\x01\x01\0", "right file"),
            (b"(component)", "text"),
            (b"\0asm\x01\0\0\0", "wasm32-wasip2"),
            (b"\0asm\x0e\0\x01\0", "does not know"),
            (b"\0asm\x0d\0\x01\0\xff\xff\xff", "does not compile"),
            (b"\0asm\x0d\0\x01\0", "exports nothing"),
        ];
        for (bytes, expected) in cases {
            let message = refusal(bytes);
            assert!(message.contains(expected), "{message}");
        }
        assert!(refusal(&vec![0; COMPONENT_BYTES_MAX + 1]).contains("at most 67108864"));
    }

    #[test]
    fn exports_of_another_version_are_named() {
        let exports = [
            "usher:connector/connector@0.2.0".to_owned(),
            "usher:connector/accounts@0.2.0".to_owned(),
        ];
        let message = check_exports(&exports).unwrap_err().to_string();
        assert!(
            message.contains("version 0.2.0") && message.contains("knows 0.1.0"),
            "{message}"
        );
        let message = check_exports(&["usher:connector/connector@0.1.0".to_owned()])
            .unwrap_err()
            .to_string();
        assert!(message.contains("usher:connector/accounts@0.1.0"), "{message}");
    }
}
