//! Writers that are gone, or only slow.

use std::time::{Duration, Instant};

use sqlx::{Connection, Executor, PgConnection};
use usher_lifecycle::operation::{OperationState, Priority, Work};
use usher_store::{Audit, Duty, Identities, Operations, Planned, Replicas, SqlStore, StoreError};

use super::{state_of, until, writers};
use crate::conformance::{
    Database, at, claim, commit, context, create, done_as, from, one_person, operation, people, planned,
    record,
};

/// Short enough for a test, long enough for a busy machine to beat in time.
const SHORT: Duration = Duration::from_secs(2);

/// The clock of a lease is the database's: its writer was heard of long ago.
async fn forget(database: &Database, writer: &SqlStore) {
    let own = writer.membership().own;
    database
        .raw(&format!("UPDATE writer SET seen_us = 0 WHERE id = {own}"))
        .await
        .unwrap();
}

async fn take_over(database: &Database, lost: &SqlStore, other: &SqlStore, seconds: i64) -> u64 {
    // The lost one may beat once more in between.
    until("taken over", async || {
        forget(database, lost).await;
        let recovered = other.recover(&context(seconds)).await.unwrap();
        (recovered > 0).then_some(recovered)
    })
    .await
}

/// A writer paused beyond its lease: its work is taken over, whatever it says afterwards is refused, and after rejoining it works as before.
#[tokio::test]
async fn a_late_outcome_is_refused_and_its_writer_can_rejoin() {
    let Some((database, stores)) = writers(2).await else {
        return;
    };
    let [paused, other] = &stores[..] else {
        unreachable!()
    };
    let person = one_person(
        paused,
        vec![create("app"), operation("app", Work::Read, Priority::Change, 0)],
    )
    .await;
    let lost = claim(paused, "app", 1, 5).await;
    assert_eq!(other.recover(&context(6)).await.unwrap(), 0, "it is alive");
    assert_eq!(
        record(other, &[done_as(&lost[0], "x0")], 6).await,
        [lost[0].number],
        "it is not the other's"
    );
    assert_eq!(take_over(&database, paused, other, 7).await, 1);

    let late = paused
        .record_and_claim(&[], &[done_as(&lost[0], "x1")], &from(&[("app", 9)]), &context(8))
        .await;
    assert!(matches!(late, Err(StoreError::Fenced(_))), "{late:?}");
    let plan = planned(
        &paused.identity(&person.id.to_string()).await.unwrap(),
        vec![create("directory")],
    );
    let versions = paused.versions().await.unwrap();
    let planned_late = usher_store::Planning::commit_plan(paused, &[plan], versions, &context(8)).await;
    assert!(
        matches!(planned_late, Err(StoreError::Fenced(_))),
        "{planned_late:?}"
    );

    let taken = claim(other, "app", 9, 9).await;
    assert_eq!(
        (
            taken[0].id,
            taken[0].attempt,
            taken[0].settle,
            taken[0].unknown_since
        ),
        (lost[0].id, 2, true, Some(at(5)))
    );
    paused.rejoin(&context(10)).await.unwrap();
    assert!(paused.lease_holds());
    assert_eq!(
        record(paused, &[done_as(&lost[0], "x1")], 10).await,
        [lost[0].number],
        "the old attempt is still not its own"
    );
    assert!(record(other, &[done_as(&taken[0], "x2")], 11).await.is_empty());
    let next = claim(paused, "app", 9, 12).await;
    assert_eq!(next[0].observed.external_id.as_deref(), Some("x2"));
    assert!(record(paused, &[done_as(&next[0], "x2")], 13).await.is_empty());
    assert!(other.recover(&context(14)).await.unwrap() == 0);
    other.audit_verify().await.unwrap();
}

/// Without a hand at the clock: the lease of a writer whose process is gone is over after its time, not before; a living one beats.
#[tokio::test]
async fn a_lease_is_over_when_nobody_beats() {
    let Some(database) = crate::database() else { return };
    database.open(at(0)).await.close().await.unwrap();
    let gone = database.join_with(at(0), SHORT).await.unwrap();
    let alive = database.join_with(at(0), SHORT).await.unwrap();
    gone.take_part().await.unwrap();
    alive.take_part().await.unwrap();
    let rows = people(&alive, 2).await;
    let plan: Vec<Planned> = rows.iter().map(|row| planned(row, vec![create("app")])).collect();
    commit(&alive, &plan, 1).await;
    let lost = claim(&gone, "app", 1, 2).await;
    let own = claim(&alive, "app", 1, 2).await;
    until("both are seen", async || {
        (alive.membership().writers.len() == 2 && alive.membership().settled).then_some(())
    })
    .await;
    let begun = Instant::now();
    drop(gone);
    until("taken over", async || {
        (alive.recover(&context(3)).await.unwrap() == 1).then_some(())
    })
    .await;
    assert!(
        begun.elapsed() >= SHORT / 3,
        "not while it may still be at work: {:?}",
        begun.elapsed()
    );
    assert_eq!(state_of(&alive, lost[0].id).await, OperationState::Ready);
    assert_eq!(
        state_of(&alive, own[0].id).await,
        OperationState::Claimed,
        "its own work is untouched"
    );
    assert!(alive.lease_holds());
    until("it is not counted any more", async || {
        (alive.membership().writers.len() == 1).then_some(())
    })
    .await;
}

