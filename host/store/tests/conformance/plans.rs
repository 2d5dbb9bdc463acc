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
    let due = store
        .due(at(2), store.versions().await.unwrap(), 10)
        .await
        .unwrap();
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
    let versions = store.versions().await.unwrap();
    assert_eq!(store.next_change().await.unwrap(), Some(at(100)));
    assert!(store.due(at(99), versions, 10).await.unwrap().is_empty());
    let due = store.due(at(100), versions, 10).await.unwrap();
    assert_eq!((due.len(), due[0].next_change_at), (1, Some(at(100))));
    commit(&store, &[planned(&due[0], vec![])], 100).await;
    assert_eq!(store.next_change().await.unwrap(), None);
    assert_eq!(
        store.identity_totals().await.unwrap(),
        [(Some(usher_lifecycle::state::IdentityState::Active), 1)]
    );
}

/// A new document makes everybody due once, and a plan made under the old one is refused.
#[tokio::test]
async fn a_new_document_makes_everybody_due() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 3).await;
    let old = store.versions().await.unwrap();
    commit(
        &store,
        &rows.iter().map(|row| planned(row, vec![])).collect::<Vec<_>>(),
        1,
    )
    .await;
    assert!(store.due(at(1), old, 10).await.unwrap().is_empty());

    for (kind, expected) in [(DocumentKind::Policy, (1, 0)), (DocumentKind::Targets, (1, 1))] {
        let document = NewDocument {
            kind,
            text: "a = 1".to_owned(),
            resolved: serde_json::json!({}),
        };
        store.activate(document, &context(2)).await.unwrap();
        let versions = store.versions().await.unwrap();
        assert_eq!((versions.policy, versions.targets), expected);
        let due = store.due(at(2), versions, 2).await.unwrap();
        assert_eq!(due.len(), 2, "the limit holds");
        let due = store.due(at(2), versions, 10).await.unwrap();
        assert_eq!(due.len(), 3);
        let plan: Vec<_> = due.iter().map(|row| planned(row, vec![])).collect();
        let refused = store.commit_plan(&plan, old, &context(2)).await;
        assert!(matches!(refused, Err(StoreError::Stale(_))), "{refused:?}");
        assert_eq!(commit(&store, &plan, 2).await.planned, 3);
        assert!(store.due(at(2), versions, 10).await.unwrap().is_empty());
    }
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
