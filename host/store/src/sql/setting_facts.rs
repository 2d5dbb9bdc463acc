//! Setting and ending facts: the change, the identity due, and the audit row in one transaction.

use serde_json::{Value, json};
use usher_lifecycle::facts::HoldKind;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::state::IdentityState;

use super::SqlStore;
use super::budgets::set_by;
use super::cells::{Cells, failed, json_of, micros};
use super::db::{Sql, query};
use super::identities::unknown;
use super::operations::subject;
use super::personal_facts::{Kind, origin_code};
use super::personal_words::Which;
use super::write::{Entry, NO_CAUSE, Raised, Subject, Write};
use crate::{
    ASSIGNMENTS_MAX, Context, EXCEPTIONS_MAX, FactId, HOLDS_MAX, NewFact, REASON_BYTES_MAX, StoreError,
};

const DOING: &str = "setting a fact about a person";

const IDENTITY: Sql = Sql {
    sqlite: r#"
    SELECT i.id AS "identity.id", i.public_id AS "identity.public_id", i.state AS "identity.state", i.audit_key AS "identity.audit_key"
    FROM identity i WHERE i.public_id = $1"#,
    postgres: r#"
    SELECT i.id AS "identity.id", i.public_id AS "identity.public_id", i.state AS "identity.state", i.audit_key AS "identity.audit_key"
    FROM identity i WHERE i.public_id = $1 FOR NO KEY UPDATE"#,
};

const OWNER: Sql = Sql {
    sqlite: r#"
    SELECT f.kind AS "personal_fact.kind", f.name AS "personal_fact.name",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key"
    FROM personal_fact f JOIN identity i ON i.id = f.identity WHERE f.public_id = $1"#,
    postgres: r#"
    SELECT f.kind AS "personal_fact.kind", f.name AS "personal_fact.name",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key"
    FROM personal_fact f JOIN identity i ON i.id = f.identity WHERE f.public_id = $1 FOR NO KEY UPDATE OF i"#,
};

/// Of two kinds, which may be the same.
const COUNT: &str = "
    SELECT count(*) FROM personal_fact
    WHERE identity = $1 AND ended_us IS NULL AND (kind = $2 OR kind = $3) AND (until_us IS NULL OR until_us > $4)";

const INSERT: &str = "
    INSERT INTO personal_fact (public_id, identity, kind, name, origin, from_us, until_us, words, added_by, added_us)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

const END: &str = "
    UPDATE personal_fact SET ended_us = $2, ended_by = $3, ended_words = $4 WHERE public_id = $1 AND ended_us IS NULL";

/// The identity is due, and what was decided from its facts before is stale.
pub(super) const TOUCH: &str =
    "UPDATE identity SET facts_version = facts_version + 1, dirty = 1, changed_by = $2 WHERE id = $1";

/// Who is under a security hold, also one that begins later, is planned before all others.
const URGENT: &str = "
    UPDATE identity SET urgent = CASE
        WHEN EXISTS (SELECT 1 FROM personal_fact f WHERE f.identity = $1 AND f.kind = 1 AND f.ended_us IS NULL) THEN 1 ELSE 0 END
    WHERE id = $1";

/// An identity a fact is about, and its state; locked where others work too.
pub(super) async fn locked(
    write: &mut Write<'_>,
    identity: IdentityId,
    doing: &'static str,
) -> Result<(Subject, Option<IdentityState>), StoreError> {
    let row = query(IDENTITY)
        .bind(identity.uuid().as_bytes().to_vec())
        .fetch_optional(&mut write.tx)
        .await
        .map_err(failed(doing))?
        .ok_or_else(|| unknown(&identity.to_string()))?;
    let cells = Cells::new(&row, "identity.id")?;
    Ok((subject(&cells)?, cells.identity_state("identity.state")?))
}

async fn make_urgent(write: &mut Write<'_>, subject: &Subject) -> Result<(), StoreError> {
    query(URGENT)
        .bind(subject.number)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    Ok(())
}

