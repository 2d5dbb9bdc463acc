//! Reading back: an attempt whose outcome is not known is settled by looking, never by trying again blindly.

use jiff::Timestamp;
use serde_json::Value;
use usher_lifecycle::account::after_work;
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::connector::{AccountRecord, CallError, Creation, Find};
use usher_lifecycle::operation::{Priority, Work};
use usher_lifecycle::settle::{SettledCreate, SettledWork, UnknownCreate, after_find, after_get};
use usher_lifecycle::state::IdentityState;
use usher_store::{ClaimedOperation, Decision};

use super::attempt::{Ended, Learned};
use super::worker::{Link, linked};

/// Why an account could not be looked for.
pub(super) enum FindError {
    /// The call failed.
    Call(CallError),
    /// There is nothing to look for.
    NoKey(String),
}

impl FindError {
    /// `unknown`: an attempt's outcome is not known.
    pub(super) fn into_ended(self, unknown: bool) -> Ended {
        match self {
            Self::Call(error) => Ended::Failed { error, unknown },
            Self::NoKey(reason) => Ended::held(unknown, reason),
        }
    }
}

/// Looks for the account a creation would make, or has made.
pub(super) async fn find(link: &Link, operation: &ClaimedOperation) -> Result<Vec<AccountRecord>, FindError> {
    let Work::Create { attributes } = &operation.work else {
        return Ok(Vec::new());
    };
    let found = match &link.creation {
        Creation::None => return Ok(Vec::new()),
        Creation::Marker => link.connector.find(&Find::Marker(operation.id.to_string())).await,
        Creation::UniqueKey(names) => {
            link.connector
                .find(&Find::Unique(unique(attributes, names)?))
                .await
        }
        Creation::ClientId(name) => {
            let id = match unique(attributes, std::slice::from_ref(name))?.remove(name) {
                Some(Value::String(text)) => text,
                other => other.unwrap_or_default().to_string(),
            };
            link.connector
                .get(&id)
                .await
                .map(|record| record.into_iter().collect())
        }
    };
    found.map_err(FindError::Call)
}

fn unique(attributes: &Attributes, names: &[String]) -> Result<Attributes, FindError> {
    names
        .iter()
        .map(|name| match attributes.get(name) {
            Some(value) if !value.is_null() => Ok((name.clone(), value.clone())),
            Some(_) | None => Err(FindError::NoKey(format!(
                "the mapping gives no `{name}`, by which this target recognises accounts: add it to the mapping"
            ))),
        })
        .collect()
}

/// Settles an attempt whose outcome is not known; writes (again) where that is safe.
pub(super) async fn settle(link: &Link, operation: &ClaimedOperation) -> Result<Learned, Ended> {
    match operation.work {
        Work::Create { .. } => settle_create(link, operation).await,
        // A read changed nothing.
        Work::Read => link.write(operation, &operation.observed).await,
        Work::Update { .. }
        | Work::Disable
        | Work::Enable
        | Work::Delete
        | Work::Grant { .. }
        | Work::Revoke { .. } => settle_work(link, operation).await,
    }
}

