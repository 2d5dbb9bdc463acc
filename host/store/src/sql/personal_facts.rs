//! The table of facts that people set.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use usher_lifecycle::assignment::{Assignment, Origin, SeparationException};
use usher_lifecycle::facts::{Hold, HoldKind};
use usher_lifecycle::ids::{AssignmentId, ExceptionId, HoldId, IdentityId};
use usher_lifecycle::name::RoleName;

use super::SqlStore;
use super::cells::{Cells, failed, micros};
use super::db::{Query, Tx, composed, query};
use super::identities::{by_id, unknown};
use super::personal_words::{Which, Words};
use crate::keys::ring::Keys;
use crate::{Context, Ended, FactId, FactPage, NewFact, PersonalFact, PersonalFacts, StoreError, StoredFact};

/// Most rows of one page.
const PAGE_MAX: u32 = 1_000;

const DOING: &str = "reading what was set about people";

/// How long what is over is still planned with: longer than any clock is set back.
const OVER_FOR: SignedDuration = SignedDuration::from_hours(48);

/// Not ended, and not over at the moment given.
pub(crate) const COUNTING: &str = r#"
    SELECT f.id AS "personal_fact.id", f.public_id AS "personal_fact.public_id", f.kind AS "personal_fact.kind",
           f.name AS "personal_fact.name", f.origin AS "personal_fact.origin", f.from_us AS "personal_fact.from_us",
           f.until_us AS "personal_fact.until_us", f.words AS "personal_fact.words", f.added_by AS "personal_fact.added_by",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key"
    FROM personal_fact f CROSS JOIN identity i
    WHERE f.identity IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) AND f.ended_us IS NULL AND i.id = f.identity
      AND (f.until_us IS NULL OR f.until_us > $2)
    ORDER BY f.id"#;

const COLUMNS: &str = r#"
    SELECT f.id AS "personal_fact.id", f.public_id AS "personal_fact.public_id", f.kind AS "personal_fact.kind",
           f.name AS "personal_fact.name", f.origin AS "personal_fact.origin", f.from_us AS "personal_fact.from_us",
           f.until_us AS "personal_fact.until_us", f.words AS "personal_fact.words", f.added_by AS "personal_fact.added_by",
           f.added_us AS "personal_fact.added_us", f.ended_us AS "personal_fact.ended_us", f.ended_by AS "personal_fact.ended_by",
           f.ended_words AS "personal_fact.ended_words",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key",
           (SELECT r.key FROM source_record r WHERE r.identity = i.id ORDER BY r.id LIMIT 1) AS "source_record.key"
    FROM personal_fact f JOIN identity i ON i.id = f.identity"#;

/// The stored number of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub(super) enum Kind {
    Assignment = 0,
    SecurityHold = 1,
    ManualHold = 2,
    Exception = 3,
}

impl Kind {
    pub(super) const fn of(fact: &NewFact) -> Self {
        match fact {
            NewFact::Assignment { .. } => Self::Assignment,
            NewFact::Hold { kind, .. } => match kind {
                HoldKind::Security => Self::SecurityHold,
                HoldKind::Manual => Self::ManualHold,
            },
            NewFact::Exception { .. } => Self::Exception,
        }
    }

    pub(super) fn read(cells: &Cells<'_>) -> Result<Self, StoreError> {
        match cells.get::<i64>("personal_fact.kind")? {
            0 => Ok(Self::Assignment),
            1 => Ok(Self::SecurityHold),
            2 => Ok(Self::ManualHold),
            3 => Ok(Self::Exception),
            other => Err(cells.corrupt("personal_fact.kind", format!("there is no kind {other}"))),
        }
    }

    /// The first word of its audit rows.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Assignment => "assignment",
            Self::SecurityHold | Self::ManualHold => "hold",
            Self::Exception => "exception",
        }
    }

    pub(super) const fn id(self, uuid: uuid::Uuid) -> FactId {
        match self {
            Self::Assignment => FactId::Assignment(AssignmentId::new(uuid)),
            Self::SecurityHold | Self::ManualHold => FactId::Hold(HoldId::new(uuid)),
            Self::Exception => FactId::Exception(ExceptionId::new(uuid)),
        }
    }
}

