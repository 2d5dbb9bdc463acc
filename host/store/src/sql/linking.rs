//! An account found in a target becomes an identity's, or is taken from it: by the rules, or by a person (`linking_by_hand`).

use jiff::Timestamp;
use serde_json::json;
use usher_lifecycle::ids::OperationId;

use super::cells::{Cells, failed, json_of, micros};
use super::db::{Sql, query};
use super::operations::{slot, subject};
use super::reconcile_changes::{FORGET, TOUCH, sorted};
use super::reconcile_known::CandidateText;
use super::write::{Entry, NO_CAUSE, Subject, Write};
use crate::StoreError;

const DOING: &str = "linking an account";

/// An account that is to become somebody's.
pub(super) struct ToLink {
    pub(super) external_id: String,
    pub(super) subject: Subject,
    pub(super) kind: String,
    /// Which rule said so, and what was equal weighs so much.
    pub(super) by_rule: Option<(u32, Option<u32>)>,
}

/// Accounts of one target that are to become somebody's.
pub(super) struct Linking<'a> {
    pub(super) target: i64,
    pub(super) rows: Vec<ToLink>,
    /// What a person said.
    pub(super) reason: Option<&'a str>,
    pub(super) at: Timestamp,
    /// As `identity.changed_by`.
    pub(super) changed_by: String,
}

/// Exactly one identity's by the rules, whose facts are still the same and who has no such account; nobody has decided about it, no other
/// account is claimed for the same, and nothing is under way there.
const TO_LINK: Sql = Sql {
    sqlite: r#"
    SELECT f.id AS "found_account.id", f.external_id AS "found_account.external_id", f.one_kind AS "found_account.one_kind",
           f.candidates AS "found_account.candidates",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key"
    FROM found_account f JOIN identity i ON i.id = f.one_identity
    WHERE f.target = $1 AND f.account IS NULL AND f.decided_us IS NULL AND i.facts_version = f.one_facts AND i.state IS NOT 5
      AND NOT EXISTS (SELECT 1 FROM found_account g WHERE g.target = f.target AND g.one_identity = f.one_identity
                        AND g.one_kind = f.one_kind AND g.account IS NULL AND g.decided_us IS NULL AND g.id <> f.id)
      AND NOT EXISTS (SELECT 1 FROM account b WHERE b.target = f.target AND b.external_id = f.external_id
                        AND b.external_id IS NOT NULL AND b.state <> 0)
      AND NOT EXISTS (SELECT 1 FROM account a WHERE a.identity = f.one_identity AND a.target = f.target AND a.kind = f.one_kind
                        AND ((a.external_id IS NOT NULL AND (a.state <> 0 OR a.missing_us IS NOT NULL))
                             OR EXISTS (SELECT 1 FROM operation o WHERE o.account = a.id AND o.state < 4 AND (o.state = 2 OR o.settle = 1))))
    ORDER BY f.id LIMIT $2"#,
    postgres: r#"
    SELECT f.id AS "found_account.id", f.external_id AS "found_account.external_id", f.one_kind AS "found_account.one_kind",
           f.candidates AS "found_account.candidates",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key"
    FROM found_account f JOIN identity i ON i.id = f.one_identity
    WHERE f.target = $1 AND f.account IS NULL AND f.decided_us IS NULL AND i.facts_version = f.one_facts AND i.state IS DISTINCT FROM 5
      AND NOT EXISTS (SELECT 1 FROM found_account g WHERE g.target = f.target AND g.one_identity = f.one_identity
                        AND g.one_kind = f.one_kind AND g.account IS NULL AND g.decided_us IS NULL AND g.id <> f.id)
      AND NOT EXISTS (SELECT 1 FROM account b WHERE b.target = f.target AND b.external_id = f.external_id
                        AND b.external_id IS NOT NULL AND b.state <> 0)
      AND NOT EXISTS (SELECT 1 FROM account a WHERE a.identity = f.one_identity AND a.target = f.target AND a.kind = f.one_kind
                        AND ((a.external_id IS NOT NULL AND (a.state <> 0 OR a.missing_us IS NOT NULL))
                             OR EXISTS (SELECT 1 FROM operation o WHERE o.account = a.id AND o.state < 4 AND (o.state = 2 OR o.settle = 1))))
    ORDER BY f.id LIMIT $2 FOR NO KEY UPDATE OF i SKIP LOCKED"#,
};

const MAKE_ACCOUNTS: &str = "
    INSERT INTO account (identity, target, kind)
    SELECT CAST(value ->> 0 AS BIGINT), $2, value ->> 1 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING";

const TAKE_LINK: &str = "
    UPDATE account
    SET state = f.state, external_id = f.external_id, attributes = f.attributes, entitlements = f.entitlements, version = f.version,
        written = NULL, observed_us = $3, missing_us = NULL
    FROM found_account f, json_each($1) AS j
    WHERE f.target = $2 AND f.external_id = j.value ->> 2 AND account.target = $2
      AND account.identity = CAST(j.value ->> 0 AS BIGINT) AND account.kind = j.value ->> 1";

