//! What every store must do, whatever database is behind it. Each test is one promise. A database's own test file includes them all and
//! says by its `database()` where they are kept.

mod accounts;
pub(crate) mod budgets;
mod damage;
pub(crate) mod database;
mod documents;
mod erasure;
pub(crate) mod histories;
mod hostile;
mod imports;
mod joining;
mod keys;
pub(crate) mod names;
pub(crate) mod personal;
mod plans;
mod queue;
mod reconciles;
mod restored;
mod sealing;
mod stopping;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use database::Database;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use usher_lifecycle::account::{AccountSlot, AccountState, ObservedAccount};
use usher_lifecycle::attributes::{Attributes, digest};
use usher_lifecycle::cause::{Actor, Cause};
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::name::Name;
use usher_lifecycle::operation::{Priority, Work};
use usher_lifecycle::state::IdentityState;
use usher_store::{
    Audit, Change, Checkpoints, Claim, ClaimedOperation, Context, Decision, Documents, FactsStore,
    Identities, IdentityRow, NewOperation, NewSnapshot, Operations, Outcome, PlanCommit, Planned, Planning,
    Randomness, StagedRecord, Store, TargetClaim,
};

/// Numbers that differ from each other, the same in every run.
#[derive(Default)]
pub(crate) struct Counted(AtomicU64);

impl Randomness for Counted {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer.chunks_mut(8) {
            let mixed = self
                .0
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .to_be_bytes();
            byte.copy_from_slice(&mixed[..byte.len()]);
        }
    }
}

/// One stream of numbers for the operations of all tests of a run.
fn next_random() -> [u8; 10] {
    static SHARED: std::sync::LazyLock<Counted> = std::sync::LazyLock::new(Counted::default);
    let mut random = [0; 10];
    SHARED.fill(&mut random);
    random
}

