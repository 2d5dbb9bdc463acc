//! A note in the data folder that a server works there, so that other commands can say what is in their way.

use std::fs;
use std::path::{Path, PathBuf};

use usher_server::ListenAddress;
use usher_store::StoreError;

use super::files::{read_text, write_private};
use super::place::Place;
use crate::exit::Exit;
use crate::failure::Failure;

/// The note: the server's process number and address.
const FILE: &str = "usher.serving";
/// Longest note read, in bytes: a number and the longest path of a socket.
const NOTE_BYTES_MAX: u64 = 4_200;

/// The note; taken away when this is dropped. One that stays after a crash means nothing: it names a process that does not hold the folder.
#[derive(Debug)]
pub(crate) struct Serving(PathBuf);

impl Serving {
    /// Leaves a note in a data folder. A database needs none: there servers and commands work side by side.
    pub(crate) fn mark(place: &Place, address: &ListenAddress) -> Result<Option<Self>, Failure> {
        match place {
            Place::Database { .. } => Ok(None),
            Place::Folder(folder) => {
                let file = folder.join(FILE);
                write_private(&file, &format!("{} {address}\n", std::process::id()))?;
                Ok(Some(Self(file)))
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // A note that cannot be taken away misleads nobody.
        let _ = fs::remove_file(&self.0);
    }
}

/// Why a data folder could not be opened, with who is in the way.
pub(crate) fn explain(folder: &Path, error: StoreError) -> Failure {
    let StoreError::InUse(message) = &error else {
        return error.into();
    };
    let note = read_text(&folder.join(FILE), NOTE_BYTES_MAX).unwrap_or_default();
    match note.trim().split_once(' ') {
        Some((process, address)) if message.contains(&format!("process {process};")) => Failure::new(
            Exit::Folder,
            format!(
                "{} is in use by `usher serve` (process {process}, which answers on {address})",
                folder.display()
            ),
        )
        .advice(
            "stop it first: one process works on a data folder at a time. With PostgreSQL commands and servers work side by side",
        ),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::ink::Ink;

    #[test]
    fn a_server_in_the_way_is_named_and_an_old_note_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Folder(folder.path().to_owned());
        let mark = Serving::mark(&place, &"127.0.0.1:8088".parse().unwrap()).unwrap();
        let in_use = |process: u32| {
            let message = format!("/data is in use by process {process}; wait for it or stop it");
            explain(folder.path(), StoreError::InUse(message)).text(&Ink::plain())
        };
        let by_us = in_use(std::process::id());
        assert!(
            by_us.contains("`usher serve` (process") && by_us.contains("127.0.0.1:8088"),
            "{by_us}"
        );
        assert!(!in_use(1).contains("usher serve"));
        drop(mark);
        assert!(!in_use(std::process::id()).contains("usher serve"));
    }
}
