//! Erasing a person.

use usher_lifecycle::account::AccountState;
use usher_lifecycle::facts::HoldKind;
use usher_store::{Erasure, PersonalFacts, StoreError};

use super::personal::{by, hold};
use super::*;
use crate::database;

/// What must not be found anywhere afterwards.
const SECRET_NAME: &str = "Zebulon Quartermain";

/// A person with a past: facts that changed, an account that was made and deleted, and is departed now. `listed`: hr still lists them.
async fn departed(store: &impl Store, listed: bool) -> IdentityRow {
    import(
        store,
        "hr",
        &[upsert("zq-1", "first"), upsert("other", "first")],
        0,
    )
    .await;
    import(store, "hr", &[upsert("zq-1", SECRET_NAME)], 1).await;
    let who = store.identity("zq-1").await.unwrap();
    let work = Work::Create {
        attributes: attributes(SECRET_NAME),
    };
    commit(
        store,
        &[planned(
            &who,
            vec![operation("app", work, Priority::Onboarding, 0)],
        )],
        2,
    )
    .await;
    let claimed = claim(store, "app", 1, 3).await;
    let mut done = done_as(&claimed[0], "zquartermain");
    done.observed.as_mut().unwrap().attributes = attributes(SECRET_NAME);
    record(store, &[done], 4).await;
    let who = again(store, &who).await;
    commit(
        store,
        &[planned(
            &who,
            vec![operation("app", Work::Delete, Priority::Deprovision, 4)],
        )],
        5,
    )
    .await;
    let claimed = claim(store, "app", 1, 6).await;
    let mut gone = outcome(&claimed[0], Decision::Done);
    gone.observed = Some(ObservedAccount::absent());
    gone.message = format!("deleted {SECRET_NAME}");
    record(store, &[gone], 7).await;
    if !listed {
        import(store, "hr", &[missing("zq-1", true)], 8).await;
    }
    let who = again(store, &who).await;
    let mut plan = planned(&who, Vec::new());
    plan.state = IdentityState::Departed;
    commit(store, &[plan], 9).await;
    again(store, &who).await
}

#[tokio::test]
async fn an_erased_person_is_a_pseudonym() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let who = departed(&store, false).await;
    store.seal(&context(10)).await.unwrap();
    let events = events(&store, &who).await;
    let rows = store.audit_verify().await.unwrap();
    assert_eq!(store.erasable("zq-1", at(11)).await.unwrap(), who.id);
    let erased = store
        .erase(who.id, "asked by the person", &context(11))
        .await
        .unwrap();
    assert_eq!(
        (erased.records, erased.accounts, erased.operations, erased.emptied),
        (1, 1, 2, 0)
    );

    // Nobody has the key any more; the pseudonym is there, empty.
    assert!(matches!(
        store.identity("zq-1").await,
        Err(StoreError::NotFound(_))
    ));
    let now = store.identity(&who.id.to_string()).await.unwrap();
    assert_eq!(now.state, Some(IdentityState::Erased));
    assert!(now.records.is_empty());
    assert!(
        now.accounts
            .iter()
            .all(|account| { account.observed == ObservedAccount::absent() && account.open.is_empty() })
    );
    // The timeline has its rows, and they say nothing.
    let timeline = store.timeline(who.reference, 100).await.unwrap();
    let mut expected = events;
    expected.push("identity.erased".to_owned());
    assert_eq!(
        timeline.iter().map(|row| row.event.clone()).collect::<Vec<_>>(),
        expected
    );
    let (last, rest) = timeline.split_last().unwrap();
    assert_eq!(last.payload["reason"], "asked by the person");
    assert!(
        rest.iter()
            .all(|row| row.payload == json!({ "erased": true }) && row.cause.links().is_empty())
    );
    assert_eq!(store.audit_verify().await.unwrap(), rows + 1);
    // The others can still be read.
    let other = store.identity("other").await.unwrap();
    assert_eq!(
        store.timeline(other.reference, 10).await.unwrap()[0].payload["source"],
        "hr"
    );
    let again = store.erase(who.id, "twice", &context(12)).await;
    assert!(matches!(again, Err(StoreError::Stale(_))));

    store.close().await.unwrap();
    let store = database.open(at(20)).await;
    store.audit_verify().await.unwrap();
    // Never due again, whatever is new; the same key in a file is somebody else.
    import(&store, "hr", &[upsert("zq-1", "somebody else")], 21).await;
    let due = store.due(at(1_000_000), 100).await.unwrap();
    assert!(due.iter().all(|row| row.id != who.id));
    assert_ne!(store.identity("zq-1").await.unwrap().id, who.id);
}

