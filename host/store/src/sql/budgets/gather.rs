//! At the plan commit: what counts under a budget is held, with what else its cause does to the same target.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use usher_lifecycle::budget::Counted;
use usher_lifecycle::ids::HeldCauseId;

use crate::sql::cells::{Cells, failed, hex, json_of, micros};
use crate::sql::db::query;
use crate::sql::write::Write;
use crate::{Context, StoreError, StoreVersions};

use super::counted;

const DOING: &str = "gathering what counts under a budget";

/// What it waits for until planning has come to rest.
const WHY: &str = "waits for its budget until everything of the same cause is planned";

/// The update takes the row's lock, so that nobody judges it before these operations are there.
const GATHER: &str = r#"
    INSERT INTO held_cause (public_id, target, kind, cause, label, state, since_us, why)
    SELECT unhex(value ->> 3), CAST(value ->> 1 AS BIGINT), CAST(value ->> 2 AS BIGINT), value ->> 0, value ->> 4, 0, $2, $3
    FROM json_each($1) WHERE true ORDER BY key
    ON CONFLICT (cause, target, kind) WHERE state = 0 DO UPDATE SET why = excluded.why
    RETURNING held_cause.id AS "held_cause.id", held_cause.cause AS "held_cause.cause", held_cause.target AS "held_cause.target",
              held_cause.kind AS "held_cause.kind""#;

const IMPORTS: &str = r#"
    SELECT p.id AS "snapshot.id", p.origin AS "snapshot.origin", s.name AS "source.name"
    FROM json_each($1) AS j CROSS JOIN snapshot p CROSS JOIN source s
    WHERE p.id = CAST(j.value AS BIGINT) AND s.id = p.source"#;

/// The cause of what moments bring that have come.
pub(crate) const CLOCK: &str = "clock";

/// Whether a moment has come at which something changes for an identity.
pub(crate) fn is_timed(cells: &Cells<'_>, at: Timestamp) -> Result<bool, StoreError> {
    let change = cells.time_if_any("identity.next_change_us")?;
    Ok(change.is_some_and(|change| change <= at))
}

/// What makes an identity due now, of its row.
pub(crate) fn due_because(cells: &Cells<'_>, documents: i64, at: Timestamp) -> Result<String, StoreError> {
    Ok(cause_key(
        cells.flag("identity.dirty")?,
        cells.get("identity.changed_by")?,
        is_timed(cells, at)?,
        documents,
    ))
}

/// What makes an identity due, as `held_cause.cause` keeps it: what changed it, or a moment that has come, or else new documents.
fn cause_key(dirty: bool, changed_by: Option<String>, is_timed: bool, documents: i64) -> String {
    if dirty {
        changed_by.unwrap_or_else(|| "earlier changes".to_owned())
    } else if is_timed {
        CLOCK.to_owned()
    } else {
        format!("documents {documents}")
    }
}

/// What identities that a person changes are changed by, as `identity.changed_by` keeps it: one person at one moment is one cause.
pub(crate) fn set_by(write: &Write<'_>) -> String {
    format!("set {} {}", write.at_us, write.actor)
}

/// Cause, target and kind: what is judged together.
type Key = (String, i64, i64);

/// The causes of one plan commit.
#[derive(Default)]
pub(crate) struct Gathering {
    wanted: BTreeSet<Key>,
    found: HashMap<Key, i64>,
}

impl Gathering {
    /// Asks for the row of a cause.
    pub(crate) fn want(&mut self, cause: &str, target: i64, counted: Counted) {
        self.wanted.insert((cause.to_owned(), target, counted as i64));
    }