/// A moment, in seconds after the start of the test.
pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub(crate) fn context(seconds: i64) -> Context {
    Context {
        actor: Actor::Usher,
        at: at(seconds),
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn attributes(value: &str) -> Attributes {
    [("name".to_owned(), json!(value))].into_iter().collect()
}

pub(crate) fn upsert(key: &str, value: &str) -> StagedRecord {
    let attributes = attributes(value);
    let digest = digest(&attributes);
    StagedRecord {
        key: key.to_owned(),
        change: Change::Upsert {
            attributes,
            digest,
            join: None,
        },
    }
}

pub(crate) fn missing(key: &str, confirmed: bool) -> StagedRecord {
    StagedRecord {
        key: key.to_owned(),
        change: Change::Missing { confirmed },
    }
}

pub(crate) fn present(key: &str) -> StagedRecord {
    StagedRecord {
        key: key.to_owned(),
        change: Change::Present,
    }
}

pub(crate) fn snapshot(source: &str) -> NewSnapshot {
    NewSnapshot {
        source: name(source),
        origin: "people.csv".to_owned(),
        file_digest: [7; 32],
        rows: 3,
    }
}

pub(crate) async fn absorb_all(store: &impl FactsStore) {
    while store.absorb(2).await.unwrap() > 0 {}
}

/// A whole import.
pub(crate) async fn import(store: &impl Store, source: &str, records: &[StagedRecord], seconds: i64) {
    let id = store
        .begin_snapshot(snapshot(source), &context(seconds))
        .await
        .unwrap();
    store.stage(id, records).await.unwrap();
    store.accept(id, &context(seconds)).await.unwrap();
    absorb_all(store).await;
}

/// `n` people of one source, with keys `p00`, `p01` …
pub(crate) async fn people(store: &impl Store, n: usize) -> Vec<IdentityRow> {
    let records: Vec<StagedRecord> = (0..n).map(|i| upsert(&format!("p{i:02}"), "first")).collect();
    import(store, "hr", &records, 0).await;
    store.identities_page(None, 1_000).await.unwrap()
}

pub(crate) fn slot(target: &str) -> AccountSlot {
    AccountSlot {
        target: name(target),
        kind: Name::primary(),
    }
}

pub(crate) fn operation(target: &str, work: Work, priority: Priority, due: i64) -> NewOperation {
    NewOperation {
        id: OperationId::from_parts(at(due), &next_random()),
        slot: slot(target),
        work,
        priority,
        due_at: at(due),
        cause: Cause::new("hr: in the file").then("active"),
        budgeted: false,
    }
}

pub(crate) fn create(target: &str) -> NewOperation {
    operation(
        target,
        Work::Create {
            attributes: attributes("first"),
        },
        Priority::Onboarding,
        0,
    )
}

pub(crate) fn planned(identity: &IdentityRow, operations: Vec<NewOperation>) -> Planned {
    Planned {
        reference: identity.reference,
        facts_version: identity.facts_version,
        state: IdentityState::Active,
        state_cause: Cause::new("hr: in the file"),
        next_change_at: None,
        held: Vec::new(),
        superseded: Vec::new(),
        replan: false,
        in_the_way: Vec::new(),
        operations,
    }
}

/// Records a plan under the versions of now.
pub(crate) async fn commit(store: &impl Store, plan: &[Planned], seconds: i64) -> PlanCommit {
    let versions = store.versions().await.unwrap();
    store
        .commit_plan(plan, versions, &context(seconds))
        .await
        .unwrap()
}

/// One person with these operations planned.
pub(crate) async fn one_person(store: &impl Store, operations: Vec<NewOperation>) -> IdentityRow {
    let identity = people(store, 1).await.remove(0);
    commit(store, &[planned(&identity, operations)], 1).await;
    again(store, &identity).await
}

/// The identity as it is now.
pub(crate) async fn again(store: &impl Store, identity: &IdentityRow) -> IdentityRow {
    store.identity(&identity.id.to_string()).await.unwrap()
}

pub(crate) async fn claim(
    store: &impl Operations,
    target: &str,
    limit: u32,
    seconds: i64,
) -> Vec<ClaimedOperation> {
    let recorded = store
        .record_and_claim(&[], &[], &from(&[(target, limit)]), &context(seconds))
        .await;
    recorded.unwrap().claimed
}

/// What to claim: targets with their limits.
pub(crate) fn from(targets: &[(&str, u32)]) -> Claim {
    let targets = targets.iter().map(|(target, limit)| TargetClaim {
        target: name(target),
        limit: *limit,
    });
    Claim {
        targets: targets.collect(),
        ..Claim::default()
    }
}

/// Records outcomes; returns the fenced ones.
pub(crate) async fn record(store: &impl Operations, outcomes: &[Outcome], seconds: i64) -> Vec<i64> {
    store
        .record_and_claim(&[], outcomes, &Claim::default(), &context(seconds))
        .await
        .unwrap()
        .fenced
}

pub(crate) fn outcome(claimed: &ClaimedOperation, decision: Decision) -> Outcome {
    Outcome {
        number: claimed.number,
        attempt: claimed.attempt,
        decision,
        observed: None,
        dirty: false,
        message: "as the target said".to_owned(),
    }
}

/// Done, and the account now is there under this id.
pub(crate) fn done_as(claimed: &ClaimedOperation, external_id: &str) -> Outcome {
    let observed = ObservedAccount {
        state: AccountState::Enabled,
        external_id: Some(external_id.to_owned()),
        attributes: attributes("first"),
        ..ObservedAccount::absent()
    };
    Outcome {
        observed: Some(observed),
        ..outcome(claimed, Decision::Done)
    }
}

pub(crate) fn verbs(claimed: &[ClaimedOperation]) -> Vec<&'static str> {
    claimed.iter().map(|operation| operation.work.verb()).collect()
}

/// The events of an identity, oldest first.
pub(crate) async fn events(store: &impl Store, identity: &IdentityRow) -> Vec<String> {
    let rows = store.timeline(identity.reference, 1_000).await.unwrap();
    rows.into_iter().map(|row| row.event).collect()
}
