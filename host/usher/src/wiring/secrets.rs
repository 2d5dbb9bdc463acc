//! Secrets of targets: from the store, the environment and files, looked up when they are needed.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use usher_connectors::{Kept, PLACEHOLDER_BYTES, SecretString, Secrets};
use usher_engine::ports::Clock;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::name::Name;
use usher_lifecycle::targets::SecretReference;
use usher_store::{Context, Randomness, Store};

/// Largest secret file, in bytes: the longest tokens seen are about 10 KB.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Everybody else on the machine.
const OTHERS: u32 = 0o007;

/// The folder where container engines put secrets. They often give them to everybody (mode 0444), which is nobody else in a container.
const MOUNTED: &str = "/run/secrets";

/// To write as group or as anybody.
const WRITE_BY_OTHERS: u32 = 0o022;

/// How long a secret of the store or of a file is used before it is looked up again: one look serves the requests of a busy second, and a changed
/// secret is in use at once.
const KEPT: Duration = Duration::from_secs(1);

/// Looks secrets up where the targets document says.
pub(crate) struct TargetSecrets {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    kept: Mutex<HashMap<SecretReference, (Instant, SecretString)>>,
}

impl TargetSecrets {
    /// With the secrets of this store.
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, randomness: Arc<dyn Randomness>) -> Self {
        Self {
            store,
            clock,
            randomness,
            kept: Mutex::default(),
        }
    }

    async fn in_store(&self, name: &Name) -> Result<SecretString, String> {
        let secret = self.store.secret(name).await.map_err(|error| error.to_string())?;
        Ok(SecretString::new(secret.as_str()))
    }

    async fn looked_up(&self, reference: &SecretReference) -> Result<SecretString, String> {
        match reference {
            SecretReference::Store(name) => self.in_store(name).await,
            SecretReference::Env(name) => from_env(name),
            SecretReference::File(path) => {
                let path = path.clone();
                match tokio::task::spawn_blocking(move || from_file(Path::new(&path))).await {
                    Ok(result) => result,
                    Err(_) => Err("reading the secret was cut short".to_owned()),
                }
            }
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<SecretReference, (Instant, SecretString)>> {
        // Nothing that holds it can panic; were it so, what it holds would still be whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Secrets for TargetSecrets {
    async fn resolve(&self, reference: &SecretReference) -> Result<SecretString, String> {
        let kept = self.kept().get(reference).cloned();
        if let Some((_, secret)) = kept.filter(|(at, _)| at.elapsed() < KEPT) {
            return Ok(secret);
        }
        let at = Instant::now();
        let found = self.looked_up(reference).await;
        let mut kept = self.kept();
        match &found {
            Ok(secret) => drop(kept.insert(reference.clone(), (at, secret.clone()))),
            Err(_) => drop(kept.remove(reference)),
        }
        found
    }

    /// Only the store can be written; the audit says that it was Usher itself.
    async fn keep(&self, reference: &SecretReference, secret: &SecretString) -> Result<Kept, String> {
        match reference {
            SecretReference::Env(_) | SecretReference::File(_) => Ok(Kept::InMemory),
            SecretReference::Store(name) => {
                let context = Context {
                    actor: Actor::Usher,
                    at: self.clock.now(),
                };
                let kept = self.store.set_secret(name, secret.expose(), &context).await;
                kept.map_err(|error| error.to_string())?;
                self.kept()
                    .insert(reference.clone(), (Instant::now(), secret.clone()));
                Ok(Kept::Durably)
            }
        }
    }

    fn placeholder_bytes(&self) -> [u8; PLACEHOLDER_BYTES] {
        let mut bytes = [0; PLACEHOLDER_BYTES];
        self.randomness.fill(&mut bytes);
        bytes
    }
}

fn from_env(name: &str) -> Result<SecretString, String> {
    match std::env::var(name) {
        Ok(secret) if secret.is_empty() => Err(format!("environment variable `{name}` is empty")),
        Ok(secret) => Ok(SecretString::new(secret)),
        Err(std::env::VarError::NotPresent) => Err(format!(
            "environment variable `{name}` is not set; set it before starting usher"
        )),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("environment variable `{name}` is not UTF-8")),
    }
}

/// The secret a file holds. The error is safe to show.
pub(crate) fn from_file(path: &Path) -> Result<SecretString, String> {
    let shown = path.display();
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("secret file {shown} does not exist"),
        _ => format!("secret file {shown} cannot be opened: {error}"),
    })?;
    // Of the open file, so that nobody can swap it between the look and the read.
    let metadata = file
        .metadata()
        .map_err(|error| format!("secret file {shown} cannot be looked at: {error}"))?;
    if !metadata.is_file() {
        return Err(format!("secret file {shown} is not a regular file"));
    }
    let mode = metadata.mode();
    if mode & OTHERS != 0 && !is_mounted(path, &metadata, Path::new(MOUNTED)) {
        return Err(format!(
            "secret file {shown} is open to every user of this machine (mode {:03o}); run `chmod 600 {shown}` (only what root alone can write in {MOUNTED} may be open to all)",
            mode & 0o777
        ));
    }
    let mut secret = String::new();
    file.take(SECRET_BYTES_MAX + 1)
        .read_to_string(&mut secret)
        .map_err(|error| format!("secret file {shown} cannot be read: {error}"))?;
    if secret.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!(
            "secret file {shown} has more than {SECRET_BYTES_MAX} bytes; is it the right file?"
        ));
    }
    if secret.ends_with('\n') {
        secret.pop();
        if secret.ends_with('\r') {
            secret.pop();
        }
    }
    if secret.is_empty() {
        return Err(format!("secret file {shown} is empty"));
    }
    Ok(SecretString::new(secret))
}

