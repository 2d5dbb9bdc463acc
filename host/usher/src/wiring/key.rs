//! The operator's key, which opens the store: from the environment, from a file, or from the data folder, where `usher init` puts one when none
//! was given.

use std::path::{Path, PathBuf};

use usher_store::OperatorKey;

use super::files::write_private;
use super::randomness::OsRandomness;
use super::secrets;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;

/// The variable that holds the key itself.
const KEY: &str = "USHER_KEY";
/// The key's file in the data folder.
const FILE: &str = "key";

/// The key of this store.
pub(crate) fn of(global: &Global) -> Result<OperatorKey, Failure> {
    if let Some(key) = given(global)? {
        return Ok(key);
    }
    let file = own_file(global);
    if !file.exists() {
        let message = format!("no key was given, and there is none in {}", file.display());
        return Err(Failure::new(Exit::Folder, message)
            .advice("name its file with --key-file FILE (or USHER_KEY_FILE); every host of one database uses the same key"));
    }
    read(&file)
}

/// The key for a store that is being made: as given, or a new one in the data folder.
pub(crate) fn for_new(global: &Global) -> Result<NewKey, Failure> {
    if let Some(key) = given(global)? {
        return Ok(NewKey { key, made: None });
    }
    let file = own_file(global);
    if file.exists() {
        return Ok(NewKey {
            key: read(&file)?,
            made: None,
        });
    }
    Ok(NewKey {
        key: OperatorKey::generate(&OsRandomness),
        made: Some(file),
    })
}

/// A key, and where to keep it when it is a new one.
pub(crate) struct NewKey {
    /// The key.
    pub(crate) key: OperatorKey,
    made: Option<PathBuf>,
}

impl NewKey {
    /// Keeps a new key; the folder must be there. Returns its file.
    pub(crate) fn keep(self) -> Result<Option<PathBuf>, Failure> {
        if let Some(file) = &self.made {
            write_private(file, &format!("{}\n", *self.key.to_text()))?;
        }
        Ok(self.made)
    }
}

fn given(global: &Global) -> Result<Option<OperatorKey>, Failure> {
    if let Some(file) = &global.key_file {
        return read(file).map(Some);
    }
    match std::env::var(KEY) {
        Ok(text) => OperatorKey::parse(&text)
            .map(Some)
            .map_err(|reason| Failure::new(Exit::Folder, format!("{KEY}: {reason}"))),
        Err(_) => Ok(None),
    }
}

fn own_file(global: &Global) -> PathBuf {
    global.data.join(FILE)
}

fn read(file: &Path) -> Result<OperatorKey, Failure> {
    let text = secrets::from_file(file).map_err(|reason| Failure::new(Exit::Folder, reason))?;
    OperatorKey::parse(text.expose())
        .map_err(|reason| Failure::new(Exit::Folder, format!("{}: {reason}", file.display())))
}
