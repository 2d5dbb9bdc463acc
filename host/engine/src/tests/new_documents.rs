//! A new document costs what it changes: everybody is looked through, only who is planned differently is written to, and what comes of it is what
//! planning everybody anew would give.

use super::*;
use crate::ports::Point;

const PEOPLE: usize = 40;

/// People of all contracts, some of whom have left or are away.
fn people() -> String {
    let row = |n: usize| {
        let contract = ["permanent", "external", ""][n % 3];
        let end = if n.is_multiple_of(7) { "2026-03-05" } else { "" };
        let away = if n.is_multiple_of(11) { "2026-03-01" } else { "" };
        format!("{n},P{n},,{contract},2026-03-01,{end},{away},,\n")
    };
    (1..=PEOPLE).map(row).collect()
}

/// What one round of planning did: people planned, people looked at without need, operations.
async fn round(engine: &Engine) -> (u64, u64, u64) {
    let mut done = (0, 0, 0);
    while let Some(batch) = engine.plan_batch(&person()).await.unwrap() {
        assert!(!batch.in_vain);
        done = (
            done.0 + batch.planned,
            done.1 + batch.unconcerned,
            done.2 + batch.operations,
        );
    }
    done
}

async fn activate(engine: &Engine, policy: &str) {
    engine
        .activate_policy("policy.toml", policy, person())
        .await
        .unwrap();
}

/// Two versions before anybody is looked at: nobody knows as which version everybody is, so all are looked at.
async fn looked_at_in_full(engine: &Engine, policy: &str) -> (u64, u64, u64) {
    activate(engine, &format!("{policy}# again\n")).await;
    activate(engine, policy).await;
    round(engine).await
}

#[tokio::test]
async fn a_document_that_plans_the_same_costs_nothing() {
    let world = World::new(1).await;
    let engine = world.engine().await;
    import(&engine, &people()).await;
    apply(&engine, 0).await;
    assert_eq!(round(&engine).await, (0, 0, 0));
    activate(&engine, &format!("# A comment.\n{POLICY}")).await;
    let limits = POLICY.replace("shrink-max-percent = 60", "shrink-max-percent = 50");
    assert_eq!(round(&engine).await, (0, 0, 0));
    activate(&engine, &limits).await;
    assert_eq!(round(&engine).await, (0, 0, 0));
    engine
        .activate_targets("targets.toml", &format!("# A comment.\n{TARGETS}"), person())
        .await
        .unwrap();
    assert_eq!(round(&engine).await, (0, 0, 0));
    let tail = engine.ports.store.audit_tail(3).await.unwrap();
    assert!(
        tail.iter().all(|row| row.event == "document.activated"),
        "{tail:?}"
    );
}

#[tokio::test]
async fn only_who_is_concerned_is_planned() {
    let world = World::new(2).await;
    let engine = world.engine().await;
    import(&engine, &people()).await;
    apply(&engine, 0).await;
    let facts = engine.ports.store.versions().await.unwrap();
    activate(&engine, &POLICY.replace("[\"guests\"]", "[\"guests\", \"wifi\"]")).await;
    let external = (1..=PEOPLE).filter(|n| n % 3 == 1 && n % 11 != 0).count() as u64;
    assert_eq!(
        round(&engine).await,
        (external, PEOPLE as u64 - external, external),
        "each of them is granted it"
    );
    assert_eq!(engine.ports.store.versions().await.unwrap().facts, facts.facts);
    assert_eq!(round(&engine).await, (0, 0, 0));
}

#[tokio::test]
async fn looking_everybody_through_gives_what_planning_them_anew_gives() {
    let world = World::new(3).await;
    let engine = world.engine().await;
    import(&engine, &people()).await;
    apply(&engine, 0).await;
    let changes = [
        ("[\"guests\"]", "[\"guests\", \"wifi\"]"),
        ("retention-days = 30", "retention-days = 7"),
        ("contract == 'external'", "contract != 'permanent'"),
        (
            "contract == 'permanent'\"",
            "contract == 'permanent'\"\noverlap-days = 5",
        ),
        ("accounts = [\"app\"]", "accounts = [\"app\", \"directory\"]"),
        ("zone = \"Europe/Berlin\"", "zone = \"Pacific/Auckland\""),
        (
            "zone = \"Europe/Berlin\"",
            "zone = \"Europe/Berlin\"\nunassigned = \"delete\"",
        ),
        ("pin = \"'secret-'", "pin = \"'better-'"),
        ("leave-from = \"leaveFrom\"\nleave-until = \"leaveUntil\"\n", ""),
    ];
    let mut policy = POLICY.to_owned();
    for step in 0..40_u64 {
        let random = world.randomness.next();
        let (from, to) = changes[(random % changes.len() as u64) as usize];
        // There, and the next time perhaps back again.
        policy = if policy.contains(to) && !to.is_empty() {
            policy.replacen(to, from, 1)
        } else {
            policy.replacen(from, to, 1)
        };
        activate(&engine, &policy).await;
        match random >> 32 & 3 {
            // Some are looked at, then another document comes.
            0 => drop(engine.plan_batch(&person()).await.unwrap()),
            1 => drop(apply(&engine, 0).await),
            2 => {
                let row = format!("{},Q{step},,permanent,2026-03-01,,,,\n", 100 + step);
                import(&engine, &(people() + &row)).await;
            }
            _ => world.clock.advance(jiff::SignedDuration::from_hours(20)),
        }
        if random >> 40 & 1 == 0 {
            round(&engine).await;
            let (planned, _, operations) = looked_at_in_full(&engine, &policy).await;
            assert_eq!((planned, operations), (0, 0), "step {step}");
        }
    }
}

#[tokio::test]
async fn a_crash_while_looking_is_healed() {
    for point in [Point::BeforePlanCommit, Point::AfterPlanCommit] {
        let world = World::new(4).await;
        let wider = POLICY.replace("[\"guests\"]", "[\"guests\", \"wifi\"]");
        {
            let engine = world.engine().await;
            import(&engine, &people()).await;
            apply(&engine, 0).await;
            activate(&engine, &wider).await;
            world.probes.crash_at(point, 1);
            assert!(survive(round(&engine)).await.is_none(), "it crashed");
        }
        let engine = world.engine().await;
        round(&engine).await;
        let (planned, _, operations) = looked_at_in_full(&engine, &wider).await;
        assert_eq!((planned, operations), (0, 0));
        apply(&engine, 0).await;
        let with_wifi = |account: &SimAccount| account.entitlements.contains_key("wifi");
        let external = (1..=PEOPLE).filter(|n| n % 3 == 1 && n % 11 != 0).count();
        assert_eq!(
            world.app.accounts().values().filter(|one| with_wifi(one)).count(),
            external
        );
    }
}
