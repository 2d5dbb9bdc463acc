//! One attempt: what is called, in which order, and what its answer means. Reaches the connector and nothing else.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use usher_connectors::Connector;
use usher_lifecycle::account::{Entitlements, ObservedAccount, after_work, contradiction};
use usher_lifecycle::connector::{
    AccountRecord, CallError, Creation, Effect, ErrorKind, WriteContext, entitlements_of,
};
use usher_lifecycle::operation::Work;
use usher_lifecycle::plan::TargetFacts;
use usher_lifecycle::retry::{AfterError, JITTER_MAX, after_error};
use usher_store::{ClaimedOperation, Decision, Outcome, Store};

use super::attempt::{Ended, Finished, Learned, Returned};
use super::settle;
use super::target::Ask;
use crate::ports::{Clock, Point, Probes, Randomness};

/// How long `find` having seen nothing lets a first write go ahead, in milliseconds (a minute): longer than the usual rest of a target, too
/// short for somebody else to take the name in most cases.
const ABSENCE_FRESH_MS: i64 = 60_000;

/// A target as its workers see it.
pub(super) struct Link {
    pub(super) connector: Arc<dyn Connector>,
    pub(super) creation: Creation,
    pub(super) facts: TargetFacts,
    pub(super) settle_ms: u32,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) randomness: Arc<dyn Randomness>,
    pub(super) probes: Arc<dyn Probes>,
}

impl Link {
    /// Carries out one attempt. `absence_recorded`: `find` saw nothing and that is now on record. Dropped in the middle, its outcome is not known.
    pub(super) async fn attempt(
        &self,
        operation: &ClaimedOperation,
        absence_recorded: bool,
    ) -> Result<Learned, Ended> {
        match (absence_recorded, operation.settle) {
            // What was to be settled has been: the absence was seen while settling.
            (true, _) => self.write(operation, &operation.observed).await,
            (false, true) => settle::settle(self, operation).await,
            (false, false) => self.first(operation).await,
        }
    }

