//! What people set about one identity: assignments, holds, exceptions; and the roles a plan gave.

use usher_lifecycle::assignment::{Assignment, HeldRole, Origin, SeparationException};
use usher_lifecycle::facts::{Hold, HoldKind};
use usher_lifecycle::ids::{HoldId, IdentityId};
use usher_store::{
    ASSIGNMENTS_MAX, EXCEPTIONS_MAX, Erasure, FactId, HOLDS_MAX, KeyChanges, NewFact, PersonalFact,
    PersonalFacts, REASON_BYTES_MAX, StoreError,
};

use super::*;
use crate::database;

const DAY: i64 = 24 * 60 * 60;

pub(crate) fn by(person: &str, seconds: i64) -> Context {
    Context {
        actor: Actor::Person(person.to_owned()),
        at: at(seconds),
    }
}

pub(crate) fn role(role: &str, until: Option<i64>) -> NewFact {
    NewFact::Assignment {
        role: name(role),
        origin: Origin::Request,
        valid_from: None,
        valid_until: until.map(at),
    }
}

pub(crate) fn hold(kind: HoldKind, until: Option<i64>) -> NewFact {
    NewFact::Hold {
        kind,
        from: at(0),
        until: until.map(at),
    }
}

fn exception(until: i64) -> NewFact {
    NewFact::Exception {
        separation: name("pay"),
        until: at(until),
    }
}

async fn is_due(store: &impl Store, identity: &IdentityRow, seconds: i64) -> bool {
    let due = store.due(at(seconds), 100).await.unwrap();
    due.iter().any(|row| row.id == identity.id)
}

#[tokio::test]
async fn what_is_set_reaches_planning_in_the_commit_that_tells_the_audit() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 2).await;
    let who = rows[1].clone();
    for (second, fact) in [
        (2, role("vpn", Some(DAY))),
        (3, hold(HoldKind::Security, None)),
        (4, exception(DAY)),
    ] {
        commit(&store, &[planned(&again(&store, &who).await, Vec::new())], 1).await;
        let (before, versions) = (again(&store, &who).await, store.versions().await.unwrap());
        assert!(!is_due(&store, &who, 1).await);
        let reason = format!("ticket {second}");
        store
            .add_fact(who.id, &fact, &reason, &by("ann", second))
            .await
            .unwrap();
        let now = again(&store, &who).await;
        assert_eq!(now.facts_version, before.facts_version + 1);
        assert_eq!(store.versions().await.unwrap().facts, versions.facts + 1);
        assert!(is_due(&store, &who, 1).await, "{fact:?}");
        // What was decided before is not recorded any more.
        assert_eq!(commit(&store, &[planned(&before, Vec::new())], 5).await.stale, 1);
    }
    let now = again(&store, &who).await;
    let ann = Actor::Person("ann".to_owned());
    assert_eq!(
        now.assignments,
        [Assignment {
            role: name("vpn"),
            origin: Origin::Request,
            reason: "ticket 2".to_owned(),
            valid_from: None,
            valid_until: Some(at(DAY)),
            by: ann.clone(),
        }]
    );
    assert_eq!(
        now.holds,
        [Hold {
            kind: HoldKind::Security,
            from: at(0),
            until: None,
            reason: "ticket 3".to_owned(),
            by: ann.clone(),
        }]
    );
    assert_eq!(
        now.exceptions,
        [SeparationException {
            separation: name("pay"),
            until: at(DAY),
            reason: "ticket 4".to_owned(),
        }]
    );
    // Planning gets the same of a batch, and nothing for the other.
    let due = store.due(at(5), 100).await.unwrap();
    assert_eq!(due.iter().find(|row| row.id == who.id), Some(&now));
    let other = due.iter().find(|row| row.id != who.id).unwrap();
    assert!(other.assignments.is_empty() && other.holds.is_empty() && other.exceptions.is_empty());

    let timeline = store.timeline(who.reference, 100).await.unwrap();
    let told: Vec<_> = timeline
        .iter()
        .filter(|row| row.event.ends_with(".added"))
        .collect();
    let events: Vec<&str> = told.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(events, ["assignment.added", "hold.added", "exception.added"]);
    assert!(told.iter().all(|row| row.actor == ann));
    assert_eq!(
        (&told[0].payload["role"], &told[0].payload["reason"]),
        (&json!("vpn"), &json!("ticket 2"))
    );
    assert_eq!(told[1].payload["kind"], "security");
    store.audit_verify().await.unwrap();
}

