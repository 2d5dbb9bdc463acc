//! Budgets: what one cause does beyond them is held whole, a trickle above them; people release and reject.

use usher_lifecycle::budget::{Budget, Budgets, Counted, Thresholds};
use usher_lifecycle::operation::OperationState;
use usher_store::{Freezing as _, HeldCause, HeldCauses, HeldState, Judged, OperationFilter, StoreError};

use super::*;

/// At most so many disabled within an hour.
pub(crate) fn at_most(most: u32) -> Thresholds {
    share(Some(most), None)
}

fn share(most: Option<u32>, percent: Option<u8>) -> Thresholds {
    let disable = Budget {
        most,
        percent,
        per_hours: 1,
    };
    Thresholds {
        every: Budgets {
            disable: Some(disable),
            delete: Some(disable),
            create: None,
        },
        ..Thresholds::default()
    }
}

fn budgeted(work: Work) -> NewOperation {
    NewOperation {
        budgeted: true,
        ..operation("app", work, Priority::Deprovision, 0)
    }
}

pub(crate) fn disable() -> NewOperation {
    budgeted(Work::Disable)
}

/// Everybody gets one operation that counts.
pub(crate) async fn plan_for(store: &impl Store, people: &[IdentityRow], seconds: i64) {
    let plan: Vec<Planned> = people.iter().map(|one| planned(one, vec![disable()])).collect();
    assert_eq!(commit(store, &plan, seconds).await.stale, 0);
}

pub(crate) async fn judge(store: &impl Store, thresholds: &Thresholds, seconds: i64) -> Judged {
    let versions = store.versions().await.unwrap();
    store
        .judge_causes(thresholds, versions, &context(seconds))
        .await
        .unwrap()
}

fn judged(let_go: u64, held: u64) -> Judged {
    Judged { let_go, held }
}

async fn held(store: &impl Store) -> Vec<HeldCause> {
    store.held_causes(100).await.unwrap()
}

async fn only(store: &impl Store) -> HeldCause {
    let mut held = held(store).await;
    assert_eq!(held.len(), 1, "{held:?}");
    held.remove(0)
}

/// Changes one person by an import of its own, and plans a disable for them.
pub(crate) async fn one_more(store: &impl Store, person: &IdentityRow, seconds: i64) {
    let key = &person.records[0].key;
    import(store, "hr", &[upsert(key, &format!("at {seconds}"))], seconds).await;
    plan_for(store, &[again(store, person).await], seconds).await;
}

async fn ended(store: &impl Store, claimed: &[ClaimedOperation], seconds: i64) {
    let outcomes: Vec<Outcome> = claimed.iter().map(|one| outcome(one, Decision::Done)).collect();
    assert!(record(store, &outcomes, seconds).await.is_empty());
}

#[tokio::test]
async fn one_cause_beyond_its_budget_is_held_whole_before_any_of_it_runs() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 40).await;
    let (some, others) = everybody.split_at(25);
    plan_for(&store, some, 1).await;
    assert_eq!(only(&store).await.state, HeldState::Gathering);
    assert!(
        claim(&store, "app", 100, 1).await.is_empty(),
        "half of a cause ran"
    );
    assert_eq!(
        judge(&store, &at_most(20), 1).await,
        judged(0, 0),
        "the others are not planned yet"
    );
    plan_for(&store, others, 2).await;
    assert_eq!(judge(&store, &at_most(20), 2).await, judged(0, 40));
    assert_eq!(
        judge(&store, &at_most(20), 2).await,
        judged(0, 0),
        "twice does nothing"
    );
    assert!(
        claim(&store, "app", 100, 7_200).await.is_empty(),
        "time alone lets nothing go"
    );

    let cause = only(&store).await;
    assert_eq!((cause.operations, cause.counted), (40, Counted::Disable));
    assert_eq!(cause.cause, "import of people.csv by source hr");
    assert_eq!(cause.examples.len(), 3);
    assert!(cause.why.contains("20 allowed, 0 used"), "{}", cause.why);
    let row = again(&store, &everybody[0]).await;
    let message = row.accounts[0].open[0].message.clone();
    assert_eq!(message, Some(cause.why.clone()), "the person's own view says why");

    let refused = store
        .release_cause(cause.id, Some(39), "looked", &context(3))
        .await;
    assert!(matches!(refused, Err(StoreError::Stale(_))), "{refused:?}");
    let released = store
        .release_cause(cause.id, Some(40), "looked", &context(3))
        .await;
    assert_eq!(released.unwrap(), 40);
    assert_eq!(claim(&store, "app", 100, 4).await.len(), 40);
    assert!(held(&store).await.is_empty());
    let again = store.release_cause(cause.id, None, "looked", &context(5)).await;
    assert!(matches!(again, Err(StoreError::NotFound(_))), "{again:?}");
    assert!(
        events(&store, &everybody[0])
            .await
            .contains(&"operation.released".to_owned())
    );
    store.audit_verify().await.unwrap();
}