    /// What an attempt that came to its end means.
    pub(super) fn returned(&self, operation: ClaimedOperation, result: Result<Learned, Ended>) -> Returned {
        let unreachable = matches!(
            &result,
            Err(Ended::Failed { error, .. }) if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Timeout)
        );
        let (learned, pause) = match result {
            Ok(learned) => (learned, None),
            Err(Ended::Absent) => return Returned::Absent(Box::new(operation)),
            Err(Ended::NotOurs) => {
                let why = "put back: this host was not heard of for too long";
                let back = Finished::put_back(operation, self.clock.now(), why);
                return Returned::Finished(Box::new(back));
            }
            Err(Ended::Learned(learned)) => (*learned, None),
            Err(Ended::Failed { error, unknown }) => self.failed(&operation, &error, unknown),
        };
        let outcome = Outcome {
            number: operation.number,
            attempt: operation.attempt,
            decision: learned.decision,
            observed: learned.observed,
            // Planning may have put off steps until the outcome was known.
            dirty: learned.dirty || operation.settle,
            message: learned.message,
        };
        Returned::Finished(Box::new(Finished {
            operation,
            outcome,
            pause,
            unreachable,
            put_back: false,
        }))
    }

    async fn first(&self, operation: &ClaimedOperation) -> Result<Learned, Ended> {
        if settle::is_hastened(operation) {
            // It was put back before it began.
            return Ok(settle::not_made());
        }
        if let Work::Create { .. } = operation.work
            && !self.saw_absence_lately(operation)
            && matches!(self.creation, Creation::UniqueKey(_) | Creation::ClientId(_))
        {
            let found = settle::find(self, operation)
                .await
                .map_err(|error| error.into_ended(false))?;
            let Some(there) = found.first() else {
                return Err(Ended::Absent);
            };
            return Err(Ended::held(
                false,
                format!(
                    "conflict: account {} already has what the new account would have; take that one away, or change what makes the new one unique",
                    there.id
                ),
            ));
        }
        self.write(operation, &operation.observed).await
    }

    /// A creation that a rest of its target put off need not look again at once: two calls in a row may be more than the target bears.
    fn saw_absence_lately(&self, operation: &ClaimedOperation) -> bool {
        let fresh = SignedDuration::from_millis(ABSENCE_FRESH_MS);
        operation
            .absence_seen_at
            .is_some_and(|seen| self.clock.now().duration_since(seen) <= fresh)
    }

    /// The write itself (or the read that was planned).
    pub(super) async fn write(
        &self,
        operation: &ClaimedOperation,
        observed: &ObservedAccount,
    ) -> Result<Learned, Ended> {
        if operation.work == Work::Read {
            return self.read(operation).await;
        }
        if !self.store.lease_holds() {
            return Err(Ended::NotOurs);
        }
        if let Some(why) = self.protected(operation, observed) {
            return Err(Ended::Learned(Box::new(Learned {
                decision: Decision::Held { settle: false },
                observed: (*observed != operation.observed).then(|| observed.clone()),
                dirty: true,
                message: format!("protected, so nothing was written: {why}"),
            })));
        }
        self.probes.reached(Point::BeforeCall);
        let answer = self.call(operation, observed).await;
        self.probes.reached(Point::AfterCall);
        let answer = answer?;
        if let Some(reason) = answer
            .as_ref()
            .and_then(|record| contradiction(&operation.work, record))
        {
            let error = CallError {
                kind: ErrorKind::Other("contradiction".to_owned()),
                effect: Effect::Unknown,
                retry_after_ms: None,
                existing_id: None,
                message: reason.to_owned(),
            };
            return Err(Ended::Failed { error, unknown: true });
        }
        let mut after = after_work(observed, &operation.work, answer.as_ref());
        if answer.is_none() {
            // Whether a membership changes the record's version is the target's affair: better no precondition than a wrong one.
            after.version = None;
        }
        let dirty = differs(&operation.work, observed, &after, self);
        let message = format!("{} done", operation.work.verb());
        Ok(Learned {
            decision: Decision::Done,
            observed: Some(after),
            dirty,
            message,
        })
    }

    /// Why nothing may be written to the account, as far as is known of it now. Plans leave it alone too; this is for what was planned before
    /// the target's document or the account changed.
    fn protected(&self, operation: &ClaimedOperation, observed: &ObservedAccount) -> Option<String> {
        match (&operation.work, &observed.external_id) {
            (Work::Create { attributes }, _) => self.facts.protection.of_new(attributes),
            (_, Some(id)) => self.facts.protection.of(id, &observed.attributes),
            (_, None) => None,
        }
    }

    async fn call(
        &self,
        operation: &ClaimedOperation,
        observed: &ObservedAccount,
    ) -> Result<Option<AccountRecord>, Ended> {
        let connector = &self.connector;
        let write = WriteContext {
            intent_id: operation.id.to_string(),
            attempt: operation.attempt,
            reason: operation.cause.to_string(),
        };
        if let Work::Create { attributes } = &operation.work {
            return connector
                .create(&write, attributes)
                .await
                .map(Some)
                .map_err(call_failed);
        }
        let id = linked(observed, false)?;
        let answer = match &operation.work {
            Work::Update { changes, desired } => connector
                .update(&write, id, changes, desired, observed.version.as_deref())
                .await
                .map(Some),
            Work::Disable => connector.disable(&write, id).await.map(Some),
            Work::Enable => connector.enable(&write, id).await.map(Some),
            Work::Delete => connector.delete(&write, id).await.map(|()| None),
            Work::Grant {
                entitlement,
                parameters,
            } => connector
                .grant(&write, id, entitlement, parameters)
                .await
                .map(|()| None),
            Work::Revoke { entitlement } => connector.revoke(&write, id, entitlement).await.map(|()| None),
            Work::Create { .. } | Work::Read => Ok(None),
        };
        answer.map_err(call_failed)
    }

    async fn read(&self, operation: &ClaimedOperation) -> Result<Learned, Ended> {
        let (record, held) = self
            .look(linked(&operation.observed, false)?)
            .await
            .map_err(call_failed)?;
        let mut after = after_work(&operation.observed, &Work::Read, record.as_ref());
        if let (Some(_), Some(held)) = (&record, held) {
            after.entitlements = held;
        }
        let message = match record {
            Some(_) => "read".to_owned(),
            None => "read: the account is gone".to_owned(),
        };
        Ok(Learned {
            decision: Decision::Done,
            observed: Some(after),
            dirty: true,
            message,
        })
    }

    /// Reads an account and what it holds, where the target has entitlements.
    pub(super) async fn look(
        &self,
        id: &str,
    ) -> Result<(Option<AccountRecord>, Option<Entitlements>), CallError> {
        let record = self.connector.get(id).await?;
        let held = if record.is_some() {
            self.held(id).await?
        } else {
            None
        };
        Ok((record, held))
    }

    /// What an account holds; `None` where the target has no entitlements.
    pub(super) async fn held(&self, id: &str) -> Result<Option<Entitlements>, CallError> {
        if !self.facts.capabilities.entitlements {
            return Ok(None);
        }
        Ok(Some(entitlements_of(self.connector.held(id).await?)))
    }

    /// What becomes of an attempt whose call failed. `unknown`: whatever this error has done, an earlier outcome is not known.
    fn failed(
        &self,
        operation: &ClaimedOperation,
        error: &CallError,
        unknown: bool,
    ) -> (Learned, Option<(Timestamp, Ask)>) {
        let now = self.clock.now();
        let at = |ms: u64| later(now, ms);
        let learned = |decision, dirty, message| Learned {
            decision,
            observed: None,
            dirty,
            message,
        };
        match after_error(error, &operation.work, operation.attempt, self.jitter()) {
            AfterError::RetryAfter { ms, settle } => {
                let counts = error.kind != ErrorKind::Busy;
                let decision = Decision::Retry {
                    at: at(ms),
                    settle: settle || unknown,
                    counts,
                };
                (learned(decision, false, error.to_string()), None)
            }
            AfterError::PauseTarget { ms, settle } => {
                let decision = Decision::Retry {
                    at: at(ms),
                    settle: settle || unknown,
                    counts: false,
                };
                let ask = match error.kind {
                    ErrorKind::AuthFailed | ErrorKind::Misconfigured => Ask::Refused,
                    _ => Ask::SlowDown,
                };
                (learned(decision, false, error.to_string()), Some((at(ms), ask)))
            }
            AfterError::Hold(reason) => {
                let settle = unknown || error.effect != Effect::None;
                (learned(Decision::Held { settle }, false, reason), None)
            }
            AfterError::GiveUp(reason) => (learned(Decision::Failed, true, reason), None),
        }
    }

    fn jitter(&self) -> u32 {
        let mut bytes = [0; 4];
        self.randomness.fill(&mut bytes);
        u32::from_le_bytes(bytes) % (JITTER_MAX + 1)
    }
}

