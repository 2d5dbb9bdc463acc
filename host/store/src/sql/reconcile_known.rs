//! What is remembered of the accounts a target listed. Compared by the database, so that what is unchanged costs a few numbers.

use std::collections::HashMap;

use jiff::Timestamp;
use usher_lifecycle::account::ObservedAccount;
use usher_lifecycle::name::TargetName;

use super::SqlStore;
use super::cells::{Cells, account_state_code, failed, json_of, micros};
use super::db::{Sql, query};
use super::identities::observed;
use crate::{
    AccountRef, IdentityRef, Known, KnownFound, KnownKind, KnownOwner, Matched, MatchedIdentity, Sighting,
    StoreError, Unlisted,
};

/// Most accounts of one page of known ones.
const PAGE_MAX: u32 = 2_000;

const DOING: &str = "comparing accounts";

/// Of each listed account: its place, the account that has its link (or had it, and is missing), and whether all is the same. A target that does
/// not tell the state says nothing about it.
pub(crate) const OWNERS: &str = r#"
    SELECT CAST(j.key AS BIGINT), a.id, a.identity, CAST(CASE
        WHEN a.state IN (1, 2) AND (a.state = CAST(j.value ->> 1 AS BIGINT) OR CAST(j.value ->> 1 AS BIGINT) = 3)
         AND a.attributes = j.value ->> 2 AND (j.value ->> 3 IS NULL OR a.entitlements = j.value ->> 3)
         AND coalesce(a.version, '') = coalesce(j.value ->> 4, '') THEN 1 ELSE 0 END AS BIGINT),
        CAST(CASE WHEN coalesce(a.observed_us, 0) <= $3 THEN 1 ELSE 0 END AS BIGINT)
    FROM json_each($2) AS j CROSS JOIN account a
    WHERE a.target = $1 AND a.external_id = j.value ->> 0 AND a.external_id IS NOT NULL AND a.state <> 0"#;

const MISSING_OWNERS: &str = r#"
    SELECT CAST(j.key AS BIGINT), a.id, a.identity, CAST(0 AS BIGINT), CAST(0 AS BIGINT)
    FROM json_each($2) AS j CROSS JOIN account a
    WHERE a.target = $1 AND a.external_id = j.value ->> 0 AND a.missing_us IS NOT NULL AND a.state = 0 AND $3 >= 0"#;

pub(crate) const FOUND: &str = r#"
    SELECT CAST(j.key AS BIGINT), f.id, f.account, CAST(CASE
        WHEN f.state = CAST(j.value ->> 1 AS BIGINT) AND f.attributes = j.value ->> 2
         AND (j.value ->> 3 IS NULL OR f.entitlements = j.value ->> 3) AND coalesce(f.version, '') = coalesce(j.value ->> 4, '')
         AND f.candidates = j.value ->> 5 AND coalesce(f.one_facts, -1) = coalesce(CAST(j.value ->> 6 AS BIGINT), -1)
        THEN 1 ELSE 0 END AS BIGINT), CAST(CASE WHEN f.account IS NULL AND f.since_us <= $3 THEN 1 ELSE 0 END AS BIGINT)
    FROM json_each($2) AS j CROSS JOIN found_account f
    WHERE f.target = $1 AND f.external_id = j.value ->> 0"#;

const IN_FULL: &str = r#"
    SELECT a.id AS "account.id", a.state AS "account.state", a.external_id AS "account.external_id", a.attributes AS "account.attributes",
           a.entitlements AS "account.entitlements", a.version AS "account.version", a.written AS "account.written"
    FROM account a WHERE a.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))"#;

const COUNT_LINKED: &str = "
    SELECT count(*) FROM account a JOIN target t ON t.id = a.target
    WHERE t.name = $1 AND a.external_id IS NOT NULL AND a.state <> 0 AND coalesce(a.observed_us, 0) <= $2";

const COUNT_FOUND: &str = "
    SELECT count(*) FROM found_account f JOIN target t ON t.id = f.target
    WHERE t.name = $1 AND f.account IS NULL AND f.since_us <= $2";

pub(crate) const PAGE_LINKED: Sql = Sql::both(
    r#"
    SELECT a.id AS "account.id", a.external_id AS "account.external_id" FROM account a
    WHERE a.target = (SELECT t.id FROM target t WHERE t.name = $1) AND a.external_id IS NOT NULL AND a.state <> 0
      AND coalesce(a.observed_us, 0) <= $2 AND a.external_id > $3 ORDER BY a.external_id LIMIT $4"#,
);

const PAGE_FOUND: Sql = Sql::both(
    r#"
    SELECT f.id AS "account.id", f.external_id AS "account.external_id" FROM found_account f
    WHERE f.target = (SELECT t.id FROM target t WHERE t.name = $1) AND f.account IS NULL AND f.since_us <= $2
      AND f.external_id > $3 ORDER BY f.external_id LIMIT $4"#,
);

