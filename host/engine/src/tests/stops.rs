//! Ending a person's access now: before everything queued, whatever state targets are in, and whatever is under way.

use usher_lifecycle::connector::{CallError, ErrorKind};
use usher_lifecycle::facts::HoldKind;
use usher_lifecycle::operation::OperationState;
use usher_store::{NewFact, OperationFilter};

use super::*;
use crate::ports::{Clock as _, Point};
use crate::run::{RevokeRequest, Revoked};
use crate::sim::Fault;
use crate::views::{StopProgress, StopView};

const ZOE: &str = "1,Zoë,Muster,permanent,2026-03-01,,,,\n";
const ZOE_AND_BO: &str = "1,Zoë,Muster,permanent,2026-03-01,,,,\n2,Bo,,permanent,2026-03-01,,,,\n";

const OBSERVED: &str = r#"
[targets.app]
connector = "sim"
apply = "observe"
[targets.directory]
connector = "sim"
apply = "observe"
"#;

fn request(wait_ms: u64) -> RevokeRequest {
    RevokeRequest {
        key: "1".to_owned(),
        reason: "laptop stolen".to_owned(),
        wait_ms,
        stop: Stop::never(),
        actor: person(),
    }
}

pub(super) async fn revoke(engine: &Engine, wait_ms: u64) -> Revoked {
    engine.revoke(request(wait_ms), &|_| {}).await.unwrap()
}

/// A person whose accounts are there.
async fn zoe(seed: u64, rows: &str) -> (World, Engine) {
    let world = World::new(seed).await;
    let engine = world.engine().await;
    import(&engine, rows).await;
    apply(&engine, 0).await;
    assert!(world.app.accounts()["1"].enabled && world.directory.accounts()["1"].enabled);
    (world, engine)
}

fn has_access(world: &World) -> (bool, bool) {
    (
        world.app.accounts()["1"].enabled,
        world.directory.accounts()["1"].enabled,
    )
}

fn progress(view: &StopView, target: &str) -> StopProgress {
    let account = view
        .accounts
        .iter()
        .find(|account| account.slot.to_string() == target);
    account.unwrap().progress.clone()
}

async fn targets(engine: &Engine, text: &str) {
    engine
        .activate_targets("targets.toml", text, person())
        .await
        .unwrap();
}

async fn open_operations(engine: &Engine) -> Vec<String> {
    let filter = OperationFilter {
        states: vec![
            OperationState::Waiting,
            OperationState::Ready,
            OperationState::Held,
        ],
        limit: 100,
        ..OperationFilter::default()
    };
    let open = engine.ports.store.operations(&filter).await.unwrap();
    let shown = |one: usher_store::OperationRow| format!("{} {} {}", one.key, one.slot, one.work.verb());
    open.into_iter().map(shown).collect()
}

#[tokio::test]
async fn it_ends_everywhere_and_the_second_time_shows_how_far_it_is() {
    let (world, engine) = zoe(1, ZOE).await;
    let before = world.clock.now();
    let done = revoke(&engine, 0).await;
    assert!(done.is_new && done.view.ended, "{done:?}");
    assert_eq!(has_access(&world), (false, false));
    assert_eq!(world.clock.now(), before, "nothing is waited for");
    assert!(
        world.app.accounts()["1"].entitlements.contains_key("staff"),
        "a hold strips nothing"
    );
    let again = revoke(&engine, 0).await;
    assert!(!again.is_new && again.view.ended);
    assert_eq!(again.view.hold, done.view.hold, "no second hold");
    let shown = engine.show("1").await.unwrap();
    assert_eq!(shown.set.len(), 1);
    assert_eq!(shown.stop.map(|stop| stop.ended), Some(true));
    assert!(engine.status().await.unwrap().revoking.is_empty());
    engine
        .end_fact(done.view.hold.id, "found", person())
        .await
        .unwrap();
    apply(&engine, 0).await;
    assert_eq!(has_access(&world), (true, true));
    assert_eq!(engine.stop_of("1").await.unwrap(), None);
}

#[tokio::test]
async fn targets_that_observe_are_passed_by_nothing_else() {
    let (world, engine) = zoe(2, ZOE_AND_BO).await;
    targets(&engine, OBSERVED).await;
    let other = "1,Zoë,Muster,permanent,2026-03-01,,,,\n2,Bob,,permanent,2026-03-01,,,,\n";
    import(&engine, other).await;
    let before = world.app.journal().len() + world.directory.journal().len();
    let done = revoke(&engine, 0).await;
    assert!(done.view.ended, "{done:?}");
    assert_eq!(has_access(&world), (false, false));
    apply(&engine, 0).await;
    let writes = world.app.journal().len() + world.directory.journal().len() - before;
    assert_eq!(writes, 2, "only the two disables");
    assert!(open_operations(&engine).await.is_empty());
}

