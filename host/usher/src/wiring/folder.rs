//! The data folder: `usher.db` with its companions and lock (the store's), and `native/` (compiled connectors, which may be deleted
//! at any time when no command runs).

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use usher_store::sqlite;

use super::keys;
use super::place::Place;
use crate::exit::Exit;
use crate::failure::Failure;

/// Only the owner may look into a data folder: it holds personal data.
const FOLDER_MODE: u32 = 0o700;

const NATIVE: &str = "native";

/// Refuses what is not a data folder.
pub(crate) fn must_exist(path: &Path) -> Result<(), Failure> {
    if sqlite::exists(path) {
        return Ok(());
    }
    let message = format!("{} is not a data folder of usher", path.display());
    Err(Failure::new(Exit::Folder, message)
        .advice("make one with `usher init`, or name another with --data DIR (or USHER_DATA)"))
}

/// Refuses what is there already; an empty folder is taken, and closed to others.
pub(crate) fn must_be_free(path: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::new(Exit::Folder, format!("cannot use {}: {error}", path.display()));
    let mut entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if sqlite::exists(path) {
        let message = format!("{} is a data folder already; nothing was changed", path.display());
        return Err(Failure::new(Exit::Folder, message).advice("use it, or name another with --data DIR"));
    }
    // A key that was put there beforehand, or what an earlier `usher init` or `usher restore` left that came to nothing.
    let counts = |name: &str| name != keys::KEY_FILE && !sqlite::is_left_behind(name);
    if entries.any(|entry| entry.is_ok_and(|entry| counts(&entry.file_name().to_string_lossy()))) {
        let message = format!("{} is not empty; nothing was changed", path.display());
        return Err(Failure::new(Exit::Folder, message).advice("name another folder with --data DIR"));
    }
    fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE)).map_err(failed)
}

/// Where compiled connectors are kept. With a database elsewhere the folder holds nothing else, and is made when it is missing.
pub(crate) fn native(place: &Place, data: &Path) -> Result<PathBuf, Failure> {
    match place {
        Place::Folder(_) => {}
        Place::Database { .. } => make_private(data)?,
    }
    Ok(data.join(NATIVE))
}

/// Makes a folder that only its owner may look into; one that is there is left as it is.
fn make_private(path: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(path)
        .map_err(|error| {
            Failure::new(
                Exit::Folder,
                format!("cannot make the folder {}: {error}", path.display()),
            )
            .advice("name one with --data DIR (or USHER_DATA): compiled connectors are kept there")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_is_taken_and_closed() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        must_be_free(folder.path()).unwrap();
        assert_eq!(
            fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777,
            FOLDER_MODE
        );
        must_be_free(&folder.path().join("new")).unwrap();
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("letter.txt");
        fs::write(&file, "dear").unwrap();
        assert_eq!(must_be_free(folder.path()).unwrap_err().exit(), Exit::Folder);
        assert_eq!(must_be_free(&file).unwrap_err().exit(), Exit::Folder);
        assert_eq!(must_exist(folder.path()).unwrap_err().exit(), Exit::Folder);
        assert_eq!(fs::read_to_string(&file).unwrap(), "dear");
    }
}