impl SqlStore {
    pub(super) async fn read_known(
        &self,
        target: &TargetName,
        listed: &[Sighting],
        before: Timestamp,
    ) -> Result<Vec<Known>, StoreError> {
        let mut known = vec![Known::default(); listed.len()];
        let mut tx = self.read(DOING).await?;
        let number = query("SELECT id FROM target WHERE name = $1")
            .bind(target.as_str())
            .fetch_optional(&mut tx)
            .await
            .map_err(failed(DOING))?;
        let Some(number) = number else { return Ok(known) };
        let number: i64 = number.at(0).map_err(failed(DOING))?;
        let asked = json_of(DOING, &listed.iter().map(asked).collect::<Result<Vec<_>, _>>()?)?;
        for sql in [MISSING_OWNERS, OWNERS] {
            let query = query(sql).bind(number).bind(&asked).bind(micros(before));
            let rows = query.fetch_all(&mut tx).await;
            for row in &rows.map_err(failed(DOING))? {
                let at = |place: usize| row.at::<i64>(place).map_err(failed(DOING));
                let place = usize::try_from(at(0)?).unwrap_or(usize::MAX);
                if let Some(known) = known.get_mut(place) {
                    known.owner = Some(KnownOwner {
                        account: AccountRef(at(1)?),
                        identity: IdentityRef(at(2)?),
                        same: at(3)? == 1,
                        counted: at(4)? == 1,
                    });
                }
            }
        }
        let query = query(FOUND).bind(number).bind(&asked).bind(micros(before));
        let rows = query.fetch_all(&mut tx).await;
        for row in &rows.map_err(failed(DOING))? {
            let at = |place: usize| row.at::<i64>(place).map_err(failed(DOING));
            let place = usize::try_from(at(0)?).unwrap_or(usize::MAX);
            if let Some(known) = known.get_mut(place) {
                known.found = Some(KnownFound {
                    number: at(1)?,
                    owner: row.at::<Option<i64>>(2).map_err(failed(DOING))?.map(AccountRef),
                    same: at(3)? == 1,
                    counted: at(4)? == 1,
                });
            }
        }
        Ok(known)
    }

    pub(super) async fn read_in_full(
        &self,
        accounts: &[AccountRef],
    ) -> Result<HashMap<AccountRef, ObservedAccount>, StoreError> {
        if accounts.is_empty() {
            return Ok(HashMap::new());
        }
        let numbers: Vec<i64> = accounts.iter().map(|account| account.0).collect();
        let rows = query(IN_FULL)
            .bind(json_of(DOING, &numbers)?)
            .fetch_all(&mut self.read(DOING).await?)
            .await
            .map_err(failed(DOING))?;
        rows.iter()
            .map(|row| {
                let cells = Cells::new(row, "account.id")?;
                Ok((AccountRef(cells.get("account.id")?), observed(&cells)?))
            })
            .collect()
    }

    pub(super) async fn count_known(
        &self,
        target: &TargetName,
        kind: KnownKind,
        before: Timestamp,
    ) -> Result<u64, StoreError> {
        let sql = match kind {
            KnownKind::Linked => COUNT_LINKED,
            KnownKind::Found => COUNT_FOUND,
        };
        let row = query(sql)
            .bind(target.as_str())
            .bind(micros(before))
            .fetch_one(&mut self.read(DOING).await?)
            .await
            .map_err(failed(DOING))?;
        let count: i64 = row.at(0).map_err(failed(DOING))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(super) async fn page_known(
        &self,
        target: &TargetName,
        kind: KnownKind,
        before: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Unlisted>, StoreError> {
        let sql = match kind {
            KnownKind::Linked => PAGE_LINKED,
            KnownKind::Found => PAGE_FOUND,
        };
        let rows = query(sql)
            .bind(target.as_str())
            .bind(micros(before))
            .bind(after.unwrap_or(""))
            .bind(limit.min(PAGE_MAX))
            .fetch_all(&mut self.read(DOING).await?)
            .await
            .map_err(failed(DOING))?;
        rows.iter()
            .map(|row| {
                let cells = Cells::new(row, "account.id")?;
                Ok(Unlisted {
                    number: cells.get("account.id")?,
                    external_id: cells.get("account.external_id")?,
                })
            })
            .collect()
    }
}

/// Id, state, attributes, entitlements, version, candidates, and the facts of the one that is certain.
type Asked<'a> = (
    &'a str,
    i64,
    String,
    Option<String>,
    Option<&'a str>,
    String,
    Option<i64>,
);

fn asked(sighting: &Sighting) -> Result<Asked<'_>, StoreError> {
    Ok((
        &sighting.external_id,
        account_state_code(sighting.state),
        json_of(DOING, &sighting.attributes)?,
        sighting
            .entitlements
            .as_ref()
            .map(|held| json_of(DOING, held))
            .transpose()?,
        sighting.version.as_deref(),
        candidates_text(&sighting.matched)?,
        one_of(&sighting.matched).map(|one| one.facts_version),
    ))
}

/// The candidates as they are kept: identity, kind, weight, rule of each; whether the first is certain is kept beside.
pub(super) fn candidates_text(matched: &Matched) -> Result<String, StoreError> {
    let rows: Vec<CandidateText> = matched
        .candidates
        .iter()
        .map(|one| (one.identity.0, one.kind.to_string(), one.weight, one.rule))
        .collect();
    json_of(DOING, &rows)
}

/// A candidate as it is kept.
pub(super) type CandidateText = (i64, String, Option<u32>, u32);

/// The one whose it is for certain.
pub(super) fn one_of(matched: &Matched) -> Option<&MatchedIdentity> {
    match (matched.certain, matched.candidates.as_slice()) {
        (true, [one]) => Some(one),
        (true | false, _) => None,
    }
}