#[tokio::test]
async fn what_is_ended_stays_with_who_when_and_why() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let who = people(&store, 1).await.remove(0);
    let asg = store
        .add_fact(who.id, &role("vpn", None), "on call", &by("ann", 1))
        .await
        .unwrap();
    let held = store
        .add_fact(who.id, &hold(HoldKind::Manual, None), "asked", &by("ann", 2))
        .await
        .unwrap();
    commit(&store, &[planned(&again(&store, &who).await, Vec::new())], 3).await;
    let ended = store
        .end_fact(asg, "not on call any more", &by("bob", 4))
        .await
        .unwrap();
    assert_eq!(ended, who.id);
    assert!(is_due(&store, &who, 4).await);
    let now = again(&store, &who).await;
    assert!(now.assignments.is_empty() && now.holds.len() == 1);

    let twice = store.end_fact(asg, "again", &by("eve", 5)).await;
    assert!(
        matches!(&twice, Err(StoreError::Stale(why)) if why.contains("ended before")),
        "{twice:?}"
    );
    // The number of the one under the name of the other.
    let confused = FactId::Hold(HoldId::new(asg.uuid()));
    for unknown in [
        confused,
        FactId::Hold(HoldId::new(uuid::Uuid::from_bytes([9; 16]))),
    ] {
        let found = store.end_fact(unknown, "?", &by("eve", 5)).await;
        assert!(matches!(&found, Err(StoreError::NotFound(_))), "{found:?}");
    }
    drop(store);
    let store = database.open(at(6)).await;
    let all = store.personal_facts(who.id).await.unwrap();
    assert_eq!(all.iter().map(|one| one.id).collect::<Vec<_>>(), [asg, held]);
    assert_eq!(
        (all[0].key.as_str(), all[0].identity, all[0].added_at),
        ("p00", who.id, at(1))
    );
    let ended = all[0].ended.clone().unwrap();
    assert_eq!((ended.at, ended.by), (at(4), Actor::Person("bob".to_owned())));
    assert_eq!(ended.reason, "not on call any more");
    assert_eq!(all[1].ended, None);
    let last = store.timeline(who.reference, 1).await.unwrap().remove(0);
    assert_eq!(
        (last.event.as_str(), &last.payload["role"]),
        ("assignment.ended", &json!("vpn"))
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_not_set() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let who = people(&store, 1).await.remove(0);
    let before = again(&store, &who).await;
    let long = "x".repeat(REASON_BYTES_MAX + 1);
    let backward = NewFact::Assignment {
        role: name("vpn"),
        origin: Origin::Manual,
        valid_from: Some(at(50)),
        valid_until: Some(at(50)),
    };
    for (fact, reason, because) in [
        (role("vpn", None), " \n", "say why"),
        (role("vpn", None), long.as_str(), "bytes"),
        (backward, "why", "before it begins"),
        (hold(HoldKind::Security, Some(10)), "why", "over already"),
        (exception(10), "why", "over already"),
    ] {
        let found = store.add_fact(who.id, &fact, reason, &by("ann", 10)).await;
        assert!(
            matches!(&found, Err(StoreError::Stale(why)) if why.contains(because)),
            "{found:?}"
        );
    }
    let nobody = IdentityId::new(uuid::Uuid::from_bytes([9; 16]));
    let found = store
        .add_fact(nobody, &role("vpn", None), "why", &by("ann", 10))
        .await;
    assert!(matches!(&found, Err(StoreError::NotFound(_))), "{found:?}");
    assert_eq!(again(&store, &who).await, before);
    let longest = "ü".repeat(REASON_BYTES_MAX / 2);
    store
        .add_fact(who.id, &role("vpn", None), &longest, &by("ann", 10))
        .await
        .unwrap();
    assert_eq!(again(&store, &who).await.assignments[0].reason, longest);
}

#[tokio::test]
async fn one_person_has_a_bounded_number_of_each() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let who = people(&store, 1).await.remove(0);
    for (most, fact) in [
        (ASSIGNMENTS_MAX, role("vpn", Some(20))),
        (HOLDS_MAX, hold(HoldKind::Manual, Some(20))),
        (EXCEPTIONS_MAX, exception(20)),
    ] {
        let mut last = None;
        for _ in 0..most {
            last = Some(
                store
                    .add_fact(who.id, &fact, "one more", &by("ann", 1))
                    .await
                    .unwrap(),
            );
        }
        let refused = store.add_fact(who.id, &fact, "too many", &by("ann", 1)).await;
        assert!(
            matches!(&refused, Err(StoreError::Stale(why)) if why.contains("which is the most")),
            "{refused:?}"
        );
        store
            .end_fact(last.unwrap(), "room", &by("ann", 1))
            .await
            .unwrap();
        store
            .add_fact(who.id, &fact, "fits", &by("ann", 1))
            .await
            .unwrap();
    }
    // A security hold is a hold, and those whose time is over do not count.
    let refused = store
        .add_fact(who.id, &hold(HoldKind::Security, None), "no", &by("ann", 2))
        .await;
    assert!(refused.is_err());
    store
        .add_fact(who.id, &hold(HoldKind::Security, None), "yes", &by("ann", 20))
        .await
        .unwrap();
}

