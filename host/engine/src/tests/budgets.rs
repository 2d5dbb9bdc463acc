//! Thresholds in the whole loop: a bad file is held whole, a trickle above its budget; release, reject, crashes.

use usher_store::{HeldCause, HeldState};

use super::*;
use crate::ports::Point;

/// More than one batch of planning.
const MANY: usize = 300;

fn policy(thresholds: &str) -> String {
    format!("{POLICY}\n[thresholds.app]\n{thresholds}\n")
}

async fn activate(engine: &Engine, thresholds: &str) {
    let text = policy(thresholds);
    engine
        .activate_policy("policy.toml", &text, person())
        .await
        .unwrap();
}

/// `n` people, those before `ended` with an end that is over.
fn file(n: usize, ended: usize) -> String {
    let row = |i: usize| {
        let end = if i < ended { "2026-03-02" } else { "" };
        format!("{i},P{i},,external,2026-01-01,{end},,,\n")
    };
    (0..n).map(row).collect()
}

async fn held(engine: &Engine) -> Vec<HeldCause> {
    engine.ports.store.held_causes(100).await.unwrap()
}

fn disabled(world: &World) -> usize {
    world
        .app
        .accounts()
        .values()
        .filter(|account| !account.enabled)
        .count()
}

/// A world in which everybody has an account, on the day after the ends of [`file`].
async fn staffed(seed: u64, n: usize, thresholds: &str) -> (World, Engine) {
    let world = World::new(seed).await;
    let engine = world.engine().await;
    import(&engine, &file(n, 0)).await;
    apply(&engine, 600_000).await;
    assert_eq!(world.app.accounts().len(), n);
    activate(&engine, thresholds).await;
    apply(&engine, 0).await;
    world.clock.set(time("2026-03-04T08:00:00Z"));
    (world, engine)
}

#[tokio::test]
async fn an_import_that_ends_too_many_is_held_whole_though_it_is_planned_in_batches() {
    let (world, engine) = staffed(71, MANY, "disable = { most = 200 }").await;
    import(&engine, &file(MANY, 280)).await;
    let report = apply(&engine, 0).await;
    assert_eq!(
        disabled(&world),
        0,
        "the first batch of 256 fits alone, and must not run"
    );
    let causes = held(&engine).await;
    assert_eq!(causes.len(), 1, "{causes:?}");
    assert_eq!((causes[0].operations, causes[0].state), (280, HeldState::Held));
    assert_eq!(report.left.iter().map(|left| left.held).sum::<u64>(), 280);
    let plan = engine.preview().await.unwrap();
    assert_eq!(plan.held[0].operations, 280);
    assert_eq!(engine.status().await.unwrap().held_causes, causes);
    let why = engine.why("0", &slot()).await.unwrap();
    assert!(
        why.open[0]
            .message
            .as_ref()
            .unwrap()
            .contains("held beyond the budget of app"),
        "{:?}",
        why.open
    );

    let context = engine.context(person());
    engine
        .ports
        .store
        .release_cause(causes[0].id, Some(280), "they did leave", &context)
        .await
        .unwrap();
    apply(&engine, 0).await;
    assert_eq!(disabled(&world), 280);
    assert!(held(&engine).await.is_empty());
    assert_eq!(engine.preview().await.unwrap().operations(), 0);
    engine.ports.store.audit_verify().await.unwrap();
}

#[tokio::test]
async fn a_corrected_file_overtakes_what_is_held_or_rejected() {
    let (world, engine) = staffed(72, 30, "disable = { percent = 50 }").await;
    import(&engine, &file(30, 20)).await;
    apply(&engine, 0).await;
    let cause = held(&engine).await.remove(0);
    engine
        .ports
        .store
        .reject_cause(cause.id, None, "wrong file", &engine.context(person()))
        .await
        .unwrap();
    // Planned again for another reason, the same wish stays rejected.
    activate(&engine, "disable = { percent = 50 }\ncreate = { most = 7 }").await;
    apply(&engine, 0).await;
    let still = held(&engine).await.remove(0);
    assert_eq!((still.state, still.operations), (HeldState::Rejected, 20));
    assert_eq!(disabled(&world), 0);
    import(&engine, &file(30, 2)).await;
    apply(&engine, 0).await;
    assert_eq!(
        disabled(&world),
        0,
        "what was rejected and is still wanted stays rejected"
    );
    assert_eq!(held(&engine).await[0].operations, 2);
    import(&engine, &file(30, 0)).await;
    apply(&engine, 0).await;
    assert!(held(&engine).await.is_empty());
    assert_eq!(disabled(&world), 0);
    import(&engine, &file(30, 2)).await;
    apply(&engine, 0).await;
    assert_eq!(disabled(&world), 2, "a new cause, and it fits");
}

