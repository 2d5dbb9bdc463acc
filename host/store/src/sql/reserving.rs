//! Reserving: of each request's candidates the first that is nobody else's, all in one transaction. One writer reserves at a time, and the
//! table's unique index stands behind that.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::json;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::reservation::Reservation;
use usher_lifecycle::state::IdentityState;

use super::SqlStore;
use super::budgets::due_because;
use super::cells::{Cells, failed, json_of, micros};
use super::db::{Sql, query};
use super::free_names::{Board, Chosen};
use super::identities::versions;
use super::name_key::name_key;
use super::operations::subject;
use super::plan_queue::INSERT_TARGETS;
use super::planning::IDENTITIES;
use super::reservations::{bar_us, barred_until, bounded};
use super::write::{Entry, NO_CAUSE, Raised, Subject, Write};
use crate::{Context, NameRequest, NamesTaken, StoreError};

pub(super) const DOING: &str = "reserving names";

/// The lock under which names are reserved, where several writers are: "Name". Taken before any row.
const ONE_AT_A_TIME: &str = "SELECT pg_advisory_xact_lock(1315007845)";

/// Names whose bar is over, freed with each commit: more than one commit reserves, so they do not pile up. Whoever else is at one frees it.
const OVER: Sql = Sql {
    sqlite: "
    DELETE FROM reservation WHERE id IN (
        SELECT id FROM reservation WHERE barred_until_us IS NOT NULL AND barred_until_us <= $1 ORDER BY id LIMIT 1000)",
    postgres: "
    DELETE FROM reservation WHERE id IN (
        SELECT id FROM reservation WHERE barred_until_us IS NOT NULL AND barred_until_us <= $1 ORDER BY id LIMIT 1000
        FOR UPDATE SKIP LOCKED)",
};

const FREE: &str = "DELETE FROM reservation WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

const BAR: &str = "
    UPDATE reservation SET barred_until_us = j.until
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS until FROM json_each($1)) AS j
    WHERE reservation.id = j.id";

const WRITE_ANEW: &str = "
    UPDATE reservation SET value = j.name
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, value ->> 1 AS name FROM json_each($1)) AS j
    WHERE reservation.id = j.id";

const INSERT: &str = "
    INSERT INTO reservation (identity, target, kind, attribute, value, digest, reserved_us, bar_us)
    SELECT CAST(j.value ->> 0 AS BIGINT), t.id, j.value ->> 2, j.value ->> 3, j.value ->> 4, unhex(j.value ->> 5), $2,
           CAST(j.value ->> 6 AS BIGINT)
    FROM json_each($1) AS j CROSS JOIN target t WHERE t.name = j.value ->> 1 ORDER BY j.key";

/// Their plan is to be made again, for the reason it was made: a name is no cause of its own.
const TOUCH: &str = "
    UPDATE identity SET facts_version = facts_version + 1, dirty = 1, changed_by = j.cause
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, value ->> 1 AS cause FROM json_each($1)) AS j
    WHERE identity.id = j.id";

/// Who asks for a name.
struct Asking {
    subject: Subject,
    /// What makes them due, as `identity.changed_by` keeps it.
    cause: String,
}

impl SqlStore {
    pub(super) async fn reserve_once(
        &self,
        requests: &[NameRequest],
        context: &Context,
    ) -> Result<Vec<Result<Reservation, NamesTaken>>, StoreError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        if write.tx.is_shared() {
            query(ONE_AT_A_TIME)
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
        }
        let asking = asking(&mut write, requests, context).await?;
        let key = name_key(&mut write.tx, &self.keys).await?;
        let mut board = Board::of(&mut write.tx, requests, key, micros(context.at)).await?;
        let chosen = board.choose(&mut write.tx, requests).await?;
        if chosen.iter().any(|one| matches!(one, Chosen::New(_))) {
            record(&mut write, requests, &chosen, &asking, context).await?;
            write
                .commit(Raised {
                    facts: true,
                    observed: false,
                })
                .await?;
            self.place.wake();
        }
        let results = requests.iter().zip(chosen).map(|(request, chosen)| {
            let wanted = &request.wanted;
            let value = match chosen {
                Chosen::Had(value) => value,
                Chosen::New(new) => new.value,
                Chosen::Nothing => {
                    return Err(NamesTaken {
                        slot: wanted.slot.clone(),
                        attribute: wanted.attribute.clone(),
                        candidates: wanted.candidates.len(),
                    });
                }
            };
            Ok(Reservation {
                slot: wanted.slot.clone(),
                attribute: wanted.attribute.clone(),
                value,
            })
        });
        Ok(results.collect())
    }
}

