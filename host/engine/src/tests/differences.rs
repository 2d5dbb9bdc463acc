//! What a document would change is told before it is taken, and only that is taken.

use usher_lifecycle::ids::IdentityId;
use usher_store::DocumentKind;

use super::*;
use crate::Proposed;
use crate::plan::{Difference, DifferencePage, StepChange};

const PEOPLE: &str = "1,Ana,,permanent,2026-03-01,,,,\n2,Bo,,external,2026-03-01,,,,\n3,Cy,,permanent,2026-03-01,,,,\n\
                      4,Di,,,2026-03-01,,,,\n";

fn policy(text: &str) -> Proposed<'_> {
    Proposed {
        kind: DocumentKind::Policy,
        file: "policy.toml",
        text,
    }
}

fn targets(text: &str) -> Proposed<'_> {
    Proposed {
        kind: DocumentKind::Targets,
        file: "targets.toml",
        text,
    }
}

const ALL: DifferencePage = DifferencePage {
    after: None,
    people_max: 100,
};

async fn look(engine: &Engine, proposed: &Proposed<'_>) -> Difference {
    engine.difference(proposed, &ALL).await.unwrap()
}

/// A world whose people all have what they should.
async fn settled(seed: u64) -> (World, Engine) {
    let world = World::new(seed).await;
    let engine = world.engine().await;
    import(&engine, PEOPLE).await;
    apply(&engine, 0).await;
    (world, engine)
}

/// `1 + revoke app`, `2 +lead`.
fn told(difference: &Difference) -> Vec<String> {
    let mut told = Vec::new();
    for person in &difference.people {
        told.extend(
            person
                .roles_gained
                .iter()
                .map(|role| format!("{} +{role}", person.key)),
        );
        told.extend(
            person
                .roles_lost
                .iter()
                .map(|role| format!("{} -{role}", person.key)),
        );
        for account in &person.accounts {
            for step in &account.steps {
                let (change, slot) = (step.change, &account.slot);
                told.push(format!("{} {change:?} {} {slot}", person.key, step.step.verb));
            }
        }
    }
    told
}

fn totals(difference: &Difference) -> Vec<(String, u64, u64, u64)> {
    let total = |one: &crate::plan::DifferenceTotal| {
        (
            format!("{} {}", one.target, one.verb),
            one.added,
            one.removed,
            one.changed,
        )
    };
    difference.totals.iter().map(total).collect()
}

#[tokio::test]
async fn a_difference_names_everybody_concerned_and_what_then_happens_is_exactly_that() {
    let (world, engine) = settled(1).await;
    let same = look(&engine, &policy(POLICY)).await;
    assert_eq!((same.concerned, same.identities, same.people.len()), (0, 4, 0));
    let comment = format!("# Nothing.\n{POLICY}");
    assert_eq!(look(&engine, &policy(&comment)).await.concerned, 0);

    // Externals get what the permanent have; the permanent are renamed.
    let wider = POLICY
        .replace(
            "when = \"identity.contract == 'permanent'\"",
            "when = \"has(identity.contract)\"",
        )
        .replace("[\"guests\"]", "[]")
        .replace("pin = \"'secret-'", "pin = \"'better-'");
    let difference = look(&engine, &policy(&wider)).await;
    assert_eq!(
        told(&difference),
        [
            "1 Added update app",
            "2 +employee",
            "2 Added revoke app",
            "2 Added update app",
            "2 Added grant app",
            "2 Added create directory",
            "2 Added grant directory",
            "3 Added update app",
        ]
    );
    let role = &difference.roles[0];
    assert_eq!((role.role.as_str(), role.gained, role.lost), ("employee", 1, 0));
    let cause = &difference.people[1].accounts[0].steps[2].step.cause;
    assert!(cause.iter().any(|link| link.contains("employee")), "{cause:?}");
    assert!(
        engine.preview().await.unwrap().operations() == 0,
        "nothing was activated"
    );

    engine
        .activate(&policy(&wider), difference.digest.as_deref(), person())
        .await
        .unwrap();
    let plan = engine.preview().await.unwrap();
    let planned: Vec<_> = plan
        .totals
        .iter()
        .map(|one| (format!("{} {}", one.target, one.verb), one.operations, 0, 0))
        .collect();
    assert_eq!(totals(&difference), planned);
    apply(&engine, 0).await;
    assert_eq!(look(&engine, &policy(&wider)).await.concerned, 0);
    let back = look(&engine, &policy(POLICY)).await;
    assert_eq!((back.roles[0].gained, back.roles[0].lost), (0, 1));
    drop(world);
}

