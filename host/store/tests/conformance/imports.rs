//! Imports: staged, accepted, absorbed; a crash anywhere loses nothing and halves nothing.

use usher_lifecycle::cause::Actor;
use usher_store::{SnapshotState, StoreError};

use super::*;

/// A crash while staging leaves nothing; the next import of the source throws it away.
#[tokio::test]
async fn a_crash_while_staging_leaves_nothing() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let lost = store.begin_snapshot(snapshot("hr"), &context(0)).await.unwrap();
    store.stage(lost, &[upsert("a", "x")]).await.unwrap();
    drop(store);

    let store = database.open(at(1)).await;
    assert_eq!(store.absorb(100).await.unwrap(), 0);
    assert!(store.identities_page(None, 10).await.unwrap().is_empty());
    import(&store, "hr", &[upsert("b", "y")], 2).await;
    let known = store.identities_page(None, 10).await.unwrap();
    assert_eq!(
        known
            .iter()
            .map(|row| row.records[0].key.as_str())
            .collect::<Vec<_>>(),
        ["b"]
    );
    let refused = store.accept(lost, &context(3)).await;
    assert!(matches!(refused, Err(StoreError::Stale(_))), "{refused:?}");
    let states: Vec<SnapshotState> = store
        .snapshots(10)
        .await
        .unwrap()
        .into_iter()
        .map(|snapshot| snapshot.state)
        .collect();
    assert_eq!(states, [SnapshotState::Absorbed, SnapshotState::Refused]);
}

/// What is accepted takes effect although the process ends before and while it is absorbed, and nothing is planned until then.
#[tokio::test]
async fn what_is_accepted_takes_effect_whatever_happens() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let id = store.begin_snapshot(snapshot("hr"), &context(0)).await.unwrap();
    store
        .stage(id, &[upsert("a", "x"), upsert("b", "y")])
        .await
        .unwrap();
    drop(store);
    let store = database.open(at(1)).await;
    store.stage(id, &[upsert("c", "z")]).await.unwrap();
    store.accept(id, &context(1)).await.unwrap();
    drop(store);

    let store = database.open(at(2)).await;
    for refused in [
        store.due(at(2), 10).await.err(),
        store.source_index(&name("hr")).await.err(),
        store.begin_snapshot(snapshot("hr"), &context(2)).await.err(),
    ] {
        assert!(matches!(refused, Some(StoreError::Stale(_))), "{refused:?}");
    }
    assert_eq!(store.absorb(2).await.unwrap(), 1);
    drop(store);

    let store = database.open(at(3)).await;
    assert!(matches!(store.due(at(3), 10).await, Err(StoreError::Stale(_))));
    assert_eq!(store.absorb(2).await.unwrap(), 0);
    let due = store.due(at(3), 10).await.unwrap();
    assert_eq!(
        due.iter()
            .map(|row| row.records[0].key.as_str())
            .collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    assert_eq!(
        store.snapshots(1).await.unwrap()[0].state,
        SnapshotState::Absorbed
    );
    assert_eq!(store.snapshots(1).await.unwrap()[0].changes, 3);
    assert_eq!(store.audit_verify().await.unwrap(), 6);
}

/// Two imports of one source at the same time: the one that began first cannot be accepted any more.
#[tokio::test]
async fn an_overtaken_import_cannot_be_accepted() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let first = store.begin_snapshot(snapshot("hr"), &context(0)).await.unwrap();
    store.stage(first, &[upsert("a", "old")]).await.unwrap();
    let second = store.begin_snapshot(snapshot("hr"), &context(1)).await.unwrap();
    let other = store.begin_snapshot(snapshot("crm"), &context(1)).await.unwrap();
    store.stage(second, &[upsert("a", "new")]).await.unwrap();
    store.accept(second, &context(2)).await.unwrap();
    for late in [
        store.stage(first, &[upsert("b", "old")]).await,
        store.accept(first, &context(3)).await,
    ] {
        assert!(matches!(late, Err(StoreError::Stale(_))), "{late:?}");
    }
    let twice = store.accept(second, &context(3)).await;
    assert!(matches!(twice, Err(StoreError::Stale(_))), "{twice:?}");
    // Another source is another matter.
    store.accept(other, &context(3)).await.unwrap();
    absorb_all(&store).await;
    let known = store.identities_page(None, 10).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].records[0].attributes, attributes("new"));
}

