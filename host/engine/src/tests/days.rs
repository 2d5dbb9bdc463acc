//! Days in the life of a company: joiner, mover, leaver, leave, rehire.

use serde_json::json;
use usher_lifecycle::state::IdentityState;

use super::*;
use crate::plan::SavedPlan;

fn verbs(report: &ApplyReport) -> Vec<String> {
    report
        .totals
        .iter()
        .map(|total| format!("{} {} {}", total.target, total.verb, total.done))
        .collect()
}

#[tokio::test]
async fn a_person_joins_moves_leaves_and_is_deleted() {
    let world = World::new(1).await;
    let engine = world.engine().await;

    let report = import(
        &engine,
        "1,Zoë,Muster,permanent,2026-03-01,,,,\n2,Li,,permanent,2026-04-01,,,,\n",
    )
    .await;
    assert_eq!((report.rows, report.new, report.refused), (2, 2, None));
    let done = apply(&engine, 0).await;
    assert_eq!(
        verbs(&done),
        [
            "app create 1",
            "app grant 1",
            "directory create 1",
            "directory grant 1"
        ]
    );
    let account = &world.app.accounts()["1"];
    assert_eq!(
        account.attributes["mail"],
        json!("zoë@example.org"),
        "the target stores it in lower case"
    );
    assert!(account.enabled && account.entitlements.contains_key("staff"));
    assert!(!world.app.accounts().contains_key("2"), "not started yet");
    assert_eq!(
        done.next_change,
        Some(time("2026-03-31T22:00:00Z")),
        "the start of the day in Berlin"
    );

    let again = apply(&engine, 0).await;
    assert_eq!(
        (again.queued, again.totals.len()),
        (0, 0),
        "the second apply has nothing to do"
    );
    assert_eq!(engine.preview().await.unwrap().operations(), 0);

    // Mover: another contract, another name.
    import(
        &engine,
        "1,Zoe,Muster,external,2026-03-01,,,,\n2,Li,,permanent,2026-04-01,,,,\n",
    )
    .await;
    apply(&engine, 0).await;
    let account = &world.app.accounts()["1"];
    assert_eq!(account.attributes["name"], json!("Zoe Muster"));
    assert_eq!(account.entitlements.keys().collect::<Vec<_>>(), ["guests"]);
    assert!(
        !world.directory.accounts()["1"].enabled,
        "no role gives it any more"
    );

    // The future start comes by itself.
    world.clock.set(time("2026-04-01T06:00:00Z"));
    apply(&engine, 0).await;
    assert!(world.app.accounts()["2"].enabled);

    // Leaver: the last day worked is today, so access ends at midnight.
    import(
        &engine,
        "1,Zoe,Muster,external,2026-03-01,2026-04-01,,,\n2,Li,,permanent,2026-04-01,,,,\n",
    )
    .await;
    apply(&engine, 0).await;
    assert!(world.app.accounts()["1"].enabled);
    world.clock.set(time("2026-04-01T22:00:00Z"));
    apply(&engine, 0).await;
    let account = &world.app.accounts()["1"];
    assert!(!account.enabled && account.entitlements.is_empty());

    world.clock.set(time("2026-05-02T08:00:00Z"));
    apply(&engine, 0).await;
    assert!(!world.app.accounts().contains_key("1") && !world.directory.accounts().contains_key("1"));
    assert_eq!(engine.preview().await.unwrap().operations(), 0);
    assert_eq!(world.creations_max(), 1);
    assert_eq!(engine.show("1").await.unwrap().state, IdentityState::Departed);
}

