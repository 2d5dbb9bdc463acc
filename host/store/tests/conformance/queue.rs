//! The queue: order, limits, one operation per account, fences, what outcomes do.

use usher_lifecycle::operation::OperationState;
use usher_store::{OperationFilter, StoreError};

use super::*;

fn states(row: &IdentityRow) -> Vec<OperationState> {
    row.accounts[0].open.iter().map(|one| one.state).collect()
}

fn retry(seconds: i64, settle: bool, counts: bool) -> Decision {
    Decision::Retry {
        at: at(seconds),
        settle,
        counts,
    }
}

/// By priority, then due time, then age; nothing before it is due; never more than the limit of each target.
#[tokio::test]
async fn claims_go_by_priority_due_time_and_age() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 7).await;
    let wanted = [
        (Priority::Reconcile, 0, 5),
        (Priority::Change, 3, 3),
        (Priority::Change, 2, 1),
        (Priority::Deprovision, 9, 0),
        (Priority::SecurityHold, 100, 99),
        (Priority::Change, 2, 2),
        (Priority::Onboarding, 0, 4),
    ];
    let plan: Vec<_> = rows
        .iter()
        .zip(wanted)
        .map(|(row, (priority, due, _))| {
            planned(
                row,
                vec![operation("app", Work::Read, priority, due), create("directory")],
            )
        })
        .collect();
    commit(&store, &plan, 1).await;
    let mut expected: Vec<_> = rows
        .iter()
        .zip(wanted)
        .map(|(row, (.., place))| (place, row.id))
        .collect();
    expected.sort();
    let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();

    let first = claim(&store, "app", 2, 10).await;
    let rest = claim(&store, "app", 100, 10).await;
    let order: Vec<_> = first.iter().chain(&rest).map(|one| one.identity_id).collect();
    assert_eq!(first.len(), 2);
    assert_eq!(order, expected[..6]);
    assert!(
        first
            .iter()
            .all(|one| one.slot == slot("app") && one.attempt == 1 && !one.settle)
    );
    assert_eq!(store.next_due().await.unwrap(), Some(at(0)), "the directory's");

    let both = from(&[("app", 10), ("directory", 3), ("nowhere", 3)]);
    let recorded = store.record_and_claim(&[], &[], &both, &context(100)).await;
    let claimed = recorded.unwrap().claimed;
    let targets: Vec<_> = claimed
        .iter()
        .map(|one| one.slot.target.as_str().to_owned())
        .collect();
    assert_eq!(targets, ["app", "directory", "directory", "directory"]);
    let told = &store.audit_tail(1).await.unwrap()[0];
    assert_eq!(told.event, "operations.claimed");
    assert_eq!(told.payload["operations"][0], serde_json::json!(claimed[0].id));
    assert_eq!(told.payload["operations"].as_array().unwrap().len(), 4);
}

/// Two operations of one account never run at the same time; the next becomes ready when the first is done.
#[tokio::test]
async fn one_operation_of_an_account_at_a_time() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(
        &store,
        vec![
            operation("app", Work::Disable, Priority::Change, 0),
            operation("app", Work::Delete, Priority::SecurityHold, 0),
        ],
    )
    .await;
    let first = claim(&store, "app", 10, 1).await;
    assert_eq!(verbs(&first), ["disable"]);
    assert!(claim(&store, "app", 10, 1).await.is_empty());
    // The outcome and the next claim are one commit.
    let done = [outcome(&first[0], Decision::Done)];
    let recorded = store
        .record_and_claim(&[], &done, &from(&[("app", 10)]), &context(2))
        .await
        .unwrap();
    let second = recorded.claimed;
    assert_eq!((verbs(&second), recorded.fenced), (vec!["delete"], vec![]));
    record(&store, &[outcome(&second[0], Decision::Settled)], 3).await;
    assert!(again(&store, &person).await.accounts[0].open.is_empty());
    assert_eq!(
        events(&store, &person).await[3..],
        ["operation.planned", "operation.done", "operation.settled"].map(String::from)[..],
    );
}

