//! Pilots in the whole loop: nothing is queued outside, the plan says what would be, and leaving the pilot does exactly that.

use super::*;
use crate::plan::Plan;

fn targets(pilot: &str) -> String {
    TARGETS.replace("apply = \"auto\"\n", &format!("apply = \"auto\"\n{pilot}\n"))
}

const ROWS: &str =
    "1,Ana,,permanent,2026-01-01,,,,\n2,Bo,,external,2026-01-01,,,,\n3,Cy,,external,2026-01-01,,,,\n";

fn announced(plan: &Plan, target: &str) -> u64 {
    let of_target = plan
        .announced
        .iter()
        .filter(|total| total.target.as_str() == target);
    of_target.map(|total| total.operations).sum()
}

#[tokio::test]
async fn a_target_in_its_pilot_serves_those_it_names_and_announces_the_rest() {
    let world = World::new(91).await;
    let engine = world.engine().await;
    let pilot = targets("pilot = \"has(identity.contract) && identity.contract == 'permanent'\"");
    engine
        .activate_targets("targets.toml", &pilot, person())
        .await
        .unwrap();
    import(&engine, ROWS).await;
    apply(&engine, 0).await;
    assert_eq!(world.app.accounts().len(), 1, "Ana alone");
    let plan = engine.preview().await.unwrap();
    assert_eq!(plan.operations(), 0);
    assert_eq!(
        announced(&plan, "app"),
        4,
        "two accounts and what they hold: {:?}",
        plan.announced
    );
    let outside: Vec<&str> = plan
        .accounts
        .iter()
        .flat_map(|entry| &entry.announced_because)
        .map(String::as_str)
        .collect();
    assert_eq!(outside, ["outside the pilot of target app"; 2]);

    engine
        .activate_targets("targets.toml", TARGETS, person())
        .await
        .unwrap();
    let whole = engine.preview().await.unwrap();
    let count = |plan: &Plan| {
        plan.accounts
            .iter()
            .map(|entry| entry.announced.len() + entry.steps.len())
            .sum::<usize>()
    };
    assert_eq!(
        (whole.operations(), count(&whole)),
        (4, count(&plan)),
        "exactly what was announced"
    );
    assert!(whole.announced.is_empty());
    apply(&engine, 0).await;
    assert_eq!(world.app.accounts().len(), 3);
}

#[tokio::test]
async fn who_leaves_the_pilot_has_nothing_more_queued() {
    let world = World::new(92).await;
    let engine = world.engine().await;
    let pilot = targets("pilot = \"identity.contract == 'permanent'\"");
    engine
        .activate_targets("targets.toml", &pilot, person())
        .await
        .unwrap();
    import(&engine, ROWS).await;
    apply(&engine, 0).await;
    import(&engine, &ROWS.replace("Ana,,permanent", "Ana,,external")).await;
    apply(&engine, 0).await;
    assert_eq!(world.app.accounts().len(), 1);
    let why = engine
        .why(
            "1",
            &usher_lifecycle::account::AccountSlot {
                target: name("app"),
                kind: Name::primary(),
            },
        )
        .await
        .unwrap();
    assert!(why.steps.is_empty(), "{:?}", why.steps);
    assert!(
        why.notes
            .iter()
            .any(|note| note.starts_with("only announced (outside the pilot of target app)")),
        "{:?}",
        why.notes
    );
}

#[tokio::test]
async fn a_pilot_must_fit_the_policy_whichever_comes_last() {
    let world = World::new(93).await;
    let engine = world.engine().await;
    let wrong = targets("pilot = \"identity.contrat == 'permanent'\"");
    let refused = engine
        .activate_targets("targets.toml", &wrong, person())
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("unknown attribute `contrat`"),
        "{refused}"
    );
    let right = targets("pilot = \"identity.contract == 'permanent'\"");
    engine
        .activate_targets("targets.toml", &right, person())
        .await
        .unwrap();
    let without = POLICY
        .replace("contract = { attribute = \"contract\" }\n", "")
        .replace("identity.contract == 'permanent'", "true")
        .replace("identity.contract == 'external'", "true");
    let refused = engine
        .activate_policy("policy.toml", &without, person())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("targets.app.pilot"), "{refused}");
}

#[tokio::test]
async fn a_role_in_observe_is_seen_in_plan_and_why_and_gives_when_it_is_let_go() {
    let world = World::new(94).await;
    let engine = world.engine().await;
    let observed = POLICY.replace(
        "name = \"contractor\"\n",
        "name = \"contractor\"\nobserve = true\n",
    );
    engine
        .activate_policy("policy.toml", &observed, person())
        .await
        .unwrap();
    import(&engine, ROWS).await;
    apply(&engine, 0).await;
    assert_eq!(world.app.accounts().len(), 1);
    let plan = engine.preview().await.unwrap();
    assert_eq!((plan.operations(), announced(&plan, "app")), (0, 4));
    let app = usher_lifecycle::account::AccountSlot {
        target: name("app"),
        kind: Name::primary(),
    };
    let why = engine.why("2", &app).await.unwrap();
    assert!(why.answer.contains("only announced"), "{}", why.answer);
    let contractor = why
        .roles
        .iter()
        .find(|role| role.name.as_str() == "contractor")
        .unwrap();
    assert_eq!((contractor.holds, contractor.announced), (Some(false), true));
    engine
        .activate_policy("policy.toml", POLICY, person())
        .await
        .unwrap();
    apply(&engine, 0).await;
    assert_eq!(world.app.accounts().len(), 3);
}