#[tokio::test]
async fn what_fits_runs_and_what_has_run_is_counted_until_the_window_is_over() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 30).await;
    plan_for(&store, &everybody, 1).await;
    assert_eq!(judge(&store, &at_most(30), 1).await, judged(30, 0));
    let claimed = claim(&store, "app", 100, 2).await;
    assert_eq!(claimed.len(), 30);
    ended(&store, &claimed[..29], 10).await;
    one_more(&store, &everybody[0], 20).await;
    assert_eq!(judge(&store, &at_most(30), 20).await, judged(0, 1));
    // An hour after the end of the others: what still runs counts, however long ago it was let go.
    one_more(&store, &everybody[1], 3_611).await;
    assert_eq!(judge(&store, &at_most(1), 3_611).await, judged(0, 1));
    ended(&store, &claimed[29..], 3_612).await;
    one_more(&store, &everybody[2], 7_300).await;
    assert_eq!(judge(&store, &at_most(1), 7_300).await, judged(1, 0));
}

#[tokio::test]
async fn a_trickle_is_held_above_the_budget_as_one_entry() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 8).await;
    commit(
        &store,
        &everybody
            .iter()
            .map(|one| planned(one, vec![]))
            .collect::<Vec<_>>(),
        1,
    )
    .await;
    let mut let_go = 0;
    for (person, seconds) in everybody.iter().zip(10..) {
        one_more(&store, person, seconds).await;
        let_go += judge(&store, &at_most(3), seconds).await.let_go;
    }
    assert_eq!(let_go, 3);
    assert_eq!(claim(&store, "app", 100, 30).await.len(), 3);
    let cause = only(&store).await;
    assert_eq!((cause.operations, cause.state), (5, HeldState::Held));
    assert_eq!(cause.cause, "small changes, one after the other");
}

#[tokio::test]
async fn rejected_stays_until_the_plan_overtakes_it_and_can_still_be_released() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 12).await;
    plan_for(&store, &everybody, 1).await;
    judge(&store, &at_most(0), 1).await;
    let cause = only(&store).await;
    let by_hand = Context {
        actor: Actor::Person("ann".to_owned()),
        at: at(2),
    };
    assert_eq!(
        store
            .reject_cause(cause.id, None, "wrong file", &by_hand)
            .await
            .unwrap(),
        12
    );
    assert_eq!(
        store
            .reject_cause(cause.id, None, "wrong file", &by_hand)
            .await
            .unwrap(),
        12,
        "again"
    );
    assert_eq!(
        judge(&store, &at_most(100), 3).await,
        judged(0, 0),
        "a larger budget changes no decision"
    );
    assert_eq!(judge(&store, &Thresholds::default(), 3).await, judged(0, 0));
    assert!(claim(&store, "app", 100, 9_000).await.is_empty());
    assert_eq!(only(&store).await.why, "rejected by person ann: wrong file");

    // What the plan overtakes is not rejected any more.
    let first = again(&store, &everybody[0]).await;
    let open = first.accounts[0].open[0].id;
    let overtaking = Planned {
        superseded: vec![open],
        ..planned(&first, vec![])
    };
    commit(&store, &[overtaking], 4).await;
    assert_eq!(only(&store).await.operations, 11);
    let retried = store
        .retry(
            again(&store, &everybody[1]).await.accounts[0].open[0].id,
            &context(5),
        )
        .await;
    assert!(matches!(retried, Err(StoreError::Stale(_))), "{retried:?}");
    assert_eq!(
        store
            .release_cause(cause.id, None, "right after all", &by_hand)
            .await
            .unwrap(),
        11
    );
    assert_eq!(claim(&store, "app", 100, 6).await.len(), 11);
}

