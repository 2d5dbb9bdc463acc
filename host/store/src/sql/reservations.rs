//! The table of reserved names.

use async_trait::async_trait;
use jiff::SignedDuration;
use serde_json::json;
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::reservation::Reservation;

use super::SqlStore;
use super::budgets::set_by;
use super::cells::{Cells, failed, micros};
use super::db::{Sql, Tx, query};
use super::identities::{by_id, unknown};
use super::setting_facts::{TOUCH, locked};
use super::write::{Entry, NO_CAUSE, Raised};
use crate::{BAR_MAX, Context, NameRequest, NamesTaken, Reservations, StoreError, StoredReservation};

const DOING: &str = "reading reserved names";

/// Names reserved in one transaction, when the first candidates are free: 60 to 80 ms in a debug build, optimised a few times less.
pub(super) const REQUESTS_MAX: usize = 500;

pub(crate) const RESERVED: &str = r#"
    SELECT r.id AS "reservation.id", r.identity AS "reservation.identity", t.name AS "target.name", r.kind AS "reservation.kind",
           r.attribute AS "reservation.attribute", r.value AS "reservation.value"
    FROM reservation r CROSS JOIN target t
    WHERE r.identity IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) AND r.barred_until_us IS NULL AND t.id = r.target
    ORDER BY r.id"#;

const OF_ONE: &str = r#"
    SELECT r.id AS "reservation.id", t.name AS "target.name", r.kind AS "reservation.kind", r.attribute AS "reservation.attribute",
           r.value AS "reservation.value", r.reserved_us AS "reservation.reserved_us", r.barred_until_us AS "reservation.barred_until_us"
    FROM reservation r JOIN target t ON t.id = r.target WHERE r.identity = $1 ORDER BY r.id"#;

const RELEASE: &str = "
    UPDATE reservation SET barred_until_us = $5
    WHERE identity = $1 AND target = (SELECT id FROM target WHERE name = $2) AND kind = $3 AND attribute = $4 AND barred_until_us IS NULL
    RETURNING value";

/// Of an erased person nothing is left but that some name is barred for a while.
const FORGET: &str = "
    UPDATE reservation SET identity = NULL, value = NULL, reserved_us = 0, barred_until_us = coalesce(barred_until_us, $2 + bar_us)
    WHERE identity = $1";

/// Whoever reserves may be freeing them too.
const FORGET_OVER: Sql = Sql {
    sqlite: "
    DELETE FROM reservation WHERE barred_until_us IS NOT NULL AND barred_until_us <= $1 AND identity IS NULL",
    postgres: "
    DELETE FROM reservation WHERE id IN (
        SELECT id FROM reservation WHERE barred_until_us IS NOT NULL AND barred_until_us <= $1 AND identity IS NULL ORDER BY id
        FOR UPDATE SKIP LOCKED)",
};

#[async_trait]
impl Reservations for SqlStore {
    async fn reserve(
        &self,
        requests: &[NameRequest],
        context: &Context,
    ) -> Result<Vec<Result<Reservation, NamesTaken>>, StoreError> {
        if requests.len() > REQUESTS_MAX {
            return Err(StoreError::Stale(format!(
                "{} names at once; at most {REQUESTS_MAX} are reserved in one transaction",
                requests.len()
            )));
        }
        match self.reserve_once(requests, context).await {
            // Others were at the same rows, or changed the data key.
            Err(StoreError::Contended(_)) => self.reserve_once(requests, context).await,
            result => result,
        }
    }

    async fn release(
        &self,
        identity: IdentityId,
        slot: &AccountSlot,
        attribute: &str,
        bar: SignedDuration,
        context: &Context,
    ) -> Result<(), StoreError> {
        match self.release_once(identity, slot, attribute, bar, context).await {
            Err(StoreError::Contended(_)) => self.release_once(identity, slot, attribute, bar, context).await,
            result => result,
        }
    }

