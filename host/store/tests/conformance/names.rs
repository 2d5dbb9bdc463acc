//! Reserved names: one person's in a target, whoever asks at the same moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use usher_lifecycle::reservation::{NameWanted, Reservation};
use usher_store::{Erasure, KeyChanges, NameRequest, NamesTaken, Reservations, SqlStore, StoreError};

use super::*;
use crate::database;

const BAR: SignedDuration = SignedDuration::from_secs(100);

pub(crate) fn request(identity: &IdentityRow, target: &str, candidates: &[&str]) -> NameRequest {
    NameRequest {
        identity: identity.reference,
        wanted: NameWanted {
            slot: slot(target),
            attribute: "login".to_owned(),
            candidates: candidates.iter().map(|name| (*name).to_owned()).collect(),
        },
        bar: BAR,
    }
}

async fn reserve(
    store: &SqlStore,
    requests: &[NameRequest],
    seconds: i64,
) -> Vec<Result<String, NamesTaken>> {
    let found = store.reserve(requests, &context(seconds)).await.unwrap();
    found.into_iter().map(|one| one.map(|one| one.value)).collect()
}

async fn one(
    store: &SqlStore,
    who: &IdentityRow,
    candidates: &[&str],
    seconds: i64,
) -> Result<String, NamesTaken> {
    reserve(store, &[request(who, "app", candidates)], seconds)
        .await
        .remove(0)
}

#[tokio::test]
async fn a_name_is_one_persons_and_stays_theirs() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 3).await;
    let plan: Vec<Planned> = rows.iter().map(|row| planned(row, Vec::new())).collect();
    commit(&store, &plan, 1).await;
    assert_eq!(
        one(&store, &rows[0], &["jdoe", "jdoe2"], 2).await.unwrap(),
        "jdoe"
    );
    // Planned again with it, and not with what was decided before.
    let due = store.due(at(2), 10).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(
        due[0].reservations,
        [Reservation {
            slot: slot("app"),
            attribute: "login".to_owned(),
            value: "jdoe".to_owned(),
        }]
    );
    assert_eq!(commit(&store, &[planned(&rows[0], Vec::new())], 2).await.stale, 1);
    // Whatever the case.
    assert_eq!(
        one(&store, &rows[1], &["JDoe", "jdoe2"], 3).await.unwrap(),
        "jdoe2"
    );
    assert_eq!(
        one(&store, &rows[2], &["jdoe", "JDOE2", "straße"], 3)
            .await
            .unwrap(),
        "straße"
    );
    // Sticky, also when a better one is free by now, and then nothing is written.
    let before = store.audit_tail(1_000).await.unwrap().len();
    assert_eq!(
        one(&store, &rows[1], &["free", "jdoe2"], 4).await.unwrap(),
        "jdoe2"
    );
    assert_eq!(store.audit_tail(1_000).await.unwrap().len(), before);
    // Another target, attribute and kind of account.
    let mut other = request(&rows[1], "directory", &["jdoe"]);
    assert_eq!(
        reserve(&store, &[other.clone()], 5).await,
        [Ok("jdoe".to_owned())]
    );
    other.wanted.attribute = "mail".to_owned();
    assert_eq!(
        reserve(&store, &[other.clone()], 5).await,
        [Ok("jdoe".to_owned())]
    );
    other.wanted.slot.kind = name("admin");
    let taken = reserve(&store, &[other], 5).await.remove(0).unwrap_err();
    assert_eq!(
        taken.to_string(),
        "no name is free for mail of directory/admin: all 1 that would do are somebody else's or barred from reuse; give one by hand, or \
         add a candidate to the mapping"
    );
    let stored = store.reservations(rows[1].id).await.unwrap();
    assert_eq!(stored.len(), 3);
    assert_eq!((stored[0].reserved_at, stored[0].barred_until), (at(3), None));
    let told = events(&store, &rows[1]).await;
    assert_eq!(told.iter().filter(|event| *event == "name.reserved").count(), 3);
    store.audit_verify().await.unwrap();
}

