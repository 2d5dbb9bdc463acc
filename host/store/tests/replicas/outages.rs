//! The database goes away in the middle and comes back.

use usher_store::{Audit, Identities, Operations, Outcome, Planned, SqlStore, StoreError, postgres};
use usher_test_postgres::Server;

use super::{states, until};
use crate::conformance::{commit, context, create, database::key, done_as, from, people, planned};

/// A server of its own: it is stopped and crashed.
async fn own_server() -> Option<(Server, SqlStore)> {
    usher_test_postgres::shared().unwrap()?;
    let server = Server::start().unwrap();
    let url = server.fresh_database().unwrap();
    let options = postgres::Options {
        lease: postgres::LEASE,
        name: "a test".to_owned(),
    };
    let randomness = std::sync::Arc::new(crate::conformance::Counted::default());
    let store = postgres::create(&url, options, &key(), randomness, &context(0))
        .await
        .unwrap();
    Some((server, store))
}

/// Connections heal, and of what was answered nothing is lost, whether the server was stopped or crashed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_outlives_the_server() {
    let Some((server, store)) = own_server().await else {
        return;
    };
    let rows = people(&store, 10).await;
    let plan: Vec<Planned> = rows.iter().map(|row| planned(row, vec![create("app")])).collect();
    commit(&store, &plan, 1).await;
    for (round, seconds) in (0..2).zip(2..) {
        let claimed = until("claimed", async || {
            let recorded = store
                .record_and_claim(&[], &[], &from(&[("app", 5)]), &context(seconds))
                .await;
            recorded.ok().map(|recorded| recorded.claimed)
        })
        .await;
        assert_eq!(claimed.len(), 5, "what was claimed before stays claimed");
        if round % 2 == 0 {
            server.crash().unwrap()
        } else {
            server.stop().unwrap()
        }
        let outcomes: Vec<Outcome> = claimed
            .iter()
            .map(|one| done_as(one, &format!("x{}", one.number)))
            .collect();
        let failed = store
            .record_and_claim(&[], &outcomes, &from(&[]), &context(seconds))
            .await;
        assert!(
            matches!(failed, Err(StoreError::Unavailable { .. })),
            "{failed:?}"
        );
        server.start_again().unwrap();
        let fenced = until("recorded", async || {
            let recorded = store
                .record_and_claim(&[], &outcomes, &from(&[]), &context(seconds))
                .await;
            recorded.ok().map(|recorded| recorded.fenced)
        })
        .await;
        assert!(fenced.is_empty());
    }
    until("readers heal", async || store.versions().await.ok()).await;
    assert_eq!(states(&store).await.get("done"), Some(&10));
    until("readers heal, and the audit is whole", async || {
        store.audit_verify().await.ok()
    })
    .await;
}

/// A commit whose answer was lost with the connection is either there or not, and the writer goes on either way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_cut_in_the_middle_is_whole_or_not_there() {
    let Some((server, store)) = own_server().await else {
        return;
    };
    let rows = people(&store, 40).await;
    let plan: Vec<Planned> = rows.iter().map(|row| planned(row, vec![create("app")])).collect();
    commit(&store, &plan, 1).await;
    let work = async {
        let mut lost = 0;
        for seconds in 2..22 {
            let claimed = match store
                .record_and_claim(&[], &[], &from(&[("app", 2)]), &context(seconds))
                .await
            {
                Ok(recorded) => recorded.claimed,
                Err(_) => {
                    lost += 1;
                    continue;
                }
            };
            let outcomes: Vec<Outcome> = claimed
                .iter()
                .map(|one| done_as(one, &format!("x{}", one.number)))
                .collect();
            until("recorded, now or before", async || {
                // Fenced: the first try was recorded though its answer was lost.
                store
                    .record_and_claim(&[], &outcomes, &from(&[]), &context(seconds))
                    .await
                    .ok()
            })
            .await;
        }
        lost
    };
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'usher'";
    let cuts = tokio::task::spawn_blocking(move || {
        for _ in 0..10 {
            server.sql("postgres", cut).unwrap();
        }
        server
    });
    let (lost, _server) = tokio::join!(work, cuts);
    until("readers heal, and the audit is whole", async || {
        store.audit_verify().await.ok()
    })
    .await;
    let states = states(&store).await;
    // A claim whose answer was lost is claimed for nobody until the writer rejoins; nothing else is left over.
    let (done, claimed) = (
        states.get("done").copied().unwrap_or(0),
        states.get("claimed").copied().unwrap_or(0),
    );
    assert!(claimed <= lost * 2, "{claimed} claimed, {lost} claims lost");
    assert!(done > 0, "{states:?}");
    assert!(
        states
            .keys()
            .all(|state| ["done", "claimed", "ready"].contains(&state.as_str())),
        "{states:?}"
    );
    assert_eq!(states.values().sum::<usize>(), 40);
    let rest = until("goes on", async || {
        let recorded = store
            .record_and_claim(&[], &[], &from(&[("app", 100)]), &context(50))
            .await;
        recorded.ok().map(|recorded| recorded.claimed)
    })
    .await;
    assert_eq!(rest.len(), states.get("ready").copied().unwrap_or(0));
}