fn call_failed(error: CallError) -> Ended {
    Ended::Failed {
        error,
        unknown: false,
    }
}

/// The target's id of the account. `unknown`: an attempt's outcome is not known.
pub(super) fn linked(observed: &ObservedAccount, unknown: bool) -> Result<&str, Ended> {
    observed.external_id.as_deref().ok_or_else(|| {
        Ended::held(
            unknown,
            "the account is not linked: its id in the target is not known",
        )
    })
}

/// A moment so many milliseconds later; the end of time when there is none.
pub(crate) fn later(now: Timestamp, ms: u64) -> Timestamp {
    let wait = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Whether the target answered something else than what the write should have led to: then the person is planned again.
fn differs(work: &Work, before: &ObservedAccount, after: &ObservedAccount, link: &Link) -> bool {
    use usher_lifecycle::account::AccountState::Enabled;
    let expected = match work {
        Work::Create { attributes } => attributes,
        Work::Update { desired, .. } => desired,
        Work::Disable | Work::Enable => &before.attributes,
        Work::Delete | Work::Grant { .. } | Work::Revoke { .. } | Work::Read => return false,
    };
    let same = |(name, value): (&String, &serde_json::Value)| {
        let rules = link.facts.schema.attribute(name);
        rules.secret || rules.same(Some(value), after.attributes.get(name))
    };
    let state_is_other = match work {
        Work::Create { .. } => after.state != Enabled,
        Work::Update { .. } => after.state != before.state,
        Work::Disable
        | Work::Enable
        | Work::Delete
        | Work::Grant { .. }
        | Work::Revoke { .. }
        | Work::Read => false,
    };
    state_is_other || !expected.iter().all(same)
}
