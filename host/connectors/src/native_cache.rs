//! Native code of components, kept between runs: compiling takes from tens of milliseconds to half a minute.
//!
//! A cache file is native code that will be run with the host's rights. So only files are taken that this host wrote: they lie in
//! a folder only its user can enter, and each file's SHA-256 must be the one noted beside it when it was written.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::component::hex;
use crate::error::SandboxError;

/// A folder of native code.
#[derive(Debug)]
pub(crate) struct NativeCache {
    folder: PathBuf,
}

impl NativeCache {
    /// Opens the folder, making it if need be. Refuses one that others may write to.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, SandboxError> {
        make_private(&folder)
            .map_err(|error| SandboxError(format!("the native-code cache {}: {error}", folder.display())))?;
        Ok(Self { folder })
    }

    fn path(&self, engine: &Engine, digest: &str) -> PathBuf {
        // Code is good for one version and configuration of the engine on one kind of processor; the hash stands for these.
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.folder
            .join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
    }

    /// The code of a component, if it is here and untouched.
    pub(crate) fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(engine, digest);
        let code = fs::read(&path).ok()?;
        let noted = fs::read_to_string(manifest(&path)).ok()?;
        if noted.trim() != hex(&Sha256::digest(&code)) {
            tracing::warn!(path = %path.display(), "the native-code cache was changed; compiling anew");
            return None;
        }
        match trusted(engine, &code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "cached native code is of no use");
                None
            }
        }
    }

    /// Keeps the code of a component. Failing to is no failure: it is compiled again next time.
    pub(crate) fn put(&self, engine: &Engine, digest: &str, component: &Component) {
        let path = self.path(engine, digest);
        let kept = component
            .serialize()
            .map_err(std::io::Error::other)
            .and_then(|code| {
                // The manifest goes first: code without one is ignored, a manifest without code too.
                self.write(&manifest(&path), hex(&Sha256::digest(&code)).as_bytes())?;
                self.write(&path, &code)
            });
        if let Err(error) = kept {
            tracing::warn!(path = %path.display(), %error, "native code is not cached");
        }
    }

    /// Writes a file whole or not at all.
    fn write(&self, path: &Path, content: &[u8]) -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.folder)?;
        file.write_all(content)?;
        file.persist(path)?;
        Ok(())
    }
}

fn manifest(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

/// The one place where the host trusts bytes to be its own native code.
#[allow(unsafe_code, reason = "the native-code cache: DESIGN, section 3")]
fn trusted(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` needs bytes that came from `Component::serialize` and were not altered since; it checks version and
    // configuration itself, not contents. `get` is the only caller, and has compared the SHA-256 of these very bytes (in memory:
    // the file cannot change under us) with the one `put` noted. Both lie in a folder that `open` made and checked to be enterable
    // by this user alone, so whoever could forge the pair already runs with this user's rights.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(unix)]
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() {
        return Err(std::io::Error::other("not a folder"));
    }
    // The owner of a file just made there is this user.
    let probe = tempfile::tempfile_in(folder)?.metadata()?;
    if found.uid() != probe.uid() {
        return Err(std::io::Error::other("belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(std::io::Error::other(
            "other users can enter it; make it private (chmod 700)",
        ));
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn engine() -> &'static Engine {
        &crate::engine::runtime().unwrap().engine
    }

    #[test]
    fn code_comes_back_and_altered_code_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = NativeCache::open(folder.path().join("native")).unwrap();
        assert!(cache.get(engine(), "d1").is_none());
        cache.put(engine(), "d1", &Component::from_binary(engine(), EMPTY).unwrap());
        assert!(cache.get(engine(), "d1").is_some());
        assert!(cache.get(engine(), "d2").is_none());
        let path = cache.path(engine(), "d1");
        let mut code = fs::read(&path).unwrap();
        *code.last_mut().unwrap() ^= 1;
        fs::write(&path, code).unwrap();
        assert!(cache.get(engine(), "d1").is_none());
        fs::remove_file(manifest(&path)).unwrap();
        assert!(cache.get(engine(), "d1").is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_others_can_enter_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = NativeCache::open(folder.path().to_owned())
            .unwrap_err()
            .to_string();
        assert!(error.contains("chmod 700"), "{error}");
    }
}