async fn settle_create(link: &Link, operation: &ClaimedOperation) -> Result<Learned, Ended> {
    let found = find(link, operation)
        .await
        .map_err(|error| error.into_ended(true))?;
    let now = link.clock.now();
    let intent_id = operation.id.to_string();
    let unknown = UnknownCreate {
        creation: &link.creation,
        intent_id: &intent_id,
        found: &found,
        absence_seen_at: operation.absence_seen_at,
        unknown_since: operation.unknown_since.unwrap_or(Timestamp::MIN),
        settle_ms: link.settle_ms,
        now,
    };
    match after_find(&unknown) {
        SettledCreate::Adopt(record) => {
            if let Some(why) = link.facts.protection.of(&record.id, &record.attributes) {
                return Err(Ended::held(
                    true,
                    format!(
                        "account {} was found and is protected, so it is not taken over: {why}",
                        record.id
                    ),
                ));
            }
            let mut observed = after_work(&operation.observed, &operation.work, Some(&record));
            let held = link.held(&record.id).await;
            observed.entitlements = held
                .map_err(|error| Ended::Failed { error, unknown: true })?
                .unwrap_or_default();
            let message = format!("found: account {} was created by an earlier attempt", record.id);
            Ok(Learned {
                decision: Decision::Settled,
                observed: Some(observed),
                dirty: true,
                message,
            })
        }
        SettledCreate::CreateAgain if !is_wanted(operation) || is_hastened(operation) => Ok(not_made()),
        SettledCreate::CreateAgain if needs_absence(link, operation) => Err(Ended::Absent),
        SettledCreate::CreateAgain => link.write(operation, &operation.observed).await,
        SettledCreate::WaitUntil(at) => Err(Ended::Learned(Box::new(Learned {
            decision: Decision::Retry {
                at,
                settle: true,
                counts: false,
            },
            observed: None,
            dirty: false,
            message:
                "the outcome of an earlier attempt is not known: looks again once the target has settled"
                    .to_owned(),
        }))),
        SettledCreate::Hold(reason) => Err(Ended::held(true, reason)),
    }
}

/// A security hold found this creation under way, and so it passes what a hold passes: only to learn what came of it. Whether the account is still to be
/// made, the next plan says, with an operation of ordinary urgency.
pub(super) const fn is_hastened(operation: &ClaimedOperation) -> bool {
    matches!(
        (&operation.work, operation.priority),
        (Work::Create { .. }, Priority::SecurityHold)
    )
}

/// What becomes of it when no account was made.
pub(super) fn not_made() -> Learned {
    Learned {
        decision: Decision::Settled,
        observed: None,
        dirty: true,
        message: "looked for: the account was not made, and is not before its person is planned again"
            .to_owned(),
    }
}

/// An account is made only for somebody who is active. Planning leaves a creation alone whose outcome is unknown, so this is asked here.
fn is_wanted(operation: &ClaimedOperation) -> bool {
    match operation.identity_state {
        Some(IdentityState::Active) => true,
        Some(
            IdentityState::Staged
            | IdentityState::Suspended
            | IdentityState::Leaving
            | IdentityState::Departed
            | IdentityState::Erased,
        )
        | None => false,
    }
}

/// What is done only for who is active.
fn gives_access(work: &Work) -> bool {
    match work {
        Work::Create { .. } | Work::Update { .. } | Work::Enable | Work::Grant { .. } => true,
        Work::Disable | Work::Delete | Work::Revoke { .. } | Work::Read => false,
    }
}

fn needs_absence(link: &Link, operation: &ClaimedOperation) -> bool {
    operation.absence_seen_at.is_none()
        && matches!(link.creation, Creation::UniqueKey(_) | Creation::ClientId(_))
}

async fn settle_work(link: &Link, operation: &ClaimedOperation) -> Result<Learned, Ended> {
    let id = linked(&operation.observed, true)?;
    let looked = link.look(id).await;
    let (record, held) = looked.map_err(|error| Ended::Failed { error, unknown: true })?;
    let schema = &link.facts.schema;
    let read = after_get(
        &operation.observed,
        &operation.work,
        record.as_ref(),
        held.as_ref(),
        schema,
    );
    let settled = |message: String| {
        Ok(Learned {
            decision: Decision::Settled,
            observed: Some(read.observed.clone()),
            dirty: true,
            message,
        })
    };
    match &read.work {
        SettledWork::Applied => settled(format!("read back: {} has taken effect", operation.work.verb())),
        SettledWork::Overtaken(why) => settled(format!("read back: not needed any more, {why}")),
        SettledWork::WriteAgain if gives_access(&operation.work) && !is_wanted(operation) => {
            settled(format!(
                "read back: {} has not taken effect, and its person is not active any more",
                operation.work.verb()
            ))
        }
        SettledWork::WriteAgain => link.write(operation, &read.observed).await,
    }
}
