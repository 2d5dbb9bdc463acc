//! Targets that fail at random: in the end every account is as it should be.

use proptest::prelude::*;

use super::*;

const PEOPLE: &str = "1,Ana,,permanent,2026-03-01,,,,\n2,Bo,,external,2026-03-01,,,,\n3,Cy,,permanent,2026-03-01,,,,\n4,Di,,permanent,2026-03-01,,,,\n";
const LATER: &str = "1,Anna,,external,2026-03-01,,,,\n2,Bo,,permanent,2026-03-01,2026-03-02,,,\n3,Cyd,,permanent,2026-03-01,,,,\n4,Di,,permanent,2026-03-01,2026-03-02,,,\n";

/// A day of waiting: everything that passes has passed.
const WAIT_MS: u64 = 24 * 60 * 60 * 1_000;

async fn run(seed: u64, permille: u32) {
    let world = World::new(seed).await;
    let engine = world.engine().await;
    for target in [&world.app, &world.directory] {
        target.faults.at_random(&world.randomness, permille);
    }
    import(&engine, PEOPLE).await;
    let first = apply(&engine, WAIT_MS).await;
    assert!(first.troubles.is_empty(), "{:?}", first.troubles);
    import(&engine, LATER).await;
    world
        .clock
        .set(crate::ports::Clock::now(&*world.clock).max(time("2026-03-03T08:00:00Z")));
    let second = apply(&engine, WAIT_MS).await;
    assert!(second.troubles.is_empty(), "{:?}", second.troubles);
    let plan = engine.preview().await.unwrap();
    assert_eq!(plan.operations(), 0, "{:?}", plan.accounts);
    assert_eq!(world.creations_max(), 1);
    let app = world.app.accounts();
    assert!(app["1"].enabled && !app["2"].enabled && app["3"].enabled && !app["4"].enabled);
    assert!(!world.directory.accounts()["1"].enabled);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_account_becomes_as_it_should_be(seed in any::<u64>(), permille in 0_u32..400) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(seed, permille));
    }
}
