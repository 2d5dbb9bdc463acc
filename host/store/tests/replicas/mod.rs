//! Several writers on one PostgreSQL: what no two of them may do, and what each may rely on.

mod budgets;
mod claims;
mod leases;
mod names;
mod outages;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use usher_lifecycle::ids::OperationId;
use usher_lifecycle::operation::OperationState;
use usher_store::{OperationFilter, OperationRow, Operations, SqlStore};

use crate::conformance::{Database, at};

/// A database with several writers, each a host of its own. `None` where there is no PostgreSQL.
async fn writers(count: usize) -> Option<(Database, Vec<SqlStore>)> {
    let database = crate::database()?;
    let mut stores = vec![database.open(at(0)).await];
    for _ in 1..count {
        stores.push(database.join(at(0)).await.unwrap());
    }
    Some((database, stores))
}

/// Tries until it comes out, as the loop does after an error that passes.
async fn until<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn everything(store: &SqlStore) -> Vec<OperationRow> {
    let every = OperationFilter {
        limit: 10_000,
        ..Default::default()
    };
    // A pool finds out that a connection was cut when it is used.
    until("listed", async || store.operations(&every).await.ok()).await
}

/// How many operations are in each state.
async fn states(store: &SqlStore) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for row in everything(store).await {
        *states.entry(row.state.to_string()).or_default() += 1;
    }
    states
}

async fn state_of(store: &SqlStore, id: OperationId) -> OperationState {
    everything(store)
        .await
        .into_iter()
        .find(|row| row.id == id)
        .unwrap()
        .state
}