/// By the clock of whoever plans: that of another host may be far ahead.
#[tokio::test]
async fn what_was_over_long_ago_is_not_planned_with() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let who = people(&store, 1).await.remove(0);
    store
        .add_fact(who.id, &role("vpn", Some(100)), "short", &by("ann", 1))
        .await
        .unwrap();
    store
        .add_fact(who.id, &role("mail", None), "long", &by("ann", 300 * DAY))
        .await
        .unwrap();
    let roles = |row: &IdentityRow| {
        let roles = row.assignments.iter().map(|one| one.role.to_string());
        roles.collect::<Vec<_>>()
    };
    for (seconds, expected) in [
        (2, vec!["vpn", "mail"]),
        // The clock may be set back.
        (100 + 2 * DAY - 1, vec!["vpn", "mail"]),
        (100 + 2 * DAY, vec!["mail"]),
    ] {
        let due = store.due(at(seconds), 100).await.unwrap();
        assert_eq!(roles(&due[0]), expected, "{seconds}");
    }
    assert_eq!(roles(&again(&store, &who).await), ["vpn", "mail"]);
    assert_eq!(store.personal_facts(who.id).await.unwrap().len(), 2);
}

/// A damaged key or reason of one person keeps nobody from being planned, and takes no hold away.
#[tokio::test]
async fn what_cannot_be_read_is_planned_with_all_the_same() {
    for (damage, table) in [
        (
            "UPDATE personal_fact SET words = (SELECT words FROM personal_fact WHERE id = 2) WHERE id = 1",
            "personal_fact",
        ),
        (
            "UPDATE identity SET audit_key = (SELECT audit_key FROM identity WHERE id = 2) WHERE id = 1",
            "identity",
        ),
    ] {
        let Some(database) = database() else { return };
        let store = database.open(at(0)).await;
        let rows = people(&store, 2).await;
        for who in &rows {
            store
                .add_fact(who.id, &hold(HoldKind::Security, None), "asked", &by("ann", 1))
                .await
                .unwrap();
        }
        database.raw(damage).await.unwrap();
        let due = store.due(at(2), 100).await.unwrap();
        assert_eq!(store.identities_page(None, 100).await.unwrap(), due);
        let reasons: Vec<&str> = due.iter().map(|row| row.holds[0].reason.as_str()).collect();
        assert_eq!(reasons, ["(cannot be read)", "asked"], "{damage}");
        assert_eq!(due[0].holds[0].kind, HoldKind::Security);
        // Who reads it is told.
        for found in [
            store.personal_facts(rows[0].id).await.err(),
            store.security_holds(at(2), None, 10).await.err(),
        ] {
            assert!(
                matches!(&found, Some(StoreError::Corrupt { table: found, .. }) if *found == table),
                "{found:?}"
            );
        }
    }
}

#[tokio::test]
async fn who_has_a_role_by_assignment_and_who_is_held_is_told_in_pages() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 5).await;
    for who in &rows {
        store
            .add_fact(who.id, &role("vpn", None), "all", &by("ann", 1))
            .await
            .unwrap();
        store
            .add_fact(who.id, &role("mail", None), "all", &by("ann", 1))
            .await
            .unwrap();
        store
            .add_fact(who.id, &hold(HoldKind::Manual, None), "all", &by("ann", 1))
            .await
            .unwrap();
        store
            .add_fact(who.id, &hold(HoldKind::Security, Some(50)), "all", &by("ann", 1))
            .await
            .unwrap();
    }
    let ended = store.personal_facts(rows[2].id).await.unwrap();
    store
        .end_fact(ended[0].id, "enough", &by("ann", 2))
        .await
        .unwrap();
    store.end_fact(ended[3].id, "found", &by("ann", 2)).await.unwrap();
    store
        .add_fact(rows[0].id, &role("vpn", Some(50)), "twice", &by("ann", 3))
        .await
        .unwrap();

    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.assigned(&name("vpn"), at(4), after, 2).await.unwrap();
        assert!(page.rows.len() <= 2);
        assert!(
            page.rows
                .iter()
                .all(|one| matches!(&one.fact, PersonalFact::Assignment(found) if found.role == name("vpn")))
        );
        seen.extend(page.rows.into_iter().map(|one| one.key));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((seen.join(" ").as_str(), pages), ("p00 p01 p03 p04 p00", 3));
    let later = store.assigned(&name("vpn"), at(50), None, 100).await.unwrap();
    assert_eq!((later.rows.len(), later.next), (4, None));
    assert!(
        store
            .assigned(&name("nobody"), at(4), None, 10)
            .await
            .unwrap()
            .rows
            .is_empty()
    );

    let held = store.security_holds(at(4), None, 3).await.unwrap();
    let rest = store.security_holds(at(4), held.next, 3).await.unwrap();
    let keys: Vec<&str> = held
        .rows
        .iter()
        .chain(&rest.rows)
        .map(|one| one.key.as_str())
        .collect();
    assert_eq!((keys.join(" ").as_str(), rest.next), ("p00 p01 p03 p04", None));
    assert!(
        store
            .security_holds(at(50), None, 10)
            .await
            .unwrap()
            .rows
            .is_empty()
    );
}

