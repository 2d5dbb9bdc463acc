//! Restoring a backup into a new folder. What it remembers is of the past: it begins frozen, and reads before it writes.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::folder::Folder;
use super::integrity::{self, Depth};
use super::peek::Look;
use super::private_file::Partial;
use super::writing::{bytes_of, log_of};
use super::{Reads, become_writer};
use crate::sql::restored::{self, Marked, Origin};
use crate::{Context, OperatorKey, Randomness, StoreError};

const DOING: &str = "restoring the backup";

/// A folder that was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Restored {
    /// The newest commit the backup holds.
    pub moment: Timestamp,
    /// The version of the backup's schema; the folder has this program's.
    pub schema_version: i64,
    /// SHA-256 of the backup.
    pub sha256: String,
    /// What is read before anything is written.
    #[serde(flatten)]
    pub marked: Marked,
}

/// Restores a backup into a new or empty folder. The folder holds a database only when all is done: a restore that was cut short is begun
/// again.
///
/// `InUse`: the folder is not empty. `Damaged`: the file is. `Version`: it is not Usher's, or of a newer program. `Key`: it was made under
/// another key. `Stale`: the clock is before the backup.
pub async fn restore(
    file: &Path,
    folder: &Path,
    key: &OperatorKey,
    randomness: Arc<dyn Randomness>,
    context: &Context,
) -> Result<Restored, StoreError> {
    refuse_live(file)?;
    let folder = Folder::create_empty(folder)?;
    let mut partial = Partial::new(folder.restoring(), DOING)?;
    let sha256 = partial.copy_from(file)?;
    let (schema_version, moment) = look(&partial.path, file).await?;
    let (mut writer, _keys) = become_writer(
        &partial.path,
        Arc::new(Reads::default()),
        key,
        randomness,
        context,
    )
    .await?;
    let origin = Origin {
        moment,
        sha256: Some(sha256.clone()),
    };
    let marked = restored::mark(&mut writer, &origin, context).await?;
    writer.leave().await?;
    writer.close().await?;
    if bytes_of(&log_of(&partial.path)) > 0 {
        return Err(StoreError::Unavailable {
            doing: DOING,
            message: "another program has the new database open; nothing was restored".to_owned(),
        });
    }
    partial.keep(&folder.database)?;
    Ok(Restored {
        moment,
        schema_version,
        sha256,
        marked,
    })
}

/// What lies in the write-ahead log of a live database would be missing.
fn refuse_live(file: &Path) -> Result<(), StoreError> {
    if bytes_of(&log_of(file)) == 0 {
        return Ok(());
    }
    Err(StoreError::InUse(format!(
        "{} is a live database with a write-ahead log beside it, not a backup; make one with `usher backup`",
        file.display()
    )))
}

/// Looks through the copy; tells of the file.
async fn look(copy: &Path, file: &Path) -> Result<(i64, Timestamp), StoreError> {
    let found = integrity::findings_in(copy, Depth::Full).await?;
    if !found.is_empty() {
        return Err(StoreError::Damaged(format!(
            "{} is damaged: {}. Nothing was restored; take an older backup",
            file.display(),
            found.join("; ")
        )));
    }
    let mut look = Look::into(copy).await?;
    let (version, moment) = (look.version, look.high_water().await?);
    look.close().await?;
    let moment = moment.ok_or_else(|| {
        StoreError::NotFound(format!(
            "{} holds nothing: nothing was ever written to it",
            file.display()
        ))
    })?;
    Ok((version, moment))
}
