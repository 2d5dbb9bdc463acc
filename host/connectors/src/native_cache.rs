//! Native code of components, kept between runs: compiling takes from tens of milliseconds to half a minute.
//!
//! A cache file is native code that will be run with the host's rights, so only files are taken that this host wrote: each begins with a
//! keyed checksum (HMAC-SHA-256) over what it is and its code. The key is not here: the `usher` program derives it from the operator's key, so that neither
//! a copied folder nor a writable one makes the host run foreign code. Besides that, the folder must be enterable by its user alone.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use ring::hmac;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::SandboxError;

/// Most bytes of native code kept. A Rust connector has a third of a MiB, one in JavaScript or Python about 40: room for some dozens of
/// those, and their predecessors.
const KEPT_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Largest file taken: what the compiling process may make, and its checksum.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024 + CHECKSUM_BYTES as u64;
/// Length of the checksum each file begins with.
const CHECKSUM_BYTES: usize = 32;
/// Age from which on a file that was never finished belongs to a process that is gone.
const UNFINISHED_AGE: Duration = Duration::from_secs(3_600);
/// How files begin that are being written.
const UNFINISHED: &str = ".new-";
/// How finished files end.
const EXTENSION: &str = "native";

/// Proves that a file of native code was written by a host with the same key.
#[derive(Clone)]
pub struct CodeKey(hmac::Key);

impl CodeKey {
    /// From 32 bytes nobody else knows.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }
}

impl std::fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeKey")
    }
}

/// A folder of native code.
#[derive(Debug)]
pub(crate) struct NativeCache {
    folder: PathBuf,
    key: CodeKey,
    bytes_max: u64,
    /// That it cannot be written to is worth one warning, not one for each connector.
    warned: AtomicBool,
}

impl NativeCache {
    /// Opens the folder, making it if need be. Refuses one that others may enter; where none can be made (a full or read-only disk), there is no cache.
    pub(crate) fn open(folder: PathBuf, key: CodeKey) -> Result<Option<Self>, SandboxError> {
        if let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "no native-code cache; connectors are compiled at each start");
            return Ok(None);
        }
        check_private(&folder)
            .map_err(|error| SandboxError(format!("the native-code cache {}: {error}", folder.display())))?;
        Ok(Some(Self {
            folder,
            key,
            bytes_max: KEPT_BYTES_MAX,
            warned: AtomicBool::new(false),
        }))
    }

    /// What a file is called, and what its checksum covers besides the code: the component, and the engine the code is for. Code is
    /// good for one version and configuration of the engine on one kind of processor; wasmtime checks these too.
    fn name(engine: &Engine, digest: &str) -> String {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        format!("{digest}-{:016x}.{EXTENSION}", hasher.finish())
    }

    /// The code of a component, if it is here and ours.
    pub(crate) fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let name = Self::name(engine, digest);
        let path = self.folder.join(&name);
        let content = match read_own(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "native code is not taken from the cache");
                return None;
            }
        };
        let Some(code) = self.verified(&name, &content) else {
            tracing::warn!(path = %path.display(), "native code is not taken from the cache: this host did not write it, or it was changed");
            return None;
        };
        match trusted(engine, code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "cached native code is of no use");
                None
            }
        }
    }

    fn verified<'c>(&self, name: &str, content: &'c [u8]) -> Option<&'c [u8]> {
        let (checksum, code) = content.split_at_checked(CHECKSUM_BYTES)?;
        // Compares in constant time, so that a forger cannot feel his way.
        let named = hmac::sign(&self.key.0, name.as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, named.as_ref());
        hmac::verify(&key, code, checksum).ok()?;
        Some(code)
    }

    /// Keeps the code of a component. Failing to is no failure: it is compiled again next time.
    pub(crate) fn put(&self, engine: &Engine, digest: &str, code: &[u8]) {
        let name = Self::name(engine, digest);
        if let Err(error) = self.write(&name, code) {
            let folder = self.folder.display();
            if !self.warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(%folder, %error, "native code is not kept; connectors will be compiled again at the next start");
            }
        }
    }

    /// Writes a file whole or not at all, and makes room for it.
    fn write(&self, name: &str, code: &[u8]) -> std::io::Result<()> {
        let named = hmac::sign(&self.key.0, name.as_bytes());
        let checksum = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, named.as_ref()), code);
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&self.folder)?;
        file.write_all(checksum.as_ref())?;
        file.write_all(code)?;
        let written = file.persist(self.folder.join(name))?.metadata()?;
        self.make_room(written.modified()?)
    }

    /// Deletes what was used longest ago until the rest fits, and what was never finished. `now` is the time the newest file was written.
    fn make_room(&self, now: SystemTime) -> std::io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(found) = entry.metadata() else { continue };
            let (Ok(used), name) = (found.modified(), entry.file_name()) else {
                continue;
            };
            let name = name.to_string_lossy();
            let is_old = now.duration_since(used).is_ok_and(|age| age > UNFINISHED_AGE);
            if name.starts_with(UNFINISHED) && is_old {
                // Another process may have been quicker.
                let _ = fs::remove_file(entry.path());
            } else if name.ends_with(EXTENSION) {
                kept.push((used, found.len(), entry.path()));
            }
        }
        kept.sort_unstable_by(|one, other| other.cmp(one));
        let mut bytes = 0_u64;
        for (_, length, path) in kept {
            bytes = bytes.saturating_add(length);
            if bytes > self.bytes_max {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }
}

