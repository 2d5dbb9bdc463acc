//! Accounts that are not plainly linked: listed and counted. Their situation is worked out when they are read, from what is known then.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use serde_json::json;
use usher_lifecycle::account::{AccountSlot, AccountState};
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::name::{AccountKind, TargetName};
use usher_lifecycle::situation::{Owner, Presence, Ruled, Situation, situation};

use super::SqlStore;
use super::cells::{Cells, failed, json_of};
use super::db::{Row, Sql, Tx, query};
use super::reconcile_known::CandidateText;
use super::reconciles::target_number;
use super::write::{Entry, NO_CAUSE, Raised};
use crate::{
    Context, FoundAccount, FoundAccounts, FoundCandidate, FoundDecision, FoundFilter, FoundOwner, FoundTotal,
    StoreError,
};

/// Most accounts in one list.
const LIST_MAX: u32 = 1_000;

const DOING: &str = "listing accounts";

/// Whose it is by the rules, as [`code`] numbers it: whether somebody owns it (10), and what the rules say.
const CODE: &str = "CAST(CASE
        WHEN f.account IS NOT NULL THEN 12
        WHEN f.one_identity IS NULL AND f.candidates = '[]' THEN 0
        WHEN f.one_identity IS NULL THEN 4
        WHEN EXISTS (SELECT 1 FROM found_account g WHERE g.one_identity = f.one_identity AND g.target = f.target AND g.one_kind = f.one_kind
                       AND g.account IS NULL AND g.decided_us IS NULL AND g.id <> f.id)
          OR EXISTS (SELECT 1 FROM account b WHERE b.identity = f.one_identity AND b.target = f.target AND b.kind = f.one_kind
                       AND b.external_id IS NOT NULL AND (b.state <> 0 OR b.missing_us IS NOT NULL)) THEN 3
        ELSE 2 END AS BIGINT)";

const LISTED: &str = r#"
    SELECT f.id AS "found_account.id", f.external_id AS "found_account.external_id", f.state AS "account.state",
           f.attributes AS "found_account.attributes", f.entitlements AS "found_account.entitlements",
           f.candidates AS "found_account.candidates", f.since_us AS "found_account.since_us", f.decided_us AS "found_account.decided_us",
           f.decided_by AS "found_account.decided_by", f.reason AS "found_account.reason", f.code AS "found_account.code",
           a.identity AS "account.identity", a.kind AS "account.kind"
    FROM (SELECT f.*, "#;

const LISTED_REST: &str = r#" AS code FROM found_account f WHERE f.target = $1 AND f.external_id > $2) AS f
    LEFT JOIN account a ON a.id = f.account
    WHERE f.code IN (SELECT CAST(value AS BIGINT) FROM json_each($3)) AND ($4 = 1 OR f.decided_us IS NULL)
    ORDER BY f.external_id LIMIT $5"#;

const MISSING: Sql = Sql {
    sqlite: r#"
    SELECT a.id AS "account.id", a.external_id AS "account.external_id", a.identity AS "account.identity", a.kind AS "account.kind",
           a.missing_us AS "account.missing_us"
    FROM account a WHERE a.target = $1 AND a.missing_us IS NOT NULL AND a.state = 0 AND a.external_id > $2
    ORDER BY a.external_id LIMIT $3"#,
    postgres: r#"
    SELECT a.id AS "account.id", a.external_id AS "account.external_id", a.identity AS "account.identity", a.kind AS "account.kind",
           a.missing_us AS "account.missing_us"
    FROM account a WHERE a.target = $1 AND a.missing_us IS NOT NULL AND a.state = 0 AND a.external_id COLLATE "C" > $2
    ORDER BY a.external_id COLLATE "C" LIMIT $3"#,
};

const PEOPLE: &str = r#"
    SELECT i.id AS "identity.id", i.public_id AS "identity.public_id",
           (SELECT r.key FROM source_record r WHERE r.identity = i.id ORDER BY r.id LIMIT 1) AS "source_record.key"
    FROM identity i WHERE i.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))"#;