/// A refused import is remembered with its reason and changes nothing.
#[tokio::test]
async fn a_refused_import_changes_nothing() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let before = store.versions().await.unwrap();
    store
        .refuse(snapshot("hr"), "a tenth of yesterday's rows", &context(1))
        .await
        .unwrap();
    let listed = store.snapshots(10).await.unwrap();
    assert_eq!(listed[0].state, SnapshotState::Refused);
    assert_eq!(listed[0].reason.as_deref(), Some("a tenth of yesterday's rows"));
    assert_eq!(listed[0].file_digest, [7; 32]);
    assert_eq!(store.versions().await.unwrap(), before);
    assert_eq!(store.absorb(10).await.unwrap(), 0);
    assert_eq!(store.audit_tail(1).await.unwrap()[0].event, "import.refused");
}

/// A key staged twice counts once, with its last change.
#[tokio::test]
async fn a_key_staged_twice_counts_once() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let id = store.begin_snapshot(snapshot("hr"), &context(0)).await.unwrap();
    store
        .stage(id, &[upsert("a", "1"), upsert("a", "2"), upsert("b", "1")])
        .await
        .unwrap();
    store.stage(id, &[upsert("a", "3")]).await.unwrap();
    store.accept(id, &context(0)).await.unwrap();
    absorb_all(&store).await;
    assert_eq!(store.snapshots(1).await.unwrap()[0].changes, 2);
    assert_eq!(
        store.identity("a").await.unwrap().records[0].attributes,
        attributes("3")
    );
}

/// Facts grow a version and make the identity dirty exactly when they change; the timeline says what changed from what to what.
#[tokio::test]
async fn a_change_of_facts_is_versioned_and_told() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let before = people(&store, 2).await.remove(0);
    let all = store.identities_page(None, 10).await.unwrap();
    commit(
        &store,
        &all.iter().map(|row| planned(row, vec![])).collect::<Vec<_>>(),
        1,
    )
    .await;
    let versions = store.versions().await.unwrap();
    assert!(store.due(at(1), 10).await.unwrap().is_empty());

    import(&store, "hr", &[upsert("p00", "second")], 2).await;
    let due = store.due(at(2), 10).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].facts_version, before.facts_version + 1);
    assert_eq!(due[0].records[0].attributes, attributes("second"));
    assert!(store.versions().await.unwrap().facts > versions.facts);

    let timeline = store.timeline(before.reference, 10).await.unwrap();
    let last = timeline.last().unwrap();
    assert_eq!(last.event, "identity.facts-changed");
    assert_eq!(last.actor, Actor::Source(name("hr")));
    assert_eq!(last.at, at(2));
    assert_eq!(last.cause.to_string(), "hr: import of people.csv");
    assert_eq!(
        last.payload["changes"]["name"],
        serde_json::json!({ "from": "first", "to": "second" })
    );
}

/// Missing once is remembered; confirmed, it is a fact; back again, it is over.
#[tokio::test]
async fn absence_counts_when_confirmed_and_ends_when_the_record_is_back() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = people(&store, 1).await.remove(0);
    commit(&store, &[planned(&person, vec![])], 1).await;

    import(&store, "hr", &[missing("p00", false)], 2).await;
    let index = store.source_index(&name("hr")).await.unwrap();
    assert_eq!((index["p00"].missing_snapshots, index["p00"].absent), (1, false));
    assert!(store.due(at(2), 10).await.unwrap().is_empty());

    import(
        &store,
        "hr",
        &[missing("p00", true), missing("never-known", true)],
        3,
    )
    .await;
    let index = store.source_index(&name("hr")).await.unwrap();
    assert_eq!((index["p00"].missing_snapshots, index["p00"].absent), (2, true));
    assert_eq!(index.len(), 1);
    let due = store.due(at(3), 10).await.unwrap();
    assert_eq!(due[0].records[0].absent_since, Some(at(3)));

    // Still missing: since when does not move.
    import(&store, "hr", &[missing("p00", true)], 4).await;
    assert_eq!(again(&store, &person).await.records[0].absent_since, Some(at(3)));

    let gone = again(&store, &person).await;
    import(&store, "hr", &[upsert("p00", "first")], 5).await;
    let back = again(&store, &person).await;
    assert_eq!(back.records[0].absent_since, None);
    assert_eq!(back.facts_version, gone.facts_version + 1);
    assert_eq!(
        store.source_index(&name("hr")).await.unwrap()["p00"].missing_snapshots,
        0
    );
    assert_eq!(
        events(&store, &person).await,
        [
            "identity.created",
            "identity.state-changed",
            "identity.missing",
            "identity.facts-changed",
            "identity.missing",
            "identity.facts-changed",
        ]
    );
}