#[tokio::test]
async fn a_trickle_of_leavers_is_held_above_the_budget() {
    let (world, engine) = staffed(73, 20, "disable = { most = 5, per-hours = 24 }").await;
    for leavers in 1..=9 {
        import(&engine, &file(20, leavers)).await;
        apply(&engine, 0).await;
        assert_eq!(disabled(&world), leavers.min(5), "after {leavers}");
    }
    let causes = held(&engine).await;
    assert_eq!(causes.len(), 1, "{causes:?}");
    assert_eq!(causes[0].operations, 4);
    // A day later the budget is whole again for what is new; what is held waits for a person.
    world.clock.set(time("2026-03-05T08:00:01Z"));
    import(&engine, &file(20, 10)).await;
    apply(&engine, 0).await;
    assert_eq!(disabled(&world), 6);
    assert_eq!(held(&engine).await[0].operations, 4);
    // Without a budget nothing is held any more.
    engine
        .activate_policy("policy.toml", POLICY, person())
        .await
        .unwrap();
    apply(&engine, 0).await;
    assert_eq!(disabled(&world), 10);
}

#[tokio::test]
async fn dates_that_come_due_in_one_run_are_one_cause() {
    let world = World::new(74).await;
    let engine = world.engine().await;
    import(&engine, &file(30, 15)).await;
    apply(&engine, 0).await;
    assert_eq!(world.app.accounts().len(), 30);
    activate(&engine, "disable = { most = 10 }").await;
    apply(&engine, 0).await;
    assert!(held(&engine).await.is_empty(), "nobody has left yet");
    world.clock.set(time("2026-03-03T08:00:00Z"));
    apply(&engine, 0).await;
    let cause = held(&engine).await.remove(0);
    assert_eq!(
        (cause.operations, cause.cause.as_str()),
        (15, "dates that came due")
    );
    assert_eq!(disabled(&world), 0);
}

/// Names are reserved before the plan is recorded, and what they belong to is planned again: still of the documents, not of imports of months ago.
#[tokio::test]
async fn a_policy_with_unique_names_that_creates_too_many_is_one_cause() {
    let world = World::new(75).await;
    let engine = world.engine().await;
    let rows = file(40, 0).replace("external", "guest");
    let first: String = rows.lines().take(20).map(|line| format!("{line}\n")).collect();
    import(&engine, &first).await;
    apply(&engine, 0).await;
    import(&engine, &rows).await;
    apply(&engine, 0).await;
    assert!(world.app.accounts().is_empty());
    let text = policy("create = { most = 30 }")
        .replace("'external'", "'guest'")
        .replace(
            "[mappings.app]\nusername = \"identity.employeeId\"",
            "[mappings.app]\nusername = { candidates = [\"'g' + identity.employeeId\"], unique = true }",
        );
    engine
        .activate_policy("policy.toml", &text, person())
        .await
        .unwrap();
    apply(&engine, 0).await;
    let causes: Vec<(String, u64)> = held(&engine)
        .await
        .into_iter()
        .map(|one| (one.cause, one.operations))
        .collect();
    assert_eq!(causes, [("policy 2 and targets 1".to_owned(), 40)]);
    assert!(world.app.accounts().is_empty());
}

#[tokio::test]
async fn a_security_hold_passes_every_budget() {
    let (world, engine) = staffed(75, 3, "disable = { most = 0 }").await;
    import(&engine, &file(3, 2)).await;
    apply(&engine, 0).await;
    assert_eq!(disabled(&world), 0);
    let hold = usher_store::NewFact::Hold {
        kind: usher_lifecycle::facts::HoldKind::Security,
        from: time("2026-03-04T00:00:00Z"),
        until: None,
    };
    engine
        .set_fact("0", &hold, "laptop stolen", person())
        .await
        .unwrap();
    apply(&engine, 0).await;
    assert_eq!(disabled(&world), 1);
    assert_eq!(
        held(&engine).await[0].operations,
        1,
        "the other leaver stays held"
    );
}

/// Killed before and after each thing that is recorded: nothing runs that is beyond the budget, and all that was released runs in the end.
#[tokio::test]
async fn a_crash_anywhere_neither_lets_go_nor_forgets() {
    for (seed, point) in (0_u64..).zip(Point::ALL) {
        for nth in 1..=2 {
            let (world, engine) = staffed(80 + seed, 30, "disable = { most = 10 }").await;
            drop(engine);
            world.probes.crash_at(point, nth);
            let mut crashed = false;
            for _ in 0..3 {
                let engine = world.engine().await;
                let day = survive(async {
                    import(&engine, &file(30, 20)).await;
                    apply(&engine, 0).await;
                    let waiting = held(&engine).await;
                    assert_eq!(disabled(&world), 0, "at {point:?}");
                    assert_eq!(
                        waiting.iter().map(|one| one.operations).sum::<u64>(),
                        20,
                        "at {point:?}"
                    );
                });
                if day.await.is_some() {
                    break;
                }
                crashed = true;
            }
            let engine = world.engine().await;
            for cause in held(&engine).await {
                engine
                    .ports
                    .store
                    .release_cause(cause.id, None, "looked", &engine.context(person()))
                    .await
                    .unwrap();
            }
            drop(engine);
            for _ in 0..3 {
                let engine = world.engine().await;
                if survive(async { apply(&engine, 600_000).await }).await.is_some() {
                    break;
                }
                crashed = true;
            }
            assert_eq!(disabled(&world), 20, "at {point:?}, {nth}");
            assert!(
                crashed || nth == 2 || point == Point::AfterAbsence,
                "{point:?} was never reached"
            );
        }
    }
}

fn slot() -> usher_lifecycle::account::AccountSlot {
    usher_lifecycle::account::AccountSlot {
        target: name("app"),
        kind: Name::primary(),
    }
}