#[tokio::test]
async fn who_leaves_under_a_hold_is_disabled_at_once_and_stripped_in_turn() {
    let (world, engine) = zoe(3, ZOE).await;
    import(&engine, "1,Zoë,Muster,permanent,2026-03-01,2026-03-01,,,\n").await;
    let done = revoke(&engine, 0).await;
    assert!(done.view.ended, "{done:?}");
    assert_eq!(has_access(&world), (false, false));
    assert!(world.app.accounts()["1"].entitlements.contains_key("staff"));
    assert_eq!(
        open_operations(&engine).await,
        ["1 directory revoke", "1 app revoke"]
    );
    apply(&engine, 0).await;
    assert!(world.app.accounts()["1"].entitlements.is_empty());
}

#[tokio::test]
async fn a_target_that_rests_is_tried_and_tried_again() {
    let (world, engine) = zoe(4, ZOE_AND_BO).await;
    let refused = || Fault::Error(CallError::harmless(ErrorKind::AuthFailed, "who are you?"));
    import(
        &engine,
        "1,Zoë,Muster,permanent,2026-03-01,,,,\n2,Bob,,permanent,2026-03-01,,,,\n",
    )
    .await;
    world.app.faults.ask(refused());
    apply(&engine, 0).await;
    let now = world.clock.now();
    assert_eq!(
        engine.ports.store.resting(now).await.unwrap().len(),
        1,
        "it rests"
    );

    // One that fails is tried again by its own back-off, not at the end of the rest.
    world
        .app
        .faults
        .ask(Fault::Error(CallError::harmless(ErrorKind::Unavailable, "busy")));
    let first = revoke(&engine, 0).await;
    let StopProgress::Again { attempts: 1, at, .. } = progress(&first.view, "app") else {
        panic!("{first:?}");
    };
    assert!(at.duration_since(now).as_secs() <= 2, "{at}");
    assert_eq!(progress(&first.view, "directory"), StopProgress::Disabled);
    let status = engine.status().await.unwrap();
    assert_eq!(status.revoking.len(), 1, "on top until it is done");

    let done = revoke(&engine, 10_000).await;
    assert!(!done.is_new && done.view.ended, "{done:?}");
    assert_eq!(has_access(&world), (false, false));
    assert!(world.clock.now().duration_since(now).as_secs() <= 3);
    assert_eq!(
        world.app.accounts()["2"].attributes["mail"],
        "bo@example.org",
        "the rest holds"
    );
    assert_eq!(open_operations(&engine).await, ["2 app update"]);
}

#[tokio::test]
async fn a_freeze_is_passed_unless_it_is_for_everything() {
    let (world, engine) = zoe(5, ZOE_AND_BO).await;
    let store = &engine.ports.store;
    let context = engine.context(person());
    import(
        &engine,
        "1,Zoë,Muster,permanent,2026-03-01,,,,\n2,Bob,,permanent,2026-03-01,,,,\n",
    )
    .await;
    store.freeze_all("looked at", &context).await.unwrap();
    let calls = world.app.calls() + world.directory.calls();
    let waits = revoke(&engine, 60_000).await;
    assert!(waits.view.frozen.is_some() && !waits.view.ended, "{waits:?}");
    assert_eq!(world.app.calls() + world.directory.calls(), calls);
    assert_eq!(has_access(&world), (true, true));

    store.thaw("looked at", &context).await.unwrap();
    store.freeze("HR sent nonsense", &context).await.unwrap();
    let done = revoke(&engine, 0).await;
    assert!(done.view.ended && done.view.frozen.is_none(), "{done:?}");
    assert_eq!(has_access(&world), (false, false));
    assert_eq!(
        world.app.accounts()["2"].attributes["mail"],
        "bo@example.org",
        "nothing else"
    );
}

#[tokio::test]
async fn what_cannot_be_loaded_here_is_left_to_others() {
    let (world, engine) = zoe(6, ZOE).await;
    world
        .connectors
        .break_loading(&name("app"), "the component is not in the store");
    let left = revoke(&engine, 3_000).await;
    assert_eq!(progress(&left.view, "directory"), StopProgress::Disabled);
    let StopProgress::Again { attempts: 0, why, .. } = progress(&left.view, "app") else {
        panic!("{left:?}");
    };
    assert!(why.contains("not in the store"), "{why}");
    world.connectors.mend_loading(&name("app"));
    assert!(revoke(&engine, 0).await.view.ended);
    assert_eq!(has_access(&world), (false, false));
}