#[tokio::test]
async fn a_name_that_was_given_up_is_barred_for_others() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 2).await;
    one(&store, &rows[0], &["jdoe"], 1).await.unwrap();
    // In place of the earlier one.
    assert_eq!(one(&store, &rows[0], &["jsmith"], 2).await.unwrap(), "jsmith");
    let names = |row: &IdentityRow| {
        let names = row.reservations.iter().map(|one| one.value.clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&again(&store, &rows[0]).await), ["jsmith"]);
    let stored = store.reservations(rows[0].id).await.unwrap();
    assert_eq!(stored[0].barred_until, Some(at(102)));
    assert!(one(&store, &rows[1], &["JDOE"], 3).await.is_err());
    // Not for her.
    assert_eq!(one(&store, &rows[0], &["jdoe"], 4).await.unwrap(), "jdoe");
    assert!(one(&store, &rows[1], &["jsmith"], 103).await.is_err());
    assert_eq!(one(&store, &rows[1], &["jsmith"], 104).await.unwrap(), "jsmith");
    // The same name in another case keeps its row.
    assert_eq!(one(&store, &rows[1], &["JSmith"], 105).await.unwrap(), "JSmith");
    assert_eq!(store.reservations(rows[1].id).await.unwrap().len(), 1);

    let release = async |bar, seconds| {
        store
            .release(rows[1].id, &slot("app"), "login", bar, &context(seconds))
            .await
    };
    commit(
        &store,
        &[planned(&again(&store, &rows[1]).await, Vec::new())],
        106,
    )
    .await;
    release(BAR, 110).await.unwrap();
    let due = store.due(at(110), 10).await.unwrap();
    assert!(
        due.iter()
            .any(|row| row.id == rows[1].id && row.reservations.is_empty())
    );
    assert!(matches!(release(BAR, 111).await, Err(StoreError::NotFound(_))));
    assert!(one(&store, &rows[0], &["jsmith"], 209).await.is_err());
    assert_eq!(one(&store, &rows[0], &["jsmith"], 210).await.unwrap(), "jsmith");
    // No bar at all.
    one(&store, &rows[1], &["x"], 211).await.unwrap();
    release(SignedDuration::ZERO, 212).await.unwrap();
    assert_eq!(one(&store, &rows[0], &["x"], 212).await.unwrap(), "x");
    let told = store.timeline(rows[1].reference, 100).await.unwrap();
    let released: Vec<_> = told.iter().filter(|row| row.event == "name.released").collect();
    assert_eq!(released[0].payload["name"], "JSmith");
}

#[tokio::test]
async fn many_are_named_in_one_commit() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 40).await;
    let candidates: Vec<String> = (1..=35).map(|n| format!("jdoe{n}")).collect();
    let candidates: Vec<&str> = candidates.iter().map(String::as_str).collect();
    one(&store, &rows[7], &["jdoe3"], 1).await.unwrap();
    let mut requests: Vec<NameRequest> = rows.iter().map(|row| request(row, "app", &candidates)).collect();
    // The same asked for twice is one name.
    requests.insert(1, requests[0].clone());
    let found = reserve(&store, &requests, 2).await;
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], Ok("jdoe1".to_owned()));
    assert_eq!(found[8], Ok("jdoe3".to_owned()), "hers already");
    let given: BTreeSet<&String> = found.iter().flatten().collect();
    assert_eq!(given.len(), 35, "all are given, each once");
    assert_eq!(found.iter().filter(|one| one.is_err()).count(), 5);
    assert_eq!(reserve(&store, &requests, 3).await, found);
    assert!(reserve(&store, &[], 3).await.is_empty());
    // What no database keeps is passed over.
    let odd = [
        "",
        "a\0b",
        &"x".repeat(usher_store::RESERVED_BYTES_MAX + 1),
        "right",
    ];
    assert_eq!(one(&store, &rows[39], &odd, 4).await.unwrap(), "right");
    let many = vec![requests[0].clone(); 501];
    assert!(matches!(
        store.reserve(&many, &context(5)).await,
        Err(StoreError::Stale(_))
    ));
    let mut nobody = requests[0].clone();
    nobody.identity.0 = 1_000_000;
    assert!(matches!(
        store.reserve(&[nobody], &context(5)).await,
        Err(StoreError::NotFound(_))
    ));
}

