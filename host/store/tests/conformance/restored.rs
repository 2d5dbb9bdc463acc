//! A store that was restored from an earlier moment: nothing is written on the strength of what it remembers.

use usher_lifecycle::operation::OperationState;
use usher_store::{Freezing as _, StoreError};

use super::*;

/// One has an account and a disable in the queue, one a creation under way, one a creation that waits.
#[tokio::test]
async fn a_restored_store_is_frozen_and_reads_before_it_writes() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let people = people(&store, 3).await;
    let plan: Vec<Planned> = people
        .iter()
        .map(|one| planned(one, vec![create("app")]))
        .collect();
    commit(&store, &plan, 1).await;
    let claimed = claim(&store, "app", 2, 2).await;
    record(&store, &[done_as(&claimed[0], "x1")], 3).await;
    let first = again(&store, &people[0]).await;
    let disable = operation("app", Work::Disable, Priority::Deprovision, 3);
    commit(&store, &[planned(&first, vec![disable])], 4).await;

    let marked = store.mark_restored(&context(10)).await.unwrap();
    assert_eq!((marked.accounts, marked.creations, marked.superseded), (1, 1, 1));
    let frozen = store.frozen().await.unwrap().unwrap();
    assert_eq!(frozen.since, at(10));
    assert!(
        frozen
            .reason
            .contains("restored to the state of 2026-03-02T08:00:04Z"),
        "{}",
        frozen.reason
    );
    assert!(claim(&store, "app", 10, 11).await.is_empty());

    let rows: Vec<IdentityRow> = store.identities_page(None, 10).await.unwrap();
    assert_eq!(rows[0].accounts[0].observed.state, AccountState::Unknown);
    assert_eq!(rows[0].accounts[0].observed.external_id.as_deref(), Some("x1"));
    assert!(rows[0].accounts[0].open.is_empty(), "planned anew");
    // What this writer has under way is its own; the other looks before it creates.
    let open = |row: &IdentityRow| (row.accounts[0].open[0].state, row.accounts[0].open[0].settle);
    assert_eq!(open(&rows[1]), (OperationState::Claimed, false));
    assert_eq!(open(&rows[2]), (OperationState::Ready, true));
    assert!(
        events(&store, &people[0])
            .await
            .contains(&"operation.superseded".to_owned())
    );
    assert_eq!(store.due(at(11), 10).await.unwrap().len(), 2);
    store.audit_verify().await.unwrap();

    // A second time marks only what is new.
    let again = store.mark_restored(&context(12)).await.unwrap();
    assert_eq!((again.accounts, again.superseded), (0, 0));
    store.thaw("looked at", &context(13)).await.unwrap();
    assert_eq!(claim(&store, "app", 10, 14).await.len(), 1);
}

/// A freeze holds on every opening, keeps its first reason, and a thaw says why.
#[tokio::test]
async fn a_freeze_outlives_its_writer() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    one_person(&store, vec![create("app")]).await;
    store.freeze("HR sent nonsense", &context(2)).await.unwrap();
    store.freeze("again", &context(3)).await.unwrap();
    drop(store);
    let store = database.open(at(4)).await;
    assert_eq!(store.frozen().await.unwrap().unwrap().reason, "HR sent nonsense");
    assert!(claim(&store, "app", 1, 5).await.is_empty());
    store.thaw("HR sent better", &context(6)).await.unwrap();
    store.thaw("again", &context(7)).await.unwrap();
    assert_eq!(claim(&store, "app", 1, 8).await.len(), 1);
    let told: Vec<String> = store
        .audit_tail(100)
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.event)
        .collect();
    let count = |event: &str| told.iter().filter(|one| *one == event).count();
    assert_eq!((count("store.frozen"), count("store.thawed")), (1, 1));
}

/// What was accepted, and when: a thaw asks for it.
#[tokio::test]
async fn the_newest_import_of_each_source_is_known() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    assert!(store.imports_accepted().await.unwrap().is_empty());
    import(&store, "hr", &[upsert("p0", "first")], 1).await;
    import(&store, "hr", &[upsert("p0", "second")], 5).await;
    import(&store, "contractors", &[upsert("c0", "first")], 3).await;
    store
        .refuse(snapshot("hr"), "too many bad rows", &context(9))
        .await
        .unwrap();
    assert_eq!(
        store.imports_accepted().await.unwrap(),
        [(name("contractors"), at(3)), (name("hr"), at(5))]
    );
    // An import between two pages would mix two moments: it is noticed.
    let index = store.source_index(&name("hr")).await.unwrap();
    assert_eq!(index.len(), 1);
    let id = store.begin_snapshot(snapshot("hr"), &context(10)).await.unwrap();
    store.stage(id, &[upsert("p1", "new")]).await.unwrap();
    store.accept(id, &context(10)).await.unwrap();
    let half = store.source_index(&name("hr")).await;
    assert!(matches!(half, Err(StoreError::Stale(_))), "{half:?}");
}