/// Whether a file is a secret that a container engine put there: root's, as are all folders down to it, and writable by nobody else.
fn is_mounted(path: &Path, file: &Metadata, mounted: &Path) -> bool {
    let is_roots = |of: &Metadata| of.uid() == 0 && of.mode() & WRITE_BY_OTHERS == 0;
    let is_plain = !path.components().any(|part| part == Component::ParentDir);
    let mut folders = path
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(mounted));
    path.starts_with(mounted)
        && is_plain
        && is_roots(file)
        && folders.all(|folder| std::fs::metadata(folder).is_ok_and(|folder| is_roots(&folder)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(content: &str, mode: u32) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (folder, path)
    }

    async fn read(path: &str) -> Result<String, String> {
        let secret = from_file(Path::new(path))?;
        Ok(secret.expose().to_owned())
    }

    #[tokio::test]
    async fn one_trailing_line_break_is_taken_off() {
        for (content, secret) in [
            ("hunter2\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            ("a\n\n", "a\n"),
            ("x", "x"),
        ] {
            let (_folder, path) = file(content, 0o600);
            assert_eq!(read(&path).await.unwrap(), secret);
        }
    }

    #[tokio::test]
    async fn a_file_everybody_can_read_is_refused_without_telling_it() {
        for mode in [0o644, 0o604, 0o602] {
            let (_folder, path) = file("hunter2", mode);
            let error = read(&path).await.unwrap_err();
            assert!(
                error.contains("chmod 600") && !error.contains("hunter2"),
                "{error}"
            );
        }
        let (_folder, path) = file("hunter2", 0o640);
        assert!(read(&path).await.is_ok());
    }

    #[test]
    fn a_secret_that_a_container_engine_mounted_may_be_open() {
        let (folder, path) = file("hunter2", 0o444);
        let (folder, path) = (folder.path(), Path::new(&path));
        let accepted = |mounted: &Path| is_mounted(path, &fs::metadata(path).unwrap(), mounted);
        // Only what root made can pass: without root all are refused.
        let is_root = fs::metadata(path).unwrap().uid() == 0;
        assert_eq!(accepted(folder), is_root);
        assert!(!accepted(Path::new(MOUNTED)), "elsewhere");
        let around = folder.join("..").join(folder.file_name().unwrap()).join("token");
        assert!(!is_mounted(&around, &fs::metadata(&around).unwrap(), folder));
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!accepted(folder), "in a folder anybody can write");
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o446)).unwrap();
        assert!(!accepted(folder), "that anybody can write");
    }

    #[tokio::test]
    async fn what_cannot_be_a_secret_is_refused() {
        let (folder, path) = file("", 0o600);
        assert!(read(&path).await.unwrap_err().contains("empty"));
        fs::write(&path, "x".repeat(70_000)).unwrap();
        assert!(read(&path).await.unwrap_err().contains("more than"));
        assert!(
            read("/nowhere/token")
                .await
                .unwrap_err()
                .contains("does not exist")
        );
        assert!(
            read(folder.path().to_str().unwrap())
                .await
                .unwrap_err()
                .contains("not a regular file")
        );
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = from_env("USHER_TEST_NOT_SET").unwrap_err();
        assert!(error.contains("`USHER_TEST_NOT_SET` is not set"), "{error}");
        assert_eq!(from_env("PATH").unwrap().expose(), std::env::var("PATH").unwrap());
    }
}
