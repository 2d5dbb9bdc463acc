//! Stopping access now: what security holds ask for is claimed where nothing else is, and what is in their way is marked.

use usher_lifecycle::facts::HoldKind;
use usher_store::{Cut, Freezing, InTheWay, PersonalFacts, Recorded, Rest, Stopping};

use super::personal::{by, hold};
use super::*;

fn urgent(target: &str) -> NewOperation {
    operation(target, Work::Disable, Priority::SecurityHold, 0)
}

/// Claims nothing but what security holds ask for.
async fn claim_urgent(store: &impl Operations, targets: &[(&str, u32)], seconds: i64) -> Recorded {
    let claim = Claim {
        urgent: from(targets).targets,
        ..Claim::default()
    };
    store
        .record_and_claim(&[], &[], &claim, &context(seconds))
        .await
        .unwrap()
}

#[tokio::test]
async fn only_security_holds_pass_a_rest_and_a_freeze() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 4).await;
    let plan: Vec<_> = rows
        .iter()
        .enumerate()
        .map(|(n, row)| {
            let one = if n % 2 == 0 { urgent("app") } else { create("app") };
            planned(row, vec![one])
        })
        .collect();
    commit(&store, &plan, 1).await;
    let resting = Claim {
        rests: vec![Rest {
            target: name("app"),
            until: at(3_600),
            reason: "refused".to_owned(),
        }],
        ..from(&[("app", 1)])
    };
    let recorded = store
        .record_and_claim(&[], &[], &resting, &context(5))
        .await
        .unwrap();
    assert_eq!(recorded.resting.len(), 1);
    assert_eq!(verbs(&recorded.claimed), ["disable"], "as many as were asked for");
    assert_eq!(
        store.next_due().await.unwrap(),
        Some(at(0)),
        "it waits for no rest"
    );

    store.freeze("HR sent nonsense", &context(6)).await.unwrap();
    let frozen = store
        .record_and_claim(&[], &[], &from(&[("app", 9), ("nowhere", 9)]), &context(7))
        .await
        .unwrap();
    assert_eq!(verbs(&frozen.claimed), ["disable"]);
    assert!(frozen.frozen.is_some_and(|freeze| !freeze.all));
}

#[tokio::test]
async fn what_is_claimed_for_security_holds_alone_is_nothing_else() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 3).await;
    let plan = [
        planned(
            &rows[0],
            vec![
                urgent("app"),
                operation("app", Work::Delete, Priority::Deprovision, 0),
            ],
        ),
        planned(&rows[1], vec![create("app")]),
        planned(
            &rows[2],
            vec![operation("app", Work::Disable, Priority::SecurityHold, 50)],
        ),
    ];
    commit(&store, &plan, 1).await;
    assert!(
        claim_urgent(&store, &[("directory", 9)], 5)
            .await
            .claimed
            .is_empty()
    );
    let first = claim_urgent(&store, &[("app", 9), ("directory", 9)], 5)
        .await
        .claimed;
    assert_eq!(verbs(&first), ["disable"]);
    assert_eq!(store.next_urgent_due(at(5)).await.unwrap(), Some(at(50)));
    assert_eq!(store.next_urgent_due(at(50)).await.unwrap(), None);
    record(&store, &[outcome(&first[0], Decision::Done)], 6).await;
    let later = claim_urgent(&store, &[("app", 9)], 50).await.claimed;
    assert_eq!(later.len(), 1, "not what stood behind the first");
    assert_eq!(later[0].identity, rows[2].reference);
}

#[tokio::test]
async fn a_freeze_of_everything_lets_nothing_pass_and_is_ended_by_a_thaw() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    one_person(&store, vec![urgent("app")]).await;
    store.freeze("HR sent nonsense", &context(2)).await.unwrap();
    store.freeze_all("all of it", &context(3)).await.unwrap();
    store.freeze("again", &context(4)).await.unwrap();
    store.freeze_all("again", &context(4)).await.unwrap();
    let freeze = store.frozen().await.unwrap().unwrap();
    assert_eq!(
        (freeze.reason.as_str(), freeze.since, freeze.all),
        ("HR sent nonsense", at(2), true)
    );
    let frozen = claim_urgent(&store, &[("app", 9)], 5).await;
    assert!(frozen.claimed.is_empty() && frozen.frozen == Some(freeze));
    let told = store.audit_tail(100).await.unwrap();
    let froze: Vec<_> = told
        .iter()
        .filter(|row| row.event == "store.frozen")
        .map(|row| row.payload["all"].clone())
        .collect();
    assert_eq!(froze, [false, true]);
    store.thaw("looked at", &context(6)).await.unwrap();
    store.freeze("once more", &context(7)).await.unwrap();
    assert!(!store.frozen().await.unwrap().unwrap().all);
    assert_eq!(claim_urgent(&store, &[("app", 9)], 8).await.claimed.len(), 1);
}

/// A plan that marks one operation.
fn marking(row: &IdentityRow, seconds: i64) -> Planned {
    Planned {
        in_the_way: vec![InTheWay {
            operation: row.accounts[0].open[0].id,
            until: at(seconds),
        }],
        replan: true,
        ..planned(row, Vec::new())
    }
}

