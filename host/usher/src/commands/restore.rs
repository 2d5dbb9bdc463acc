//! `usher restore`

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use usher_store::{Context, OperatorKey, StoreError, sqlite};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::wiring::files::origin;
use crate::wiring::keys::{self, KeySource};
use crate::wiring::place::Place;
use crate::wiring::randomness::OsRandomness;
use crate::wiring::{actor, clock};

/// Make a new data folder (--data) of a backup.
///
/// What happened after the backup is not known to it, so it begins frozen: nothing is done in any target until fresh files of every source
/// are imported and `usher thaw` says so, and then every account is read before anything is written. It needs the key the backup was made
/// under: put it into the new folder as usher.key, or name it with --key-file.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// A file that `usher backup` made.
    file: PathBuf,
}

/// What every SQLite database begins with (its file format, section 1.3).
const SQLITE_HEADER: &[u8] = b"SQLite format 3\0";

impl Restore {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let place = Place::of(global)?;
        let Place::Folder(data) = &place else {
            return Err(Failure::new(
                Exit::Usage,
                "a backup is restored into a data folder, not into a database",
            )
            .advice("restore a PostgreSQL database with its own means, then run `usher freeze --restored`"));
        };
        place.must_be_free()?;
        self.must_be_a_backup()?;
        let stands = sqlite::rehearsal_moment_of_file(&self.file)
            .await
            .map_err(|error| self.refused(error))?;
        let context = Context {
            actor: actor::person(),
            at: clock::choose(stands, global.now)?.now(),
        };
        let key = key(global, &place).await?;
        let restored = sqlite::restore(&self.file, data, &key, Arc::new(OsRandomness), &context)
            .await
            .map_err(|error| self.refused(error))?;
        output.answer(&restored, |restored, ink| {
            render::backup::restored(restored, data, ink)
        })?;
        Ok(Exit::Ok)
    }

    /// Something else than a backup is a slip of whoever typed it, not a damaged backup.
    fn must_be_a_backup(&self) -> Result<(), Failure> {
        let cannot = |error| Failure::file("read", &self.file, &error);
        let file = std::fs::File::open(&self.file).map_err(cannot)?;
        let mut begins = Vec::with_capacity(SQLITE_HEADER.len());
        file.take(SQLITE_HEADER.len() as u64)
            .read_to_end(&mut begins)
            .map_err(cannot)?;
        if begins == SQLITE_HEADER {
            return Ok(());
        }
        let message = format!("{} is not a backup; nothing was restored", self.file.display());
        Err(Failure::new(Exit::BadInput, message).advice("name a file that `usher backup` made"))
    }

    /// Why it was not restored; nothing is a data folder that was not one.
    fn refused(&self, error: StoreError) -> Failure {
        match error {
            StoreError::Damaged(message) => Failure::new(Exit::Damaged, message)
                .of(&origin(&self.file))
                .advice("nothing was restored; take an older backup"),
            StoreError::Key(message) => Failure::new(Exit::Folder, message).advice(
                "give the key the backup was made under: with --key-file, or as usher.key in the new folder",
            ),
            other => Failure::from(other),
        }
    }
}

/// The key must be there: a new one would not open the backup.
async fn key(global: &Global, place: &Place) -> Result<OperatorKey, Failure> {
    match KeySource::of(global, place)? {
        KeySource::Folder(folder) => {
            let file = folder.join(keys::KEY_FILE);
            if !file.exists() {
                let message = format!("there is no key in {}, and none was given", folder.display());
                return Err(Failure::new(Exit::Folder, message).advice(
                    "put the key the backup was made under there as usher.key, or name it with --key-file; backups do not hold it",
                ));
            }
            keys::from_file(&file)
        }
        source @ (KeySource::File(_) | KeySource::Variable(_) | KeySource::Command(_)) => {
            source.find(|text| tracing::info!("{text}")).await
        }
    }
}