#[tokio::test]
async fn leave_suspends_and_a_rehire_gets_the_same_account_back() {
    let world = World::new(2).await;
    let engine = world.engine().await;
    import(
        &engine,
        "1,Ana,,permanent,2026-01-01,,2026-03-01,2026-03-09,\n2,Bo,,permanent,2026-01-01,2026-03-05,,,\n",
    )
    .await;
    apply(&engine, 0).await;
    assert!(
        !world.app.accounts().contains_key("1"),
        "on leave from the first day we know her: no account is made"
    );
    world.clock.set(time("2026-03-10T08:00:00Z"));
    apply(&engine, 0).await;
    assert!(world.app.accounts()["1"].enabled);
    assert!(!world.app.accounts()["2"].enabled);

    import(
        &engine,
        "1,Ana,,permanent,2026-01-01,,2026-03-11,2026-03-12,\n2,Bo,,permanent,2026-03-10,,,,\n",
    )
    .await;
    world.clock.set(time("2026-03-11T08:00:00Z"));
    apply(&engine, 0).await;
    let ana = &world.app.accounts()["1"];
    assert!(
        !ana.enabled && ana.entitlements.contains_key("staff"),
        "leave keeps entitlements"
    );
    assert!(world.app.accounts()["2"].enabled);
    assert_eq!(world.creations_max(), 1);
}

#[tokio::test]
async fn a_missing_person_ends_only_when_that_is_confirmed() {
    let world = World::new(3).await;
    let engine = world.engine().await;
    let both = "1,Ana,,permanent,,,,,\n2,Bo,,permanent,,,,,\n";
    import(&engine, both).await;
    apply(&engine, 0).await;

    let first = import(&engine, "1,Ana,,permanent,,,,,\n").await;
    assert_eq!(
        (first.missing, first.confirmed_missing, first.unchanged),
        (1, 0, 1)
    );
    let same = import(&engine, "1,Ana,,permanent,,,,,\n").await;
    assert_eq!(
        (same.missing, same.confirmed_missing),
        (1, 0),
        "the same file is not one more snapshot"
    );
    assert!(same.absence_not_counted.is_some());
    apply(&engine, 0).await;
    assert!(world.app.accounts()["2"].enabled);

    let second = import(&engine, "1,Ana,Novak,permanent,,,,,\n").await;
    assert_eq!(
        (second.missing, second.confirmed_missing, second.changed),
        (1, 1, 1)
    );
    apply(&engine, 0).await;
    assert!(!world.app.accounts()["2"].enabled);

    let back = import(&engine, both).await;
    assert_eq!((back.returned, back.changed, back.missing), (1, 1, 0));
    apply(&engine, 0).await;
    assert!(world.app.accounts()["2"].enabled);
}

#[tokio::test]
async fn a_preview_writes_nothing_and_hides_secrets() {
    let world = World::new(4).await;
    let engine = world.engine().await;
    import(&engine, "1,Ana,,permanent,,,,,\n").await;
    let before = engine.ports.store.versions().await.unwrap();
    let plan = engine.preview().await.unwrap();
    assert_eq!(engine.ports.store.versions().await.unwrap(), before);
    assert!(world.app.journal().is_empty());
    assert_eq!(plan.operations(), 4);
    let text = SavedPlan::new(plan.clone()).to_json();
    assert!(!text.contains("secret-1"), "{text}");
    assert_eq!(SavedPlan::parse(&text).unwrap().plan, plan);
    let cause = plan.accounts[0].steps[0].cause.join(" → ");
    assert!(
        cause.contains("role employee") && cause.starts_with("hr"),
        "{cause}"
    );

    apply(&engine, 0).await;
    let view = serde_json::to_string(&engine.show("1").await.unwrap()).unwrap();
    assert!(!view.contains("secret-1"), "{view}");
}

