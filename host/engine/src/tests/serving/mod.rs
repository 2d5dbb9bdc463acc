//! The loop running by itself, in simulated time.

mod changes;
mod crashes;
mod stopping;
mod stops;
mod urgent;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use usher_lifecycle::operation::OperationState;
use usher_store::OperationFilter;

use super::*;
use crate::serve::ServeRequest;
use crate::{Observer, Seen};

/// Longest a test waits for what must happen, in real time: a machine with many other tests.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often a test looks, in real time.
const LOOK: Duration = Duration::from_millis(5);
/// Simulated time between two looks, in milliseconds: long, so that days pass in few steps.
const POLL_MS: u64 = 3_600_000;

pub(super) const BOTH_AUTO: &str = r#"
[targets.app]
connector = "sim"
apply = "auto"
[targets.directory]
connector = "sim"
apply = "auto"
"#;

/// Remembers what it saw.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Vec<Seen>>);

impl Recorder {
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn has(&self, what: impl Fn(&Seen) -> bool) -> bool {
        self.seen().iter().any(what)
    }
}

impl Observer for Recorder {
    fn saw(&self, seen: Seen) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }
}

/// How a script lets time pass.
pub(super) struct Script<'a> {
    world: &'a World,
    engine: &'a Engine,
    pub(super) recorder: Arc<Recorder>,
}