/// After a restart what was claimed is read back first, and the old attempt's outcome counts no more.
#[tokio::test]
async fn a_lost_claim_is_recovered_and_fenced() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(&store, vec![create("app")]).await;
    let lost = claim(&store, "app", 1, 5).await;
    assert_eq!(
        store.recover(&context(5)).await.unwrap(),
        0,
        "its own claims are alive"
    );
    drop(store);

    let store = database.open(at(60)).await;
    assert_eq!(
        record(&store, &[done_as(&lost[0], "x1")], 60).await,
        [lost[0].number]
    );
    assert_eq!(store.recover(&context(60)).await.unwrap(), 1);
    assert_eq!(
        record(&store, &[done_as(&lost[0], "x1")], 60).await,
        [lost[0].number]
    );
    let found = claim(&store, "app", 1, 60).await;
    assert_eq!(
        (found[0].attempt, found[0].settle, found[0].unknown_since),
        (2, true, Some(at(5)))
    );
    assert_eq!(found[0].id, lost[0].id);
    assert_eq!(
        record(&store, &[done_as(&lost[0], "x1")], 61).await,
        [lost[0].number],
        "the older attempt"
    );
    assert!(
        again(&store, &person).await.accounts[0]
            .observed
            .external_id
            .is_none()
    );
    assert!(record(&store, &[done_as(&found[0], "x2")], 61).await.is_empty());
    assert_eq!(
        record(&store, &[done_as(&found[0], "x3")], 61).await,
        [found[0].number],
        "only once"
    );
    assert_eq!(
        again(&store, &person).await.accounts[0]
            .observed
            .external_id
            .as_deref(),
        Some("x2")
    );
    assert_eq!(store.recover(&context(62)).await.unwrap(), 0);
    assert!(
        events(&store, &person)
            .await
            .contains(&"operation.recovered".to_owned())
    );
    store.audit_verify().await.unwrap();
}

/// Two outcomes of one attempt in one call: the first counts.
#[tokio::test]
async fn two_outcomes_of_one_attempt_count_once() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(&store, vec![create("app")]).await;
    let claimed = claim(&store, "app", 1, 1).await;
    let wrong = Outcome {
        attempt: 7,
        ..done_as(&claimed[0], "x0")
    };
    let fenced = record(
        &store,
        &[wrong, done_as(&claimed[0], "x1"), done_as(&claimed[0], "x2")],
        2,
    )
    .await;
    assert_eq!(fenced, [claimed[0].number, claimed[0].number]);
    assert_eq!(
        again(&store, &person).await.accounts[0]
            .observed
            .external_id
            .as_deref(),
        Some("x1")
    );
    assert_eq!(
        record(
            &store,
            &[Outcome {
                number: 99,
                ..done_as(&claimed[0], "x1")
            }],
            2
        )
        .await,
        [99]
    );
}

/// Retry: due again later, with or without reading back, counted or not.
#[tokio::test]
async fn a_retry_is_due_again() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(
        &store,
        vec![create("app"), operation("app", Work::Read, Priority::Change, 0)],
    )
    .await;
    let first = claim(&store, "app", 1, 1).await;
    record(&store, &[outcome(&first[0], retry(50, true, true))], 2).await;
    assert!(
        claim(&store, "app", 10, 49).await.is_empty(),
        "nothing overtakes it in its account"
    );
    assert_eq!(store.next_due().await.unwrap(), Some(at(50)));
    let second = claim(&store, "app", 10, 50).await;
    assert_eq!(
        (second[0].attempt, second[0].settle, second[0].unknown_since),
        (2, true, Some(at(1)))
    );

    record(&store, &[outcome(&second[0], retry(60, true, true))], 51).await;
    let third = claim(&store, "app", 10, 60).await;
    assert_eq!(
        (third[0].attempt, third[0].unknown_since),
        (3, Some(at(1))),
        "since the first unknown"
    );
    record(&store, &[outcome(&third[0], retry(70, false, false))], 61).await;
    let open = &again(&store, &person).await.accounts[0].open;
    assert_eq!(
        (open[0].attempts, open[0].settle, open[0].state),
        (2, false, OperationState::Ready)
    );
    assert_eq!(open[0].message.as_deref(), Some("as the target said"));
    let fourth = claim(&store, "app", 10, 70).await;
    assert_eq!(
        (fourth[0].attempt, fourth[0].settle, fourth[0].unknown_since),
        (3, false, None)
    );
}

