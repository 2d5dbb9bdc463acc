//! Several writers that judge at the same moment.

use std::sync::Arc;

use usher_store::{HeldCauses as _, Identities as _, Planned};

use super::{states, writers};
use crate::conformance::budgets::{at_most, disable};
use crate::conformance::{at, claim, commit, context, import, people, planned, upsert};

/// However many judge and claim at once: together they let go no more than the budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_never_exceed_a_budget_together() {
    const PEOPLE: usize = 30;
    const MOST: u32 = 7;
    let Some((_database, stores)) = writers(3).await else {
        return;
    };
    let stores: Vec<Arc<_>> = stores.into_iter().map(Arc::new).collect();
    let everybody = people(&*stores[0], PEOPLE).await;
    let nothing: Vec<Planned> = everybody.iter().map(|one| planned(one, vec![])).collect();
    commit(&*stores[0], &nothing, 1).await;
    // Each by an import of their own: as many causes as people.
    for person in &everybody {
        import(&*stores[0], "hr", &[upsert(&person.records[0].key, "changed")], 2).await;
        let now = stores[0].identity(&person.id.to_string()).await.unwrap();
        commit(&*stores[0], &[planned(&now, vec![disable()])], 2).await;
    }
    let judging: Vec<_> = stores
        .iter()
        .map(|store| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut claimed = 0;
                for seconds in 3..8 {
                    let versions = store.versions().await.unwrap();
                    // One that is in the way of another gives up; the next round goes on.
                    drop(
                        store
                            .judge_causes(&at_most(MOST), versions, &context(seconds))
                            .await,
                    );
                    claimed += claim(&*store, "app", 100, seconds).await.len();
                }
                claimed
            })
        })
        .collect();
    let mut claimed = 0;
    for task in judging {
        claimed += task.await.unwrap();
    }
    let versions = stores[0].versions().await.unwrap();
    stores[0]
        .judge_causes(&at_most(MOST), versions, &context(9))
        .await
        .unwrap();
    claimed += claim(&*stores[0], "app", 100, 9).await.len();
    assert_eq!(claimed, MOST as usize);
    assert_eq!(
        states(&stores[0]).await.get("held"),
        Some(&(PEOPLE - MOST as usize))
    );
    let held = stores[0].held_causes(10).await.unwrap();
    assert_eq!(held.len(), 1, "at {}: {held:?}", at(9));
}