#[tokio::test]
async fn single_operations_are_released_and_rejected_apart() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 15).await;
    plan_for(&store, &everybody, 1).await;
    judge(&store, &at_most(0), 1).await;
    let cause = only(&store).await;
    let page = store.held_operations(cause.id, None, 10).await.unwrap();
    let rest = store
        .held_operations(cause.id, Some(page[9].id), 10)
        .await
        .unwrap();
    assert_eq!((page.len(), rest.len()), (10, 5));
    assert!(page.iter().all(|one| one.state == OperationState::Held));

    store
        .release_operation(page[0].id, "she left", &context(2))
        .await
        .unwrap();
    let again = store.release_operation(page[0].id, "she left", &context(2)).await;
    assert!(matches!(again, Err(StoreError::Stale(_))), "{again:?}");
    store
        .reject_operation(page[1].id, "he stays", &context(2))
        .await
        .unwrap();
    store
        .reject_operation(page[1].id, "he stays", &context(2))
        .await
        .unwrap();
    assert_eq!(claim(&store, "app", 100, 3).await.len(), 1);
    let states: Vec<(HeldState, u64)> = held(&store)
        .await
        .iter()
        .map(|one| (one.state, one.operations))
        .collect();
    assert_eq!(states, [(HeldState::Held, 13), (HeldState::Rejected, 1)]);
    store
        .release_cause(cause.id, None, "looked", &context(4))
        .await
        .unwrap();
    assert_eq!(
        claim(&store, "app", 100, 5).await.len(),
        13,
        "the rejected one stays"
    );
    assert_eq!(only(&store).await.why, "rejected by usher: he stays");
    let unknown = store
        .release_operation(OperationId::from_parts(at(0), &[9; 10]), "x", &context(4))
        .await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))), "{unknown:?}");
}

#[tokio::test]
async fn security_holds_are_never_held_and_count() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 3).await;
    let urgent = || operation("app", Work::Disable, Priority::SecurityHold, 0);
    let plan: Vec<Planned> = everybody[..2]
        .iter()
        .map(|one| planned(one, vec![urgent()]))
        .collect();
    commit(&store, &plan, 1).await;
    assert_eq!(
        claim(&store, "app", 10, 1).await.len(),
        2,
        "before anything was judged"
    );
    plan_for(&store, &everybody[2..], 2).await;
    assert_eq!(judge(&store, &at_most(2), 2).await, judged(0, 1));
    assert_eq!(
        judge(&store, &at_most(3), 3).await,
        judged(1, 0),
        "another budget judges anew"
    );
}

#[tokio::test]
async fn what_was_released_does_not_use_up_the_budget() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 13).await;
    plan_for(&store, &everybody[..12], 1).await;
    plan_for(&store, &everybody[12..], 1).await;
    judge(&store, &at_most(1), 1).await;
    store
        .release_cause(only(&store).await.id, None, "looked", &context(2))
        .await
        .unwrap();
    let claimed = claim(&store, "app", 100, 3).await;
    ended(&store, &claimed, 4).await;
    one_more(&store, &everybody[0], 5).await;
    assert_eq!(judge(&store, &at_most(1), 5).await, judged(1, 0));
}

#[tokio::test]
async fn a_share_is_of_the_accounts_there_are() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 20).await;
    let plan: Vec<Planned> = everybody
        .iter()
        .map(|one| planned(one, vec![create("app")]))
        .collect();
    commit(&store, &plan, 1).await;
    let claimed = claim(&store, "app", 100, 1).await;
    let there: Vec<Outcome> = claimed
        .iter()
        .zip(0..)
        .map(|(one, n)| done_as(one, &format!("a{n}")))
        .collect();
    record(&store, &there, 2).await;
    let quarter = share(None, Some(25));
    for (person, seconds) in everybody[..6].iter().zip(10..) {
        one_more(&store, person, seconds).await;
        let fits = seconds < 15;
        assert_eq!(
            judge(&store, &quarter, seconds).await,
            judged(u64::from(fits), u64::from(!fits)),
            "at {seconds}"
        );
    }
}

#[tokio::test]
async fn what_stands_behind_another_operation_waits_for_both() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = people(&store, 1).await.remove(0);
    let first = operation("app", Work::Disable, Priority::Deprovision, 0);
    commit(
        &store,
        &[planned(&person, vec![first, budgeted(Work::Delete)])],
        1,
    )
    .await;
    judge(&store, &at_most(0), 1).await;
    let claimed = claim(&store, "app", 10, 1).await;
    assert_eq!(verbs(&claimed), ["disable"]);
    let held = only(&store).await;
    store
        .release_cause(held.id, None, "looked", &context(2))
        .await
        .unwrap();
    assert!(
        claim(&store, "app", 10, 2).await.is_empty(),
        "the disable is under way"
    );
    ended(&store, &claimed, 3).await;
    assert_eq!(verbs(&claim(&store, "app", 10, 3).await), ["delete"]);
}