/// However many ask at the same moment: every name is given once, none is left out, nobody is told that there is none.
pub(crate) async fn all_ask_at_once(stores: &[Arc<SqlStore>]) {
    const PEOPLE: usize = 24;
    let rows = people(&*stores[0], PEOPLE).await;
    let candidates: Vec<String> = (1..=PEOPLE).map(|n| format!("jdoe{n}")).collect();
    let tasks: Vec<_> = rows
        .iter()
        .enumerate()
        .map(|(n, row)| {
            let store = Arc::clone(&stores[n % stores.len()]);
            let candidates: Vec<&str> = candidates.iter().map(String::as_str).collect();
            let request = request(row, "app", &candidates);
            tokio::spawn(async move {
                loop {
                    match store.reserve(std::slice::from_ref(&request), &context(2)).await {
                        Ok(mut found) => return found.remove(0).unwrap().value,
                        Err(StoreError::Contended(_)) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    let mut given = BTreeSet::new();
    for task in tasks {
        assert!(given.insert(task.await.unwrap()), "given twice");
    }
    assert_eq!(given, candidates.into_iter().collect());
    let stored: BTreeSet<String> = stores[0]
        .identities_page(None, 1_000)
        .await
        .unwrap()
        .into_iter()
        .flat_map(|row| row.reservations)
        .map(|one| one.value)
        .collect();
    assert_eq!(stored, given);
    stores[0].audit_verify().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_is_given_twice() {
    let Some(database) = database() else { return };
    all_ask_at_once(&[Arc::new(database.open(at(0)).await)]).await;
}

#[tokio::test]
async fn of_an_erased_person_only_the_bar_is_left() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 2).await;
    one(&store, &rows[0], &["zquartermain"], 1).await.unwrap();
    one(&store, &rows[0], &["zq"], 2).await.unwrap();
    let mut unbarred = request(&rows[0], "directory", &["zq"]);
    unbarred.bar = SignedDuration::ZERO;
    reserve(&store, &[unbarred], 3).await.remove(0).unwrap();
    import(&store, "hr", &[missing("p00", true)], 4).await;
    let mut plan = planned(&again(&store, &rows[0]).await, Vec::new());
    plan.state = IdentityState::Departed;
    commit(&store, &[plan], 5).await;
    store.erase(rows[0].id, "asked", &context(50)).await.unwrap();
    assert!(store.reservations(rows[0].id).await.unwrap().is_empty());
    database
        .must_hold("NOT EXISTS (SELECT 1 FROM reservation WHERE value IS NOT NULL OR identity IS NOT NULL)")
        .await;
    database.must_hold("(SELECT count(*) FROM reservation) = 2").await;
    let refused = store
        .reserve(&[request(&rows[0], "app", &["x"])], &context(51))
        .await;
    assert!(matches!(refused, Err(StoreError::Stale(_))));
    // Each as long as was said when it was given up.
    assert!(one(&store, &rows[1], &["zquartermain"], 101).await.is_err());
    assert_eq!(
        one(&store, &rows[1], &["zquartermain"], 102).await.unwrap(),
        "zquartermain"
    );
    assert!(one(&store, &rows[1], &["ZQ"], 149).await.is_err());
    assert_eq!(one(&store, &rows[1], &["ZQ"], 150).await.unwrap(), "ZQ");
    let free = reserve(&store, &[request(&rows[1], "directory", &["zq"])], 150).await;
    assert_eq!(free, [Ok("zq".to_owned())]);
}

/// Who has the tables cannot try names against the digests; a change of keys frees no name.
#[tokio::test]
async fn digests_are_of_a_key_that_outlives_the_data_key() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 2).await;
    one(&store, &rows[0], &["jdoe"], 1).await.unwrap();
    let hex = if database.shared().is_some() {
        "encode(digest, 'hex')"
    } else {
        "lower(hex(digest))"
    };
    // The SHA-256 of the name.
    let guess = "d30a5f57532a603697ccbb51558fa02ccadd74a0c499fcf9d45b33863ee1582f";
    database
        .must_hold(&format!(
            "NOT EXISTS (SELECT 1 FROM reservation WHERE {hex} = '{guess}')"
        ))
        .await;
    let done = store.change_data_key(&context(2)).await.unwrap();
    assert_eq!((done.secrets, done.identities), (1, 2));
    database
        .must_hold("(SELECT data_key FROM name_key) = 2 AND (SELECT count(*) FROM data_key) = 1")
        .await;
    drop(store);
    let store = database.open(at(3)).await;
    assert_eq!(
        one(&store, &rows[1], &["JDOE", "jdoe2"], 4).await.unwrap(),
        "jdoe2"
    );
    assert_eq!(one(&store, &rows[0], &["jdoe"], 5).await.unwrap(), "jdoe");
}