const MISSING_TOTALS: &str = "
    SELECT t.name, count(*) FROM account a JOIN target t ON t.id = a.target WHERE a.missing_us IS NOT NULL AND a.state = 0 GROUP BY t.name";

/// Only what may still be disabled: nobody's, not decided about. While an account is being made, any may be that one.
const TO_DISABLE: &str = "
    SELECT f.id FROM found_account f
    WHERE f.target = $1 AND f.external_id = $2 AND f.account IS NULL AND f.one_identity IS NULL AND f.candidates = '[]'
      AND f.decided_us IS NULL AND f.state <> 2 AND NOT EXISTS (SELECT 1 FROM account b WHERE b.target = $1 AND b.external_id = $2 AND (b.state <> 0 OR b.missing_us IS NOT NULL))
      AND NOT EXISTS (SELECT 1 FROM operation o WHERE o.target = $1 AND o.state < 4 AND o.verb = 'create' AND (o.state = 2 OR o.settle = 1))";

#[async_trait]
impl FoundAccounts for SqlStore {
    async fn found_accounts(&self, filter: &FoundFilter) -> Result<Vec<FoundAccount>, StoreError> {
        let limit = filter.limit.clamp(1, LIST_MAX);
        let mut tx = self.read(DOING).await?;
        let mut listed = Vec::new();
        for (number, target) in targets(&mut tx).await? {
            let wanted = filter.target.as_ref().is_none_or(|wanted| *wanted == target);
            let (after_target, after_id) = match &filter.after {
                Some((name, id)) if *name == target => (None, id.as_str()),
                Some((name, _)) => (Some(name), ""),
                None => (None, ""),
            };
            let room = limit - u32::try_from(listed.len()).unwrap_or(limit);
            if room == 0 {
                break;
            }
            if wanted && after_target.is_none_or(|name| *name < target) {
                let mut here = of_target(&mut tx, (number, &target), filter, after_id, room).await?;
                here.sort_by(|left, right| left.0.external_id.cmp(&right.0.external_id));
                here.truncate(room as usize);
                listed.append(&mut here);
            }
        }
        with_people(&mut tx, listed).await
    }

    async fn found_totals(&self) -> Result<Vec<FoundTotal>, StoreError> {
        let mut tx = self.read(DOING).await?;
        let sql = format!(
            "SELECT t.name, f.code, count(*) FROM (SELECT f.target, {CODE} AS code FROM found_account f WHERE f.decided_us IS NULL) AS f
             JOIN target t ON t.id = f.target GROUP BY t.name, f.code"
        );
        let mut totals: BTreeMap<(TargetName, Situation), u64> = BTreeMap::new();
        let mut add = |name: String, told: Option<Situation>, count: i64| {
            if let (Ok(name), Some(told)) = (name.parse::<TargetName>(), told) {
                *totals.entry((name, told)).or_default() += u64::try_from(count).unwrap_or(0);
            }
        };
        let rows = super::db::composed(sql).fetch_all(&mut tx).await;
        for row in &rows.map_err(failed(DOING))? {
            let at = |place| row.at::<i64>(place).map_err(failed(DOING));
            add(row.at(0).map_err(failed(DOING))?, situation_of(at(1)?), at(2)?);
        }
        let rows = query(MISSING_TOTALS).fetch_all(&mut tx).await;
        for row in &rows.map_err(failed(DOING))? {
            let count = row.at::<i64>(1).map_err(failed(DOING))?;
            add(row.at(0).map_err(failed(DOING))?, Some(Situation::Missing), count);
        }
        let totals = totals
            .into_iter()
            .map(|((target, situation), accounts)| FoundTotal {
                target,
                situation,
                accounts,
            });
        Ok(totals.collect())
    }

