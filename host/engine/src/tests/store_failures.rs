//! The store fails while calls are under way: what is finished is kept, recorded once, and nothing begins meanwhile.

use super::serving::serve_with;
use super::*;
use crate::Seen;
use crate::ports::Point;

const TEN: &str = "1,A,,external,,,,,\n2,B,,external,,,,,\n3,C,,external,,,,,\n4,D,,external,,,,,\n5,E,,external,,,,,\n6,F,,external,,,,,\n7,G,,external,,,,,\n8,H,,external,,,,,\n9,I,,external,,,,,\n";

/// Every operation has one outcome, every account was made once, nothing is left claimed.
async fn assert_whole(world: &World) {
    let engine = world.engine().await;
    assert_eq!((world.app.accounts().len(), world.creations_max()), (9, 1));
    let tail = engine.ports.store.audit_tail(10_000).await.unwrap();
    drop(engine);
    super::crashes::assert_clean(world).await;
    let of = |event: &str| tail.iter().filter(|row| row.event == event).count();
    assert_eq!(
        of("operation.done"),
        18,
        "nothing was read back, nothing recorded twice"
    );
    assert_eq!(of("operation.recovered"), 0);
}

#[tokio::test]
async fn who_serves_keeps_outcomes_until_the_store_is_back() {
    for point in [Point::BeforeClaim, Point::AfterClaim] {
        for times in [1, 3, 40] {
            let world = World::new(1).await;
            let engine = world.engine().await;
            import(&engine, TEN).await;
            let seen = serve_with(&world, &engine, 5_000, async |script| {
                script
                    .at_once("one call is made", async || world.app.calls() > 0)
                    .await;
                world.probes.fail_store(point, times);
                script
                    .in_time(2, "all is done", async || script.all_is_done().await)
                    .await;
            })
            .await;
            let failed = seen
                .iter()
                .filter(|seen| matches!(seen, Seen::StoreFailed { .. }))
                .count();
            assert_eq!(failed, times as usize, "at {}", point.name());
            drop(engine);
            assert_whole(&world).await;
        }
    }
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_found_again() {
    let world = World::new(3).await;
    let engine = world.engine().await;
    serve_with(&world, &engine, 5_000, async |script| {
        script
            .at_once("both sleep", async || world.clock.sleepers() == 2)
            .await;
        world.probes.fail_store(Point::AfterClaim, 1);
        import(&engine, TEN).await;
        script
            .in_time(2, "all is done", async || script.all_is_done().await)
            .await;
    })
    .await;
    let claims = engine.ports.store.audit_tail(10_000).await.unwrap();
    assert!(
        claims
            .iter()
            .filter(|row| row.event == "operations.claimed")
            .count()
            >= 2
    );
    drop(engine);
    assert_whole(&world).await;
}

#[tokio::test]
async fn an_apply_waits_a_little_for_the_store_and_then_gives_up() {
    let world = World::new(2).await;
    let engine = world.engine().await;
    import(&engine, TEN).await;
    world.probes.fail_store(Point::BeforeClaim, 5);
    assert!(apply(&engine, 0).await.left.is_empty());
    drop(engine);
    assert_whole(&world).await;

    let engine = world.engine().await;
    import(&engine, &TEN.replace(",A,", ",AA,")).await;
    world.probes.fail_store(Point::BeforeClaim, 1_000);
    let request = ApplyRequest {
        expect: None,
        wait_ms: 0,
        stop: Stop::never(),
        actor: person(),
    };
    let failed = engine.apply(request, &NoProgress).await.unwrap_err();
    assert!(matches!(failed, EngineError::Store(_)), "{failed}");
    world.probes.fail_store(Point::BeforeClaim, 0);
    assert!(apply(&engine, 0).await.left.is_empty());
    assert_eq!(
        world.app.accounts()["1"].attributes["mail"],
        serde_json::json!("aa@example.org")
    );
}
