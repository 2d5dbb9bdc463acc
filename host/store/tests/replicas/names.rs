//! Names and facts over several writers at the same moment.

use std::sync::Arc;

use usher_lifecycle::facts::HoldKind;
use usher_store::{Identities, KeyChanges, PersonalFacts};

use super::writers;
use crate::conformance::personal::{by, hold};
use crate::conformance::{context, names, people};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_is_given_twice_by_three_writers() {
    let Some((_database, stores)) = writers(3).await else {
        return;
    };
    let stores: Vec<_> = stores.into_iter().map(Arc::new).collect();
    names::all_ask_at_once(&stores).await;
}

/// A data key that another writer made does not keep this one from reading or setting.
#[tokio::test]
async fn facts_are_read_and_set_under_a_key_that_another_writer_made() {
    let Some((_database, stores)) = writers(3).await else {
        return;
    };
    let rows = people(&stores[0], 2).await;
    let fact = hold(HoldKind::Security, None);
    let set = async |store: usize, who: usize, reason: &str| {
        stores[store]
            .add_fact(rows[who].id, &fact, reason, &by("ann", 1))
            .await
            .unwrap()
    };
    let first = set(0, 0, "a lost badge").await;
    stores[1].change_data_key(&context(2)).await.unwrap();
    set(0, 1, "another lost badge").await;
    let page = stores[2].identities_page(None, 10).await.unwrap();
    let reasons: Vec<&str> = page.iter().map(|row| row.holds[0].reason.as_str()).collect();
    assert_eq!(reasons, ["a lost badge", "another lost badge"]);
    stores[1].change_data_key(&context(3)).await.unwrap();
    stores[0].end_fact(first, "found", &by("bob", 4)).await.unwrap();
    let facts = stores[2].personal_facts(rows[0].id).await.unwrap();
    assert_eq!(facts[0].ended.as_ref().unwrap().reason, "found");
}

/// Of many who end one fact, one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_is_ended_once() {
    let Some((_database, stores)) = writers(3).await else {
        return;
    };
    let who = people(&stores[0], 1).await.remove(0);
    let id = stores[0]
        .add_fact(who.id, &hold(HoldKind::Manual, None), "asked", &by("ann", 1))
        .await
        .unwrap();
    let ends = stores
        .into_iter()
        .map(|store| tokio::spawn(async move { store.end_fact(id, "enough", &by("bob", 2)).await.is_ok() }));
    let mut ended = 0;
    for end in ends.collect::<Vec<_>>() {
        ended += u32::from(end.await.unwrap());
    }
    assert_eq!(ended, 1);
}