    async fn link_account(
        &self,
        slot: &AccountSlot,
        external_id: &str,
        identity: IdentityId,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError> {
        self.link_by_hand(slot, external_id, identity, reason, context)
            .await
    }

    async fn unlink_account(
        &self,
        target: &TargetName,
        external_id: &str,
        reason: &str,
        context: &Context,
    ) -> Result<IdentityId, StoreError> {
        self.unlink_by_hand(target, external_id, reason, context).await
    }

    async fn ignore_account(
        &self,
        target: &TargetName,
        external_id: &str,
        ignore: bool,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError> {
        self.ignore_by_hand(target, external_id, ignore, reason, context)
            .await
    }

    async fn record_disabling(
        &self,
        target: &TargetName,
        external_id: &str,
        went: Option<(bool, &str)>,
        context: &Context,
    ) -> Result<(), StoreError> {
        let doing = "recording a reaction";
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        let number = target_number(&mut write.tx, target).await?;
        let row = query(TO_DISABLE)
            .bind(number)
            .bind(external_id)
            .fetch_optional(&mut write.tx)
            .await
            .map_err(failed(doing))?
            .ok_or_else(|| StoreError::NotFound("the account is not to be disabled any more".to_owned()))?;
        let found: i64 = row.at(0).map_err(failed(doing))?;
        // The id is not told: nobody's key could seal it. It stands with the account.
        let mut payload = json!({ "target": target, "found-account": found });
        let event = match went {
            None => "account.disabling",
            Some((true, _)) => "account.disabled",
            Some((false, message)) => {
                payload["message"] = json!(message);
                "account.not-disabled"
            }
        };
        if matches!(went, Some((true, _))) {
            query("UPDATE found_account SET state = 2 WHERE id = $1")
                .bind(found)
                .execute(&mut write.tx)
                .await
                .map_err(failed(doing))?;
        }
        write.audit(&Entry {
            event,
            subject: None,
            cause: NO_CAUSE,
            payload,
        });
        write.commit(Raised::default()).await
    }
}

/// How the statement numbers what is known.
const fn code(owner: Owner, ruled: Ruled) -> i64 {
    let ruled = match ruled {
        Ruled::Nobody => 0,
        Ruled::Owner => 1,
        Ruled::Other => 2,
        Ruled::OtherTaken => 3,
        Ruled::Several => 4,
    };
    match owner {
        Owner::Nobody => ruled,
        Owner::Somebody => 10 + ruled,
    }
}

/// Every number with its situation.
fn codes() -> impl Iterator<Item = (i64, Situation)> {
    Owner::ALL.into_iter().flat_map(|owner| {
        Ruled::ALL.into_iter().filter_map(move |ruled| {
            situation(Presence::There, owner, ruled).map(|told| (code(owner, ruled), told))
        })
    })
}

fn situation_of(number: i64) -> Option<Situation> {
    codes().find(|(known, _)| *known == number).map(|(_, told)| told)
}

/// In the order of their names.
async fn targets(tx: &mut Tx<'_>) -> Result<Vec<(i64, TargetName)>, StoreError> {
    let rows = query(r#"SELECT id AS "target.id", name AS "target.name" FROM target"#)
        .fetch_all(tx)
        .await
        .map_err(failed(DOING))?;
    let mut targets: Vec<(i64, TargetName)> = rows
        .iter()
        .map(|row| {
            let cells = Cells::new(row, "target.id")?;
            Ok((cells.get("target.id")?, cells.name("target.name")?))
        })
        .collect::<Result<_, StoreError>>()?;
    targets.sort_by(|(_, left), (_, right)| left.cmp(right));
    Ok(targets)
}

/// An account with its people still as numbers.
type Numbered = (FoundAccount, Option<(i64, AccountKind)>, Vec<CandidateText>);

async fn of_target(
    tx: &mut Tx<'_>,
    (number, target): (i64, &TargetName),
    filter: &FoundFilter,
    after: &str,
    room: u32,
) -> Result<Vec<Numbered>, StoreError> {
    let wanted = |told: Situation| filter.situation.is_none_or(|wanted| wanted == told);
    let codes: Vec<i64> = codes()
        .filter(|(_, told)| wanted(*told))
        .map(|(number, _)| number)
        .collect();
    let mut here = Vec::new();
    if !codes.is_empty() {
        let rows = super::db::composed(format!("{LISTED}{CODE}{LISTED_REST}"))
            .bind(number)
            .bind(after)
            .bind(json_of(DOING, &codes)?)
            .bind(i64::from(filter.decided))
            .bind(room)
            .fetch_all(tx)
            .await
            .map_err(failed(DOING))?;
        for row in &rows {
            here.push(found(row, target)?);
        }
    }
    if wanted(Situation::Missing) {
        let rows = query(MISSING)
            .bind(number)
            .bind(after)
            .bind(room)
            .fetch_all(tx)
            .await
            .map_err(failed(DOING))?;
        for row in &rows {
            here.push(missing(row, target)?);
        }
    }
    Ok(here)
}

fn found(row: &Row, target: &TargetName) -> Result<Numbered, StoreError> {
    let cells = Cells::new(row, "found_account.id")?;
    let number: i64 = cells.get("found_account.code")?;
    let decided = cells
        .time_if_any("found_account.decided_us")?
        .map(|at| {
            Ok::<_, StoreError>(FoundDecision {
                by: cells.json("found_account.decided_by")?,
                at,
                reason: cells.get("found_account.reason")?,
            })
        })
        .transpose()?;
    let owner = match cells.get::<Option<i64>>("account.identity")? {
        None => None,
        Some(identity) => Some((identity, cells.name("account.kind")?)),
    };
    let account = FoundAccount {
        target: target.clone(),
        external_id: cells.get("found_account.external_id")?,
        situation: situation_of(number)
            .ok_or_else(|| cells.corrupt("found_account.candidates", "its situation cannot be told"))?,
        state: cells.account_state("account.state")?,
        attributes: cells.json("found_account.attributes")?,
        entitlements: cells.json("found_account.entitlements")?,
        owner: None,
        candidates: Vec::new(),
        since: cells.time("found_account.since_us")?,
        decided,
    };
    Ok((account, owner, cells.json("found_account.candidates")?))
}

fn missing(row: &Row, target: &TargetName) -> Result<Numbered, StoreError> {
    let cells = Cells::new(row, "account.id")?;
    let account = FoundAccount {
        target: target.clone(),
        external_id: cells.get("account.external_id")?,
        situation: Situation::Missing,
        state: AccountState::Absent,
        attributes: serde_json::Map::new(),
        entitlements: BTreeMap::new(),
        owner: None,
        candidates: Vec::new(),
        since: cells.time("account.missing_us")?,
        decided: None,
    };
    let owner = (cells.get("account.identity")?, cells.name("account.kind")?);
    Ok((account, Some(owner), Vec::new()))
}

/// Puts people in place of their numbers. Whoever is not there any more is left out.
async fn with_people(tx: &mut Tx<'_>, listed: Vec<Numbered>) -> Result<Vec<FoundAccount>, StoreError> {
    let numbers: BTreeSet<i64> = listed
        .iter()
        .flat_map(|(_, owner, candidates)| {
            let owner = owner.iter().map(|(identity, _)| *identity);
            owner.chain(candidates.iter().map(|(identity, ..)| *identity))
        })
        .collect();
    let rows = query(PEOPLE)
        .bind(json_of(DOING, &numbers)?)
        .fetch_all(tx)
        .await
        .map_err(failed(DOING))?;
    let people: HashMap<i64, (IdentityId, Option<String>)> = rows
        .iter()
        .map(|row| {
            let cells = Cells::new(row, "identity.id")?;
            let id = IdentityId::new(cells.uuid("identity.public_id")?);
            Ok((cells.get("identity.id")?, (id, cells.get("source_record.key")?)))
        })
        .collect::<Result<_, StoreError>>()?;
    let owner = |number: i64, kind: AccountKind| {
        let (identity, key) = people.get(&number)?.clone();
        Some(FoundOwner { identity, key, kind })
    };
    let accounts = listed
        .into_iter()
        .map(|(account, owned, candidates)| FoundAccount {
            owner: owned.and_then(|(number, kind)| owner(number, kind)),
            candidates: candidates
                .into_iter()
                .filter_map(|(number, kind, weight, rule)| {
                    let who = owner(number, kind.parse().ok()?)?;
                    Some(FoundCandidate { who, weight, rule })
                })
                .collect(),
            ..account
        });
    Ok(accounts.collect())
}
