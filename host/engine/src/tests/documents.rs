//! Documents are checked as a whole before they are active.

use super::*;

#[tokio::test]
async fn every_mistake_is_told_at_once_and_nothing_is_activated() {
    let world = World::bare(1);
    let engine = world.engine().await;
    let wrong = POLICY
        .replace("Europe/Berlin", "Mars/Olympus")
        .replace("key = \"id\"", "encoding = \"klingon\"\nkey = \"id\"");
    let Err(EngineError::Document(errors)) = engine.activate_policy("policy.toml", &wrong, person()).await
    else {
        panic!("accepted")
    };
    insta::assert_snapshot!(errors);
    assert!(matches!(engine.preview().await, Err(EngineError::NotActive(_))));
}

#[tokio::test]
async fn a_policy_must_fit_the_targets_and_the_other_way_round() {
    let world = World::new(2).await;
    let engine = world.engine().await;
    let unknown = POLICY.replace("\"directory\"", "\"nowhere\"");
    assert!(matches!(
        engine.activate_policy("policy.toml", &unknown, person()).await,
        Err(EngineError::Document(_))
    ));
    let fewer = TARGETS.split("[targets.directory]").next().unwrap();
    assert!(matches!(
        engine.activate_targets("targets.toml", fewer, person()).await,
        Err(EngineError::Document(_))
    ));
    let version = engine
        .activate_policy("policy.toml", POLICY, person())
        .await
        .unwrap();
    assert_eq!(version, 1, "the same text is the same version");
}

#[tokio::test]
async fn mappings_must_fit_what_the_targets_say_of_their_accounts() {
    let world = World::new(4).await;
    let engine = world.engine().await;
    let wrong = POLICY
        .replace("name = \"has(", "nmae = \"has(")
        .replace("[mappings.directory]\nusername", "[mappings.directory]\nprojects");
    let error = engine.check_policy("policy.toml", &wrong).await.unwrap_err();
    insta::assert_snapshot!(error, @r"
    policy.toml:47:8: mappings.app.nmae: accounts of target `app` have no attribute `nmae`; did you mean `name`?
    policy.toml:50:11: mappings.directory: every account of target `directory` must have `username`, but the mapping does not give it
    ");

    let world = World::bare(5);
    let engine = world.engine().await;
    engine
        .activate_policy("policy.toml", &wrong, person())
        .await
        .unwrap();
    let error = engine
        .activate_targets("targets.toml", TARGETS, person())
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @r"
    active policy, version 1:47:8: mappings.app.nmae: accounts of target `app` have no attribute `nmae`; did you mean `name`?
    active policy, version 1:50:11: mappings.directory: every account of target `directory` must have `username`, but the mapping does not give it
    ");
}

#[tokio::test]
async fn every_target_that_cannot_be_resolved_is_named() {
    let world = World::bare(3);
    let engine = world.engine().await;
    world
        .connectors
        .break_loading(&name("app"), "no connector `sim` was added");
    world
        .connectors
        .break_loading(&name("directory"), "no connector `sim` was added");
    let error = engine
        .activate_targets("targets.toml", TARGETS, person())
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @r"
    target app: no connector `sim` was added
    target directory: no connector `sim` was added
    ");
}

/// As a newer program may leave it, or an older one find it: both documents can still be replaced, also with a pilot, which asks the policy.
#[tokio::test]
async fn a_policy_that_cannot_be_read_any_more_is_replaced() {
    let world = World::new(6).await;
    let engine = world.engine().await;
    let pilot = TARGETS.replace(
        "apply = \"auto\"\n",
        "apply = \"auto\"\npilot = \"identity.contract == 'permanent'\"\n",
    );
    engine
        .activate_targets("targets.toml", &pilot, person())
        .await
        .unwrap();
    let unreadable = usher_store::NewDocument {
        kind: usher_store::DocumentKind::Policy,
        text: "of another time".to_owned(),
        resolved: serde_json::Value::Null,
    };
    let context = engine.context(person());
    let store = &engine.ports.store;
    store.activate(unreadable, &context).await.unwrap();
    // Neither is in the memory of a program that starts now.
    drop(engine);
    let engine = world.engine().await;
    assert!(matches!(
        engine.preview().await,
        Err(EngineError::Unreadable { .. })
    ));
    let wider = pilot.replace("'permanent'", "'external'");
    engine
        .activate_targets("targets.toml", &wider, person())
        .await
        .unwrap();
    let version = engine
        .activate_policy("policy.toml", POLICY, person())
        .await
        .unwrap();
    assert_eq!(version, 3);
    engine.preview().await.unwrap();
}

/// Two documents that were checked at the same moment, each against the predecessor of the other.
#[tokio::test]
async fn a_document_comes_into_force_beside_what_it_was_checked_against() {
    let world = World::new(7).await;
    let engine = world.engine().await;
    let wider = POLICY.replace("retention-days = 30", "retention-days = 31");
    let proposed = crate::documents::Proposed {
        kind: usher_store::DocumentKind::Policy,
        file: "policy.toml",
        text: &wider,
    };
    let prepared = engine.prepare(&proposed).await.unwrap();
    let observed = TARGETS.replace("apply = \"auto\"", "apply = \"observe\"");
    engine
        .activate_targets("targets.toml", &observed, person())
        .await
        .unwrap();
    let late = engine.put_in_force(prepared, person()).await;
    assert!(
        matches!(late, Err(EngineError::Store(usher_store::StoreError::Stale(_)))),
        "{late:?}"
    );
    assert_eq!(
        engine
            .activate_policy("policy.toml", &wider, person())
            .await
            .unwrap(),
        2
    );
}
