//! Whether a database file is whole, ours, and one this program knows. A damaged one is refused as it is.

use std::collections::BTreeSet;
use std::path::Path;

use sqlx::{ConnectOptions, Connection, Row};

use super::peek::Look;
use super::schema;
use super::writing::bytes_of;
use crate::StoreError;
use crate::sql::cells::failed;

/// Most findings told: the first few say enough.
const FINDINGS_MAX: u32 = 5;

/// What a check has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The headers, and that no table or index is missing: about 2 ms, whatever the size.
    Schema,
    /// Every page and row as well, but not whether the indexes agree with their tables. A database of 200 MB takes about 0.6 s on one core
    /// when it is in the page cache (0.4 s the pages, 0.2 s the references); otherwise as long as the disk takes to read it.
    Quick,
    /// Everything: about 1.2 s for 200 MB.
    Full,
}

/// Checks a folder's database before it is used: quickly when its last writer left in order, every page and row when it was killed or the
/// machine went down.
pub(super) async fn before_use(database: &Path) -> Result<(), StoreError> {
    if bytes_of(database) == 0 {
        // Its making was cut short: opening it finishes the work.
        return Ok(());
    }
    let mut look = Look::into(database).await?;
    let depth = if look.was_left_in_order().await? {
        Depth::Schema
    } else {
        Depth::Quick
    };
    look_through(look, database, depth).await
}

/// Checks a file that is not in use.
pub(super) async fn whole(database: &Path, depth: Depth) -> Result<(), StoreError> {
    look_through(Look::into(database).await?, database, depth).await
}

/// What is wrong with a file.
pub(super) async fn findings_in(database: &Path, depth: Depth) -> Result<Vec<String>, StoreError> {
    match Look::into(database).await {
        Ok(look) => checked(look, depth).await,
        Err(StoreError::Damaged(found)) => Ok(vec![found]),
        Err(other) => Err(other),
    }
}

async fn look_through(look: Look, database: &Path, depth: Depth) -> Result<(), StoreError> {
    let findings = checked(look, depth).await?;
    if findings.is_empty() {
        return Ok(());
    }
    Err(StoreError::Damaged(format!(
        "{} is damaged: {}. It was left as it is: keep a copy of the folder, then restore the newest backup with `usher restore`",
        database.display(),
        findings.join("; ")
    )))
}

async fn checked(mut look: Look, depth: Depth) -> Result<Vec<String>, StoreError> {
    let checked = findings(&mut look, depth).await;
    look.close().await?;
    match checked {
        // A page that cannot even be read.
        Err(StoreError::Damaged(found)) => Ok(vec![found]),
        other => other,
    }
}

async fn findings(look: &mut Look, depth: Depth) -> Result<Vec<String>, StoreError> {
    schema::recognise(&mut look.connection).await?;
    let missing = missing(look).await?;
    if !missing.is_empty() || depth == Depth::Schema {
        return Ok(missing);
    }
    let pragma = match depth {
        Depth::Schema | Depth::Quick => "quick_check",
        Depth::Full => "integrity_check",
    };
    let mut found = Vec::new();
    for row in look.rows(format!("PRAGMA {pragma}({FINDINGS_MAX})")).await? {
        let line: String = row.try_get(0).map_err(failed("checking the database"))?;
        if line != "ok" {
            found.push(line);
        }
    }
    let dangling = format!(
        r#"SELECT "table" || coalesce(' row ' || rowid, '') || ' refers to a row of ' || parent || ' that is not there'
           FROM pragma_foreign_key_check LIMIT {FINDINGS_MAX}"#
    );
    for row in look.rows(dangling).await? {
        found.push(row.try_get(0).map_err(failed("checking the database"))?);
    }
    Ok(found)
}

/// Tables and indexes that a database of this version has and this one has not.
async fn missing(look: &mut Look) -> Result<Vec<String>, StoreError> {
    let found = names(look).await?;
    let memory = sqlx::sqlite::SqliteConnectOptions::new()
        .in_memory(true)
        .connect()
        .await
        .map_err(failed("checking the schema"))?;
    let mut fresh = Look {
        connection: memory,
        version: 0,
    };
    schema::migrate_to(&mut fresh.connection, look.version).await?;
    let wanted = names(&mut fresh).await?;
    fresh
        .connection
        .close()
        .await
        .map_err(failed("checking the schema"))?;
    Ok(wanted
        .difference(&found)
        .map(|name| format!("there is no {name}"))
        .collect())
}

async fn names(look: &mut Look) -> Result<BTreeSet<String>, StoreError> {
    let rows = look
        .rows("SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'".to_owned())
        .await?;
    rows.iter()
        .map(|row| row.try_get(0).map_err(failed("checking the schema")))
        .collect()
}
