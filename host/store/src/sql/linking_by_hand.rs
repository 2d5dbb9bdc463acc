//! What people decide about accounts: whose one is, whose it is not, or that it stays as it is.

use serde_json::json;
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::name::TargetName;

use super::SqlStore;
use super::budgets::set_by;
use super::cells::{Cells, failed, json_of, micros};
use super::db::query;
use super::linking::{Linking, ToLink, link, supersede, touch};
use super::operations::{lock_owners, slot, subject};
use super::reconciles::target_number;
use super::setting_facts::{check_reason, locked_person};
use super::write::{Entry, NO_CAUSE, Raised, Subject, Write};
use crate::{Context, StoreError};

const DOING: &str = "deciding about an account";

const FOUND: &str = r#"
    SELECT f.id AS "found_account.id", f.account AS "found_account.account", f.one_identity AS "found_account.one_identity",
           (SELECT i.public_id FROM account b JOIN identity i ON i.id = b.identity WHERE b.target = f.target AND b.external_id = f.external_id
              AND b.external_id IS NOT NULL AND b.state <> 0) AS "identity.public_id"
    FROM found_account f WHERE f.target = $1 AND f.external_id = $2"#;

const IN_THE_WAY: &str = r#"
    SELECT a.id AS "account.id", a.external_id AS "account.external_id",
           CAST(CASE WHEN a.external_id IS NOT NULL AND a.state <> 0 THEN 1 ELSE 0 END AS BIGINT) AS "account.linked",
           CAST(CASE WHEN EXISTS (SELECT 1 FROM operation o WHERE o.account = a.id AND o.state = 2
                                   OR (o.account = a.id AND o.state = 1 AND o.settle = 1)) THEN 1 ELSE 0 END AS BIGINT) AS "account.busy"
    FROM account a WHERE a.identity = $1 AND a.target = $2 AND a.kind = $3"#;

const OWNER: &str = r#"
    SELECT a.id AS "account.id", a.kind AS "account.kind", a.state AS "account.state", a.missing_us AS "account.missing_us",
           t.name AS "target.name", i.id AS "identity.id",
           i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key",
           CAST(CASE WHEN EXISTS (SELECT 1 FROM operation o WHERE o.account = a.id AND o.state < 4 AND (o.state = 2 OR o.settle = 1))
                THEN 1 ELSE 0 END AS BIGINT) AS "account.busy"
    FROM account a JOIN target t ON t.id = a.target JOIN identity i ON i.id = a.identity
    WHERE a.target = $1 AND a.external_id = $2 AND (a.state <> 0 OR a.missing_us IS NOT NULL)
    ORDER BY a.state DESC LIMIT 1"#;

const LOCK_OWNER: &str = "SELECT i.id FROM identity i WHERE i.id = (SELECT a.identity FROM account a WHERE a.id = CAST($1 AS BIGINT)) FOR NO KEY UPDATE";

/// An account whose state is not known counts as enabled, so that it is not overlooked.
const KEEP_UNLINKED: &str = "
    INSERT INTO found_account (target, external_id, state, attributes, entitlements, version, former, since_us, decided_us, decided_by, reason)
    SELECT a.target, a.external_id, a.state, a.attributes, a.entitlements, a.version, a.identity, $2, $2, $3, $4
    FROM account a WHERE a.id = $1
    ON CONFLICT (target, external_id) DO UPDATE
    SET account = NULL, state = excluded.state, attributes = excluded.attributes, entitlements = excluded.entitlements,
        version = excluded.version, former = excluded.former, since_us = excluded.since_us, decided_us = excluded.decided_us,
        decided_by = excluded.decided_by, reason = excluded.reason";

const UNLINK: &str = "
    UPDATE account SET state = 0, external_id = NULL, attributes = '{}', entitlements = '{}', version = NULL, written = NULL,
        observed_us = $2, missing_us = NULL
    WHERE id = $1";

const DECIDE: &str = "
    UPDATE found_account SET decided_us = $3, decided_by = $4, reason = $5 WHERE target = $1 AND external_id = $2";

