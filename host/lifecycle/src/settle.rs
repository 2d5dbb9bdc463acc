//! What an attempt with an unknown outcome turns out to be, once the target has been read back. Never a blind retry.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::account::{Entitlements, ObservedAccount, after_work, entitlement_matches};
use crate::connector::{AccountRecord, AttributeChange, Creation};
use crate::operation::Work;
use crate::schema::AccountSchema;

/// What is known about a creation whose outcome is not.
#[derive(Clone, Copy, Debug)]
pub struct UnknownCreate<'a> {
    /// How the connector says a creation is recognised.
    pub creation: &'a Creation,
    /// The intent id of its attempts.
    pub intent_id: &'a str,
    /// What `find` returned now: by marker, or by the unique attributes. For `client-id`, what `get` with that id returned.
    pub found: &'a [AccountRecord],
    /// When `find` was recorded to see nothing, before the first attempt.
    pub absence_seen_at: Option<Timestamp>,
    /// When the attempt began whose outcome is unknown.
    pub unknown_since: Timestamp,
    /// How long the target may hide a new account, in milliseconds.
    pub settle_ms: u32,
    /// The moment.
    pub now: Timestamp,
}

/// What becomes of a creation whose outcome was unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettledCreate {
    /// This account is ours: link it. What it holds is still to be read.
    Adopt(Box<AccountRecord>),
    /// It was not made: create.
    CreateAgain,
    /// Too early to tell: look again then.
    WaitUntil(Timestamp),
    /// A person must decide: why.
    Hold(String),
}

/// Decides about a creation whose outcome is unknown (DESIGN.md §2, Operations 4). An account is adopted on the evidence of the marker,
/// or because nothing had these unique attributes before we tried and, after the settle time, exactly one account has: adopting
/// whatever is found would land a joiner on somebody's `admin`.
pub fn after_find(create: &UnknownCreate<'_>) -> SettledCreate {
    let ours = |record: &&AccountRecord| record.marker.as_deref() == Some(create.intent_id);
    let mut marked = create.found.iter().filter(ours);
    match (marked.next(), marked.next()) {
        (Some(record), None) => return SettledCreate::Adopt(Box::new(record.clone())),
        (Some(_), Some(_)) => return hold("more than one account carries the marker of this creation"),
        (None, _) => {}
    }
    // A time beyond the calendar is as good as never: then only a person can tell.
    let settled_at = create
        .unknown_since
        .checked_add(SignedDuration::from_millis(i64::from(create.settle_ms)))
        .unwrap_or(Timestamp::MAX);
    let settled = create.now >= settled_at;
    match (create.creation, create.found) {
        (Creation::None, _) => hold(
            "the outcome of a creation is not known and this target gives no way to recognise it: look for the account",
        ),
        (Creation::Marker | Creation::ClientId(_) | Creation::UniqueKey(_), []) if settled => {
            SettledCreate::CreateAgain
        }
        (Creation::Marker | Creation::ClientId(_) | Creation::UniqueKey(_), []) => {
            SettledCreate::WaitUntil(settled_at)
        }
        (Creation::Marker, [_, ..]) => hold("the account found does not carry the marker of this creation"),
        (Creation::ClientId(_) | Creation::UniqueKey(_), [record]) => {
            match (&record.marker, create.absence_seen_at) {
                (Some(_), _) => hold("the account found carries the marker of another creation"),
                (None, None) => {
                    hold("an account with these unique attributes exists and may have existed before")
                }
                (None, Some(_)) if settled => SettledCreate::Adopt(Box::new(record.clone())),
                (None, Some(_)) => SettledCreate::WaitUntil(settled_at),
            }
        }
        (Creation::ClientId(_) | Creation::UniqueKey(_), [_, _, ..]) => {
            hold("more than one account has these unique attributes")
        }
    }
}

fn hold(reason: &str) -> SettledCreate {
    SettledCreate::Hold(reason.to_owned())
}

/// What reading back showed of any other work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettledWork {
    /// The target is as the work wanted it.
    Applied,
    /// It is not: write again, with the version just read. Safe, because every write sets a state.
    WriteAgain,
    /// The work makes no sense any more (why): plan again from what was read.
    Overtaken(String),
}

/// What is known after reading back.
#[derive(Clone, Debug, PartialEq)]
pub struct AfterGet {
    /// The account as read.
    pub observed: ObservedAccount,
    /// What becomes of the work.
    pub work: SettledWork,
}

/// Decides about work other than a creation. `record` is what `get` returned, `held` what the account holds, where the target has
/// entitlements and they were read.
pub fn after_get(
    observed: &ObservedAccount,
    work: &Work,
    record: Option<&AccountRecord>,
    held: Option<&Entitlements>,
    schema: &AccountSchema,
) -> AfterGet {
    let mut seen = after_work(observed, &Work::Read, record);
    if let (Some(held), Some(_)) = (held, record) {
        seen.entitlements.clone_from(held);
    }
    let decision = match record {
        None => without_account(work),
        Some(record) => with_account(work, record, &seen, held, schema),
    };
    // What was written is remembered with what the target made of it, as after any success.
    let written = match decision {
        SettledWork::Applied => after_work(&seen, work, record).written,
        SettledWork::WriteAgain | SettledWork::Overtaken(_) => seen.written,
    };
    AfterGet {
        observed: ObservedAccount { written, ..seen },
        work: decision,
    }
}

fn without_account(work: &Work) -> SettledWork {
    match work {
        // Nobody can sign in to, or hold anything with, an account that is gone.
        Work::Disable | Work::Delete | Work::Revoke { .. } | Work::Read => SettledWork::Applied,
        Work::Enable | Work::Update { .. } | Work::Grant { .. } => {
            SettledWork::Overtaken("the account is gone".to_owned())
        }
        Work::Create { .. } => settled_by_find(),
    }
}

fn with_account(
    work: &Work,
    record: &AccountRecord,
    seen: &ObservedAccount,
    held: Option<&Entitlements>,
    schema: &AccountSchema,
) -> SettledWork {
    use crate::account::AccountState;
    let applied = match work {
        Work::Create { .. } => return settled_by_find(),
        Work::Read => true,
        // A target that does not tell the state is told again: that sets it.
        Work::Disable => record.state == AccountState::Disabled,
        Work::Enable => record.state == AccountState::Enabled,
        Work::Delete => false,
        Work::Update { changes, .. } => changes.iter().all(|change| holds(change, seen, schema)),
        Work::Grant {
            entitlement,
            parameters,
        } => held
            .and_then(|held| held.get(entitlement))
            .is_some_and(|has| entitlement_matches(parameters, has)),
        Work::Revoke { entitlement } => held.is_some_and(|held| !held.contains_key(entitlement)),
    };
    if applied {
        SettledWork::Applied
    } else {
        SettledWork::WriteAgain
    }
}

fn holds(change: &AttributeChange, seen: &ObservedAccount, schema: &AccountSchema) -> bool {
    let attribute = schema.attribute(change.name());
    let has = seen.attributes.get(change.name());
    match change {
        AttributeChange::Replace { value, .. } => attribute.same(Some(value), has),
        AttributeChange::Members { add, remove, .. } => {
            let members = attribute.members(has);
            add.iter()
                .all(|value| members.contains(&attribute.canonical(value)))
                && remove
                    .iter()
                    .all(|value| !members.contains(&attribute.canonical(value)))
        }
    }
}

fn settled_by_find() -> SettledWork {
    SettledWork::Overtaken("a creation is settled by finding it".to_owned())
}

#[cfg(test)]
mod tests;
