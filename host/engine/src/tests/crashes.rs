//! Killed at every named point, then started again: nothing lost, nothing doubled.

use usher_store::OperationFilter;

use super::*;
use crate::ports::Point;

pub(super) const DAYS: [(&str, &str); 3] = [
    (
        "2026-03-02T08:00:00Z",
        "1,Ana,,permanent,2026-03-01,,,,\n2,Bo,,external,2026-03-01,,,,\n3,Cy,,permanent,2026-03-01,,,,\n",
    ),
    (
        "2026-03-03T08:00:00Z",
        "1,Anna,,external,2026-03-01,,,,\n2,Bo,,permanent,2026-03-01,,,,\n3,Cy,,permanent,2026-03-01,2026-03-02,,,\n4,Di,,permanent,2026-03-03,,,,\n",
    ),
    (
        "2026-04-05T08:00:00Z",
        "1,Anna,,permanent,2026-03-01,,,,\n2,Bo,,permanent,2026-03-01,,,,\n3,Cy,,permanent,2026-03-01,2026-03-02,,,\n4,Di,,permanent,2026-03-03,,,,\n",
    ),
];

/// Waits long enough for every target to settle.
const WAIT_MS: u64 = 600_000;

/// Plays the days; after a crash the engine is started anew and the day is done again. Returns how often it crashed.
async fn play(world: &World) -> u32 {
    let mut crashes = 0;
    for (at, rows) in DAYS {
        world.clock.set(time(at));
        loop {
            let engine = world.engine().await;
            let day = survive(async {
                let report = import(&engine, rows).await;
                assert_eq!(report.refused, None);
                apply(&engine, WAIT_MS).await
            });
            if let Some(report) = day.await {
                assert!(report.troubles.is_empty(), "{:?}", report.troubles);
                break;
            }
            crashes += 1;
            assert!(crashes < 5, "crashes again and again");
        }
    }
    crashes
}

pub(super) async fn assert_clean(world: &World) {
    let engine = world.engine().await;
    let plan = engine.preview().await.unwrap();
    assert_eq!(plan.operations(), 0, "{:?}", plan.accounts);
    assert_eq!(world.creations_max(), 1, "an account was created twice");
    let all = OperationFilter {
        limit: 1_000,
        ..OperationFilter::default()
    };
    let open: Vec<_> = engine.ports.store.operations(&all).await.unwrap();
    assert!(
        open.iter().all(|operation| !operation.state.is_open()),
        "{open:?}"
    );
    engine.ports.store.audit_verify().await.unwrap();
    // Each operation has at most one outcome that ends it.
    let tail = engine.ports.store.audit_tail(10_000).await.unwrap();
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for row in tail
        .iter()
        .filter(|row| row.event == "operation.done" || row.event == "operation.failed")
    {
        let operation = row.payload.get("operation").map(ToString::to_string);
        *ends
            .entry(operation.expect("an outcome names its operation"))
            .or_default() += 1;
    }
    assert!(
        !ends.is_empty() && ends.values().all(|times| *times == 1),
        "{ends:?}"
    );
}

#[tokio::test]
async fn killed_anywhere_it_resumes() {
    let calm = World::new(7).await;
    assert_eq!(play(&calm).await, 0);
    assert_clean(&calm).await;
    for point in Point::ALL {
        let reached = calm.probes.times(point);
        assert!(reached > 0, "{} is never reached", point.name());
        let mut times: Vec<u32> = vec![1, 2, reached / 2, reached];
        times.retain(|times| (1..=reached).contains(times));
        times.dedup();
        for times in times {
            let world = World::new(7).await;
            world.probes.crash_at(point, times);
            assert!(play(&world).await > 0, "{}:{times} was not reached", point.name());
            assert_clean(&world).await;
            assert_eq!(
                states(&world),
                states(&calm),
                "after a crash at {}:{times}",
                point.name()
            );
        }
    }
}

/// What accounts are, without the marks of how they became so.
pub(super) fn states(
    world: &World,
) -> Vec<(String, bool, usher_lifecycle::attributes::Attributes, Vec<String>)> {
    let both = world.accounts().into_values().flatten();
    both.map(|(id, account)| {
        (
            id,
            account.enabled,
            account.attributes,
            account.entitlements.into_keys().collect(),
        )
    })
    .collect()
}