pub(super) const fn origin_code(origin: Origin) -> i64 {
    match origin {
        Origin::Manual => 0,
        Origin::Request => 1,
    }
}

fn origin(cells: &Cells<'_>) -> Result<Origin, StoreError> {
    match cells.get::<i64>("personal_fact.origin")? {
        0 => Ok(Origin::Manual),
        1 => Ok(Origin::Request),
        other => Err(cells.corrupt("personal_fact.origin", format!("there is no origin {other}"))),
    }
}

#[async_trait]
impl PersonalFacts for SqlStore {
    async fn add_fact(
        &self,
        identity: IdentityId,
        fact: &NewFact,
        reason: &str,
        context: &Context,
    ) -> Result<FactId, StoreError> {
        let id = Kind::of(fact).id(IdentityId::from_parts(context.at, &self.random()).uuid());
        match self.set_fact(identity, id, fact, reason, context).await {
            // Another host changed the data key, which is in memory now, or was at the same rows.
            Err(StoreError::Contended(_)) => self.set_fact(identity, id, fact, reason, context).await,
            result => result,
        }?;
        Ok(id)
    }

    async fn end_fact(&self, id: FactId, reason: &str, context: &Context) -> Result<IdentityId, StoreError> {
        match self.unset_fact(id, reason, context).await {
            Err(StoreError::Contended(_)) => self.unset_fact(id, reason, context).await,
            result => result,
        }
    }

    async fn personal_facts(&self, identity: IdentityId) -> Result<Vec<StoredFact>, StoreError> {
        let mut tx = self.read(DOING).await?;
        let number = by_id(&mut tx, identity)
            .await?
            .ok_or_else(|| unknown(&identity.to_string()))?;
        let of_one = format!("{COLUMNS} WHERE f.identity = $1 ORDER BY f.id");
        let rows = self.stored_facts(&mut tx, composed(of_one).bind(number)).await?;
        Ok(rows.into_iter().map(|(_, fact)| fact).collect())
    }

    async fn security_holds(
        &self,
        now: Timestamp,
        after: Option<i64>,
        limit: u32,
    ) -> Result<FactPage, StoreError> {
        let sql = format!(
            "{COLUMNS} WHERE f.kind = 1 AND f.ended_us IS NULL AND f.id > $1 AND (f.until_us IS NULL OR f.until_us > $2)
             ORDER BY f.id LIMIT $3"
        );
        let rows = composed(sql).bind(after.unwrap_or(0)).bind(micros(now));
        self.fact_page(rows, limit).await
    }

    async fn assigned(
        &self,
        role: &RoleName,
        now: Timestamp,
        after: Option<i64>,
        limit: u32,
    ) -> Result<FactPage, StoreError> {
        let sql = format!(
            "{COLUMNS} WHERE f.name = $1 AND f.kind = 0 AND f.ended_us IS NULL AND f.id > $2 AND (f.until_us IS NULL OR f.until_us > $3)
             ORDER BY f.id LIMIT $4"
        );
        let rows = composed(sql)
            .bind(role.as_str())
            .bind(after.unwrap_or(0))
            .bind(micros(now));
        self.fact_page(rows, limit).await
    }
}

