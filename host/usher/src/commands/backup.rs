//! `usher backup`

use std::path::PathBuf;

use clap::Args;
use usher_store::sqlite;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::wiring::folder;
use crate::wiring::place::Place;
use crate::wiring::progress;

/// Copy the data folder's database into one file. The folder may be in use meanwhile; the file is of one moment, checked, and only you can
/// read it. The key of the folder is not in it.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write; it comes into being whole or not at all.
    file: PathBuf,
    /// Take the place of a file that exists.
    #[arg(long)]
    force: bool,
}

impl Backup {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let Place::Folder(data) = Place::of(global)? else {
            return Err(Failure::new(
                Exit::Usage,
                "a PostgreSQL database is backed up with its own means: pg_dump, or physical backups with its log archived",
            )
            .advice("after restoring one, run `usher freeze --restored` before any host serves it"));
        };
        folder::must_exist(&data)?;
        if !self.force && self.file.symlink_metadata().is_ok() {
            let message = format!("{} exists already; nothing was written", self.file.display());
            return Err(Failure::new(Exit::BadInput, message).advice("name another file, or say --force"));
        }
        let above = std::path::absolute(&self.file)
            .ok()
            .and_then(|file| file.parent().map(std::path::Path::to_path_buf));
        if let Some(above) = above.filter(|above| !above.is_dir()) {
            let message = format!("there is no folder {}; nothing was written", above.display());
            return Err(Failure::new(Exit::BadInput, message).advice("make it, or name another file"));
        }
        let bar = progress::bytes(output, "backup");
        let told = bar.clone();
        let made = sqlite::backup(
            &data,
            &self.file,
            self.force,
            std::sync::Arc::new(move |done, of| told.at(done, of)),
        )
        .await;
        bar.end();
        output.answer(&made?, |made, ink| render::backup::backup(made, &data, ink))?;
        Ok(Exit::Ok)
    }
}
