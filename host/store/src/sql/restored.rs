//! A store that was restored from an earlier moment: what happened since is not known here, so nothing may be written on the strength of what
//! it remembers. It is frozen, every linked account is to be read before anything is written, and the queue is planned anew.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::name::SourceName;

use super::SqlStore;
use super::cells::{Cells, failed, json_of, micros, numbers};
use super::db::{Sql, Tx, query};
use super::operations::{slot, subject};
use super::write::{Entry, NO_CAUSE, Raised, Write, Writer};
use crate::{Context, StoreError};

/// Identities marked in one transaction: about 20 ms.
const IDENTITIES_MAX: i64 = 500;

/// Set from the first commit of a marking to its last.
const MARKING: &str = "restored.marking";

const DOING: &str = "marking what a restored store must read again";

/// Where the restored state comes from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The newest commit it holds.
    pub(crate) moment: Timestamp,
    /// SHA-256 of the backup, where there was a file.
    pub(crate) sha256: Option<String>,
}

/// What was marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Marked {
    /// Accounts that are read before anything is written to them.
    pub accounts: u64,
    /// Creations that look for their account before they are tried (again).
    pub creations: u64,
    /// Operations taken off the queue, to be planned anew.
    pub superseded: u64,
}

/// Those with a linked account or with work not at an end. Where others are at work too, they are locked.
const NEXT: Sql = Sql {
    sqlite: "
        SELECT i.id FROM identity i
        WHERE i.id > $1 AND (
            EXISTS (SELECT 1 FROM account a WHERE a.identity = i.id AND a.external_id IS NOT NULL AND a.state IN (1, 2))
            OR EXISTS (SELECT 1 FROM account a JOIN operation o ON o.account = a.id
                       WHERE a.identity = i.id AND o.state < 4 AND o.state <> 2))
        ORDER BY i.id LIMIT $2",
    postgres: "
        SELECT i.id FROM identity i
        WHERE i.id > $1 AND (
            EXISTS (SELECT 1 FROM account a WHERE a.identity = i.id AND a.external_id IS NOT NULL AND a.state IN (1, 2))
            OR EXISTS (SELECT 1 FROM account a JOIN operation o ON o.account = a.id
                       WHERE a.identity = i.id AND o.state < 4 AND o.state <> 2))
        ORDER BY i.id LIMIT $2 FOR NO KEY UPDATE OF i",
};

/// Not started as far as is known here. A claimed one is read back by recovery.
const QUEUED: &str = r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", o.verb AS "operation.work", o.cause AS "operation.cause",
           a.kind AS "account.kind", t.name AS "target.name", i.id AS "identity.id", i.public_id AS "identity.public_id",
           i.audit_key AS "identity.audit_key"
    FROM account a CROSS JOIN operation o CROSS JOIN target t CROSS JOIN identity i
    WHERE o.account = a.id AND t.id = a.target AND i.id = a.identity AND o.state < 4 AND o.state <> 2 AND o.verb <> 'create'
      AND a.identity IN (SELECT CAST(value AS BIGINT) FROM json_each($1))
    ORDER BY o.id"#;

const SUPERSEDE: &str = "
    UPDATE operation SET state = 6, ended_us = $2, held_cause = NULL, message = 'the store was restored: planned anew'
    WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

/// A creation may have been tried since: its account is looked for by its own marker. That nothing was there is not known any more.
/// What only a budget holds was not tried before: the plan may still overtake it, and it settles when it is let go.
const SETTLE_CREATIONS: &str = "
    UPDATE operation SET settle = CASE WHEN held_cause IS NOT NULL AND attempts = 0 THEN 0 ELSE 1 END, unknown_since_us = $2, absence_us = NULL
    WHERE state < 4 AND state <> 2 AND verb = 'create' AND account IN (
        SELECT a.id FROM account a WHERE a.identity IN (SELECT CAST(value AS BIGINT) FROM json_each($1)))";

const UNKNOWN_ACCOUNTS: &str = "
    UPDATE account SET state = 3
    WHERE external_id IS NOT NULL AND state IN (1, 2) AND identity IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

const DIRTY: &str = "
    UPDATE identity SET dirty = 1, changed_by = 'restore', facts_version = facts_version + 1
    WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

const ACCEPTED: &str = r#"
    SELECT s.id AS "source.id", s.name AS "source.name", max(p.at_us) AS "snapshot.at_us"
    FROM snapshot p JOIN source s ON s.id = p.source WHERE p.state IN (1, 2) GROUP BY s.id, s.name ORDER BY s.name"#;

impl SqlStore {
    /// Says that this store was restored by the database's own means: freezes it, and marks what must be read again. Doing it again marks
    /// what was not marked yet.
    pub async fn mark_restored(&self, context: &Context) -> Result<Marked, StoreError> {
        let moment = self.high_water().await?;
        let mut writer = self.writer.lock().await;
        let marked = mark(&mut writer, &Origin { moment, sha256: None }, context).await?;
        self.place.wake();
        Ok(marked)
    }

