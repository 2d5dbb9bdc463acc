//! Plans: guarded by what they were made from.

use usher_lifecycle::operation::OperationState;
use usher_store::{DocumentKind, NewDocument, OperationFilter, StoreError};

use super::*;

/// A plan made from facts that changed meanwhile is not recorded; the others of the call are.
#[tokio::test]
async fn a_stale_plan_is_not_recorded() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 2).await;
    import(&store, "hr", &[upsert("p00", "second")], 1).await;
    let plan: Vec<_> = rows.iter().map(|row| planned(row, vec![create("app")])).collect();
    let done = commit(&store, &plan, 2).await;
    assert_eq!((done.planned, done.stale, done.operations), (1, 1, 1));
    let due = store.due(at(2), 10).await.unwrap();
    assert_eq!(
        due.iter().map(|row| row.reference).collect::<Vec<_>>(),
        [rows[0].reference]
    );
    assert!(due[0].accounts.is_empty());
}

/// The same plan twice adds its operations once.
#[tokio::test]
async fn the_same_plan_twice_counts_once() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = people(&store, 1).await.remove(0);
    assert_eq!(
        commit(&store, &[planned(&person, vec![create("app")])], 1)
            .await
            .operations,
        1
    );
    assert_eq!(
        commit(&store, &[planned(&person, vec![create("app")])], 1)
            .await
            .stale,
        1
    );
    assert_eq!(again(&store, &person).await.accounts[0].open.len(), 1);
}

/// An operation claimed meanwhile cannot be overtaken: the plan is stale as a whole.
#[tokio::test]
async fn a_claimed_operation_is_not_overtaken() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(&store, vec![create("app")]).await;
    let mut plan = planned(&person, vec![operation("app", Work::Read, Priority::Change, 2)]);
    plan.superseded = vec![person.accounts[0].open[0].id];
    assert_eq!(claim(&store, "app", 1, 2).await.len(), 1);
    let done = commit(&store, &[plan], 2).await;
    assert_eq!((done.planned, done.stale, done.operations), (0, 1, 0));
    let open = &again(&store, &person).await.accounts[0].open;
    assert_eq!(
        open.iter().map(|one| one.state).collect::<Vec<_>>(),
        [OperationState::Claimed]
    );
}

/// An outcome recorded meanwhile makes a plan stale: it saw an older account.
#[tokio::test]
async fn an_outcome_meanwhile_makes_a_plan_stale() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(&store, vec![create("app")]).await;
    let claimed = claim(&store, "app", 1, 2).await;
    let seen = again(&store, &person).await;
    record(&store, &[done_as(&claimed[0], "x1")], 3).await;
    assert_eq!(commit(&store, &[planned(&seen, vec![])], 3).await.stale, 1);
}

/// Overtaken operations end, the new ones take their place, and the first of each account is ready.
#[tokio::test]
async fn a_newer_plan_overtakes_what_has_not_started() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let grant = Work::Grant {
        entitlement: "staff".to_owned(),
        parameters: serde_json::Value::Null,
    };
    let person = one_person(
        &store,
        vec![
            create("app"),
            operation("app", grant, Priority::Onboarding, 0),
            create("directory"),
        ],
    )
    .await;
    let states = |row: &IdentityRow, n: usize| -> Vec<OperationState> {
        row.accounts[n].open.iter().map(|one| one.state).collect()
    };
    assert_eq!(
        states(&person, 0),
        [OperationState::Ready, OperationState::Waiting]
    );
    assert_eq!(states(&person, 1), [OperationState::Ready]);

    let mut plan = planned(&person, vec![operation("app", Work::Read, Priority::Change, 2)]);
    plan.superseded = vec![person.accounts[0].open[0].id];
    commit(&store, &[plan], 2).await;
    let now = again(&store, &person).await;
    assert_eq!(states(&now, 0), [OperationState::Ready, OperationState::Waiting]);
    assert_eq!(
        now.accounts[0]
            .open
            .iter()
            .map(|one| one.work.verb())
            .collect::<Vec<_>>(),
        ["grant", "read"]
    );
    assert_eq!(claim(&store, "app", 10, 3).await.len(), 1);
    let filter = OperationFilter {
        states: vec![OperationState::Superseded],
        limit: 10,
        ..Default::default()
    };
    let ended = store.operations(&filter).await.unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (ended[0].key.as_str(), ended[0].at, ended[0].work.verb()),
        ("p00", at(2), "create")
    );
}

/// Time alone makes an identity due; recording it again is enough.
#[tokio::test]
async fn a_change_by_itself_is_due_when_its_time_comes() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = people(&store, 1).await.remove(0);
    let mut plan = planned(&person, vec![]);
    plan.next_change_at = Some(at(100));
    commit(&store, &[plan], 1).await;
    assert_eq!(store.next_change().await.unwrap(), Some(at(100)));
    assert!(store.due(at(99), 10).await.unwrap().is_empty());
    let due = store.due(at(100), 10).await.unwrap();
    assert_eq!((due.len(), due[0].next_change_at), (1, Some(at(100))));
    commit(&store, &[planned(&due[0], vec![])], 100).await;
    assert_eq!(store.next_change().await.unwrap(), None);
    assert_eq!(
        store.identity_totals().await.unwrap(),
        [(Some(usher_lifecycle::state::IdentityState::Active), 1)]
    );
}