#[tokio::test]
async fn what_is_taken_is_what_was_looked_at_or_nothing() {
    let (_world, engine) = settled(2).await;
    let other = POLICY.replace("[\"guests\"]", "[\"guests\", \"wifi\"]");
    let seen = look(&engine, &policy(&other)).await.digest.unwrap();
    assert_eq!(
        look(&engine, &policy(&other)).await.digest.as_ref(),
        Some(&seen),
        "it says the same again"
    );
    let commented = format!("{other}# Another text.\n");
    assert_ne!(look(&engine, &policy(&commented)).await.digest.unwrap(), seen);

    // Somebody else comes in between.
    import(&engine, &format!("{PEOPLE}5,Ed,,external,2026-03-01,,,,\n")).await;
    let refused = engine.activate(&policy(&other), Some(&seen), person()).await;
    let Err(EngineError::Differs { found }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(engine.policy().await.unwrap().version, 1);
    assert_eq!(look(&engine, &policy(&other)).await.digest.as_ref(), Some(&found));
    let upper = format!(" {} ", found.to_uppercase());
    assert_eq!(
        engine
            .activate(&policy(&other), Some(&upper), person())
            .await
            .unwrap(),
        2
    );

    // An older version again, after the checks of today, as a new one.
    let old = engine.document_version(DocumentKind::Policy, 1).await.unwrap();
    assert_eq!((old.text.as_str(), old.activated_by), (POLICY, Some(person())));
    assert_eq!(
        engine.activate(&policy(&old.text), None, person()).await.unwrap(),
        3
    );
    let fewer = TARGETS.split("[targets.directory]").next().unwrap();
    let narrow = POLICY
        .replace("accounts = [\"app\", \"directory\"]", "accounts = [\"app\"]")
        .replace("directory = [\"All Staff\"]\n", "");
    let narrow = narrow.split("[mappings.directory]").next().unwrap();
    engine.activate(&policy(narrow), None, person()).await.unwrap();
    engine.activate(&targets(fewer), None, person()).await.unwrap();
    let refused = engine.activate(&policy(&old.text), None, person()).await;
    assert!(matches!(refused, Err(EngineError::Document(_))), "{refused:?}");
}

#[tokio::test]
async fn people_come_in_pages_and_are_counted_on_the_first() {
    let (_world, engine) = settled(3).await;
    let other = POLICY.replace("pin = \"'secret-'", "pin = \"'better-'");
    let proposed = policy(&other);
    let page = |after: Option<IdentityId>, people_max| DifferencePage { after, people_max };
    let all = look(&engine, &proposed).await;
    assert_eq!((all.concerned, all.people.len(), all.next), (3, 3, None));
    let mut after = None;
    for place in 0..3 {
        let one = engine.difference(&proposed, &page(after, 1)).await.unwrap();
        assert_eq!(one.people, all.people[place..=place]);
        if place == 0 {
            assert_eq!((one.digest.as_ref(), one.concerned), (all.digest.as_ref(), 3));
            assert_eq!(one.totals, all.totals);
        } else {
            assert_eq!(one.digest, None);
        }
        after = one.next;
        assert_eq!(after.is_some(), place < 2);
    }
    let none = engine.difference(&proposed, &page(None, 0)).await.unwrap();
    assert_eq!((none.digest, none.people.len()), (all.digest, 0));
    let nobody = page(Some(IdentityId::new(uuid::Uuid::nil())), 1);
    let refused = engine.difference(&proposed, &nobody).await;
    assert!(matches!(refused, Err(EngineError::NotFound(_))), "{refused:?}");
}

#[tokio::test]
async fn a_target_that_begins_or_ends_to_be_observed_is_told() {
    let world = World::new(4).await;
    let engine = world.engine().await;
    let observed = TARGETS.replace("apply = \"auto\"", "apply = \"observe\"");
    engine
        .activate(&targets(&observed), None, person())
        .await
        .unwrap();
    import(&engine, PEOPLE).await;
    apply(&engine, 0).await;
    let difference = look(&engine, &targets(TARGETS)).await;
    assert_eq!(difference.concerned, 3);
    let runs = difference
        .people
        .iter()
        .flat_map(|person| &person.accounts)
        .flat_map(|account| &account.steps);
    assert!(
        runs.clone().count() == 6 && runs.clone().all(|step| step.change == StepChange::Runs),
        "{difference:?}"
    );
    assert_eq!(
        totals(&difference),
        [
            ("app create".to_owned(), 3, 0, 0),
            ("app grant".to_owned(), 3, 0, 0)
        ]
    );
    engine.activate(&targets(TARGETS), None, person()).await.unwrap();
    let back = look(&engine, &targets(&observed)).await;
    assert_eq!(
        totals(&back),
        [
            ("app create".to_owned(), 0, 3, 0),
            ("app grant".to_owned(), 0, 3, 0)
        ]
    );
}

#[tokio::test]
async fn the_first_policy_is_compared_with_nothing() {
    let world = World::bare(5);
    let engine = world.engine().await;
    engine.activate(&targets(TARGETS), None, person()).await.unwrap();
    let first = look(&engine, &policy(POLICY)).await;
    assert_eq!((first.identities, first.concerned), (0, 0));
    let seen = first.digest.unwrap();
    engine
        .activate(&policy(POLICY), Some(&seen), person())
        .await
        .unwrap();
}
