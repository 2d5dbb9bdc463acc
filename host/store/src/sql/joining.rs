//! Whose a record is, where no rule can tell: somebody new is on hold, and a person decides.

use serde_json::json;
use usher_lifecycle::account::AccountState;
use usher_lifecycle::facts::HoldKind;
use usher_lifecycle::ids::{HoldId, IdentityId};
use usher_lifecycle::name::SourceName;

use super::SqlStore;
use super::budgets::set_by;
use super::cells::{Cells, failed};
use super::db::{Sql, query};
use super::operations::subject;
use super::setting_facts::{TOUCH, add, check_reason, locked_person};
use super::write::{Entry, NO_CAUSE, Raised, Subject, Write};
use crate::{Context, FactId, NewFact, StoreError};

const DOING: &str = "moving a source record";

/// Why somebody is on hold who may be somebody else.
const AMBIGUOUS: &str = "several people have a record that this one would belong to: end this hold if it is somebody else, or move \
                         the record with `usher identity join`";

/// Whoever has a record.
const OWNER: &str = r#"
    SELECT i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key"
    FROM source_record r JOIN source s ON s.id = r.source JOIN identity i ON i.id = r.identity
    WHERE r.key = $1 AND s.name = $2"#;

/// Both at once and in order, so that nobody waits for them in another.
const LOCK: Sql = Sql {
    sqlite: "SELECT id FROM identity WHERE id = $1 OR public_id = $2 ORDER BY id",
    postgres: "SELECT id FROM identity WHERE id = $1 OR public_id = $2 ORDER BY id FOR NO KEY UPDATE",
};

const MOVE: &str = "
    UPDATE source_record SET identity = $3
    WHERE key = $1 AND source = (SELECT id FROM source WHERE name = $2) AND identity = $4";

/// Records that are left; accounts that are or may be there, or are being made; security holds.
const LEFT: &str = "
    SELECT (SELECT count(*) FROM source_record WHERE identity = $1),
           (SELECT count(*) FROM account a WHERE a.identity = $1
            AND (a.state <> $2 OR EXISTS (SELECT 1 FROM operation o WHERE o.account = a.id AND o.state < 4))),
           (SELECT count(*) FROM personal_fact WHERE identity = $1 AND kind = 1 AND ended_us IS NULL)";

/// Who is left without a record is no person of their own: nothing is planned for them any more, and they can be erased. 4 is `departed`.
const DEPART: &str = "UPDATE identity SET state = 4, next_change_us = NULL WHERE id = $1";

impl SqlStore {
    /// A hold on somebody new of whom nobody can tell whether they are somebody else.
    pub(super) async fn hold_ambiguous(
        &self,
        write: &mut Write<'_>,
        subject: &Subject,
        context: &Context,
    ) -> Result<(), StoreError> {
        let id = FactId::Hold(HoldId::from_parts(context.at, &self.random()));
        let hold = NewFact::Hold {
            kind: HoldKind::Manual,
            from: context.at,
            until: None,
        };
        let (event, payload) = add(write, subject, id, &hold, AMBIGUOUS, context).await?;
        write.audit(&Entry {
            event,
            subject: Some(*subject),
            cause: NO_CAUSE,
            payload,
        });
        Ok(())
    }

    pub(super) async fn move_one(
        &self,
        source: &SourceName,
        key: &str,
        identity: IdentityId,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError> {
        check_reason(reason)?;
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        let before = owner(&mut write, source, key).await?;
        query(LOCK)
            .bind(before.number)
            .bind(identity.uuid().as_bytes().to_vec())
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        let after = locked_person(&mut write, identity, DOING).await?;
        if before.number == after.number {
            return Err(StoreError::Stale(format!("{identity} has that record already")));
        }
        let moved = query(MOVE)
            .bind(key)
            .bind(source.as_str())
            .bind(after.number)
            .bind(before.number)
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        if moved == 0 {
            return Err(StoreError::Stale(
                "somebody else has moved that record meanwhile".to_owned(),
            ));
        }
        let left = leave(&mut write, &before).await?;
        let (from, to) = (IdentityId::new(before.id), IdentityId::new(after.id));
        for subject in [before, after] {
            query(TOUCH)
                .bind(subject.number)
                .bind(set_by(&write))
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
            write.audit(&Entry {
                event: "identity.record-moved",
                subject: Some(subject),
                cause: NO_CAUSE,
                payload: json!({
                    "source": source, "key": key, "from": from, "to": to, "reason": reason, "records-left": left,
                }),
            });
        }
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

async fn owner(write: &mut Write<'_>, source: &SourceName, key: &str) -> Result<Subject, StoreError> {
    let row = query(OWNER)
        .bind(key)
        .bind(source.as_str())
        .fetch_optional(&mut write.tx)
        .await
        .map_err(failed(DOING))?
        .ok_or_else(|| StoreError::NotFound(format!("source {source} has no record `{key}`")))?;
    subject(&Cells::new(&row, "identity.id")?)
}

/// How many records are left to whom one was taken from. Nobody is left who has accounts, or will have, and no source that says when they end; and a
/// security hold does not lose the person it is about.
async fn leave(write: &mut Write<'_>, before: &Subject) -> Result<i64, StoreError> {
    let row = query(LEFT)
        .bind(before.number)
        .bind(AccountState::Absent as i64)
        .fetch_one(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    let cell = |place| row.at::<i64>(place).map_err(failed(DOING));
    let (records, accounts, holds) = (cell(0)?, cell(1)?, cell(2)?);
    if records > 0 {
        return Ok(records);
    }
    let who = IdentityId::new(before.id);
    if holds > 0 {
        return Err(StoreError::Stale(format!(
            "it is the only record of {who}, who is on a security hold: hold the other person first, then end that hold"
        )));
    }
    if accounts > 0 {
        return Err(StoreError::Stale(format!(
            "it is the only record of {who}, who has accounts, or operations to make some ({accounts}): take those away first (hold them, or \
             unlink the accounts), or nobody would ever end them"
        )));
    }
    query(DEPART)
        .bind(before.number)
        .execute(&mut write.tx)
        .await
        .map_err(failed(DOING))?;
    Ok(0)
}