#[tokio::test]
async fn protected_accounts_are_never_touched() {
    let (world, engine) = zoe(7, ZOE).await;
    let protected = TARGETS.replacen(
        "apply = \"auto\"",
        "apply = \"auto\"\nprotected = { when = \"account.name.startsWith('Zoë')\" }",
        1,
    );
    targets(&engine, &protected).await;
    let done = revoke(&engine, 60_000).await;
    assert!(!done.view.ended, "{done:?}");
    assert!(matches!(
        progress(&done.view, "app"),
        StopProgress::Protected { .. }
    ));
    assert_eq!(has_access(&world), (true, false));
    let status = engine.status().await.unwrap();
    assert!(status.revoking.is_empty(), "nothing will ever change there");
    let unknown = protected.replace("account.name", "account.nickname");
    let refused = engine.activate_targets("targets.toml", &unknown, person()).await;
    insta::assert_snapshot!(refused.unwrap_err(), @r"
    targets.toml:5:22: targets.app.protected.when: accounts of this target have no attribute `nickname`
        account.nickname.startsWith('Zoë')
    ");
}

#[tokio::test]
async fn an_account_that_turns_out_to_be_protected_is_not_written_again() {
    let (world, engine) = zoe(8, ZOE).await;
    let protected = TARGETS.replacen(
        "apply = \"auto\"",
        "apply = \"auto\"\nprotected = { when = \"account.name.startsWith('svc-')\" }",
        1,
    );
    targets(&engine, &protected).await;
    import(&engine, "1,Zoë,Master,permanent,2026-03-01,,,,\n").await;
    world.app.faults.ask(Fault::LostCall);
    apply(&engine, 0).await;
    let service = serde_json::json!({ "username": "1", "name": "svc-backup", "mail": "x@example.org" });
    world.app.put(service.as_object().cloned().unwrap());
    let writes = world.app.journal().len();
    apply(&engine, 60_000).await;
    assert_eq!(world.app.journal().len(), writes, "{:?}", world.app.journal());
    let shown = engine.show("1").await.unwrap();
    let app = shown
        .accounts
        .iter()
        .find(|account| account.slot.to_string() == "app");
    let app = app.unwrap();
    assert!(app.open.is_empty(), "{:?}", app.open);
    assert!(
        app.notes[0].starts_with("protected, so nothing is done"),
        "{:?}",
        app.notes
    );
}

/// Facts that are half new stop nobody from being stopped, and nothing else is planned from them.
#[tokio::test]
async fn an_import_that_is_not_taken_in_yet_is_not_waited_for() {
    let (world, engine) = zoe(9, ZOE_AND_BO).await;
    world.probes.crash_at(Point::Absorbed, 1);
    let rows = "1,Zoë,Muster,permanent,2026-03-01,2026-03-01,,,\n2,Bo,,permanent,2026-03-01,,,,\n";
    let crashed = survive(import(&engine, rows)).await;
    assert!(crashed.is_none());
    drop(engine);
    // Not recovered: as it is when the command is given.
    let engine = world.unrecovered().await;
    let absorbing = engine.ports.store.is_absorbing().await.unwrap();
    let done = revoke(&engine, 0).await;
    assert!(done.view.ended, "{done:?}");
    assert_eq!(has_access(&world), (false, false));
    assert!(!absorbing || open_operations(&engine).await.is_empty());
    engine.recover().await.unwrap();
    apply(&engine, 0).await;
    assert!(
        world.app.accounts()["1"].entitlements.is_empty(),
        "stripped in turn"
    );
}

/// Killed at every named point, then started again: the access ends, by one hold.
#[tokio::test]
async fn killed_anywhere_it_resumes() {
    let calm = zoe(10, ZOE).await.0;
    let engine = calm.engine().await;
    calm.probes.crash_at(Point::BeforeClaim, u32::MAX);
    assert!(revoke(&engine, 60_000).await.view.ended);
    let mut crashes = 0;
    for point in Point::ALL {
        for times in 1..=calm.probes.times(point) {
            let (world, engine) = zoe(10, ZOE).await;
            world.probes.crash_at(point, times);
            let died = survive(revoke(&engine, 60_000)).await.is_none();
            drop(engine);
            let engine = world.engine().await;
            let done = revoke(&engine, 60_000).await;
            crashes += u32::from(died);
            assert!(
                done.view.ended,
                "after a crash at {}:{times}: {done:?}",
                point.name()
            );
            assert_eq!(has_access(&world), (false, false));
            assert_eq!(engine.show("1").await.unwrap().set.len(), 1, "one hold");
            engine.ports.store.audit_verify().await.unwrap();
        }
    }
    assert!(crashes >= 4, "{crashes}");
}

/// A hold set by somebody while the loop serves.
pub(super) async fn hold(engine: &Engine) {
    let hold = NewFact::Hold {
        kind: HoldKind::Security,
        from: engine.ports.clock.now(),
        until: None,
    };
    engine
        .set_fact("1", &hold, "laptop stolen", person())
        .await
        .unwrap();
}