impl Script<'_> {
    /// Waits until something is so, while no time passes.
    pub(super) async fn at_once(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is_so().await {
            assert!(
                Instant::now() < deadline,
                "not in time: {what}; {:?}",
                self.recorder.seen()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until something is so; whenever so many sleep, time jumps to the first moment one of them waits for.
    pub(super) async fn in_time(&self, sleepers: usize, what: &str, is_so: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is_so().await {
            assert!(
                Instant::now() < deadline,
                "not in time: {what}; {:?}",
                self.recorder.seen()
            );
            tokio::select! {
                () = self.world.clock.quiet(sleepers) => {
                    if !is_so().await {
                        self.world.clock.jump();
                    }
                }
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Everything is planned, and nothing is open.
    pub(super) async fn all_is_done(&self) -> bool {
        let open = OperationFilter {
            states: vec![
                OperationState::Waiting,
                OperationState::Ready,
                OperationState::Claimed,
                OperationState::Held,
            ],
            limit: 1,
            ..OperationFilter::default()
        };
        let store = &self.engine.ports.store;
        let versions = store.versions().await.unwrap();
        let now = crate::ports::Clock::now(&*self.world.clock);
        store.due(now, 1).await.is_ok_and(|due| due.is_empty())
            && store
                .outdated(now, versions, 1)
                .await
                .is_ok_and(|outdated| outdated.is_none())
            && store.operations(&open).await.unwrap().is_empty()
    }
}

/// Serves while the script plays, then stops in order. Time stands unless the script lets it pass.
pub(super) async fn serve(world: &World, engine: &Engine, script: impl AsyncFnOnce(Script<'_>)) -> Vec<Seen> {
    serve_with(world, engine, POLL_MS, script).await
}

pub(super) async fn serve_with(
    world: &World,
    engine: &Engine,
    poll_ms: u64,
    script: impl AsyncFnOnce(Script<'_>),
) -> Vec<Seen> {
    world.clock.hold();
    let (stopper, stop) = Stop::pair();
    let recorder = Arc::new(Recorder::default());
    let request = ServeRequest {
        poll_ms,
        ..ServeRequest::new(stop, Actor::Usher)
    };
    let mut serving = std::pin::pin!(engine.serve(request, recorder.clone()));
    let script = script(Script {
        world,
        engine,
        recorder: Arc::clone(&recorder),
    });
    tokio::select! {
        ended = &mut serving => panic!("it ended by itself: {ended:?}"),
        () = script => {}
    }
    stopper.stop();
    loop {
        tokio::select! {
            ended = &mut serving => {
                ended.unwrap();
                return recorder.seen();
            }
            // The runner with its grace, and calls under way.
            () = world.clock.quiet(2) => world.clock.jump(),
        }
    }
}

const LATER: &str = "1,Ana,,permanent,2026-03-05,,,,\n2,Bo,,external,,,,,\n";

#[tokio::test]
async fn what_becomes_due_by_time_is_planned_and_run_then() {
    let world = World::new(1).await;
    let engine = world.engine().await;
    import(&engine, LATER).await;
    let seen = serve(&world, &engine, async |script| {
        script
            .at_once("Bo is made", async || world.app.accounts().contains_key("2"))
            .await;
        assert!(!world.app.accounts().contains_key("1"));
        script
            .in_time(2, "Ana is made", async || world.app.accounts().contains_key("1"))
            .await;
    })
    .await;
    // The first moment of the day in Berlin.
    assert_eq!(
        crate::ports::Clock::now(&*world.clock),
        time("2026-03-04T23:00:00Z")
    );
    assert!(
        seen.iter()
            .any(|seen| matches!(seen, Seen::Planned { identities, .. } if *identities > 0))
    );
}

#[tokio::test]
async fn what_waits_for_a_person_is_planned_and_not_run() {
    let world = World::new(2).await;
    let engine = world.engine().await;
    import(&engine, "1,Ana,,permanent,,,,,\n").await;
    serve(&world, &engine, async |script| {
        script
            .at_once("the account and its group", async || {
                world
                    .app
                    .accounts()
                    .get("1")
                    .is_some_and(|account| !account.entitlements.is_empty())
            })
            .await;
    })
    .await;
    assert!(world.directory.journal().is_empty());
    let status = engine.status().await.unwrap();
    let directory = status
        .targets
        .iter()
        .find(|target| target.name == name("directory"))
        .unwrap();
    assert_eq!(directory.operations[&OperationState::Ready], 1);
    world.clock.set(time("2026-03-02T09:00:00Z"));
    apply(&engine, 0).await;
    assert!(world.directory.accounts()["1"].enabled);
}

#[tokio::test]
async fn an_import_wakes_it_at_once() {
    let world = World::new(3).await;
    let engine = world.engine().await;
    let before = crate::ports::Clock::now(&*world.clock);
    serve(&world, &engine, async |script| {
        script
            .at_once("both sleep", async || world.clock.sleepers() == 2)
            .await;
        import(&engine, "1,Ana,,permanent,,,,,\n").await;
        script
            .at_once("Ana is made", async || world.app.accounts().contains_key("1"))
            .await;
        assert_eq!(
            crate::ports::Clock::now(&*world.clock),
            before,
            "no time has passed"
        );
    })
    .await;
}

#[tokio::test]
async fn without_documents_it_waits_for_them() {
    let world = World::bare(4);
    let engine = world.engine().await;
    let seen = serve(&world, &engine, async |script| {
        script
            .at_once("it says what is missing", async || {
                script.recorder.has(|seen| matches!(seen, Seen::Hindered { .. }))
            })
            .await;
        engine
            .activate_targets("targets.toml", TARGETS, person())
            .await
            .unwrap();
        engine
            .activate_policy("policy.toml", POLICY, person())
            .await
            .unwrap();
        import(&engine, "1,Ana,,permanent,,,,,\n").await;
        script
            .at_once("Ana is made", async || world.app.accounts().contains_key("1"))
            .await;
    })
    .await;
    let said = seen.iter().find_map(|seen| match seen {
        Seen::Hindered { message, .. } => Some(message.as_str()),
        _ => None,
    });
    insta::assert_snapshot!(said.unwrap(), @"no policy is active: activate one with `usher policy activate FILE`");
}

#[tokio::test]
async fn a_target_whose_connector_cannot_be_loaded_is_tried_again() {
    let world = World::new(5).await;
    let engine = world.engine().await;
    world
        .connectors
        .break_loading(&name("app"), "the component is not in the store");
    import(&engine, "1,Ana,,permanent,,,,,\n").await;
    serve(&world, &engine, async |script| {
        script
            .at_once("it rests", async || {
                script.recorder.has(|seen| matches!(seen, Seen::Rest { .. }))
            })
            .await;
        world.connectors.mend_loading(&name("app"));
        script
            .in_time(2, "Ana is made", async || world.app.accounts().contains_key("1"))
            .await;
    })
    .await;
    assert_eq!(
        crate::ports::Clock::now(&*world.clock),
        time("2026-03-02T08:00:30Z")
    );
}

#[tokio::test]
async fn a_frozen_store_is_told_of_and_waited_for() {
    let world = World::new(6).await;
    let engine = world.engine().await;
    import(&engine, "1,Ana,,permanent,,,,,\n").await;
    let store = &engine.ports.store;
    store
        .freeze("restored from a backup", &engine.context(person()))
        .await
        .unwrap();
    let request = ApplyRequest {
        expect: None,
        wait_ms: 0,
        stop: Stop::never(),
        actor: person(),
    };
    let refused = engine.apply(request, &NoProgress).await.unwrap_err();
    insta::assert_snapshot!(refused, @"the store is frozen, so nothing runs: restored from a backup");
    let seen = serve(&world, &engine, async |script| {
        script
            .at_once("it says so", async || {
                script
                    .recorder
                    .has(|seen| matches!(seen, Seen::Frozen(Some(reason)) if reason.contains("backup")))
            })
            .await;
        assert_eq!(world.app.calls(), 0);
        store.thaw("looked at", &engine.context(person())).await.unwrap();
        script
            .at_once("Ana is made", async || world.app.accounts().contains_key("1"))
            .await;
    })
    .await;
    assert!(seen.contains(&Seen::Frozen(None)));
}