impl SqlStore {
    pub(super) async fn link_by_hand(
        &self,
        place: &AccountSlot,
        external_id: &str,
        identity: IdentityId,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError> {
        check_reason(reason)?;
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        let subject = locked_person(&mut write, identity, DOING).await?;
        let target = target_number(&mut write.tx, &place.target).await?;
        must_be_nobodys(&mut write, target, &place.target, external_id).await?;
        let row = query(IN_THE_WAY)
            .bind(subject.number)
            .bind(target)
            .bind(place.kind.as_str())
            .fetch_optional(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        if let Some(row) = row {
            let cells = Cells::new(&row, "account.id")?;
            if cells.flag("account.linked")? {
                return Err(StoreError::Stale(format!(
                    "{identity} has another account in {place} ({}); unlink that one first",
                    shown(&cells.get::<String>("account.external_id")?)
                )));
            }
            if cells.flag("account.busy")? {
                return Err(under_way(place));
            }
        }
        let linking = Linking {
            target,
            rows: vec![ToLink {
                external_id: external_id.to_owned(),
                subject,
                kind: place.kind.to_string(),
                by_rule: None,
            }],
            reason: Some(reason),
            at: context.at,
            changed_by: set_by(&write),
        };
        link(&mut write, &linking).await?;
        self.finish_linking(write).await
    }

    pub(super) async fn unlink_by_hand(
        &self,
        target_name: &TargetName,
        external_id: &str,
        reason: &str,
        context: &Context,
    ) -> Result<IdentityId, StoreError> {
        check_reason(reason)?;
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        let target = target_number(&mut write.tx, target_name).await?;
        let account = owner(&mut write, target, target_name, external_id).await?.0;
        lock_owners(&mut write.tx, DOING, LOCK_OWNER, Some(&account.to_string())).await?;
        // As it is now that nobody else can change it.
        let (account, place, subject, missing, busy) =
            owner(&mut write, target, target_name, external_id).await?;
        if busy {
            return Err(under_way(&place));
        }
        let at = micros(context.at);
        if !missing {
            query(KEEP_UNLINKED)
                .bind(account)
                .bind(at)
                .bind(json_of(DOING, &context.actor)?)
                .bind(reason)
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
        }
        let slots = json_of(DOING, &[(subject.number, place.kind.as_str())])?;
        let message = "its account was unlinked: planned anew";
        supersede(&mut write, target, &slots, &[subject], at, message).await?;
        query(UNLINK)
            .bind(account)
            .bind(at)
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        write.audit(&Entry {
            event: "account.unlinked",
            subject: Some(subject),
            cause: NO_CAUSE,
            payload: json!({ "account": place.to_string(), "external-id": external_id, "reason": reason }),
        });
        let changed_by = set_by(&write);
        touch(&mut write, [subject.number], &changed_by).await?;
        self.finish_linking(write).await?;
        Ok(IdentityId::new(subject.id))
    }

    pub(super) async fn ignore_by_hand(
        &self,
        target_name: &TargetName,
        external_id: &str,
        ignore: bool,
        reason: &str,
        context: &Context,
    ) -> Result<(), StoreError> {
        check_reason(reason)?;
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        let target = target_number(&mut write.tx, target_name).await?;
        let found = found(&mut write, target, target_name, external_id).await?;
        let by = json_of(DOING, &context.actor)?;
        query(DECIDE)
            .bind(target)
            .bind(external_id)
            .bind(ignore.then(|| micros(context.at)))
            .bind(ignore.then_some(by))
            .bind(ignore.then_some(reason))
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        // Neither the id nor the reason: nobody's key could seal them. They stand with the account.
        write.audit(&Entry {
            event: if ignore {
                "account.ignored"
            } else {
                "account.heeded"
            },
            subject: None,
            cause: NO_CAUSE,
            payload: json!({ "target": target_name, "found-account": found }),
        });
        write.commit(Raised::default()).await
    }

    async fn finish_linking(&self, write: Write<'_>) -> Result<(), StoreError> {
        let raised = Raised {
            facts: true,
            observed: true,
        };
        write.commit(raised).await?;
        self.place.wake();
        Ok(())
    }
}

async fn found(
    write: &mut Write<'_>,
    target: i64,
    name: &TargetName,
    external_id: &str,
) -> Result<i64, StoreError> {
    let row = query(FOUND)
        .bind(target)
        .bind(external_id)
        .fetch_optional(&mut write.tx)
        .await
        .map_err(failed(DOING))?
        .ok_or_else(|| not_found(name, external_id))?;
    Cells::new(&row, "found_account.id")?.get("found_account.id")
}

async fn must_be_nobodys(
    write: &mut Write<'_>,
    target: i64,
    name: &TargetName,
    external_id: &str,
) -> Result<(), StoreError> {
    let row = query(FOUND)
        .bind(target)
        .bind(external_id)
        .fetch_optional(&mut write.tx)
        .await
        .map_err(failed(DOING))?
        .ok_or_else(|| not_found(name, external_id))?;
    let cells = Cells::new(&row, "found_account.id")?;
    if cells.get::<Option<&[u8]>>("identity.public_id")?.is_none() {
        return Ok(());
    }
    Err(StoreError::Stale(format!(
        "account {} of {name} belongs to {}; unlink it there first",
        shown(external_id),
        IdentityId::new(cells.uuid("identity.public_id")?)
    )))
}

/// Number, slot, owner, whether it is missing, whether it is worked on.
async fn owner(
    write: &mut Write<'_>,
    target: i64,
    name: &TargetName,
    external_id: &str,
) -> Result<(i64, AccountSlot, Subject, bool, bool), StoreError> {
    let row = query(OWNER)
        .bind(target)
        .bind(external_id)
        .fetch_optional(&mut write.tx)
        .await
        .map_err(failed(DOING))?
        .ok_or_else(|| {
            StoreError::NotFound(format!(
                "no identity owns an account {} in {name}",
                shown(external_id)
            ))
        })?;
    let cells = Cells::new(&row, "account.id")?;
    let missing = cells.get::<i64>("account.state")? == 0;
    Ok((
        cells.get("account.id")?,
        slot(&cells)?,
        subject(&cells)?,
        missing,
        cells.flag("account.busy")?,
    ))
}

fn not_found(name: &TargetName, external_id: &str) -> StoreError {
    StoreError::NotFound(format!(
        "no reconcile found an account {} without an owner in {name}; run `usher reconcile {name}` first",
        shown(external_id)
    ))
}

fn under_way(place: &AccountSlot) -> StoreError {
    StoreError::Stale(format!(
        "an operation on {place} is under way; try again when it has ended"
    ))
}

/// A target's id for a message: escaped and short.
fn shown(external_id: &str) -> String {
    let text: String = external_id
        .chars()
        .take(80)
        .flat_map(char::escape_default)
        .collect();
    format!("`{text}`")
}