/// Held: it and what waits behind it stay until a person releases it.
#[tokio::test]
async fn a_held_operation_waits_for_a_person() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(
        &store,
        vec![create("app"), operation("app", Work::Read, Priority::Change, 0)],
    )
    .await;
    let claimed = claim(&store, "app", 1, 1).await;
    record(
        &store,
        &[outcome(&claimed[0], Decision::Held { settle: false })],
        2,
    )
    .await;
    assert_eq!(
        states(&again(&store, &person).await),
        [OperationState::Held, OperationState::Waiting]
    );
    assert!(claim(&store, "app", 10, 1_000).await.is_empty());
    assert_eq!(store.next_due().await.unwrap(), None);

    let waiting = again(&store, &person).await.accounts[0].open[1].id;
    let refused = store.retry(waiting, &context(3)).await;
    assert!(matches!(refused, Err(StoreError::Stale(_))), "{refused:?}");
    store.retry(claimed[0].id, &context(3)).await.unwrap();
    let released = claim(&store, "app", 10, 3).await;
    assert_eq!(
        (released.len(), released[0].id, released[0].attempt),
        (1, claimed[0].id, 1)
    );
    assert_eq!(
        (released[0].settle, released[0].unknown_since),
        (false, None),
        "it is known to have changed nothing"
    );
}

/// That `find` saw nothing counts for the attempt it went before: once nothing is left to be read back, the next one looks again,
/// unless the attempt was only put off.
#[tokio::test]
async fn absence_expires_with_its_attempt() {
    let Some(database) = crate::database() else { return };
    for (ending, kept) in [
        (retry(5, true, true), true),
        (retry(5, false, true), false),
        (retry(5, false, false), true),
        (Decision::Held { settle: true }, true),
        (Decision::Held { settle: false }, false),
    ] {
        let store = database.open(at(0)).await;
        let row = people(&store, 1).await.remove(0);
        commit(&store, &[planned(&row, vec![create("app")])], 1).await;
        let claimed = claim(&store, "app", 1, 1).await;
        let seen = [(claimed[0].number, claimed[0].attempt)];
        store
            .record_and_claim(&seen, &[], &Claim::default(), &context(2))
            .await
            .unwrap();
        record(&store, &[outcome(&claimed[0], ending.clone())], 3).await;
        if matches!(ending, Decision::Held { .. }) {
            store.retry(claimed[0].id, &context(4)).await.unwrap();
        }
        let next = claim(&store, "app", 1, 10).await;
        assert_eq!(next[0].id, claimed[0].id);
        assert_eq!(next[0].absence_seen_at, kept.then(|| at(2)), "{ending:?}");
        record(&store, &[outcome(&next[0], Decision::Settled)], 11).await;
    }
}

/// An attempt that turned out to have changed nothing needs no reading back, whatever was unknown before.
#[tokio::test]
async fn a_hold_says_whether_an_outcome_is_unknown() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    one_person(&store, vec![create("app")]).await;
    let claimed = claim(&store, "app", 1, 1).await;
    record(&store, &[outcome(&claimed[0], retry(2, true, true))], 2).await;
    let settling = claim(&store, "app", 1, 2).await;
    assert!(settling[0].settle);
    assert_eq!(settling[0].identity_state, Some(IdentityState::Active));
    record(
        &store,
        &[outcome(&settling[0], Decision::Held { settle: false })],
        3,
    )
    .await;
    store.retry(claimed[0].id, &context(4)).await.unwrap();
    let released = claim(&store, "app", 1, 4).await;
    assert_eq!((released[0].settle, released[0].unknown_since), (false, None));
}

