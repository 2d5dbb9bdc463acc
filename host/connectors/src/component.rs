//! From bytes to a component that follows the contract, or a message its author can act on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use sha2::{Digest as _, Sha256};
use usher_lifecycle::targets::{Grants, Target};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::compile::Compiler;
use crate::engine::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};
use crate::error::LoadError;
use crate::guest_text::line_of;
use crate::inspect::{Access, Import};
use crate::journal::lock;
use crate::native_cache::{self, NativeCache};

/// Largest component: Python connectors have about 20 MiB.
pub(crate) const COMPONENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A compiled component that follows the contract. Shared by all targets it serves: its code is in memory once.
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

/// Refused components that are remembered: what a document with mistakes names, and more than anybody tries in a row.
const REFUSED_MAX: usize = 64;

/// What is known of one component. Whoever holds the lock is loading it: others wait instead of doing it again.
type Slot = Arc<tokio::sync::Mutex<Found>>;

/// What came of loading a component.
enum Found {
    /// It was not loaded yet, or for a reason that may pass.
    Nothing,
    /// Its code, while somebody uses it.
    Loaded(Weak<Loaded>),
    /// These very bytes are at fault: they are not compiled again for each target that names them.
    Refused(LoadError),
}

/// Turns bytes into components, each once.
pub(crate) struct Loader {
    compiler: Compiler,
    cache: Option<Arc<NativeCache>>,
    slots: Mutex<HashMap<String, Slot>>,
}

impl Loader {
    pub(crate) fn new(compiler: Compiler, cache: Option<NativeCache>) -> Self {
        Self {
            compiler,
            cache: cache.map(Arc::new),
            slots: Mutex::default(),
        }
    }

    /// A component that is in use, or in the cache, or compiled now: for seconds, with large ones.
    pub(crate) async fn load(
        &self,
        engine: &'static Engine,
        bytes: Vec<u8>,
    ) -> Result<Arc<Loaded>, LoadError> {
        if bytes.len() > COMPONENT_BYTES_MAX {
            return Err(LoadError::TooLarge {
                bytes: bytes.len(),
                max: COMPONENT_BYTES_MAX,
            });
        }
        check_header(&bytes)?;
        let (bytes, digest) = aside(move || {
            let digest = hex(&Sha256::digest(&bytes));
            Ok((bytes, digest))
        })
        .await?;
        let slot = self.slot(&digest);
        let mut held = slot.lock().await;
        match &*held {
            Found::Nothing => {}
            Found::Loaded(loaded) => {
                if let Some(loaded) = loaded.upgrade() {
                    return Ok(loaded);
                }
            }
            Found::Refused(error) => return Err(error.clone()),
        }
        let loaded = self.loaded(engine, &bytes, digest).await.map(Arc::new);
        *held = match &loaded {
            Ok(loaded) => Found::Loaded(Arc::downgrade(loaded)),
            Err(error) if error.is_of_the_component() => Found::Refused(error.clone()),
            Err(_) => Found::Nothing,
        };
        loaded
    }

    async fn loaded(
        &self,
        engine: &'static Engine,
        bytes: &[u8],
        digest: String,
    ) -> Result<Loaded, LoadError> {
        let component = self.component(engine, bytes, &digest).await?;
        let size_bytes = bytes.len();
        aside(move || checked(component, digest, size_bytes)).await
    }

    async fn component(
        &self,
        engine: &'static Engine,
        bytes: &[u8],
        digest: &str,
    ) -> Result<Component, LoadError> {
        let (cache, own) = (self.cache.clone(), digest.to_owned());
        let found = aside(move || Ok(cache.and_then(|cache| cache.get(engine, &own)))).await?;
        if let Some(component) = found {
            return Ok(component);
        }
        let code = self.compiler.compile(bytes).await?;
        let (cache, own) = (self.cache.clone(), digest.to_owned());
        aside(move || {
            let component = native_cache::compiled(engine, &code).map_err(|error| unfit(&error))?;
            if let Some(cache) = cache {
                cache.put(engine, &own, &code);
            }
            Ok(component)
        })
        .await
    }