/// Native code that came out of the compiling process.
pub(crate) fn compiled(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    trusted(engine, code)
}

/// The one place where the host trusts bytes to be its own native code.
#[allow(unsafe_code, reason = "the native-code cache: DESIGN, section 3")]
fn trusted(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` needs bytes that wasmtime's compiler made and nobody altered since; it checks version and configuration itself, not contents.
    // There are two callers, both in this file:
    // - `compiled` is given what the compiling process wrote to a pipe only it and we hold. It is this very program, started by us, with the same
    //   compiler inside; it read hostile bytes, but so would we have, and a compiler that can be talked into emitting other code than it should breaks the
    //   sandbox in either process.
    // - `get` has checked these very bytes (in memory: the file cannot change under us) against a checksum that needs the key. The key is derived from the
    //   operator's key, which is not in this folder: whoever can forge the checksum can read the operator's key, and with it every secret we guard.
    unsafe { Component::deserialize(engine, code) }
}

/// Reads a file that belongs to this user alone. A symbolic link is not followed.
fn read_own(path: &Path) -> std::io::Result<Vec<u8>> {
    let refuse = |why: &str| Err(std::io::Error::other(why.to_owned()));
    let named = fs::symlink_metadata(path)?;
    if !named.is_file() {
        return refuse("it is not a file");
    }
    let mut file = File::open(path)?;
    let found = file.metadata()?;
    if (found.dev(), found.ino()) != (named.dev(), named.ino()) {
        return refuse("it was exchanged while it was opened");
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return refuse("it belongs to another user");
    }
    if found.mode() & 0o077 != 0 {
        return refuse("other users may read or write it");
    }
    if found.len() > FILE_BYTES_MAX {
        return refuse("it is too large");
    }
    let mut content = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    (&mut file).take(FILE_BYTES_MAX).read_to_end(&mut content)?;
    // Marks it as used, for `make_room`. Where it cannot be marked it counts as older than it is, no more.
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let used = Timestamps {
        last_access: time(UTIME_OMIT),
        last_modification: time(UTIME_NOW),
    };
    let _ = futimens(&file, &used);
    Ok(content)
}

fn check_private(folder: &Path) -> std::io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() {
        return Err(std::io::Error::other("not a folder"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(std::io::Error::other("belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(std::io::Error::other(
            "other users can enter it; make it private (chmod 700)",
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "native_cache_tests.rs"]
mod tests;
