//! Erasing an identity.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;
use usher_lifecycle::account::{AccountSlot, AccountState, ObservedAccount};
use usher_lifecycle::erasure::{Blocked, erasable};
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::state::IdentityState;

use super::SqlStore;
use super::absorb::ONE_AT_A_TIME;
use super::audit_rows::{ERASED, SubjectKey};
use super::cells::{Cells, failed, json_of, micros, numbers};
use super::db::{Sql, query};
use super::reservations::forget;
use super::snapshots::refuse_while_unabsorbed;
use super::write::{Entry, NO_CAUSE, Raised, Subject, Write};
use crate::{Context, Erased, Erasure, Identities, IdentityRow, StoreError};

const DOING: &str = "erasing an identity";

const IDENTITY: Sql = Sql {
    sqlite: r#"SELECT id AS "identity.id", facts_version AS "identity.facts_version", dirty AS "identity.dirty"
               FROM identity WHERE id = $1"#,
    postgres: r#"SELECT id AS "identity.id", facts_version AS "identity.facts_version", dirty AS "identity.dirty"
               FROM identity WHERE id = $1 FOR NO KEY UPDATE"#,
};

/// Read outside the write transaction: no index leads from an account to its ended operations.
const OPERATIONS: &str =
    "SELECT o.id FROM account a JOIN operation o ON o.account = a.id WHERE a.identity = $1";

/// Rows that can be read without a key: those of before there were keys.
const CLEAR_ROWS: &str = r#"
    SELECT seq AS "audit.seq", writer AS "audit.writer", n AS "audit.n" FROM audit
    WHERE identity = $1 AND sealed IS NULL ORDER BY seq"#;

const EMPTY_ROWS: &str = "
    UPDATE audit SET cause = '', payload = '', sealed = unhex('')
    WHERE seq IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

const UNUSED_STAGED: &str = "
    DELETE FROM staged
    WHERE snapshot IN (SELECT p.id FROM snapshot p WHERE p.state IN (0, 3))
      AND (key IN (SELECT r.key FROM source_record r WHERE r.identity = $1)
           OR join_key IN (SELECT r.join_key FROM source_record r WHERE r.identity = $1))";

/// Found in a target and theirs once, or perhaps: the next reconcile finds what is left of it without a name to it.
const FOUND_ACCOUNTS: [&str; 4] = [
    "DELETE FROM found_account WHERE one_identity = $1 OR former = $1 OR account IN (SELECT a.id FROM account a WHERE a.identity = $1)",
    "DELETE FROM found_account WHERE id IN (
        SELECT f.id FROM found_account f WHERE f.one_identity IS NULL AND f.candidates <> '[]'
          AND EXISTS (SELECT 1 FROM json_each(f.candidates) AS j WHERE CAST(j.value ->> 0 AS BIGINT) = $1))",
    "DELETE FROM reconcile_change WHERE one_identity = $1 OR account IN (SELECT a.id FROM account a WHERE a.identity = $1)
        OR external_id IN (SELECT a.external_id FROM account a WHERE a.identity = $1 AND a.external_id IS NOT NULL)
        OR EXISTS (SELECT 1 FROM json_each(coalesce(reconcile_change.candidates, '[]')) AS j WHERE CAST(j.value ->> 0 AS BIGINT) = $1)",
    "DELETE FROM reconcile_holding WHERE external_id IN (
        SELECT a.external_id FROM account a WHERE a.identity = $1 AND a.external_id IS NOT NULL)",
];

const EMPTY_ACCOUNTS: &str = "
    UPDATE account SET missing_us = NULL, state = 0, external_id = NULL, attributes = '{}', entitlements = '{}', version = NULL, written = NULL,
        observed_us = NULL
    WHERE identity = $1";

/// 5 is `erased`. Planned under more than there will ever be: it is never due again.
const EMPTY_IDENTITY: &str = "
    UPDATE identity SET audit_key = unhex(''), state = 5, dirty = 0, replan = 0, next_change_us = NULL,
        held = '[]', planned_under = 9223372036854775807, facts_version = facts_version + 1
    WHERE id = $1";

#[async_trait]
impl Erasure for SqlStore {
    async fn erasable(&self, key_or_id: &str, now: Timestamp) -> Result<IdentityId, StoreError> {
        let row = self.identity(key_or_id).await?;
        refuse(&row, now)?;
        Ok(row.id)
    }

