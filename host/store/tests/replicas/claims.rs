//! Claims, plans and outcomes of several writers at the same moment.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use usher_lifecycle::operation::{OperationState, Priority, Work};
use usher_store::{
    Audit, ClaimedOperation, Decision, FactsStore, Identities, Operations, Outcome, Planned, Planning,
    SqlStore, StoreError,
};

use super::{state_of, states, writers};
use crate::conformance::{
    claim, commit, context, create, done_as, from, import, operation, outcome, people, planned, record,
    upsert,
};

/// Errors of a moment are tried again, as the loop does; an error that stays ends the test.
async fn record_and_claim(
    store: &SqlStore,
    outcomes: &[Outcome],
    limit: u32,
    seconds: i64,
) -> Vec<ClaimedOperation> {
    let claim = from(&[("app", limit), ("directory", limit)]);
    for _ in 0..100 {
        match store
            .record_and_claim(&[], outcomes, &claim, &context(seconds))
            .await
        {
            Ok(recorded) => {
                assert!(recorded.fenced.is_empty(), "{:?}", recorded.fenced);
                return recorded.claimed;
            }
            Err(StoreError::Contended(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    panic!("never recorded")
}

/// Three writers over one database in which each person has three operations, two of them for one account.
async fn queued(count: usize, last: &Work) -> Option<(crate::Database, Vec<Arc<SqlStore>>)> {
    let (database, stores) = writers(3).await?;
    let rows = people(&stores[0], count).await;
    let plan: Vec<Planned> = rows
        .iter()
        .map(|row| {
            let last = operation("app", last.clone(), Priority::Change, 0);
            planned(row, vec![create("app"), create("directory"), last])
        })
        .collect();
    commit(&stores[0], &plan, 1).await;
    Some((database, stores.into_iter().map(Arc::new).collect()))
}

/// Many claims at once: every operation is claimed once, and all are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_operation_is_claimed_twice() {
    const PEOPLE: usize = 99;
    let Some((database, stores)) = queued(PEOPLE, &Work::Read).await else {
        return;
    };
    let tasks: Vec<_> = (0..12)
        .map(|n| {
            let store = Arc::clone(&stores[n % 3]);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let claimed = record_and_claim(&store, &[], 5, 10).await;
                    if claimed.is_empty() {
                        return mine;
                    }
                    mine.extend(claimed);
                }
            })
        })
        .collect();
    let mut seen = HashSet::new();
    for task in tasks {
        for one in task.await.unwrap() {
            assert!(seen.insert(one.id), "{} was claimed twice", one.id);
            assert_eq!(one.attempt, 1);
        }
    }
    // A claim that looked while another held all that was due came back empty; what it left is there.
    let rest = record_and_claim(&stores[0], &[], 500, 10).await;
    assert!(rest.iter().all(|one| seen.insert(one.id)));
    assert_eq!(seen.len(), PEOPLE * 2, "the first operation of each account");
    stores[0].audit_verify().await.unwrap();
    assert!(
        !database
            .shared()
            .unwrap()
            .0
            .log()
            .unwrap()
            .contains("deadlock detected")
    );
}