#[tokio::test]
async fn a_saved_plan_is_applied_as_it_is_or_refused() {
    let world = World::new(5).await;
    let engine = world.engine().await;
    import(&engine, "1,Ana,,permanent,,,,,\n").await;
    let saved = SavedPlan::new(engine.preview().await.unwrap());
    let request = |expect: &SavedPlan| ApplyRequest {
        expect: Some(expect.clone()),
        wait_ms: 0,
        stop: Stop::never(),
        actor: person(),
    };
    assert_eq!(
        engine.apply(request(&saved), &NoProgress).await.unwrap().done(),
        4
    );
    let Err(EngineError::Stale(changed)) = engine.apply(request(&saved), &NoProgress).await else {
        panic!("an old plan was applied")
    };
    insta::assert_snapshot!(changed.join("\n"), @r"
    accounts or the queue have changed
    it had 4 operations, now there would be 0
    ");
    // A plan also grows old when only time passes.
    import(&engine, "1,Ana,,permanent,,2026-03-02,,,\n").await;
    let saved = SavedPlan::new(engine.preview().await.unwrap());
    world.clock.set(time("2026-03-02T23:00:00Z"));
    assert!(matches!(
        engine.apply(request(&saved), &NoProgress).await,
        Err(EngineError::Stale(_))
    ));
    assert!(world.app.accounts()["1"].enabled);
}

#[tokio::test]
async fn a_target_that_observes_is_planned_and_never_touched() {
    let world = World::new(6).await;
    let engine = world.engine().await;
    let observe = TARGETS.replace("apply = \"auto\"", "apply = \"observe\"");
    engine
        .activate_targets("targets.toml", &observe, person())
        .await
        .unwrap();
    import(&engine, "1,Ana,,permanent,,,,,\n").await;
    assert_eq!(engine.preview().await.unwrap().operations(), 4);
    let done = apply(&engine, 60_000).await;
    assert_eq!(done.queued, 2);
    assert!(world.app.journal().is_empty() && world.directory.accounts().contains_key("1"));

    engine
        .activate_targets("targets.toml", TARGETS, person())
        .await
        .unwrap();
    apply(&engine, 0).await;
    assert!(world.app.accounts().contains_key("1"));
}

#[tokio::test]
async fn why_tells_what_happened_to_the_person_and_to_this_account_only() {
    let world = World::new(7).await;
    let engine = world.engine().await;
    import(&engine, "1,Ana,Novak,permanent,2026-01-01,,,,\n").await;
    apply(&engine, 0).await;
    for target in ["app", "directory"] {
        let slot = usher_lifecycle::account::AccountSlot {
            target: name(target),
            kind: Name::primary(),
        };
        let view = engine.why("1", &slot).await.unwrap();
        let accounts: Vec<_> = view
            .timeline
            .iter()
            .filter_map(|entry| entry.detail.get("account"))
            .collect();
        assert!(
            !accounts.is_empty() && accounts.iter().all(|account| *account == target),
            "{accounts:?}"
        );
        let event = |name: &str| view.timeline.iter().any(|entry| entry.event == name);
        assert!(
            event("operation.done") && event("identity.state-changed"),
            "{:?}",
            view.timeline
        );
    }
}

#[tokio::test]
async fn views_answer_why_and_why_not() {
    let world = World::new(7).await;
    let engine = world.engine().await;
    import(&engine, "1,Ana,Novak,external,2026-01-01,,,,\n").await;
    apply(&engine, 0).await;
    let slot = |target: &str| usher_lifecycle::account::AccountSlot {
        target: name(target),
        kind: Name::primary(),
    };

    let why = engine.why("1", &slot("app")).await.unwrap();
    let not = engine.why("1", &slot("directory")).await.unwrap();
    let read = |view: &crate::views::WhyView| format!("{}\n{}", view.answer, view.chain.join(" → "));
    insta::assert_snapshot!(format!("{}\n\n{}", read(&why), read(&not)));
    assert_eq!(not.roles[0].holds, Some(false));
    assert_eq!(not.roles[0].reads["contract"], json!("external"));
    assert!(matches!(
        engine.why("1", &slot("nowhere")).await,
        Err(EngineError::NotFound(_))
    ));
    assert!(matches!(engine.show("99").await, Err(EngineError::NotFound(_))));

    let view = engine.show("1").await.unwrap();
    assert_eq!(
        view.accounts[0].desired,
        Some(usher_lifecycle::table::DesiredKind::Enabled)
    );
    assert!(
        view.timeline
            .iter()
            .any(|entry| entry.event == "operation.done" && !entry.cause.is_empty())
    );
    let status = engine.status().await.unwrap();
    assert_eq!(status.identities["active"], 1);
    assert_eq!(status.targets[0].accounts.values().sum::<u64>(), 1);
    assert_eq!(status.imports.len(), 1);
}
