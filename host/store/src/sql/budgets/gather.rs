//! At the plan commit: what counts under a budget is held, with what else its cause does to the same target.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use usher_lifecycle::budget::Counted;
use usher_lifecycle::ids::HeldCauseId;

use crate::sql::cells::{Cells, failed, hex, json_of, micros};
use crate::sql::db::{Sql, query};
use crate::sql::write::Write;
use crate::{Context, HeldState, StoreError, StoreVersions};

use super::{counted, held_state};

const DOING: &str = "gathering what counts under a budget";

/// What it waits for until planning has come to rest.
const WHY: &str = "waits for its budget until everything of the same cause is planned";

/// What is held or rejected of the same cause: what comes later joins it. A run of the clock is never the same twice.
const OPEN: Sql = Sql {
    sqlite: r#"
    SELECT h.id AS "held_cause.id", h.cause AS "held_cause.cause", h.target AS "held_cause.target", h.kind AS "held_cause.kind",
           h.state AS "held_cause.state"
    FROM json_each($1) AS j CROSS JOIN held_cause h
    WHERE h.cause = j.value ->> 0 AND h.target = CAST(j.value ->> 1 AS BIGINT) AND h.kind = CAST(j.value ->> 2 AS BIGINT)
      AND h.state IN (1, 3) AND h.joins IS NULL AND h.cause <> 'clock'
    ORDER BY h.id"#,
    postgres: r#"
    SELECT h.id AS "held_cause.id", h.cause AS "held_cause.cause", h.target AS "held_cause.target", h.kind AS "held_cause.kind",
           h.state AS "held_cause.state"
    FROM json_each($1) AS j CROSS JOIN held_cause h
    WHERE h.cause = j.value ->> 0 AND h.target = CAST(j.value ->> 1 AS BIGINT) AND h.kind = CAST(j.value ->> 2 AS BIGINT)
      AND h.state IN (1, 3) AND h.joins IS NULL AND h.cause <> 'clock'
    ORDER BY h.id FOR NO KEY UPDATE OF h"#,
};

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

/// What makes an identity due, as `held_cause.cause` keeps it: what changed it, or a moment that has come, or else new documents.
pub(crate) fn cause_key(dirty: bool, changed_by: Option<String>, is_timed: bool, documents: i64) -> String {
    if dirty {
        changed_by.unwrap_or_else(|| "earlier changes".to_owned())
    } else if is_timed {
        "clock".to_owned()
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

    /// Finds or makes the rows asked for.
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
        let rows = query(OPEN)
            .bind(json_of(DOING, &self.wanted)?)
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        for row in &rows {
            let cells = Cells::new(row, "held_cause.id")?;
            let (key, number) = (key(&cells)?, cells.get("held_cause.id")?);
            // What is held before what was rejected: of two a person decided only on one.
            match held_state(&cells)? {
                HeldState::Held => drop(self.found.insert(key, number)),
                HeldState::Gathering | HeldState::LetGo | HeldState::Rejected => {
                    self.found.entry(key).or_insert(number);
                }
            }
        }
        let missing: Vec<&Key> = self
            .wanted
            .iter()
            .filter(|key| !self.found.contains_key(*key))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let labels = labels(write, &missing, versions).await?;
        let new: Vec<(&str, i64, i64, String, &str)> = missing
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
    keys: &[&Key],
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