    /// Finds or makes the rows asked for. Only what is still being gathered is joined: what comes after a cause was judged or decided on is another
    /// row, is judged for itself, and is told to the audit when it is held.
    pub(crate) async fn find(
        &mut self,
        write: &mut Write<'_>,
        versions: StoreVersions,
        context: &Context,
        random: impl Fn() -> [u8; 10],
    ) -> Result<(), StoreError> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        let labels = labels(write, &self.wanted, versions).await?;
        let new: Vec<(&str, i64, i64, String, &str)> = self
            .wanted
            .iter()
            .map(|(cause, target, kind)| {
                let id = HeldCauseId::from_parts(context.at, &random());
                let label = labels.get(cause.as_str()).map_or(cause.as_str(), String::as_str);
                (cause.as_str(), *target, *kind, hex(id.uuid().as_bytes()), label)
            })
            .collect();
        let rows = query(GATHER)
            .bind(json_of(DOING, &new)?)
            .bind(micros(context.at))
            .bind(WHY)
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        for row in &rows {
            let cells = Cells::new(row, "held_cause.id")?;
            self.found.insert(key(&cells)?, cells.get("held_cause.id")?);
        }
        Ok(())
    }

    /// The row of a cause.
    pub(crate) fn number(&self, cause: &str, target: i64, counted: Counted) -> Result<i64, StoreError> {
        self.found
            .get(&(cause.to_owned(), target, counted as i64))
            .copied()
            .ok_or_else(|| StoreError::Unavailable {
                doing: DOING,
                message: format!("the cause `{cause}` could not be recorded"),
            })
    }
}

fn key(cells: &Cells<'_>) -> Result<Key, StoreError> {
    Ok((
        cells.get("held_cause.cause")?,
        cells.get("held_cause.target")?,
        counted(cells)? as i64,
    ))
}

/// What people read of each cause.
async fn labels(
    write: &mut Write<'_>,
    keys: &BTreeSet<Key>,
    versions: StoreVersions,
) -> Result<BTreeMap<String, String>, StoreError> {
    let mut labels = BTreeMap::new();
    let mut imports: BTreeSet<i64> = BTreeSet::new();
    for (cause, _, _) in keys {
        let (word, rest) = cause.split_once(' ').unwrap_or((cause, ""));
        let label = match word {
            "import" => {
                imports.extend(rest.parse::<i64>().ok());
                continue;
            }
            "documents" => format!("policy {} and targets {}", versions.policy, versions.targets),
            "clock" => "dates that came due".to_owned(),
            "restore" => "a restored backup".to_owned(),
            "set" => person(rest),
            _ => cause.clone(),
        };
        labels.insert(cause.clone(), label);
    }
    if !imports.is_empty() {
        let rows = query(IMPORTS)
            .bind(json_of(DOING, &imports)?)
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        for row in &rows {
            let cells = Cells::new(row, "snapshot.id")?;
            let (number, source): (i64, String) = (cells.get("snapshot.id")?, cells.get("source.name")?);
            let origin: String = cells.get("snapshot.origin")?;
            labels.insert(
                format!("import {number}"),
                format!("import of {origin} by source {source}"),
            );
        }
    }
    Ok(labels)
}

/// Who set a fact, from `{at} {actor}`.
fn person(rest: &str) -> String {
    let actor = rest.split_once(' ').map_or("", |(_, actor)| actor);
    match serde_json::from_str::<usher_lifecycle::cause::Actor>(actor) {
        Ok(actor) => format!("set by {actor}"),
        Err(_) => "set by hand".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_somebody_goes_before_time_and_time_before_documents() {
        let key = |dirty, is_timed| cause_key(dirty, Some("import 3".to_owned()), is_timed, 7);
        assert_eq!(key(true, true), "import 3");
        assert_eq!(key(true, false), "import 3");
        assert_eq!(key(false, true), "clock");
        assert_eq!(key(false, false), "documents 7");
        assert_eq!(cause_key(true, None, true, 7), "earlier changes");
    }

    #[test]
    fn who_set_a_fact_is_said() {
        assert_eq!(person(r#"12 {"person":"ann"}"#), "set by person ann");
        assert_eq!(person("12"), "set by hand");
    }
}
