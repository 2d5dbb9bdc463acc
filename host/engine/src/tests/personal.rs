//! What people set about somebody, and names that are theirs alone.

use usher_lifecycle::assignment::Origin;
use usher_lifecycle::facts::HoldKind;
use usher_lifecycle::state::IdentityState;
use usher_store::NewFact;

use super::*;
use crate::ports::Clock as _;

fn assignment(role: &str, until: Option<&str>) -> NewFact {
    NewFact::Assignment {
        role: name(role),
        origin: Origin::Manual,
        valid_from: None,
        valid_until: until.map(time),
    }
}

#[tokio::test]
async fn a_hold_disables_until_it_is_ended() {
    let world = World::new(1).await;
    let engine = world.engine().await;
    import(&engine, "1,Zoë,Muster,permanent,2026-03-01,,,,\n").await;
    apply(&engine, 0).await;
    assert!(world.app.accounts()["1"].enabled);

    let hold = NewFact::Hold {
        kind: HoldKind::Security,
        from: world.clock.now(),
        until: None,
    };
    let set = engine
        .set_fact("1", &hold, "ticket 4711", person())
        .await
        .unwrap();
    apply(&engine, 0).await;
    let account = &world.app.accounts()["1"];
    assert!(!account.enabled && account.entitlements.contains_key("staff"));
    assert!(!world.directory.accounts()["1"].enabled);
    let view = engine.show("1").await.unwrap();
    assert_eq!((view.state, view.set.len()), (IdentityState::Suspended, 1));

    engine.end_fact(set.id, "cleared", person()).await.unwrap();
    apply(&engine, 0).await;
    assert!(world.app.accounts()["1"].enabled);
    let twice = engine.end_fact(set.id, "cleared", person()).await;
    assert!(twice.is_err(), "it was ended already");
}

#[tokio::test]
async fn an_assigned_role_is_had_until_its_time_is_over() {
    let world = World::new(2).await;
    let engine = world.engine().await;
    import(&engine, "7,Li,Wei,external,2026-03-01,,,,\n").await;
    let fact = assignment("employee", Some("2026-03-09T00:00:00Z"));
    engine.set_fact("7", &fact, "acting", person()).await.unwrap();
    let done = apply(&engine, 0).await;
    assert!(world.directory.accounts()["7"].enabled);
    assert_eq!(done.next_change, Some(time("2026-03-09T00:00:00Z")));

    world.clock.set(time("2026-03-09T00:00:00Z"));
    apply(&engine, 0).await;
    assert!(!world.directory.accounts()["7"].enabled);
    assert!(world.app.accounts()["7"].enabled, "the rule still gives it");

    let unknown = engine
        .set_fact("7", &assignment("employe", None), "typo", person())
        .await;
    let message = unknown.unwrap_err().to_string();
    assert!(message.contains("employee, contractor"), "{message}");
}

#[tokio::test]
async fn people_of_one_name_get_names_of_their_own_and_keep_them() {
    let world = World::new(3).await;
    let engine = world.engine().await;
    let unique =
        "[mappings.app]\nusername = { candidates = [\"identity.familyName.lowerAscii()\"], unique = true }";
    let policy = POLICY.replace("[mappings.app]\nusername = \"identity.employeeId\"", unique);
    assert_ne!(policy, POLICY);
    engine
        .activate_policy("policy.toml", &policy, person())
        .await
        .unwrap();
    import(
        &engine,
        "1,Zoë,Muster,permanent,2026-03-01,,,,\n2,Max,Muster,permanent,2026-03-01,,,,\n3,Li,Wei,permanent,2026-03-01,,,,\n",
    )
    .await;
    apply(&engine, 0).await;
    let names = |world: &World| {
        let accounts = world.app.accounts();
        let mut names: Vec<String> = accounts
            .values()
            .map(|account| account.attributes["username"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&world), ["muster", "muster2", "wei"]);
    let again = apply(&engine, 0).await;
    assert_eq!(again.queued, 0);

    // A new name by marriage changes nothing about the account's.
    import(
        &engine,
        "1,Zoë,Muster,permanent,2026-03-01,,,,\n2,Max,Wei,permanent,2026-03-01,,,,\n3,Li,Wei,permanent,2026-03-01,,,,\n",
    )
    .await;
    apply(&engine, 0).await;
    assert_eq!(names(&world), ["muster", "muster2", "wei"]);
    let view = engine.show("2").await.unwrap();
    assert_eq!(view.names.len(), 1);
}
