//! One person with records in several sources, and with accounts that need each other.

use serde_json::json;
use usher_lifecycle::state::IdentityState;

use super::*;
use crate::RecordKey;

async fn take(engine: &Engine, source: &str, text: &str) {
    let source = name(source);
    let request = ImportRequest {
        source: &source,
        origin: "people.csv",
        bytes: text.as_bytes(),
        override_guards: true,
        actor: Actor::Source(source.clone()),
    };
    let report = engine.import(request, &NoProgress).await.unwrap();
    assert!(report.refused.is_none(), "{:?}", report.refused);
}

/// People with one badge or several, which say the number of the employee.
fn with_badges() -> String {
    POLICY
        .replacen("key = \"id\"", "key = \"id\"\njoin = \"employeeId\"", 1)
        .replacen(
            "[[roles]]",
            "[sources.badges]\nkey = \"badge\"\njoin = \"holder\"\n[sources.badges.columns]\nbadge = { attribute = \"badge\" }\n\
             holder = { attribute = \"holder\" }\nlevel = { attribute = \"level\" }\n\n[[roles]]",
            1,
        )
        .replacen(
            "[[roles]]",
            "[[roles]]\nname = \"visitor\"\nwhen = \"has(identity.level) && identity.level == 'red'\"\n[roles.entitlements]\napp = [\"red-zone\"]\n\n[[roles]]",
            1,
        )
}

#[tokio::test]
async fn what_two_sources_know_of_one_person_makes_one_account() {
    let world = World::new(1).await;
    let engine = world.engine().await;
    engine
        .activate_policy("policy.toml", &with_badges(), person())
        .await
        .unwrap();
    take(
        &engine,
        "hr",
        &format!("{HEADER}A1,Zoë,Muster,permanent,2026-03-01,,,,\n"),
    )
    .await;
    // Case does not matter, nor does what comes first.
    take(&engine, "badges", "badge,holder,level\nB7,a1,red\nB8,A2,red\n").await;
    let (person_view, badge) = (engine.show("A1").await.unwrap(), engine.show("B7").await.unwrap());
    assert_eq!(person_view.id, badge.id);
    assert_eq!(person_view.records.len(), 2);
    take(
        &engine,
        "hr",
        &format!("{HEADER}A1,Zoë,Muster,permanent,2026-03-01,,,,\nA2,Bo,,external,2026-03-01,,,,\n"),
    )
    .await;
    assert_eq!(
        engine.show("A2").await.unwrap().id,
        engine.show("B8").await.unwrap().id
    );

    apply(&engine, 0).await;
    let accounts = world.app.accounts();
    assert_eq!(accounts.len(), 2);
    for account in accounts.values() {
        assert!(account.entitlements.contains_key("red-zone"));
    }
    // Who leaves, leaves with all their records.
    take(
        &engine,
        "hr",
        &format!(
            "{HEADER}A1,Zoë,Muster,permanent,2026-03-01,2026-03-01,,,\nA2,Bo,,external,2026-03-01,,,,\n"
        ),
    )
    .await;
    apply(&engine, 0).await;
    let view = engine.show("B7").await.unwrap();
    assert_eq!(view.state, IdentityState::Leaving);
    assert!(!world.app.accounts()["A1"].enabled);
}

#[tokio::test]
async fn a_person_says_whose_a_record_is() {
    let world = World::new(2).await;
    let engine = world.engine().await;
    import(
        &engine,
        "1,Ana,,permanent,2026-03-01,,,,\n2,Ana,Old,permanent,2026-03-01,,,,\n",
    )
    .await;
    let record = RecordKey {
        source: name("hr"),
        key: "2".to_owned(),
    };
    let joined = engine
        .join_record("1", &record, "it is her", person())
        .await
        .unwrap();
    let view = engine.show("2").await.unwrap();
    assert_eq!(
        (joined.identity, view.id, view.records.len()),
        (view.id, view.id, 2)
    );
    apply(&engine, 0).await;
    assert_eq!(world.app.accounts().len(), 1);
    let again = engine.join_record("1", &record, "it is her", person()).await;
    assert!(again.is_err(), "she has it already");
}

#[tokio::test]
async fn accounts_are_made_from_accounts_within_one_apply() {
    let world = World::bare(3);
    let engine = world.engine().await;
    engine
        .activate_targets("targets.toml", TARGETS, person())
        .await
        .unwrap();
    let policy = POLICY.replacen(
        "[mappings.app]\nusername = \"identity.employeeId\"",
        "[flows]\nlogin = { account = \"directory\", attribute = \"username\" }\n[mappings.app]\nusername = \"'u-' + identity.login\"",
        1,
    );
    engine
        .activate_policy("policy.toml", &policy, person())
        .await
        .unwrap();
    import(&engine, "1,Zoë,Muster,permanent,2026-03-01,,,,\n").await;
    let waiting = engine.preview().await.unwrap();
    let notes: Vec<&String> = waiting.accounts.iter().flat_map(|entry| &entry.notes).collect();
    assert_eq!(notes, ["left as it is: waits until directory can be used"]);
    apply(&engine, 0).await;
    assert_eq!(world.app.accounts()["u-1"].attributes["username"], json!("u-1"));
    let left = engine.preview().await.unwrap();
    assert_eq!(left.operations(), 0, "{:?}", left.accounts);
}