    fn slot(&self, digest: &str) -> Slot {
        let mut slots = lock(&self.slots);
        // Those nobody loads and nobody uses any more go, and so do the refused when they are many.
        let mut refused = 0;
        slots.retain(|_, slot| match Arc::get_mut(slot).map(|slot| &*slot.get_mut()) {
            None => true,
            Some(Found::Nothing) => false,
            Some(Found::Loaded(loaded)) => loaded.strong_count() > 0,
            Some(Found::Refused(_)) => {
                refused += 1;
                refused < REFUSED_MAX
            }
        });
        let unknown = || Arc::new(tokio::sync::Mutex::new(Found::Nothing));
        Arc::clone(slots.entry(digest.to_owned()).or_insert_with(unknown))
    }
}

/// Runs what blocks for long where it holds up nobody.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| LoadError::Host("loading it failed inside this host".to_owned()))?
}

/// Code that this host's engine does not take. The instance pool says in words when the component asks for more than it has for one; anything else is
/// between this host and its compiling process.
fn unfit(error: &wasmtime::Error) -> LoadError {
    let why = line_of(&format!("{error:#}"), 400);
    if why.contains("exceeds the") {
        return LoadError::Contract(format!(
            "it needs more than one call may have ({CORE_INSTANCES_MAX} core instances, {MEMORIES_MAX} memories, {TABLES_MAX} tables of together \
             {TABLE_ELEMENTS_MAX} elements): {why}"
        ));
    }
    LoadError::Host(format!("the compiling process made no code for it: {why}"))
}

pub(crate) fn checked(component: Component, digest: String, size_bytes: usize) -> Result<Loaded, LoadError> {
    let exports = crate::contract::v0_1::check_exports(&component)?;
    let imports = crate::link::imports(&component);
    check_imports_known(&imports)?;
    check_resources(&component)?;
    Ok(Loaded {
        digest,
        size_bytes,
        exports,
        imports,
        component,
    })
}

/// What an instance needs from its start on, before it has run at all. (The engine has checked the number of core instances.)
pub(crate) fn check_resources(component: &Component) -> Result<(), LoadError> {
    let Some(needed) = component.resources_required() else {
        return Err(LoadError::Contract(
            "it imports core modules; link it into one component".to_owned(),
        ));
    };
    let count = |what: &str, needed: u32, most: u32| {
        let why = format!("it needs {needed} {what} in one instance; at most {most} are there");
        if needed > most {
            Err(LoadError::Contract(why))
        } else {
            Ok(())
        }
    };
    count("memories", needed.num_memories, MEMORIES_MAX)?;
    count("tables", needed.num_tables, TABLES_MAX)?;
    let elements = needed.max_initial_table_size.unwrap_or(0);
    count(
        "table elements",
        u32::try_from(elements).unwrap_or(u32::MAX),
        u32::try_from(TABLE_ELEMENTS_MAX).unwrap_or(u32::MAX),
    )
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
        None if bytes.starts_with(b"(") => "it is WebAssembly text; a connector is the binary form",
        None => "the file is empty or cut off",
    };
    Err(LoadError::NotAComponent(why.to_owned()))
}

fn check_imports_known(imports: &[Import]) -> Result<(), LoadError> {
    match imports.iter().find(|import| import.access == Access::Unknown) {
        Some(import) => Err(LoadError::Contract(format!(
            "it imports `{}`, {}",
            line_of(&import.name, 200),
            crate::link::why_unknown(&import.name)
        ))),
        None => Ok(()),
    }
}

/// Whether the target grants what the component imports.
pub(crate) fn check_granted(imports: &[Import], target: &Target) -> Result<(), LoadError> {
    let Some(import) = imports
        .iter()
        .find(|import| !is_granted(import.access, &target.grants))
    else {
        return Ok(());
    };
    let name = target.name.to_string();
    Err(LoadError::NotGranted {
        import: import.name.clone(),
        grant: import.access.grant(&name).unwrap_or_default(),
        target: name,
    })
}

fn is_granted(access: Access, grants: &Grants) -> bool {
    match access {
        Access::HttpGrant => !grants.http.is_empty(),
        Access::SqlGrant => !grants.sql.is_empty(),
        Access::Always | Access::Stubbed | Access::Unknown => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_refused_with_a_reason() {
        let cases: [(&[u8], &str); 6] = [
            (b"", "empty"),
            (b"\x7fELF\x02\x01\x01\0", "right file"),
            (b"(component)", "text"),
            (b"\0asm\x01\0\0\0", "wasm32-wasip2"),
            (b"\0asm\x0e\0\x01\0", "does not know"),
            (b"\0asm\x0d", "cut off"),
        ];
        for (bytes, expected) in cases {
            let message = check_header(bytes).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        check_header(b"\0asm\x0d\0\x01\0and more").unwrap();
    }
}