/// A newer plan overtakes an operation whose outcome is unknown while it waits to be read back, and what it adds is due at once.
#[tokio::test]
async fn an_unsettled_operation_can_be_overtaken() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(
        &store,
        vec![operation("app", Work::Delete, Priority::Deprovision, 0)],
    )
    .await;
    let claimed = claim(&store, "app", 1, 1).await;
    record(&store, &[outcome(&claimed[0], retry(7_200, true, true))], 2).await;
    let mut plan = planned(
        &again(&store, &person).await,
        vec![
            operation("app", Work::Read, Priority::Change, 3),
            operation("app", Work::Enable, Priority::Change, 3),
        ],
    );
    plan.superseded = vec![claimed[0].id];
    assert_eq!(commit(&store, &[plan], 3).await.planned, 1);
    assert_eq!(verbs(&claim(&store, "app", 10, 3).await), ["read"]);
}

/// Held after an attempt of unknown outcome: whatever plans next can see that, so that nothing is made twice.
#[tokio::test]
async fn a_held_operation_remembers_an_unknown_outcome() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(&store, vec![create("app")]).await;
    let claimed = claim(&store, "app", 1, 1).await;
    record(
        &store,
        &[outcome(&claimed[0], Decision::Held { settle: true })],
        2,
    )
    .await;
    let open = &again(&store, &person).await.accounts[0].open[0];
    assert_eq!((open.state, open.settle), (OperationState::Held, true));
    store.retry(claimed[0].id, &context(3)).await.unwrap();
    let released = claim(&store, "app", 10, 3).await;
    assert_eq!(
        (released[0].settle, released[0].unknown_since),
        (true, Some(at(1)))
    );
}

/// A held operation that a newer plan overtakes lets the next one run.
#[tokio::test]
async fn a_held_operation_can_be_overtaken() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(&store, vec![create("app")]).await;
    let claimed = claim(&store, "app", 1, 1).await;
    record(
        &store,
        &[outcome(&claimed[0], Decision::Held { settle: false })],
        2,
    )
    .await;
    let person = again(&store, &person).await;
    let mut plan = planned(
        &person,
        vec![operation("app", Work::Disable, Priority::Deprovision, 3)],
    );
    plan.superseded = vec![claimed[0].id];
    assert_eq!(commit(&store, &[plan], 3).await.planned, 1);
    assert_eq!(verbs(&claim(&store, "app", 10, 3).await), ["disable"]);
}

/// Failed: what waits behind it is superseded, the identity is due again, and it can be released only while nothing newer stands.
#[tokio::test]
async fn a_failed_operation_takes_down_what_waits_behind_it() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(
        &store,
        vec![
            create("app"),
            operation("app", Work::Read, Priority::Change, 0),
            create("directory"),
        ],
    )
    .await;
    let claimed = claim(&store, "app", 1, 1).await;
    assert!(store.due(at(1), 10).await.unwrap().is_empty());
    record(&store, &[outcome(&claimed[0], Decision::Failed)], 2).await;
    let due = store.due(at(2), 10).await.unwrap();
    assert_eq!(due.len(), 1);
    assert!(due[0].accounts[0].open.is_empty());
    assert_eq!(due[0].accounts[1].open.len(), 1, "other accounts go on");
    let timeline = events(&store, &person).await;
    assert_eq!(
        timeline[timeline.len() - 2..],
        ["operation.failed", "operation.superseded"].map(String::from)[..]
    );

    commit(
        &store,
        &[planned(
            &due[0],
            vec![operation("app", Work::Read, Priority::Change, 0)],
        )],
        3,
    )
    .await;
    let refused = store.retry(claimed[0].id, &context(4)).await;
    assert!(
        matches!(&refused, Err(StoreError::Stale(m)) if m.contains("newer")),
        "{refused:?}"
    );
    let newer = claim(&store, "app", 10, 4).await;
    record(&store, &[outcome(&newer[0], Decision::Done)], 5).await;
    store.retry(claimed[0].id, &context(6)).await.unwrap();
    assert_eq!(claim(&store, "app", 10, 6).await[0].id, claimed[0].id);
}