/// Three loops claim, work and record until nothing is left, while people's facts change and plans are made. Nothing is done twice and nothing
/// waits for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_plans_and_imports_do_not_stand_in_each_others_way() {
    const PEOPLE: usize = 40;
    let Some((database, stores)) = queued(PEOPLE, &Work::Disable).await else {
        return;
    };
    let workers: Vec<_> = stores
        .iter()
        .cloned()
        .map(|store| {
            tokio::spawn(async move {
                let (mut under_way, mut done, mut idle) = (Vec::new(), Vec::new(), 0);
                while idle < 20 {
                    let outcomes: Vec<Outcome> = under_way
                        .drain(..)
                        .map(|one: ClaimedOperation| {
                            done.push(one.id);
                            match one.work {
                                Work::Create { .. } => done_as(&one, &one.id.to_string()),
                                _ => outcome(&one, Decision::Done),
                            }
                        })
                        .collect();
                    let claimed = record_and_claim(&store, &outcomes, 7, 10).await;
                    idle = if claimed.is_empty() && outcomes.is_empty() {
                        idle + 1
                    } else {
                        0
                    };
                    under_way = claimed;
                    tokio::task::yield_now().await;
                }
                done
            })
        })
        .collect();
    let importer = Arc::clone(&stores[1]);
    let imports = tokio::spawn(async move {
        for round in 0..6 {
            let records: Vec<_> = (0..PEOPLE)
                .rev()
                .map(|n| upsert(&format!("p{n:02}"), &format!("round {round}")))
                .collect();
            import(&*importer, "hr", &records, 2 + round).await;
        }
    });
    let planner = Arc::clone(&stores[2]);
    let plans = tokio::spawn(async move {
        for _ in 0..20 {
            let versions = planner.versions().await.unwrap();
            let due = match planner.due(context(3).at, 1_000).await {
                Ok(due) => due,
                Err(StoreError::Stale(_)) => continue,
                Err(other) => panic!("{other}"),
            };
            let plan: Vec<Planned> = due.iter().map(|row| planned(row, Vec::new())).collect();
            match planner.commit_plan(&plan, versions, &context(3)).await {
                Ok(_) | Err(StoreError::Contended(_) | StoreError::Stale(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
    });
    let mut times: BTreeMap<_, u32> = BTreeMap::new();
    for worker in workers {
        for id in worker.await.unwrap() {
            *times.entry(id).or_default() += 1;
        }
    }
    imports.await.unwrap();
    plans.await.unwrap();
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    assert_eq!(
        states(&stores[0]).await,
        BTreeMap::from([("done".to_owned(), PEOPLE * 3)])
    );
    while stores[0].absorb(1_000).await.unwrap() > 0 {}
    for row in stores[0].identities_page(None, 1_000).await.unwrap() {
        assert_eq!(row.records[0].attributes["name"], "round 5");
        assert!(
            row.accounts
                .iter()
                .all(|account| account.observed.external_id.is_some())
        );
    }
    stores[0].audit_verify().await.unwrap();
    let log = database.shared().unwrap().0.log().unwrap();
    assert!(!log.contains("deadlock detected"), "{log}");
}

/// Two plans of one identity made from the same facts: one counts, the other is stale.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_plans_at_once_one_is_stale() {
    let Some((_database, stores)) = writers(2).await else {
        return;
    };
    let rows = people(&stores[0], 30).await;
    let plan = || {
        rows.iter()
            .map(|row| planned(row, vec![create("app")]))
            .collect::<Vec<Planned>>()
    };
    let (mut backward, forward) = (plan(), plan());
    backward.reverse();
    let (one, other) = tokio::join!(commit(&stores[0], &forward, 1), commit(&stores[1], &backward, 1));
    assert_eq!((one.planned + other.planned, one.stale + other.stale), (30, 30));
    assert_eq!(one.operations + other.operations, 30);
    assert_eq!(claim(&stores[0], "app", 100, 1).await.len(), 30);
    stores[0].audit_verify().await.unwrap();
}

/// An operation claimed by one writer while another's plan overtakes it: one of them gives way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_and_a_plan_that_overtakes_do_not_both_win() {
    let Some((_database, stores)) = writers(2).await else {
        return;
    };
    for round in 0..10 {
        let key = format!("r{round}");
        import(&stores[0], "hr", &[upsert(&key, "x")], 0).await;
        let row = stores[0].identity(&key).await.unwrap();
        commit(&stores[0], &[planned(&row, vec![create("app")])], 1).await;
        let row = stores[0].identity(&key).await.unwrap();
        let first = row.accounts[0].open[0].id;
        let mut plan = planned(&row, Vec::new());
        plan.superseded = vec![first];
        let plan = [plan];
        let (claimed, committed) = tokio::join!(claim(&stores[0], "app", 1, 2), commit(&stores[1], &plan, 2));
        let state = state_of(&stores[0], first).await;
        match claimed.len() {
            0 => assert_eq!((committed.planned, state), (1, OperationState::Superseded)),
            _ => assert_eq!((committed.stale, state), (1, OperationState::Claimed)),
        }
    }
}

/// Two writers hear the same account id from a target for two people at once: one is linked, the other held, and it says who has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_two_writers_claim_at_once_has_one_owner() {
    const ROUNDS: usize = 10;
    let Some((_database, stores)) = writers(2).await else {
        return;
    };
    let rows = people(&stores[0], ROUNDS * 2).await;
    let plan: Vec<Planned> = rows.iter().map(|row| planned(row, vec![create("app")])).collect();
    commit(&stores[0], &plan, 1).await;
    for round in 0..ROUNDS {
        let (one, other) = (
            claim(&stores[0], "app", 1, 2).await,
            claim(&stores[1], "app", 1, 2).await,
        );
        let id = format!("x{round}");
        let outcomes = ([done_as(&one[0], &id)], [done_as(&other[0], &id)]);
        let (first, second) = tokio::join!(
            record(&stores[0], &outcomes.0, 3),
            record(&stores[1], &outcomes.1, 3)
        );
        assert!(first.is_empty() && second.is_empty());
        let mut ends = [
            state_of(&stores[0], one[0].id).await,
            state_of(&stores[0], other[0].id).await,
        ];
        ends.sort_by_key(|state| *state as i64);
        assert_eq!(ends, [OperationState::Held, OperationState::Done]);
    }
    stores[1].audit_verify().await.unwrap();
}