#[tokio::test]
async fn the_roles_a_plan_gave_are_kept_for_the_next() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let who = people(&store, 2).await.remove(0);
    let held = vec![HeldRole {
        role: name("payer"),
        by_rule: true,
        since_lost: Some(at(5)),
        withheld: false,
    }];
    let mut plan = planned(&who, Vec::new());
    plan.held = held.clone();
    commit(&store, &[plan.clone()], 1).await;
    let now = again(&store, &who).await;
    assert_eq!(now.held, held);
    assert_eq!(
        now.facts_version,
        who.facts_version + 1,
        "another plan from before is stale"
    );
    assert_eq!(commit(&store, &[plan.clone()], 2).await.stale, 1);
    // The same again changes nothing.
    plan.facts_version = now.facts_version;
    commit(&store, &[plan.clone()], 3).await;
    assert_eq!(again(&store, &who).await, now);
    plan.held = Vec::new();
    commit(&store, &[plan], 4).await;
    let now = again(&store, &who).await;
    assert!(now.held.is_empty());
    assert_eq!(now.facts_version, who.facts_version + 2);
}

/// Words about a person are nowhere in the clear, and gone with their key; so is all the rest.
#[tokio::test]
async fn words_are_sealed_and_everything_goes_with_the_person() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 2).await;
    let (who, other) = (rows[0].clone(), rows[1].clone());
    for one in [&who, &other] {
        let id = store
            .add_fact(one.id, &role("vpn", None), "Quartermain", &by("ann", 1))
            .await
            .unwrap();
        store.end_fact(id, "Quartermain", &by("ann", 2)).await.unwrap();
        store
            .add_fact(
                one.id,
                &hold(HoldKind::Security, None),
                "Quartermain",
                &by("ann", 3),
            )
            .await
            .unwrap();
    }
    let hex = if database.shared().is_some() {
        "encode(words, 'hex')"
    } else {
        "lower(hex(words))"
    };
    let ended = hex.replace("words", "ended_words");
    // "Quarter"
    database
        .must_hold(&format!(
            "NOT EXISTS (SELECT 1 FROM personal_fact WHERE {hex} LIKE '%51756172746572%')"
        ))
        .await;
    database
        .must_hold(&format!(
            "NOT EXISTS (SELECT 1 FROM personal_fact WHERE {ended} LIKE '%51756172746572%')"
        ))
        .await;
    // What is sealed for one fact does not open for another.
    store.change_data_key(&context(4)).await.unwrap();
    assert_eq!(again(&store, &who).await.holds[0].reason, "Quartermain");
    assert_eq!(store.due(at(4), 10).await.unwrap().len(), 2);

    let held = store.personal_facts(who.id).await.unwrap().remove(1);
    store
        .end_fact(held.id, "Quartermain", &by("ann", 5))
        .await
        .unwrap();
    import(&store, "hr", &[missing("p00", true)], 5).await;
    let mut plan = planned(&again(&store, &who).await, Vec::new());
    plan.state = IdentityState::Departed;
    plan.held = vec![HeldRole {
        role: name("payer"),
        by_rule: false,
        since_lost: None,
        withheld: false,
    }];
    commit(&store, &[plan], 6).await;
    store.erase(who.id, "asked", &context(7)).await.unwrap();
    assert!(store.personal_facts(who.id).await.unwrap().is_empty());
    let now = again(&store, &who).await;
    assert!(now.holds.is_empty() && now.held.is_empty());
    database
        .must_hold("(SELECT count(*) FROM personal_fact) = 2")
        .await;
    let refused = store
        .add_fact(who.id, &role("vpn", None), "back", &by("ann", 8))
        .await;
    assert!(
        matches!(&refused, Err(StoreError::Stale(why)) if why.contains("erased")),
        "{refused:?}"
    );
    assert_eq!(store.personal_facts(other.id).await.unwrap().len(), 2);
    store.audit_verify().await.unwrap();

    database
        .raw("UPDATE personal_fact SET words = ended_words WHERE ended_words IS NOT NULL")
        .await
        .unwrap();
    let found = store.personal_facts(other.id).await;
    assert!(
        matches!(
            &found,
            Err(StoreError::Corrupt {
                table: "personal_fact",
                column: "words",
                ..
            })
        ),
        "{found:?}"
    );
}