#[tokio::test]
async fn what_is_under_way_is_marked_once_for_its_attempt() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let update = operation("app", Work::Enable, Priority::Change, 0);
    let person = one_person(&store, vec![update]).await;
    let claimed = claim(&store, "app", 1, 2).await;
    assert!(store.cuts().await.unwrap().is_empty());
    let row = again(&store, &person).await;
    commit(&store, &[marking(&row, 8)], 3).await;
    let row = again(&store, &person).await;
    commit(&store, &[marking(&row, 99)], 4).await;
    let expected = Cut {
        number: claimed[0].number,
        attempt: 1,
        at: at(8),
    };
    assert_eq!(store.cuts().await.unwrap(), [expected]);
    let count = |events: &[String]| {
        events
            .iter()
            .filter(|event| *event == "operation.hastened")
            .count()
    };
    assert_eq!(count(&events(&store, &person).await), 1);

    let back = Decision::Retry {
        at: at(5),
        settle: true,
        counts: true,
    };
    record(&store, &[outcome(&claimed[0], back)], 5).await;
    let due = store.due(at(5), 10).await.unwrap();
    assert_eq!(due.len(), 1, "its outcome makes the identity due");
    let second = claim(&store, "app", 1, 6).await;
    assert_eq!((second[0].attempt, second[0].priority), (2, Priority::Change));
    assert!(
        store.cuts().await.unwrap().is_empty(),
        "a new attempt is not marked"
    );
}

#[tokio::test]
async fn a_creation_that_may_be_there_becomes_as_urgent_as_what_waits_for_it() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(&store, vec![create("app")]).await;
    let lost = claim(&store, "app", 1, 2).await;
    let back = Decision::Retry {
        at: at(900),
        settle: true,
        counts: true,
    };
    record(&store, &[outcome(&lost[0], back)], 3).await;
    assert!(claim_urgent(&store, &[("app", 1)], 4).await.claimed.is_empty());
    let row = again(&store, &person).await;
    commit(&store, &[marking(&row, 9)], 4).await;
    let found = claim_urgent(&store, &[("app", 1)], 5).await.claimed;
    assert_eq!(verbs(&found), ["create"]);
    assert!(found[0].settle && found[0].priority == Priority::SecurityHold);
}

/// Where its target runs nothing by itself, nobody else would ever end what a dead host had in hand.
#[tokio::test]
async fn who_waited_for_a_host_that_is_gone_is_planned_again() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(&store, vec![operation("app", Work::Enable, Priority::Change, 0)]).await;
    claim(&store, "app", 1, 2).await;
    let row = again(&store, &person).await;
    commit(&store, &[marking(&row, 8)], 3).await;
    drop(store);
    let store = database.open(at(60)).await;
    assert_eq!(store.recover(&context(60)).await.unwrap(), 1);
    assert_eq!(store.due(at(60), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn who_is_on_a_security_hold_is_planned_first_and_listed_until_access_has_ended() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 3).await;
    let plan: Vec<_> = rows.iter().map(|row| planned(row, vec![create("app")])).collect();
    commit(&store, &plan, 1).await;
    let made = claim(&store, "app", 9, 2).await;
    let outcomes: Vec<_> = made
        .iter()
        .enumerate()
        .map(|(n, one)| done_as(one, &format!("x{n}")))
        .collect();
    record(&store, &outcomes, 2).await;
    let (first, second) = (rows[1].id, rows[2].id);
    let set = |kind| hold(kind, None);
    let security = store
        .add_fact(first, &set(HoldKind::Security), "stolen", &by("ada", 3))
        .await
        .unwrap();
    store
        .add_fact(second, &set(HoldKind::Manual), "asked", &by("ada", 3))
        .await
        .unwrap();
    let due = store.due_at_once(at(4), 10).await.unwrap();
    assert_eq!(due.iter().map(|row| row.id).collect::<Vec<_>>(), [first]);
    assert_eq!(store.not_stopped(at(4), 10).await.unwrap(), [first]);
    assert!(store.not_stopped(at(4), 0).await.unwrap().is_empty());
    commit(&store, &[planned(&due[0], vec![urgent("app")])], 5).await;
    assert!(store.due_at_once(at(5), 10).await.unwrap().is_empty(), "planned");
    let claimed = claim(&store, "app", 1, 6).await;
    let disabled = Outcome {
        observed: Some(ObservedAccount {
            state: AccountState::Disabled,
            ..claimed[0].observed.clone()
        }),
        ..outcome(&claimed[0], Decision::Done)
    };
    record(&store, &[disabled], 6).await;
    assert!(store.not_stopped(at(7), 10).await.unwrap().is_empty());
    store.end_fact(security, "found", &by("ada", 8)).await.unwrap();
    assert!(
        store.due_at_once(at(8), 10).await.unwrap().is_empty(),
        "due in its turn"
    );
    assert!(!store.is_absorbing().await.unwrap());
}
