//! What changes while it runs: documents, and facts of people whose operation is under way.

use serde_json::json;

use super::*;
use crate::sim::Fault;

const ONE: &str = "1,Ana,,permanent,,,,,\n";

/// Only the directory runs: what is written there is what it answers, so that no outcome by itself makes anybody dirty.
const DIRECTORY: &str = r#"
[targets.app]
connector = "sim"
apply = "observe"
[targets.directory]
connector = "sim"
apply = "auto"
"#;

fn mail(world: &World) -> Option<serde_json::Value> {
    let accounts = world.directory.accounts();
    accounts
        .get("1")
        .map(|account| account.attributes["mail"].clone())
}

#[tokio::test]
async fn facts_that_change_during_a_call_are_planned_when_it_has_ended() {
    let world = World::new(1).await;
    let engine = world.engine().await;
    engine
        .activate_targets("targets.toml", DIRECTORY, person())
        .await
        .unwrap();
    import(&engine, ONE).await;
    world.directory.faults.ask(Fault::Slow(60_000));
    serve(&world, &engine, async |script| {
        script
            .at_once("the creation is under way", async || world.clock.sleepers() == 3)
            .await;
        import(&engine, "1,Anna,,permanent,,,,,\n").await;
        script
            .at_once("it is planned and nobody is dirty any more", async || {
                let now = crate::ports::Clock::now(&*world.clock);
                let due = engine.ports.store.due(now, 1).await;
                world.clock.sleepers() == 3 && due.is_ok_and(|due| due.is_empty())
            })
            .await;
        script
            .in_time(3, "the account is made", async || mail(&world).is_some())
            .await;
        script
            .at_once("and then as the facts are now", async || {
                mail(&world) == Some(json!("Anna@Example.org"))
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_new_document_is_followed_and_calls_under_way_are_recorded() {
    let world = World::new(2).await;
    let engine = world.engine().await;
    import(&engine, "1,Ana,,permanent,,,,,\n2,Bo,,external,,,,,\n").await;
    world.app.faults.ask(Fault::Slow(60_000));
    world.app.faults.ask(Fault::Slow(60_000));
    serve(&world, &engine, async |script| {
        script
            .at_once("both creations are under way", async || {
                world.clock.sleepers() == 4
            })
            .await;
        let other = TARGETS
            .replace("apply = \"auto\"", "apply = \"observe\"")
            .replace("apply = \"manual\"", "apply = \"auto\"");
        engine
            .activate_targets("targets.toml", &other, person())
            .await
            .unwrap();
        script
            .at_once("the other target runs now", async || {
                world.directory.accounts().contains_key("1")
            })
            .await;
        assert!(world.app.accounts().is_empty());
        script
            .in_time(4, "the calls end", async || world.app.accounts().len() == 2)
            .await;
        script
            .at_once("and are recorded", async || {
                let claimed = OperationFilter {
                    states: vec![OperationState::Claimed],
                    limit: 1,
                    ..OperationFilter::default()
                };
                engine.ports.store.operations(&claimed).await.unwrap().is_empty()
            })
            .await;
    })
    .await;
    let journal = world.app.journal();
    assert!(
        journal.iter().all(|call| call.verb == "create"),
        "nothing more has begun there: {journal:?}"
    );
}

#[tokio::test]
async fn a_target_gone_from_the_document_keeps_its_outcomes() {
    let world = World::new(3).await;
    let engine = world.engine().await;
    import(&engine, ONE).await;
    world.app.faults.ask(Fault::Slow(60_000));
    let seen = serve(&world, &engine, async |script| {
        script
            .at_once("the creation is under way", async || world.clock.sleepers() == 3)
            .await;
        let observed = TARGETS.replace("apply = \"auto\"", "apply = \"observe\"");
        engine
            .activate_targets("targets.toml", &observed, person())
            .await
            .unwrap();
        script
            .in_time(3, "the call ends", async || {
                world.app.accounts().contains_key("1")
            })
            .await;
        script
            .at_once("and is recorded", async || {
                script.recorder.has(|seen| matches!(seen, Seen::Outcomes(_)))
            })
            .await;
    })
    .await;
    assert!(
        !seen.iter().any(|seen| matches!(seen, Seen::Fenced { .. })),
        "{seen:?}"
    );
}