/// That `find` saw nothing is kept with the operation, for the current attempt only.
#[tokio::test]
async fn absence_is_recorded_before_a_create() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    one_person(&store, vec![create("app")]).await;
    let claimed = claim(&store, "app", 1, 1).await;
    let (number, attempt) = (claimed[0].number, claimed[0].attempt);
    let none = Claim::default();
    let wrong = store
        .record_and_claim(&[(number, attempt + 1)], &[], &none, &context(2))
        .await;
    assert_eq!(wrong.unwrap().fenced, [number]);
    let right = store
        .record_and_claim(&[(number, attempt)], &[], &none, &context(3))
        .await;
    assert!(right.unwrap().fenced.is_empty());
    drop(store);
    let store = database.open(at(10)).await;
    store.recover(&context(10)).await.unwrap();
    assert_eq!(claim(&store, "app", 1, 10).await[0].absence_seen_at, Some(at(3)));
}

/// Lists by state, target and identity, newest first; totals agree.
#[tokio::test]
async fn operations_are_listed_and_counted() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 3).await;
    let plan: Vec<_> = rows
        .iter()
        .map(|row| planned(row, vec![create("app"), create("directory")]))
        .collect();
    commit(&store, &plan, 1).await;
    let claimed = claim(&store, "app", 1, 2).await;
    record(&store, &[done_as(&claimed[0], "x")], 3).await;
    claim(&store, "directory", 1, 3).await;

    let all = store
        .operations(&OperationFilter {
            limit: 100,
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!(all[0].key, "p02", "newest first");
    for (filter, expected) in [
        (
            OperationFilter {
                states: vec![OperationState::Done],
                limit: 9,
                ..Default::default()
            },
            1,
        ),
        (
            OperationFilter {
                states: vec![OperationState::Ready, OperationState::Claimed],
                limit: 9,
                ..Default::default()
            },
            5,
        ),
        (
            OperationFilter {
                target: Some(name("app")),
                limit: 9,
                ..Default::default()
            },
            3,
        ),
        (
            OperationFilter {
                identity: Some(rows[1].reference),
                limit: 9,
                ..Default::default()
            },
            2,
        ),
        (
            OperationFilter {
                limit: 4,
                ..Default::default()
            },
            4,
        ),
    ] {
        assert_eq!(
            store.operations(&filter).await.unwrap().len(),
            expected,
            "{filter:?}"
        );
    }
    let totals: Vec<_> = store
        .operation_totals()
        .await
        .unwrap()
        .into_iter()
        .map(|one| (one.target.to_string(), one.state, one.operations))
        .collect();
    assert_eq!(
        totals,
        [
            ("app".to_owned(), OperationState::Ready, 2),
            ("app".to_owned(), OperationState::Done, 1),
            ("directory".to_owned(), OperationState::Ready, 2),
            ("directory".to_owned(), OperationState::Claimed, 1),
        ]
    );
}

/// A look at the queue that finds nothing leaves no trace.
#[tokio::test]
async fn an_idle_claim_writes_nothing() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    one_person(&store, vec![operation("app", Work::Read, Priority::Change, 100)]).await;
    let before = (
        store.versions().await.unwrap(),
        store.audit_tail(1).await.unwrap(),
    );
    assert!(claim(&store, "app", 10, 5).await.is_empty());
    assert_eq!(
        (
            store.versions().await.unwrap(),
            store.audit_tail(1).await.unwrap()
        ),
        before
    );
}