    async fn erase(&self, id: IdentityId, reason: &str, context: &Context) -> Result<Erased, StoreError> {
        let row = self.identity(&id.to_string()).await?;
        refuse(&row, context.at)?;
        let number = row.reference.0;
        let (operations, clear) = self.to_erase(number).await?;
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        if write.tx.is_shared() {
            // Whoever absorbs might be joining a record to this person.
            query(ONE_AT_A_TIME)
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
        }
        refuse_while_unabsorbed(&mut write.tx).await?;
        must_be_unchanged(&mut write, &row).await?;
        let records = empty(&mut write, number, &operations).await?;
        forget(&mut write.tx, number, micros(context.at)).await?;
        let seqs: Vec<i64> = clear.iter().map(|(seq, _, _)| *seq).collect();
        let emptied: Vec<(i64, i64)> = clear.iter().map(|(_, writer, n)| (*writer, *n)).collect();
        query(EMPTY_ROWS)
            .bind(json_of(DOING, &seqs)?)
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        let subject = Subject {
            number,
            id: id.uuid(),
            key: SubjectKey::Destroyed,
        };
        write.audit(&Entry {
            event: ERASED,
            subject: Some(subject),
            cause: NO_CAUSE,
            payload: json!({ "reason": reason, "records": records, "operations": operations.len(), "emptied": emptied }),
        });
        let raised = Raised {
            facts: true,
            observed: true,
        };
        write.commit(raised).await?;
        Ok(Erased {
            id,
            records,
            accounts: row.accounts.len() as u64,
            operations: operations.len() as u64,
            emptied: emptied.len() as u64,
            scrubbed: writer.scrub().await,
        })
    }
}

impl SqlStore {
    /// Operations, and audit rows with their place, position first.
    async fn to_erase(&self, number: i64) -> Result<(Vec<i64>, Vec<(i64, i64, i64)>), StoreError> {
        let mut tx = self.read(DOING).await?;
        let rows = query(OPERATIONS)
            .bind(number)
            .fetch_all(&mut tx)
            .await
            .map_err(failed(DOING))?;
        let operations = numbers(&rows)?;
        let rows = query(CLEAR_ROWS)
            .bind(number)
            .fetch_all(&mut tx)
            .await
            .map_err(failed(DOING))?;
        let clear = rows.iter().map(|row| {
            let cells = Cells::new(row, "audit.seq")?;
            Ok((
                cells.get("audit.seq")?,
                cells.get("audit.writer")?,
                cells.get("audit.n")?,
            ))
        });
        Ok((operations, clear.collect::<Result<_, StoreError>>()?))
    }
}

/// Says what stands against erasing, if anything does.
fn refuse(row: &IdentityRow, now: Timestamp) -> Result<(), StoreError> {
    let id = row.id;
    let refused = |reason: String| Err(StoreError::Stale(format!("{id} cannot be erased: {reason}")));
    let state = match row.state {
        None => return refused("it was not planned yet".to_owned()),
        Some(IdentityState::Erased) => return refused("it is erased already".to_owned()),
        Some(state) => state,
    };
    let blocked = blocked(row, state, now);
    if !blocked.is_empty() {
        let lines: Vec<String> = blocked.iter().map(ToString::to_string).collect();
        return refused(lines.join("; "));
    }
    if let Some(account) = row.accounts.iter().find(|account| !account.open.is_empty()) {
        return refused(format!("{} has an operation that is not at an end", account.slot));
    }
    if let Some(record) = row.records.iter().find(|record| record.absent_since.is_none()) {
        return refused(format!(
            "{} still lists it (key `{}`), so the next import would bring it back; take it out of that source, and import until its \
             absence is confirmed",
            record.source,
            record.key.escape_default()
        ));
    }
    Ok(())
}

/// What planning holds against it. An account that nobody could read may be there, also one that was never linked.
fn blocked(row: &IdentityRow, state: IdentityState, now: Timestamp) -> Vec<Blocked> {
    let accounts: Vec<(AccountSlot, ObservedAccount)> = row
        .accounts
        .iter()
        .map(|account| (account.slot.clone(), account.observed.clone()))
        .collect();
    let mut blocked = erasable(state, &accounts, &row.holds, now)
        .err()
        .unwrap_or_default();
    let unlinked = accounts
        .into_iter()
        .filter(|(_, observed)| observed.state == AccountState::Unknown && observed.external_id.is_none());
    blocked.extend(unlinked.map(|(slot, observed)| Blocked::Account {
        slot,
        state: observed.state,
    }));
    blocked
}

/// What was looked at must be what is erased.
async fn must_be_unchanged(write: &mut Write<'_>, row: &IdentityRow) -> Result<(), StoreError> {
    let now = query(IDENTITY)
        .bind(row.reference.0)
        .fetch_one(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    let cells = Cells::new(&now, "identity.id")?;
    let is_same = cells.get::<i64>("identity.facts_version")? == row.facts_version;
    if is_same && !cells.flag("identity.dirty")? {
        return Ok(());
    }
    Err(StoreError::Stale(format!(
        "{} cannot be erased: its facts changed and were not planned since; run `usher apply`, then try again",
        row.id
    )))
}

/// Takes away what is personal. Returns how many source records there were.
async fn empty(write: &mut Write<'_>, number: i64, operations: &[i64]) -> Result<u64, StoreError> {
    query("DELETE FROM operation WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))")
        .bind(json_of(DOING, operations)?)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    let mut changed = 0;
    let [owned, perhaps, staged, holdings] = FOUND_ACCOUNTS;
    for sql in [
        UNUSED_STAGED,
        owned,
        perhaps,
        staged,
        holdings,
        EMPTY_ACCOUNTS,
        EMPTY_IDENTITY,
        "DELETE FROM personal_fact WHERE identity = $1",
        "DELETE FROM source_record WHERE identity = $1",
    ] {
        let done = query(sql).bind(number).execute(&mut write.tx).await;
        changed = done.map_err(failed(DOING))?;
    }
    Ok(changed)
}