/// Whoever only looks takes nothing away from those who work, and says nothing of what it would be for them to see it.
#[tokio::test]
async fn only_who_takes_part_counts_also_after_beginning_anew() {
    let Some(database) = crate::database() else { return };
    database.open(at(0)).await.close().await.unwrap();
    let worker = database.join_with(at(0), SHORT).await.unwrap();
    let looker = database.join_with(at(0), SHORT).await.unwrap();
    worker.take_part().await.unwrap();
    let own = worker.membership().own;
    until("the worker is seen", async || {
        (looker.membership().writers.len() == 2).then_some(())
    })
    .await;
    until("the worker is alone at work", async || {
        (worker.membership().writers == [own] && worker.membership().settled).then_some(())
    })
    .await;

    looker.take_part().await.unwrap();
    assert!(
        !looker.membership().settled,
        "the other has not seen it take part"
    );
    until("both are at work", async || {
        (worker.membership().writers.len() == 2 && looker.membership().settled).then_some(())
    })
    .await;
    looker.rejoin(&context(1)).await.unwrap();
    let again = looker.membership().own;
    until("it takes part under its new number", async || {
        worker.membership().writers.contains(&again).then_some(())
    })
    .await;
}

/// Each host has a lease of its own: one with a long lease is not taken over by the measure of one with a short lease.
#[tokio::test]
async fn leases_may_differ() {
    let Some(database) = crate::database() else { return };
    database.open(at(0)).await.close().await.unwrap();
    let patient = database.join_with(at(0), SHORT * 100).await.unwrap();
    let hasty = database.join_with(at(0), SHORT).await.unwrap();
    one_person(&patient, vec![create("app")]).await;
    claim(&patient, "app", 1, 2).await;
    let silent_us = SHORT.as_micros() * 2;
    let own = patient.membership().own;
    database
        .raw(&format!(
            "UPDATE writer SET seen_us = CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) - {silent_us} WHERE id = {own}"
        ))
        .await
        .unwrap();
    assert_eq!(
        hasty.recover(&context(3)).await.unwrap(),
        0,
        "its lease is longer"
    );
    assert_eq!(take_over(&database, &patient, &hasty, 4).await, 1);
}

/// A writer that leaves in order frees its work at once.
#[tokio::test]
async fn a_writer_that_leaves_waits_for_no_lease() {
    let Some((_database, mut stores)) = writers(2).await else {
        return;
    };
    let leaving = stores.remove(0);
    one_person(&leaving, vec![create("app")]).await;
    let claimed = claim(&leaving, "app", 1, 1).await;
    leaving.close().await.unwrap();
    assert_eq!(stores[0].recover(&context(2)).await.unwrap(), 1);
    assert_eq!(claim(&stores[0], "app", 1, 3).await[0].id, claimed[0].id);
}

/// A process stopped in the middle of a transaction holds rows; the database cuts it off when its lease is over.
#[tokio::test]
async fn a_transaction_of_a_paused_writer_is_cut_off_after_the_lease() {
    let Some(database) = crate::database() else { return };
    database.open(at(0)).await.close().await.unwrap();
    let store = database.join_with(at(0), SHORT).await.unwrap();
    let person = one_person(&store, vec![create("app")]).await;
    let claimed = claim(&store, "app", 1, 1).await;
    // What the store itself sets for its connections.
    let (_, url) = database.shared().unwrap();
    let mut paused = PgConnection::connect(url).await.unwrap();
    let limit = format!(
        "SET idle_in_transaction_session_timeout = '{}ms'",
        SHORT.as_millis()
    );
    paused.execute(sqlx::AssertSqlSafe(limit)).await.unwrap();
    paused
        .execute("BEGIN; SELECT 1 FROM identity FOR UPDATE; SELECT 1 FROM operation FOR UPDATE")
        .await
        .unwrap();
    let begun = Instant::now();
    let outcome = [done_as(&claimed[0], "x1")];
    until("recorded after all", async || {
        let recorded = store
            .record_and_claim(&[], &outcome, &from(&[]), &context(2))
            .await;
        recorded.is_ok().then_some(())
    })
    .await;
    assert!(
        begun.elapsed() >= SHORT / 2,
        "it did wait for the rows: {:?}",
        begun.elapsed()
    );
    assert!(
        begun.elapsed() < SHORT * 3,
        "but no longer than the lease: {:?}",
        begun.elapsed()
    );
    assert!(
        paused.execute("SELECT 1").await.is_err(),
        "the paused one was cut off"
    );
    let linked = &store.identity(&person.id.to_string()).await.unwrap().accounts[0];
    assert_eq!(linked.observed.external_id.as_deref(), Some("x1"));
}

/// A duty is one writer's until it leaves it or is gone.
#[tokio::test]
async fn a_duty_has_one_holder() {
    let Some((database, stores)) = writers(2).await else {
        return;
    };
    let [one, other] = &stores[..] else { unreachable!() };
    assert!(one.take_duty(Duty::Planning).await.unwrap());
    assert!(one.take_duty(Duty::Planning).await.unwrap(), "kept");
    assert!(!other.take_duty(Duty::Planning).await.unwrap());
    assert!(other.take_duty(Duty::Sealing).await.unwrap(), "another duty");
    one_person(one, vec![create("app")]).await;
    claim(one, "app", 1, 1).await;
    take_over(&database, one, other, 2).await;
    assert!(
        other.take_duty(Duty::Planning).await.unwrap(),
        "its holder is closed"
    );
}

/// What one writer makes ready wakes the others.
#[tokio::test]
async fn a_plan_wakes_the_other_writers() {
    let Some((_database, stores)) = writers(2).await else {
        return;
    };
    let rows = people(&stores[0], 1).await;
    let mut wakes = stores[1].wakes();
    // The listener's own beginning is a wake-up too; so plan until one comes that is a plan's.
    until("woken", async || {
        let row = stores[0].identity(&rows[0].id.to_string()).await.unwrap();
        commit(&stores[0], &[planned(&row, vec![create("app")])], 1).await;
        tokio::time::timeout(Duration::from_millis(500), wakes.next())
            .await
            .ok()
    })
    .await;
}
