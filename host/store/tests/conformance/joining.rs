//! Several records of one person: what tells that they belong together, and a person's word where nothing does.

use usher_lifecycle::facts::HoldKind;
use usher_store::{Erasure as _, StoreError};

use super::*;

/// A record with what others are joined by.
fn joined(key: &str, value: &str, join: Option<&str>) -> StagedRecord {
    let attributes = attributes(value);
    let mut digest = digest(&attributes);
    digest[0] ^= join.map_or(0, |join| join.len() as u8);
    StagedRecord {
        key: key.to_owned(),
        change: Change::Upsert {
            attributes,
            digest,
            join: join.map(ToOwned::to_owned),
        },
    }
}

/// Whose records they are: the keys of each person, people in the order they were made.
async fn families(store: &impl Store) -> Vec<Vec<String>> {
    let people = store.identities_page(None, 100).await.unwrap();
    let keys = |row: IdentityRow| {
        let mut keys: Vec<String> = row
            .records
            .iter()
            .map(|record| format!("{}/{}", record.source, record.key))
            .collect();
        keys.sort();
        keys
    };
    people.into_iter().map(keys).collect()
}

#[tokio::test]
async fn records_that_say_the_same_are_one_persons_whatever_source_and_import_they_came_with() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    // Two in one chunk, one in the next chunk, one that says nothing.
    let first = [
        joined("c1", "first", Some("7")),
        joined("c2", "second", Some("7")),
        joined("c3", "third", Some("7")),
        joined("c4", "other", None),
        joined("c5", "other", None),
    ];
    import(&store, "hr", &first, 0).await;
    import(&store, "badges", &[joined("b1", "badge", Some("7"))], 1).await;
    assert_eq!(
        families(&store).await,
        [
            vec!["badges/b1", "hr/c1", "hr/c2", "hr/c3"],
            vec!["hr/c4"],
            vec!["hr/c5"]
        ]
    );
    let person = store.identities_page(None, 1).await.unwrap().remove(0);
    assert!(person.holds.is_empty());
    assert_eq!(
        events(&store, &person).await,
        [
            "identity.created",
            "identity.record-joined",
            "identity.record-joined",
            "identity.record-joined"
        ]
    );

    // A record that joins makes its person due; one that is there stays whatever it says now.
    commit(&store, &[planned(&person, Vec::new())], 2).await;
    import(&store, "badges", &[joined("b2", "badge", Some("7"))], 3).await;
    assert_eq!(store.due(at(3), 10).await.unwrap()[0].id, person.id);
    import(&store, "badges", &[joined("b2", "badge", Some("88"))], 4).await;
    let people = families(&store).await;
    assert_eq!(people[0].len(), 5, "{people:?}");
}

#[tokio::test]
async fn what_records_are_joined_by_can_be_said_later() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    import(&store, "hr", &[joined("a", "first", None)], 0).await;
    let person = store.identities_page(None, 1).await.unwrap().remove(0);
    commit(&store, &[planned(&person, Vec::new())], 1).await;

    import(&store, "hr", &[joined("a", "first", Some("7"))], 2).await;
    let after = again(&store, &person).await;
    assert_eq!(
        after.facts_version, person.facts_version,
        "nothing is new about the person"
    );
    import(&store, "badges", &[joined("b", "badge", Some("7"))], 3).await;
    assert_eq!(families(&store).await, [vec!["badges/b", "hr/a"]]);
    // What a record is missing from or back in is no word about it.
    import(&store, "hr", &[missing("a", false)], 4).await;
    import(&store, "hr", &[present("a")], 5).await;
    import(&store, "badges", &[joined("c", "badge", Some("7"))], 6).await;
    assert_eq!(families(&store).await, [vec!["badges/b", "badges/c", "hr/a"]]);
}