/// Whose names they are; locked where others work too.
async fn asking(
    write: &mut Write<'_>,
    requests: &[NameRequest],
    context: &Context,
) -> Result<HashMap<i64, Asking>, StoreError> {
    let active = versions(&mut write.tx).await?;
    let wanted: BTreeSet<i64> = requests.iter().map(|one| one.identity.0).collect();
    let rows = query(IDENTITIES)
        .bind(json_of(DOING, &wanted)?)
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    let mut asking = HashMap::with_capacity(rows.len());
    for row in &rows {
        let cells = Cells::new(row, "identity.id")?;
        let subject = subject(&cells)?;
        if cells.identity_state("identity.state")? == Some(IdentityState::Erased) {
            let id = IdentityId::new(subject.id);
            return Err(StoreError::Stale(format!("{id} is erased and gets no names")));
        }
        let cause = due_because(&cells, active.policy + active.targets, context.at)?;
        asking.insert(subject.number, Asking { subject, cause });
    }
    match wanted.iter().find(|number| !asking.contains_key(number)) {
        None => Ok(asking),
        Some(number) => Err(StoreError::NotFound(format!(
            "there is no identity number {number}"
        ))),
    }
}

/// Writes what was chosen.
async fn record(
    write: &mut Write<'_>,
    requests: &[NameRequest],
    chosen: &[Chosen],
    asking: &HashMap<i64, Asking>,
    context: &Context,
) -> Result<(), StoreError> {
    let now_us = micros(context.at);
    let (mut freed, mut barred, mut anew, mut fresh) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut people = BTreeMap::new();
    let mut targets: HashSet<[&str; 1]> = HashSet::new();
    for (request, chosen) in requests.iter().zip(chosen) {
        let Chosen::New(new) = chosen else { continue };
        let (wanted, number) = (&request.wanted, request.identity.0);
        let who = asking.get(&number);
        let subject = who.map(|who| who.subject);
        people.insert(number, who.map(|who| who.cause.as_str()));
        let slot = wanted.slot.to_string();
        freed.extend(new.frees);
        if let Some((row, name)) = &new.replaces {
            barred.push((*row, barred_until(now_us, request.bar)));
            write.audit(&Entry {
                event: "name.released",
                subject,
                cause: NO_CAUSE,
                payload: json!({
                    "account": slot,
                    "attribute": wanted.attribute,
                    "name": name,
                    "barred-until": context.at.checked_add(bounded(request.bar)).ok(),
                }),
            });
        }
        match new.writes_anew {
            Some(row) => anew.push((row, &new.value)),
            None => {
                targets.insert([wanted.slot.target.as_str()]);
                fresh.push((
                    number,
                    wanted.slot.target.as_str(),
                    wanted.slot.kind.as_str(),
                    &wanted.attribute,
                    &new.value,
                    &new.digest,
                    bar_us(request.bar),
                ));
            }
        }
        write.audit(&Entry {
            event: "name.reserved",
            subject,
            cause: NO_CAUSE,
            payload: json!({ "account": slot, "attribute": wanted.attribute, "name": new.value }),
        });
    }
    let rows = |rows: Result<String, StoreError>, any: bool| rows.map(|rows| any.then_some(rows));
    for (sql, rows) in [
        (FREE, rows(json_of(DOING, &freed), !freed.is_empty())?),
        (BAR, rows(json_of(DOING, &barred), !barred.is_empty())?),
        (WRITE_ANEW, rows(json_of(DOING, &anew), !anew.is_empty())?),
        (
            INSERT_TARGETS,
            rows(json_of(DOING, &targets), !targets.is_empty())?,
        ),
        (TOUCH, Some(json_of(DOING, &people.iter().collect::<Vec<_>>())?)),
    ] {
        let Some(rows) = rows else { continue };
        query(sql)
            .bind(rows)
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
    }
    query(INSERT)
        .bind(json_of(DOING, &fresh)?)
        .bind(now_us)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    query(OVER)
        .bind(now_us)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    Ok(())
}