    async fn reservations(&self, identity: IdentityId) -> Result<Vec<StoredReservation>, StoreError> {
        let mut tx = self.read(DOING).await?;
        let number = by_id(&mut tx, identity)
            .await?
            .ok_or_else(|| unknown(&identity.to_string()))?;
        let rows = query(OF_ONE)
            .bind(number)
            .fetch_all(&mut tx)
            .await
            .map_err(failed(DOING))?;
        rows.iter()
            .map(|row| {
                let cells = Cells::new(row, "reservation.id")?;
                Ok(StoredReservation {
                    reservation: reservation(&cells)?,
                    reserved_at: cells.time("reservation.reserved_us")?,
                    barred_until: cells.time_if_any("reservation.barred_until_us")?,
                })
            })
            .collect()
    }
}

impl SqlStore {
    async fn release_once(
        &self,
        identity: IdentityId,
        slot: &AccountSlot,
        attribute: &str,
        bar: SignedDuration,
        context: &Context,
    ) -> Result<(), StoreError> {
        let doing = "releasing a name";
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        let (subject, _) = locked(&mut write, identity, doing).await?;
        let row = query(RELEASE)
            .bind(subject.number)
            .bind(slot.target.as_str())
            .bind(slot.kind.as_str())
            .bind(attribute)
            .bind(barred_until(micros(context.at), bar))
            .fetch_optional(&mut write.tx)
            .await
            .map_err(failed(doing))?
            .ok_or_else(|| {
                let attribute: String = attribute.chars().take(80).collect();
                StoreError::NotFound(format!(
                    "{identity} has no name reserved for {attribute} of {slot}"
                ))
            })?;
        let value: String = row.at(0).map_err(failed(doing))?;
        write.audit(&Entry {
            event: "name.released",
            subject: Some(subject),
            cause: NO_CAUSE,
            payload: json!({
                "account": slot.to_string(),
                "attribute": attribute,
                "name": value,
                "barred-until": context.at.checked_add(bounded(bar)).ok(),
            }),
        });
        query(TOUCH)
            .bind(subject.number)
            .bind(set_by(&write))
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
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

/// A bar that makes sense.
pub(super) fn bounded(bar: SignedDuration) -> SignedDuration {
    bar.clamp(SignedDuration::ZERO, BAR_MAX)
}

/// In microseconds.
pub(super) fn bar_us(bar: SignedDuration) -> i64 {
    i64::try_from(bounded(bar).as_micros()).unwrap_or(i64::MAX)
}

/// Until when a name is barred that is released now.
pub(super) fn barred_until(now_us: i64, bar: SignedDuration) -> i64 {
    now_us.saturating_add(bar_us(bar))
}

/// The names of these identities, oldest first, each with the number of its identity.
pub(super) async fn reserved(tx: &mut Tx<'_>, wanted: &str) -> Result<Vec<(i64, Reservation)>, StoreError> {
    let rows = query(RESERVED)
        .bind(wanted)
        .fetch_all(tx)
        .await
        .map_err(failed(DOING))?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(row, "reservation.id")?;
            Ok((cells.get("reservation.identity")?, reservation(&cells)?))
        })
        .collect()
}

/// Takes the names of an erased identity away. They stay barred, as was said when they were reserved.
pub(super) async fn forget(tx: &mut Tx<'_>, identity: i64, now_us: i64) -> Result<(), StoreError> {
    let doing = "erasing reserved names";
    query(FORGET)
        .bind(identity)
        .bind(now_us)
        .execute(tx)
        .await
        .map_err(failed(doing))?;
    query(FORGET_OVER)
        .bind(now_us)
        .execute(tx)
        .await
        .map_err(failed(doing))?;
    Ok(())
}

fn reservation(cells: &Cells<'_>) -> Result<Reservation, StoreError> {
    Ok(Reservation {
        slot: AccountSlot {
            target: cells.name("target.name")?,
            kind: cells.name("reservation.kind")?,
        },
        attribute: cells.get("reservation.attribute")?,
        value: cells.get("reservation.value")?,
    })
}