/// The same, of who is not erased.
pub(super) async fn locked_person(
    write: &mut Write<'_>,
    identity: IdentityId,
    doing: &'static str,
) -> Result<Subject, StoreError> {
    let (subject, state) = locked(write, identity, doing).await?;
    if state == Some(IdentityState::Erased) {
        return Err(StoreError::Stale(format!("{identity} is erased")));
    }
    Ok(subject)
}

/// A new fact as its row and its audit row take it.
struct Parts<'a> {
    name: Option<&'a str>,
    origin: Option<i64>,
    from_us: Option<i64>,
    until_us: Option<i64>,
    told: Value,
}

impl SqlStore {
    pub(super) async fn set_fact(
        &self,
        identity: IdentityId,
        id: FactId,
        fact: &NewFact,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError> {
        check_reason(reason)?;
        check_times(&parts(fact), micros(context.at))?;
        let kind = Kind::of(fact);
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        let subject = locked_person(&mut write, identity, DOING).await?;
        refuse_too_many(&mut write, &subject, kind, context).await?;
        let (event, payload) = add(&mut write, &subject, id, fact, reason, context).await?;
        self.finish(write, subject, event, payload).await
    }

    pub(super) async fn unset_fact(
        &self,
        id: FactId,
        reason: &str,
        context: &Context,
    ) -> Result<IdentityId, StoreError> {
        check_reason(reason)?;
        let missing = || StoreError::NotFound(format!("there is no {id}"));
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        let row = query(OWNER)
            .bind(id.uuid().as_bytes().to_vec())
            .fetch_optional(&mut write.tx)
            .await
            .map_err(failed(DOING))?
            .ok_or_else(missing)?;
        let cells = Cells::new(&row, "identity.id")?;
        let kind = Kind::read(&cells)?;
        if kind.id(id.uuid()) != id {
            return Err(missing());
        }
        let subject = subject(&cells)?;
        let words = write
            .seal_words(&subject, id.uuid(), Which::Ended, reason)
            .await?;
        let ended = query(END)
            .bind(id.uuid().as_bytes().to_vec())
            .bind(micros(context.at))
            .bind(json_of(DOING, &context.actor)?)
            .bind(words)
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        if ended == 0 {
            return Err(StoreError::Stale(format!("{id} was ended before")));
        }
        if kind == Kind::SecurityHold {
            make_urgent(&mut write, &subject).await?;
        }
        let mut payload = json!({ "id": id, "reason": reason });
        let event = match kind {
            Kind::Assignment => {
                payload["role"] = json!(cells.get::<String>("personal_fact.name")?);
                "assignment.ended"
            }
            Kind::SecurityHold | Kind::ManualHold => {
                payload["kind"] = json!(if kind == Kind::SecurityHold {
                    "security"
                } else {
                    "manual"
                });
                "hold.ended"
            }
            Kind::Exception => {
                payload["separation"] = json!(cells.get::<String>("personal_fact.name")?);
                "exception.ended"
            }
        };
        self.finish(write, subject, event, payload).await?;
        Ok(IdentityId::new(subject.id))
    }

    /// The identity is due, the audit says why, and whoever plans is woken.
    async fn finish(
        &self,
        mut write: Write<'_>,
        subject: Subject,
        event: &'static str,
        payload: Value,
    ) -> Result<(), StoreError> {
        query(TOUCH)
            .bind(subject.number)
            .bind(set_by(&write))
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        write.audit(&Entry {
            event,
            subject: Some(subject),
            cause: NO_CAUSE,
            payload,
        });
        write
            .commit(Raised {
                facts: true,
                observed: false,
            })
            .await?;
        self.place.wake();
        Ok(())
    }
}

/// Writes a fact of an identity that is locked, or new. What the audit is to say of it.
pub(super) async fn add(
    write: &mut Write<'_>,
    subject: &Subject,
    id: FactId,
    fact: &NewFact,
    reason: &str,
    context: &Context,
) -> Result<(&'static str, Value), StoreError> {
    let (parts, kind) = (parts(fact), Kind::of(fact));
    let words = write.seal_words(subject, id.uuid(), Which::Added, reason).await?;
    query(INSERT)
        .bind(id.uuid().as_bytes().to_vec())
        .bind(subject.number)
        .bind(kind as i64)
        .bind(parts.name)
        .bind(parts.origin)
        .bind(parts.from_us)
        .bind(parts.until_us)
        .bind(words)
        .bind(json_of(DOING, &context.actor)?)
        .bind(micros(context.at))
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    if kind == Kind::SecurityHold {
        make_urgent(write, subject).await?;
    }
    let mut payload = parts.told;
    payload["id"] = json!(id);
    payload["reason"] = json!(reason);
    let event = match kind {
        Kind::Assignment => "assignment.added",
        Kind::SecurityHold | Kind::ManualHold => "hold.added",
        Kind::Exception => "exception.added",
    };
    Ok((event, payload))
}

fn parts(fact: &NewFact) -> Parts<'_> {
    match fact {
        NewFact::Assignment {
            role,
            origin,
            valid_from,
            valid_until,
        } => Parts {
            name: Some(role.as_str()),
            origin: Some(origin_code(*origin)),
            from_us: valid_from.map(micros),
            until_us: valid_until.map(micros),
            told: json!({ "role": role, "origin": origin, "from": valid_from, "until": valid_until }),
        },
        NewFact::Hold { kind, from, until } => Parts {
            name: None,
            origin: None,
            from_us: Some(micros(*from)),
            until_us: until.map(micros),
            told: json!({
                "kind": match kind {
                    HoldKind::Security => "security",
                    HoldKind::Manual => "manual",
                },
                "from": from,
                "until": until,
            }),
        },
        NewFact::Exception { separation, until } => Parts {
            name: Some(separation.as_str()),
            origin: None,
            from_us: None,
            until_us: Some(micros(*until)),
            told: json!({ "separation": separation, "until": until }),
        },
    }
}