#[tokio::test]
async fn what_a_given_up_operation_leaves_behind_is_not_held_for_ever() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = people(&store, 1).await.remove(0);
    let first = operation("app", Work::Disable, Priority::Deprovision, 0);
    commit(
        &store,
        &[planned(&person, vec![first, budgeted(Work::Delete)])],
        1,
    )
    .await;
    judge(&store, &at_most(0), 1).await;
    let claimed = claim(&store, "app", 10, 1).await;
    record(&store, &[outcome(&claimed[0], Decision::Failed)], 2).await;
    assert!(held(&store).await.is_empty());
    let open = OperationFilter {
        states: vec![OperationState::Held, OperationState::Waiting],
        limit: 10,
        ..OperationFilter::default()
    };
    assert!(store.operations(&open).await.unwrap().is_empty());
}

/// What follows from an outcome belongs to the cause of before; but what a person said no to is decided: it is judged for itself.
#[tokio::test]
async fn what_comes_after_a_decision_is_judged_for_itself() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 14).await;
    let follows = |person: &IdentityRow| planned(person, vec![create("directory")]);
    let plan: Vec<Planned> = everybody[..12]
        .iter()
        .map(|one| planned(one, vec![disable()]))
        .chain(everybody[12..].iter().map(follows))
        .collect();
    commit(&store, &plan, 1).await;
    judge(&store, &at_most(0), 1).await;
    let rejected = only(&store).await;
    store
        .reject_cause(rejected.id, None, "wrong file", &context(2))
        .await
        .unwrap();
    let outcomes: Vec<Outcome> = claim(&store, "directory", 10, 3)
        .await
        .iter()
        .map(|one| Outcome {
            dirty: true,
            ..done_as(one, &format!("d{}", one.number))
        })
        .collect();
    assert_eq!(outcomes.len(), 2);
    record(&store, &outcomes, 4).await;
    plan_for(&store, &[again(&store, &everybody[12]).await], 5).await;
    plan_for(&store, &[again(&store, &everybody[13]).await], 5).await;
    assert_eq!(judge(&store, &at_most(1), 5).await, judged(0, 2));
    let told = store.audit_tail(1).await.unwrap().remove(0).event;
    assert_eq!(told, "held-cause.held");
    assert_eq!(judge(&store, &at_most(2), 6).await, judged(2, 0));
    assert_eq!(claim(&store, "app", 10, 7).await.len(), 2);
    assert_eq!(only(&store).await.operations, 12);
}

/// A leaver whose date has come while something else made them due leaves by the clock.
#[tokio::test]
async fn a_date_that_changes_the_state_is_the_cause() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 12).await;
    let plan: Vec<Planned> = everybody
        .iter()
        .map(|one| Planned {
            next_change_at: Some(at(50)),
            ..planned(one, vec![])
        })
        .collect();
    commit(&store, &plan, 1).await;
    let all: Vec<StagedRecord> = everybody
        .iter()
        .map(|one| upsert(&one.records[0].key, "second"))
        .collect();
    import(&store, "hr", &all, 60).await;
    let mut left = Vec::new();
    for person in &everybody {
        let person = again(&store, person).await;
        left.push(Planned {
            state: IdentityState::Leaving,
            ..planned(&person, vec![disable()])
        });
    }
    // One is Active before and after: the import concerns them, not the date.
    left[0].state = IdentityState::Active;
    assert_eq!(commit(&store, &left, 60).await.stale, 0);
    let mut causes: Vec<(String, u64)> = held(&store)
        .await
        .into_iter()
        .map(|one| (one.cause, one.operations))
        .collect();
    causes.sort();
    let expected = [
        ("dates that came due".to_owned(), 11),
        ("import of people.csv by source hr".to_owned(), 1),
    ];
    assert_eq!(causes, expected);
}