#[tokio::test]
async fn nothing_of_an_erased_person_is_in_the_tables() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let who = departed(&store, false).await;
    store
        .erase(who.id, "asked by the person", &context(11))
        .await
        .unwrap();
    // Every column that may hold text of a person.
    for (table, column) in [
        ("source_record", "attributes"),
        ("source_record", "key"),
        ("staged", "attributes"),
        ("account", "attributes"),
        ("account", "external_id"),
        ("operation", "work"),
        ("operation", "cause"),
        ("operation", "message"),
        ("audit", "cause"),
        ("audit", "payload"),
    ] {
        for trace in ["Quartermain", "zquartermain", "zq-1"] {
            let gone = format!("NOT EXISTS (SELECT 1 FROM {table} WHERE {column} LIKE '%{trace}%')");
            database.must_hold(&gone).await;
        }
    }
}

#[tokio::test]
async fn who_is_still_somewhere_is_not_erased() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let who = departed(&store, true).await;
    let refused = async |because: &str| {
        let found = store.erase(who.id, "too early", &context(20)).await;
        assert!(
            matches!(&found, Err(StoreError::Stale(why)) if why.contains(because)),
            "{found:?}"
        );
        assert!(store.erasable(&who.id.to_string(), at(20)).await.is_err());
    };
    refused("hr still lists it").await;
    // Facts that were not planned yet.
    import(&store, "hr", &[missing("zq-1", true)], 21).await;
    let found = store.erase(who.id, "too early", &context(21)).await;
    assert!(
        matches!(&found, Err(StoreError::Stale(why)) if why.contains("not planned")),
        "{found:?}"
    );
    for (state, because) in [
        (IdentityState::Leaving, "leaving"),
        (IdentityState::Active, "active"),
    ] {
        let row = again(&store, &who).await;
        let mut plan = planned(&row, Vec::new());
        plan.state = state;
        commit(&store, &[plan], 22).await;
        refused(because).await;
    }
    // An operation under way, then an account that is there.
    let row = again(&store, &who).await;
    let mut plan = planned(&row, vec![operation("app", Work::Read, Priority::Reconcile, 22)]);
    plan.state = IdentityState::Departed;
    commit(&store, &[plan], 23).await;
    refused("not at an end").await;
    let claimed = claim(&store, "app", 1, 24).await;
    record(&store, &[done_as(&claimed[0], "zquartermain")], 25).await;
    let row = again(&store, &who).await;
    assert_eq!(row.accounts[0].observed.state, AccountState::Enabled);
    refused("app: there is still an account, enabled").await;
}

/// What happened may still matter to whoever set the hold.
#[tokio::test]
async fn who_is_on_hold_is_not_erased() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let who = departed(&store, false).await;
    store
        .add_fact(
            who.id,
            &hold(HoldKind::Security, Some(50)),
            "inquiry 7",
            &by("ann", 10),
        )
        .await
        .unwrap();
    let mut plan = planned(&again(&store, &who).await, Vec::new());
    plan.state = IdentityState::Departed;
    commit(&store, &[plan], 11).await;
    for found in [
        store.erasable("zq-1", at(49)).await.err(),
        store.erase(who.id, "too early", &context(49)).await.err(),
    ] {
        let Some(StoreError::Stale(why)) = found else {
            panic!("{found:?}")
        };
        assert!(
            why.contains("a hold is in force: security hold by person ann until") && !why.contains("inquiry"),
            "{why}"
        );
    }
    store.erasable("zq-1", at(50)).await.unwrap();
    store
        .erase(who.id, "asked by the person", &context(50))
        .await
        .unwrap();
}