/// After a new document everybody is looked through once, in order, and a plan made under the old one is refused.
#[tokio::test]
async fn a_new_document_has_everybody_looked_through() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 4).await;
    let old = store.versions().await.unwrap();
    let all: Vec<_> = rows.iter().map(|row| planned(row, vec![])).collect();
    commit(&store, &all, 1).await;
    assert_eq!(
        page(&store, 10).await,
        (None, vec![]),
        "a new store has no documents"
    );
    store.looked_through(old, None).await.unwrap();
    assert!(store.outdated(at(1), old, 10).await.unwrap().is_none());

    for (kind, base) in [(DocumentKind::Policy, (0, 0)), (DocumentKind::Targets, (1, 0))] {
        let before = store.versions().await.unwrap();
        activate(&store, kind, "a = 1").await;
        let versions = store.versions().await.unwrap();
        let refused = store.commit_plan(&all, old, &context(2)).await;
        assert!(matches!(refused, Err(StoreError::Stale(_))), "{refused:?}");
        let refused = store.outdated(at(2), before, 10).await;
        assert!(matches!(refused, Err(StoreError::Stale(_))), "{refused:?}");
        assert!(
            store.due(at(2), 10).await.unwrap().is_empty(),
            "nothing of theirs changed"
        );

        let base = usher_store::DocumentVersions {
            policy: base.0,
            targets: base.1,
        };
        assert_eq!(page(&store, 2).await, (Some(base), vec![0, 1]));
        store
            .looked_through(versions, Some(rows[1].reference))
            .await
            .unwrap();
        // Not back, and not by who looked under older documents.
        store
            .looked_through(versions, Some(rows[0].reference))
            .await
            .unwrap();
        store.looked_through(before, None).await.unwrap();
        // Who was planned meanwhile is as the new document wants them.
        let row = again(&store, &rows[2]).await;
        commit(&store, &[planned(&row, vec![])], 3).await;
        assert_eq!(page(&store, 10).await, (None, vec![3]));
        store.looked_through(versions, None).await.unwrap();
        assert!(store.outdated(at(3), versions, 10).await.unwrap().is_none());
    }
}

/// Where a look is cut short by another version, nobody knows any more as which version everybody is.
#[tokio::test]
async fn a_look_that_was_cut_short_begins_anew_and_from_nothing() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 3).await;
    let all: Vec<_> = rows.iter().map(|row| planned(row, vec![])).collect();
    commit(&store, &all, 1).await;
    store
        .looked_through(store.versions().await.unwrap(), None)
        .await
        .unwrap();
    activate(&store, DocumentKind::Policy, "a = 1").await;
    let versions = store.versions().await.unwrap();
    store
        .looked_through(versions, Some(rows[1].reference))
        .await
        .unwrap();
    activate(&store, DocumentKind::Policy, "a = 2").await;
    assert_eq!(page(&store, 10).await, (None, vec![0, 1, 2]));
    // Who is dirty is planned anyway.
    import(&store, "hr", &[upsert("p01", "second")], 5).await;
    assert_eq!(page(&store, 10).await, (None, vec![0, 2]));
}

/// What `outdated` answers, by the places of the people.
async fn page(
    store: &(impl usher_store::Store + ?Sized),
    limit: u32,
) -> (Option<usher_store::DocumentVersions>, Vec<usize>) {
    let versions = store.versions().await.unwrap();
    let outdated = store.outdated(at(2), versions, limit).await.unwrap().unwrap();
    let place = |row: &IdentityRow| row.records[0].key[1..].parse().unwrap();
    (outdated.base, outdated.rows.iter().map(place).collect())
}

async fn activate(store: &(impl usher_store::Store + ?Sized), kind: DocumentKind, text: &str) {
    let document = NewDocument {
        kind,
        text: text.to_owned(),
        resolved: serde_json::json!({}),
    };
    store.activate(document, &context(2)).await.unwrap();
}

/// More than fits one transaction is recorded in several, whole identities each.
#[tokio::test]
async fn a_large_plan_is_recorded_whole() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let records: Vec<_> = (0..700).map(|i| upsert(&format!("n{i}"), "first")).collect();
    let id = store.begin_snapshot(snapshot("hr"), &context(0)).await.unwrap();
    store.stage(id, &records).await.unwrap();
    store.accept(id, &context(0)).await.unwrap();
    while store.absorb(1_000).await.unwrap() > 0 {}
    let rows = store.identities_page(None, 1_000).await.unwrap();
    assert_eq!(rows.len(), 700);
    let plan: Vec<_> = rows
        .iter()
        .map(|row| planned(row, vec![create("app"), create("directory")]))
        .collect();
    let done = commit(&store, &plan, 1).await;
    assert_eq!((done.planned, done.stale, done.operations), (700, 0, 1_400));
    let totals = store.operation_totals().await.unwrap();
    let counts: Vec<_> = totals
        .iter()
        .map(|one| (one.target.as_str(), one.state, one.operations))
        .collect();
    assert_eq!(
        counts,
        [
            ("app", OperationState::Ready, 700),
            ("directory", OperationState::Ready, 700)
        ]
    );
    store.audit_verify().await.unwrap();
}