    /// When the newest import of each source was accepted.
    pub async fn imports_accepted(&self) -> Result<Vec<(SourceName, Timestamp)>, StoreError> {
        let doing = "reading the newest imports";
        let rows = query(ACCEPTED)
            .fetch_all(&mut self.read(doing).await?)
            .await
            .map_err(failed(doing))?;
        let accepted = rows.iter().map(|row| {
            let cells = Cells::new(row, "source.id")?;
            Ok((cells.name("source.name")?, cells.time("snapshot.at_us")?))
        });
        accepted.collect()
    }
}

/// Freezes a restored store, then marks what must be read again, a bounded number of people at a time.
pub(crate) async fn mark(
    writer: &mut Writer,
    origin: &Origin,
    context: &Context,
) -> Result<Marked, StoreError> {
    begin(writer, origin, context).await?;
    let mut marked = Marked::default();
    let mut after = 0;
    loop {
        let mut write = writer.begin(DOING, context).await?;
        let rows = query(NEXT)
            .bind(after)
            .bind(IDENTITIES_MAX)
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        let people = numbers(&rows)?;
        let Some(last) = people.last() else {
            return end(write, marked).await;
        };
        after = *last;
        let ids = json_of(DOING, &people)?;
        marked.superseded += supersede(&mut write, &ids, context.at).await?;
        marked.creations += query(SETTLE_CREATIONS)
            .bind(&ids)
            .bind(micros(context.at))
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        marked.accounts += run(&mut write.tx, UNKNOWN_ACCOUNTS, &ids).await?;
        run(&mut write.tx, DIRTY, &ids).await?;
        write
            .commit(Raised {
                facts: false,
                observed: true,
            })
            .await?;
    }
}

/// Refuses while a marking was cut short: what it did not come to would be written without being read.
pub(super) async fn refuse_while_marking(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let marking = query("SELECT 1 FROM setting WHERE name = $1")
        .bind(MARKING)
        .fetch_optional(tx)
        .await
        .map_err(failed(DOING))?;
    match marking {
        None => Ok(()),
        Some(_) => Err(StoreError::Stale(
            "the marking of what must be read again was cut short; finish it with `usher freeze --restored`"
                .to_owned(),
        )),
    }
}

async fn begin(writer: &mut Writer, origin: &Origin, context: &Context) -> Result<(), StoreError> {
    let mut write = writer.begin(DOING, context).await?;
    let was = super::freezing::frozen(&mut write.tx).await?;
    let mut reason = format!("restored to the state of {}", origin.moment);
    if let Some(was) = &was
        && !was.reason.starts_with(&reason)
    {
        reason.push_str(&format!("; it was frozen then: {}", was.reason));
    }
    query("UPDATE meta SET frozen = $1, frozen_us = $2 WHERE id = 1")
        .bind(&reason)
        .bind(micros(context.at))
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    // What targets had then, they may not have now.
    query("UPDATE reconcile SET state = 3, reason = 'the store was restored' WHERE state IN (0, 1)")
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    query("INSERT INTO setting (name, value) VALUES ($1, 'yes') ON CONFLICT DO NOTHING")
        .bind(MARKING)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    write.audit(&Entry {
        event: "store.restored",
        subject: None,
        cause: NO_CAUSE,
        payload: json!({ "moment": origin.moment, "backup-sha256": origin.sha256, "reason": reason }),
    });
    write.commit(Raised::default()).await
}

async fn supersede(write: &mut Write<'_>, people: &str, at: Timestamp) -> Result<u64, StoreError> {
    let rows = query(QUEUED)
        .bind(people)
        .fetch_all(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    if rows.is_empty() {
        return Ok(0);
    }
    for row in &rows {
        let cells = Cells::new(row, "operation.id")?;
        write.audit(&Entry {
            event: "operation.superseded",
            subject: Some(subject(&cells)?),
            cause: cells.get("operation.cause")?,
            payload: json!({
                "operation": OperationId::new(cells.uuid("operation.public_id")?),
                "account": slot(&cells)?.to_string(),
                "work": cells.get::<String>("operation.work")?,
                "message": "the store was restored: planned anew",
            }),
        });
    }
    query(SUPERSEDE)
        .bind(json_of(DOING, &numbers(&rows)?)?)
        .bind(micros(at))
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))
}

async fn run(tx: &mut Tx<'_>, statement: &'static str, people: &str) -> Result<u64, StoreError> {
    query(statement)
        .bind(people)
        .execute(tx)
        .await
        .map_err(failed(DOING))
}

async fn end(mut write: Write<'_>, marked: Marked) -> Result<Marked, StoreError> {
    query("DELETE FROM setting WHERE name = $1")
        .bind(MARKING)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    write.audit(&Entry {
        event: "accounts.to-be-read",
        subject: None,
        cause: NO_CAUSE,
        payload: json!(marked),
    });
    write.commit(Raised::default()).await?;
    Ok(marked)
}