pub(super) fn check_reason(reason: &str) -> Result<(), StoreError> {
    if reason.trim().is_empty() {
        return Err(StoreError::Stale("say why: the reason is empty".to_owned()));
    }
    if reason.len() > REASON_BYTES_MAX {
        return Err(StoreError::Stale(format!(
            "the reason has {} bytes; at most {REASON_BYTES_MAX} are kept",
            reason.len()
        )));
    }
    Ok(())
}

/// As they are stored: to the microsecond.
fn check_times(parts: &Parts<'_>, now_us: i64) -> Result<(), StoreError> {
    let refused = |why: &str| Err(StoreError::Stale(why.to_owned()));
    match (parts.from_us, parts.until_us) {
        (Some(from), Some(until)) if until <= from => refused("it would end before it begins"),
        (_, Some(until)) if until <= now_us => refused("it would be over already"),
        (_, Some(_) | None) => Ok(()),
    }
}

async fn refuse_too_many(
    write: &mut Write<'_>,
    subject: &Subject,
    kind: Kind,
    context: &Context,
) -> Result<(), StoreError> {
    let (kinds, most) = match kind {
        Kind::Assignment => ([kind, kind], ASSIGNMENTS_MAX),
        Kind::SecurityHold | Kind::ManualHold => ([Kind::SecurityHold, Kind::ManualHold], HOLDS_MAX),
        Kind::Exception => ([kind, kind], EXCEPTIONS_MAX),
    };
    let row = query(COUNT)
        .bind(subject.number)
        .bind(kinds[0] as i64)
        .bind(kinds[1] as i64)
        .bind(micros(context.at))
        .fetch_one(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    let count: i64 = row.at(0).map_err(failed(DOING))?;
    if u64::try_from(count).is_ok_and(|count| count < most) {
        return Ok(());
    }
    Err(StoreError::Stale(format!(
        "{} has {count} of kind {} already, which is the most; end some first",
        IdentityId::new(subject.id),
        kind.word()
    )))
}