/// Seen without being readable ends a row of absences and changes nothing else: not the attributes, and no absence already confirmed.
#[tokio::test]
async fn being_there_ends_a_row_of_absences() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = people(&store, 1).await.remove(0);
    import(&store, "hr", &[missing("p00", false)], 1).await;
    import(&store, "hr", &[present("p00"), present("never-known")], 2).await;
    let index = store.source_index(&name("hr")).await.unwrap();
    assert_eq!((index["p00"].missing_snapshots, index["p00"].absent), (0, false));
    assert_eq!(index.len(), 1);
    assert_eq!(again(&store, &person).await.records, person.records);
    assert_eq!(again(&store, &person).await.facts_version, person.facts_version);
    assert_eq!(
        events(&store, &person).await,
        ["identity.created", "identity.missing", "identity.present"]
    );

    import(&store, "hr", &[missing("p00", true)], 3).await;
    let gone = again(&store, &person).await;
    import(&store, "hr", &[present("p00")], 4).await;
    assert_eq!(again(&store, &person).await, gone);
    assert!(store.source_index(&name("hr")).await.unwrap()["p00"].absent);
}

/// An import that changes nothing leaves the version of the facts, and with it every plan, as it was.
#[tokio::test]
async fn an_import_without_changes_makes_no_plan_stale() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    people(&store, 1).await;
    let before = store.versions().await.unwrap();
    import(&store, "hr", &[], 1).await;
    assert_eq!(
        store.snapshots(1).await.unwrap()[0].state,
        SnapshotState::Absorbed
    );
    assert_eq!(store.versions().await.unwrap(), before);
    assert_eq!(store.audit_tail(1).await.unwrap()[0].event, "import.accepted");
    import(&store, "hr", &[upsert("p00", "second")], 2).await;
    assert!(store.versions().await.unwrap().facts > before.facts);
}

/// The same key in two sources is two people for now; asking for the key names both.
#[tokio::test]
async fn a_key_in_two_sources_is_two_people() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    import(&store, "hr", &[upsert("a", "x")], 0).await;
    import(&store, "crm", &[upsert("a", "y")], 1).await;
    let both = store.identities_page(None, 10).await.unwrap();
    assert_eq!(both.len(), 2);
    let Err(StoreError::Stale(message)) = store.identity("a").await else {
        panic!("not ambiguous")
    };
    for identity in &both {
        assert!(message.contains(&identity.id.to_string()), "{message}");
        assert_eq!(&store.identity(&identity.id.to_string()).await.unwrap(), identity);
    }
    let nobody = store.identity("\u{1b}[31mnobody").await;
    assert!(
        matches!(&nobody, Err(StoreError::NotFound(m)) if !m.contains('\u{1b}')),
        "{nobody:?}"
    );
}

/// Keys and values of any script and any control character come back as they went in.
#[tokio::test]
async fn any_text_survives() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let odd = [
        "Zoë",
        "李",
        "a\"b\\c",
        "a'b;--",
        "a",
        "line\nbreak",
        "\u{10ffff}",
        "",
    ];
    let records: Vec<_> = odd.iter().map(|text| upsert(text, text)).collect();
    import(&store, "hr", &records, 0).await;
    for text in odd {
        let found = store.identity(text).await.unwrap();
        assert_eq!(
            (found.records[0].key.as_str(), &found.records[0].attributes),
            (text, &attributes(text))
        );
    }
    store.audit_verify().await.unwrap();
}