impl SqlStore {
    /// A page of rows whose last parameter is the limit.
    async fn fact_page(&self, rows: Query, limit: u32) -> Result<FactPage, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut tx = self.read(DOING).await?;
        let rows = self.stored_facts(&mut tx, rows.bind(limit)).await?;
        let next = rows.last().map(|(number, _)| *number);
        Ok(FactPage {
            next: next.filter(|_| rows.len() == limit as usize),
            rows: rows.into_iter().map(|(_, fact)| fact).collect(),
        })
    }

    async fn stored_facts(&self, tx: &mut Tx<'_>, rows: Query) -> Result<Vec<(i64, StoredFact)>, StoreError> {
        let rows = rows.fetch_all(tx).await.map_err(failed(DOING))?;
        let mut words = Words::new(&self.keys);
        let mut facts = Vec::with_capacity(rows.len());
        for row in &rows {
            let cells = Cells::new(row, "personal_fact.id")?;
            let reason = words.open(tx, &cells, Which::Added).await?;
            let ended = match cells.time_if_any("personal_fact.ended_us")? {
                None => None,
                Some(at) => Some(Ended {
                    at,
                    by: cells.json("personal_fact.ended_by")?,
                    reason: words.open(tx, &cells, Which::Ended).await?,
                }),
            };
            let fact = StoredFact {
                id: Kind::read(&cells)?.id(cells.uuid("personal_fact.public_id")?),
                identity: IdentityId::new(cells.uuid("identity.public_id")?),
                key: cells
                    .get::<Option<String>>("source_record.key")?
                    .unwrap_or_default(),
                fact: fact(&cells, reason)?,
                by: cells.json("personal_fact.added_by")?,
                added_at: cells.time("personal_fact.added_us")?,
                ended,
            };
            facts.push((cells.get("personal_fact.id")?, fact));
        }
        Ok(facts)
    }
}

/// What can still count at `now` for these identities, oldest first, each with the number of its identity; all that is not ended when no moment
/// is given. That is the clock of whoever asks: with the latest moment the store knows of, one host whose clock is ahead would end what
/// others still plan with.
///
/// Words that cannot be opened are replaced: kind and dates are in the clear, and one damaged row must not stop the planning of others.
pub(super) async fn counting(
    tx: &mut Tx<'_>,
    keys: &Keys,
    wanted: &str,
    now: Option<Timestamp>,
) -> Result<Vec<(i64, PersonalFact)>, StoreError> {
    let over_us = now.map_or(i64::MIN, |now| {
        micros(now.checked_sub(OVER_FOR).unwrap_or(Timestamp::MIN))
    });
    let rows = query(COUNTING)
        .bind(wanted)
        .bind(over_us)
        .fetch_all(tx)
        .await
        .map_err(failed(DOING))?;
    let mut facts = Vec::with_capacity(rows.len());
    if rows.is_empty() {
        return Ok(facts);
    }
    let mut words = Words::new(keys);
    for row in &rows {
        let cells = Cells::new(row, "personal_fact.id")?;
        let reason = words.open_for_planning(tx, &cells).await?;
        facts.push((cells.get("identity.id")?, fact(&cells, reason)?));
    }
    Ok(facts)
}

fn fact(cells: &Cells<'_>, reason: String) -> Result<PersonalFact, StoreError> {
    let hold = |kind, reason| -> Result<PersonalFact, StoreError> {
        Ok(PersonalFact::Hold(Hold {
            kind,
            from: cells.time("personal_fact.from_us")?,
            until: cells.time_if_any("personal_fact.until_us")?,
            reason,
            by: cells.json("personal_fact.added_by")?,
        }))
    };
    match Kind::read(cells)? {
        Kind::Assignment => Ok(PersonalFact::Assignment(Assignment {
            role: cells.name("personal_fact.name")?,
            origin: origin(cells)?,
            reason,
            valid_from: cells.time_if_any("personal_fact.from_us")?,
            valid_until: cells.time_if_any("personal_fact.until_us")?,
            by: cells.json("personal_fact.added_by")?,
        })),
        Kind::SecurityHold => hold(HoldKind::Security, reason),
        Kind::ManualHold => hold(HoldKind::Manual, reason),
        Kind::Exception => Ok(PersonalFact::Exception(SeparationException {
            separation: cells.name("personal_fact.name")?,
            until: cells.time("personal_fact.until_us")?,
            reason,
        })),
    }
}