/// What was planned for an account that was not there is planned anew for the one that is.
const SUPERSEDE: &str = r#"
    UPDATE operation SET state = 6, ended_us = $3, message = $4
    WHERE state < 4 AND state <> 2 AND account IN (
        SELECT a.id FROM json_each($1) AS j CROSS JOIN account a
        WHERE a.identity = CAST(j.value ->> 0 AS BIGINT) AND a.target = $2 AND a.kind = j.value ->> 1)
    RETURNING id AS "operation.id", public_id AS "operation.public_id", verb AS "operation.work", cause AS "operation.cause",
              (SELECT a.identity FROM account a WHERE a.id = operation.account) AS "account.identity",
              (SELECT a.kind FROM account a WHERE a.id = operation.account) AS "account.kind",
              (SELECT t.name FROM target t WHERE t.id = operation.target) AS "target.name""#;

/// Accounts of a target that the rules link now.
pub(super) async fn to_link(
    write: &mut Write<'_>,
    target: i64,
    limit: u32,
) -> Result<Vec<ToLink>, StoreError> {
    let rows = query(TO_LINK)
        .bind(target)
        .bind(limit)
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(row, "found_account.id")?;
            let candidates: Vec<CandidateText> = cells.json("found_account.candidates")?;
            Ok(ToLink {
                external_id: cells.get("found_account.external_id")?,
                subject: subject(&cells)?,
                kind: cells.get("found_account.one_kind")?,
                by_rule: candidates.first().map(|(_, _, weight, rule)| (*rule, *weight)),
            })
        })
        .collect()
}

/// Links accounts; the identities are locked, and nothing stands in the way.
pub(super) async fn link(write: &mut Write<'_>, linking: &Linking<'_>) -> Result<(), StoreError> {
    if linking.rows.is_empty() {
        return Ok(());
    }
    let slots: Vec<(i64, &str, &str)> = linking
        .rows
        .iter()
        .map(|row| (row.subject.number, row.kind.as_str(), row.external_id.as_str()))
        .collect();
    let slots = json_of(DOING, &slots)?;
    let at = micros(linking.at);
    query(MAKE_ACCOUNTS)
        .bind(&slots)
        .bind(linking.target)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    let subjects: Vec<Subject> = linking.rows.iter().map(|row| row.subject).collect();
    let message = "an account that the target had already was linked: planned anew";
    supersede(write, linking.target, &slots, &subjects, at, message).await?;
    query(TAKE_LINK)
        .bind(&slots)
        .bind(linking.target)
        .bind(at)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    let ids: Vec<(&str,)> = linking
        .rows
        .iter()
        .map(|row| (row.external_id.as_str(),))
        .collect();
    query(FORGET)
        .bind(linking.target)
        .bind(json_of(DOING, &ids)?)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    let name = query("SELECT name FROM target WHERE id = $1")
        .bind(linking.target)
        .fetch_one(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    let name: String = name.at(0).map_err(failed(DOING))?;
    for row in &linking.rows {
        let account = if row.kind == "primary" {
            name.clone()
        } else {
            format!("{name}/{}", row.kind)
        };
        let mut payload = json!({ "account": account, "external-id": row.external_id });
        if let Some((rule, weight)) = row.by_rule {
            payload["rule"] = json!(format!("correlation.{account}[{}]", rule.saturating_sub(1)));
            payload["weight"] = json!(weight);
        }
        if let Some(reason) = linking.reason {
            payload["reason"] = json!(reason);
        }
        write.audit(&Entry {
            event: "account.linked",
            subject: Some(row.subject),
            cause: NO_CAUSE,
            payload,
        });
    }
    let identities = linking.rows.iter().map(|row| row.subject.number);
    touch(write, identities, &linking.changed_by).await
}

pub(super) async fn touch(
    write: &mut Write<'_>,
    identities: impl IntoIterator<Item = i64>,
    changed_by: &str,
) -> Result<(), StoreError> {
    let touched: Vec<(i64, i64)> = sorted(identities)
        .into_iter()
        .map(|identity| (identity, 1))
        .collect();
    query(TOUCH)
        .bind(json_of(DOING, &touched)?)
        .bind(changed_by)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    Ok(())
}

/// Takes what has not started off the queue of accounts.
pub(super) async fn supersede(
    write: &mut Write<'_>,
    target: i64,
    slots: &str,
    subjects: &[Subject],
    at: i64,
    message: &str,
) -> Result<(), StoreError> {
    let rows = query(SUPERSEDE)
        .bind(slots)
        .bind(target)
        .bind(at)
        .bind(message)
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    for row in &rows {
        let cells = Cells::new(row, "operation.id")?;
        let identity: i64 = cells.get("account.identity")?;
        write.audit(&Entry {
            event: "operation.superseded",
            subject: subjects
                .iter()
                .find(|subject| subject.number == identity)
                .copied(),
            cause: cells.get("operation.cause")?,
            payload: json!({
                "operation": OperationId::new(cells.uuid("operation.public_id")?),
                "account": slot(&cells)?.to_string(),
                "work": cells.get::<String>("operation.work")?,
                "message": message,
            }),
        });
    }
    Ok(())
}