#[tokio::test]
async fn a_record_that_may_be_several_peoples_is_somebody_new_on_hold_until_a_person_decides() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    import(
        &store,
        "hr",
        &[joined("a", "first", None), joined("b", "second", None)],
        0,
    )
    .await;
    // Both turn out to say the same.
    import(
        &store,
        "hr",
        &[joined("a", "first", Some("7")), joined("b", "second", Some("7"))],
        1,
    )
    .await;
    import(&store, "badges", &[joined("x", "badge", Some("7"))], 2).await;
    let people = store.identities_page(None, 10).await.unwrap();
    assert_eq!(
        families(&store).await,
        [vec!["hr/a"], vec!["hr/b"], vec!["badges/x"]]
    );
    let held = &people[2].holds;
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].kind, held[0].from), (HoldKind::Manual, at(2)));
    assert!(
        held[0].reason.contains("usher identity join"),
        "{}",
        held[0].reason
    );
    assert_eq!(
        events(&store, &people[2]).await,
        ["identity.created", "hold.added"]
    );

    let (second, third) = (people[1].id, people[2].id);
    let badges = name("badges");
    store
        .move_record(&badges, "x", second, "asked her", &context(3))
        .await
        .unwrap();
    assert_eq!(
        families(&store).await,
        [vec!["hr/a"], vec!["badges/x", "hr/b"], Vec::new()]
    );
    for row in [&people[1], &people[2]] {
        let after = again(&store, row).await;
        assert_eq!(after.facts_version, row.facts_version + 1);
        assert_eq!(events(&store, row).await.last().unwrap(), "identity.record-moved");
    }
    let twice = store
        .move_record(&badges, "x", second, "again", &context(4))
        .await;
    assert!(matches!(twice, Err(StoreError::Stale(_))), "{twice:?}");
    let nothing = store.move_record(&badges, "y", third, "why", &context(4)).await;
    assert!(matches!(nothing, Err(StoreError::NotFound(_))), "{nothing:?}");
    let speechless = store.move_record(&badges, "x", third, " ", &context(4)).await;
    assert!(speechless.is_err());
}

#[tokio::test]
async fn nobody_with_accounts_is_left_without_a_record() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 2).await;
    commit(&store, &[planned(&rows[0], vec![create("app")])], 1).await;
    let claimed = claim(&store, "app", 1, 2).await.remove(0);
    record(&store, &[done_as(&claimed, "id-1")], 3).await;
    let refused = store
        .move_record(&name("hr"), "p00", rows[1].id, "the same man", &context(4))
        .await;
    assert!(
        matches!(&refused, Err(StoreError::Stale(why)) if why.contains("the only record")),
        "{refused:?}"
    );
    assert_eq!(families(&store).await, [vec!["hr/p00"], vec!["hr/p01"]]);
    // Nor is somebody whose account is about to be made.
    let third = upsert("p02", "third");
    import(&store, "hr", &[third], 4).await;
    let third = store.identities_page(None, 10).await.unwrap().remove(2);
    commit(&store, &[planned(&third, vec![create("app")])], 4).await;
    let refused = store
        .move_record(&name("hr"), "p02", rows[0].id, "the same man", &context(4))
        .await;
    assert!(matches!(refused, Err(StoreError::Stale(_))), "{refused:?}");
    // Who has none can be: the other way round.
    store
        .move_record(&name("hr"), "p01", rows[0].id, "the same man", &context(5))
        .await
        .unwrap();
    assert_eq!(
        families(&store).await,
        [vec!["hr/p00", "hr/p01"], Vec::new(), vec!["hr/p02"]]
    );
    let empty = again(&store, &rows[1]).await;
    assert_eq!(empty.state, Some(IdentityState::Departed), "and can be erased");
    let mut nobody = planned(&empty, Vec::new());
    nobody.state = IdentityState::Departed;
    commit(&store, &[nobody], 6).await;
    store.erase(empty.id, "nobody", &context(7)).await.unwrap();
}

/// What a record says in the same file counts, not what it said before: whichever is absorbed first.
#[tokio::test]
async fn who_says_something_else_from_now_on_is_not_joined() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    import(&store, "hr", &[joined("m", "Ann", Some("a.lee@x"))], 0).await;
    // Alan gets the address that Ann had; his key comes before hers and after hers.
    let file = [
        joined("a", "Alan", Some("a.lee@x")),
        joined("m", "Ann", Some("ann.lee@x")),
        joined("z", "Ann again", Some("ann.lee@x")),
    ];
    import(&store, "hr", &file, 1).await;
    assert_eq!(families(&store).await, [vec!["hr/m", "hr/z"], vec!["hr/a"]]);
}

#[tokio::test]
async fn who_says_it_for_the_first_time_is_joined_in_the_same_file() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    import(&store, "hr", &[joined("m", "Ann", None)], 0).await;
    let file = [
        joined("a", "Ann's other contract", Some("7")),
        joined("m", "Ann", Some("7")),
        joined("z", "Ann's third", Some("7")),
    ];
    import(&store, "hr", &file, 1).await;
    assert_eq!(families(&store).await, [vec!["hr/a", "hr/m", "hr/z"]]);
}

/// A word for `not known` makes no person of many.
#[tokio::test]
async fn too_many_records_with_one_word_are_no_person() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let file: Vec<StagedRecord> = (0..50)
        .map(|n| joined(&format!("c{n:02}"), "x", Some("unknown")))
        .collect();
    import(&store, "hr", &file, 0).await;
    let people = store.identities_page(None, 100).await.unwrap();
    let largest = people.iter().map(|row| row.records.len()).max();
    assert_eq!((people.len(), largest), (31, Some(20)));
    assert!(people[1..].iter().all(|row| row.holds.len() == 1));
}