/// A name makes the plan stale; it is made again for the reason it was made.
#[tokio::test]
async fn who_gets_a_name_is_due_for_the_same_reason() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 3).await;
    let none: Vec<Planned> = everybody
        .iter()
        .map(|one| Planned {
            next_change_at: (one.reference == everybody[1].reference).then(|| at(50)),
            ..planned(one, vec![])
        })
        .collect();
    commit(&store, &none, 1).await;
    import(&store, "hr", &[upsert(&everybody[2].records[0].key, "new")], 2).await;
    let requests: Vec<_> = everybody
        .iter()
        .map(|one| super::names::request(one, "app", &["a", "b", "c"]))
        .collect();
    for name in usher_store::Reservations::reserve(&store, &requests, &context(60))
        .await
        .unwrap()
    {
        name.unwrap();
    }
    let mut rows = Vec::new();
    for person in &everybody {
        rows.push(again(&store, person).await);
    }
    plan_for(&store, &rows, 60).await;
    let causes: Vec<String> = held(&store).await.into_iter().map(|one| one.cause).collect();
    let expected = [
        "policy 0 and targets 0",
        "dates that came due",
        "import of people.csv by source hr",
    ];
    assert_eq!(causes.len(), 3, "{causes:?}");
    assert!(
        expected.iter().all(|one| causes.contains(&(*one).to_owned())),
        "{causes:?}"
    );
}

#[tokio::test]
async fn what_is_being_added_to_another_is_not_decided_on() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 24).await;
    plan_for(&store, &everybody[..12], 1).await;
    import(&store, "hr", &[upsert("p99", "more")], 2).await;
    let mut others = Vec::new();
    let all: Vec<StagedRecord> = everybody[12..]
        .iter()
        .map(|one| upsert(&one.records[0].key, "second"))
        .collect();
    import(&store, "hr", &all, 3).await;
    for person in &everybody[12..] {
        others.push(again(&store, person).await);
    }
    plan_for(&store, &others, 4).await;
    let rest: Vec<Planned> = store
        .due(at(4), 10)
        .await
        .unwrap()
        .iter()
        .map(|one| planned(one, vec![]))
        .collect();
    commit(&store, &rest, 4).await;
    judge(&store, &at_most(0), 5).await;
    let causes = held(&store).await;
    assert_eq!(causes.len(), 2, "{causes:?}");
    // As a crash between judging and moving leaves it.
    database
        .raw("UPDATE held_cause SET joins = (SELECT min(id) FROM held_cause) WHERE id = (SELECT max(id) FROM held_cause)")
        .await
        .unwrap();
    for (cause, says) in [(&causes[0], "being added"), (&causes[1], "was added to held_")] {
        for refused in [
            store.release_cause(cause.id, None, "looked", &context(6)).await,
            store.reject_cause(cause.id, None, "looked", &context(6)).await,
        ] {
            let Err(StoreError::Stale(message)) = refused else {
                panic!("{refused:?}")
            };
            assert!(message.contains(says), "{message}");
        }
    }
    // Another round moves them.
    import(&store, "hr", &[upsert("p98", "more")], 7).await;
    judge(&store, &at_most(0), 7).await;
    assert_eq!(only(&store).await.operations, 24);
    assert_eq!(
        store
            .reject_cause(causes[0].id, Some(24), "wrong", &context(8))
            .await
            .unwrap(),
        24
    );
    let again = store
        .reject_cause(causes[0].id, Some(23), "wrong", &context(8))
        .await;
    assert!(matches!(again, Err(StoreError::Stale(_))), "{again:?}");
}

/// What nobody ever tried may still be overtaken after a restore; let go, it looks before it creates.
#[tokio::test]
async fn a_creation_that_only_a_budget_holds_settles_when_it_is_let_go() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let everybody = people(&store, 3).await;
    let held_creation = || NewOperation {
        budgeted: true,
        ..create("app")
    };
    let plan: Vec<Planned> = everybody
        .iter()
        .map(|one| planned(one, vec![held_creation()]))
        .collect();
    commit(&store, &plan, 1).await;
    let mut none = at_most(0);
    none.every.create = none.every.disable;
    judge(&store, &none, 1).await;
    let cause = only(&store).await;
    store.mark_restored(&context(10)).await.unwrap();
    for person in &everybody {
        let row = again(&store, person).await;
        assert!(!row.accounts[0].open[0].settle, "the plan could not overtake it");
    }
    let one = again(&store, &everybody[0]).await.accounts[0].open[0].id;
    store
        .release_operation(one, "looked", &context(11))
        .await
        .unwrap();
    store
        .release_cause(cause.id, Some(2), "looked", &context(11))
        .await
        .unwrap();
    store.thaw("looked at", &context(13)).await.unwrap();
    let claimed = claim(&store, "app", 10, 14).await;
    assert_eq!(claimed.iter().filter(|one| one.settle).count(), 3);
}
