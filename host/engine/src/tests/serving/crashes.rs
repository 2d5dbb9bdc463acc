//! Killed at every named point while serving, and targets that fail at random.

use proptest::prelude::*;

use super::*;
use crate::ports::{Clock as _, Point};
use crate::tests::crashes::{DAYS, assert_clean, states};

/// Plays the days; after a crash the engine is started anew. Returns how often it crashed.
async fn play(world: &World) -> u32 {
    let mut crashes = 0;
    for (at, rows) in DAYS {
        world.clock.set(time(at).max(world.clock.now()));
        let mut imported = false;
        loop {
            let engine = world.engine().await;
            let day = survive(serve(world, &engine, async |script| {
                if !imported {
                    let report = import(&engine, rows).await;
                    assert_eq!(report.refused, None);
                    imported = true;
                }
                script
                    .in_time(2, "the day's work", async || script.all_is_done().await)
                    .await;
            }));
            if day.await.is_some() {
                break;
            }
            crashes += 1;
            assert!(crashes < 5, "crashes again and again");
        }
    }
    crashes
}

async fn both_auto(seed: u64) -> World {
    let world = World::new(seed).await;
    let engine = world.engine().await;
    engine
        .activate_targets("targets.toml", BOTH_AUTO, person())
        .await
        .unwrap();
    world
}

#[tokio::test]
async fn killed_anywhere_it_resumes() {
    let calm = both_auto(7).await;
    assert_eq!(play(&calm).await, 0);
    assert_clean(&calm).await;
    for point in Point::ALL {
        let reached = calm.probes.times(point);
        assert!(reached > 0, "{} is never reached", point.name());
        let mut times: Vec<u32> = vec![1, 2, reached / 2];
        times.retain(|times| (1..=reached).contains(times));
        times.dedup();
        for times in times {
            let world = both_auto(7).await;
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

const PEOPLE: &str =
    "1,Ana,,permanent,2026-03-01,,,,\n2,Bo,,external,2026-03-01,,,,\n3,Cy,,permanent,2026-03-01,,,,\n";
const LATER: &str = "1,Anna,,external,2026-03-01,,,,\n2,Bo,,permanent,2026-03-01,2026-03-02,,,\n3,Cyd,,permanent,2026-03-01,,,,\n";

async fn random(seed: u64, permille: u32) {
    let world = both_auto(seed).await;
    let engine = world.engine().await;
    for target in [&world.app, &world.directory] {
        target.faults.at_random(&world.randomness, permille);
    }
    import(&engine, PEOPLE).await;
    serve(&world, &engine, async |script| {
        script
            .in_time(2, "some of it", async || !world.app.journal().is_empty())
            .await;
        import(&engine, LATER).await;
        script
            .in_time(2, "Bo's last day is over", async || {
                world.clock.now() >= time("2026-03-03T08:00:00Z")
            })
            .await;
        script
            .in_time(2, "everything", async || script.all_is_done().await)
            .await;
    })
    .await;
    assert_eq!(engine.preview().await.unwrap().operations(), 0);
    assert_eq!(world.creations_max(), 1);
    let app = world.app.accounts();
    assert!(app["1"].enabled && app["3"].enabled);
    assert!(app.get("2").is_none_or(|account| !account.enabled));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn every_account_becomes_as_it_should_be(seed in any::<u64>(), permille in 0_u32..300) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(random(seed, permille));
    }
}
