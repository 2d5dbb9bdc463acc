//! `usher key new | status | rotate`

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use usher_store::{Fingerprint, KeyChanges as _, KeyStatus, OperatorKey, Resealed};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::render::escape::safe;
use crate::render::table::count;
use crate::wiring::app::App;
use crate::wiring::keys::{self, KeySource};
use crate::wiring::place::Place;
use crate::wiring::randomness::OsRandomness;

/// The key of the store.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Print a new key. Needs no store.
    New {
        /// Write it into this file instead, readable by you alone.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Which keys there are, by their fingerprints.
    Status,
    /// Put the store under a new key. The old one opens nothing from then on but older backups.
    ///
    /// Without --new-key-file a data folder gets a new usher.key. Other hosts of a database go on, and need the new key at their next start.
    Rotate {
        /// The file of the new key: see `usher key new --out FILE`.
        #[arg(long, value_name = "FILE")]
        new_key_file: Option<PathBuf>,
        /// Change the key inside the store instead, and encrypt everything anew under it. The operator's key stays.
        #[arg(long, conflicts_with = "new_key_file")]
        data_key: bool,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct NewKey {
    fingerprint: Fingerprint,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    source: String,
    #[serde(flatten)]
    keys: KeyStatus,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Rotated {
    from: Fingerprint,
    to: Fingerprint,
    /// Where the new key is.
    file: String,
    /// Where the old one was put, if it was the folder's.
    old: Option<String>,
}

impl KeyCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::New { out } => new(out.as_ref(), output)?,
            Self::Status => {
                let source = KeySource::of(global, &Place::of(global)?)?.name();
                let app = App::open(global).await?;
                let keys = app.store.key_status().await?;
                output.answer(&Status { source, keys }, |status, ink| {
                    render::secrets::keys(&status.keys, &safe(&status.source), ink)
                })?;
            }
            Self::Rotate { data_key: true, .. } => {
                let app = App::open(global).await?;
                let done = app.store.change_data_key(&app.context()).await?;
                output.answer(&done, |done: &Resealed, _| {
                    format!(
                        "Everything is encrypted under a new data key: {} and {}\n",
                        count(done.secrets, "secret", "secrets"),
                        count(done.identities, "person", "people")
                    )
                })?;
            }
            Self::Rotate { new_key_file, .. } => {
                let rotated = rotate(new_key_file.as_ref(), global).await?;
                output.answer(&rotated, |rotated, _| rotated_text(rotated))?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn new(out: Option<&PathBuf>, output: &Output) -> Result<(), Failure> {
    let key = OperatorKey::generate(&OsRandomness);
    let mut made = NewKey {
        fingerprint: key.fingerprint(),
        key: None,
        file: None,
    };
    match out {
        Some(path) => {
            keys::write_new(path, &key).map_err(|error| Failure::file("make", path, &error))?;
            made.file = Some(path.display().to_string());
        }
        None => made.key = Some(key.to_text().to_string()),
    }
    output.answer(&made, |made, _| match (&made.key, &made.file) {
        (Some(key), _) => format!("{key}\n"),
        (None, file) => format!(
            "Made the key {} in {}\n",
            made.fingerprint,
            safe(file.as_deref().unwrap_or_default())
        ),
    })
}

async fn rotate(new_key_file: Option<&PathBuf>, global: &Global) -> Result<Rotated, Failure> {
    let source = KeySource::of(global, &Place::of(global)?)?;
    let app = App::open(global).await?;
    let from = app.store.key_status().await?.fingerprint;
    let folder = match &source {
        KeySource::Folder(folder) => Some(folder),
        KeySource::File(_) | KeySource::Variable(_) | KeySource::Command(_) => None,
    };
    let (key, file) = match (new_key_file, folder) {
        (Some(file), _) => (keys::from_file(file)?, file.clone()),
        (None, Some(folder)) => (keys::prepare_next(folder)?, folder.join(keys::KEY_FILE)),
        (None, None) => {
            return Err(Failure::new(Exit::Usage, "the new key is missing")
                .advice("make one with `usher key new --out FILE`, then name it with --new-key-file FILE"));
        }
    };
    app.store.change_operator_key(&key, &app.context()).await?;
    let old = match (new_key_file, folder) {
        (None, Some(folder)) => keys::take_place(folder)?,
        (Some(_), Some(folder)) => keys::put_aside(folder)?,
        (_, None) => None,
    };
    Ok(Rotated {
        from,
        to: key.fingerprint(),
        file: file.display().to_string(),
        old: old.map(|old| old.display().to_string()),
    })
}

fn rotated_text(rotated: &Rotated) -> String {
    let mut text = format!(
        "The store is under the key {} now, which is in {}\n",
        rotated.to,
        safe(&rotated.file)
    );
    match &rotated.old {
        Some(old) => text.push_str(&format!(
            "The old key {} is kept as {}: backups made until now open with it, and with nothing else.\n",
            rotated.from,
            safe(old)
        )),
        None => text.push_str(&format!(
            "Keep the old key {} as long as you keep backups made until now; they open with nothing else.\n",
            rotated.from
        )),
    }
    text.push_str("Backups do not hold the key: keep a copy of it where you do not keep them.\n");
    text
}
