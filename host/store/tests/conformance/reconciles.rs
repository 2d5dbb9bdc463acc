//! Reconciles and accounts that are not plainly linked.

use usher_lifecycle::drift::Drift;
use usher_lifecycle::situation::Situation;
use usher_store::{
    AccountChange, AccountRef, Erasure as _, FoundAccount, FoundAccounts as _, FoundFilter, KnownKind,
    Matched, MatchedIdentity, ReconcileRef, ReconcileState, Reconciles as _, Sighting, StagedAccount,
    StoreError,
};

use super::*;

fn sighting(id: &str, value: &str, matched: Matched) -> Sighting {
    Sighting {
        external_id: id.to_owned(),
        state: AccountState::Enabled,
        attributes: attributes(value),
        entitlements: None,
        version: None,
        matched,
    }
}

fn of(identity: &IdentityRow) -> MatchedIdentity {
    MatchedIdentity {
        identity: identity.reference,
        facts_version: identity.facts_version,
        kind: Name::primary(),
        weight: None,
        rule: 1,
    }
}

fn exactly(identity: &IdentityRow) -> Matched {
    Matched {
        certain: true,
        candidates: vec![of(identity)],
    }
}

fn found(sighting: Sighting) -> StagedAccount {
    StagedAccount {
        external_id: sighting.external_id.clone(),
        change: AccountChange::Found {
            sighting: Box::new(sighting),
            owner: None,
        },
    }
}

async fn begin(store: &impl Store, seconds: i64) -> ReconcileRef {
    store
        .begin_reconcile(&name("app"), &context(seconds))
        .await
        .unwrap()
}

/// A whole reconcile.
async fn reconcile(store: &impl Store, changes: &[StagedAccount], link: bool, seconds: i64) -> ReconcileRef {
    let number = begin(store, seconds).await;
    store.stage_accounts(number, &[], changes).await.unwrap();
    store
        .accept_reconcile(number, changes.len() as u64, link, &context(seconds + 1))
        .await
        .unwrap();
    while store.take_effect(2, &context(seconds + 2)).await.unwrap() {}
    number
}

async fn listed(store: &impl Store, situation: Option<Situation>) -> Vec<FoundAccount> {
    let filter = FoundFilter {
        situation,
        limit: 100,
        ..FoundFilter::default()
    };
    store.found_accounts(&filter).await.unwrap()
}

fn told(found: &[FoundAccount]) -> Vec<(&str, Situation)> {
    found
        .iter()
        .map(|one| (one.external_id.as_str(), one.situation))
        .collect()
}

/// Each has an account in `app`, with the ids `x0`, `x1` …
async fn with_accounts(store: &impl Store, n: usize) -> Vec<IdentityRow> {
    let people = people(store, n).await;
    let plan: Vec<Planned> = people
        .iter()
        .map(|one| planned(one, vec![create("app")]))
        .collect();
    commit(store, &plan, 1).await;
    let claimed = claim(store, "app", 100, 2).await;
    let outcomes: Vec<Outcome> = claimed
        .iter()
        .enumerate()
        .map(|(place, claimed)| done_as(claimed, &format!("x{place}")))
        .collect();
    record(store, &outcomes, 3).await;
    store.identities_page(None, 100).await.unwrap()
}

#[tokio::test]
async fn what_is_the_same_is_told_without_reading_it_and_what_differs_is_brought_up_to_date() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    with_accounts(&store, 3).await;
    let nobody = Matched::default;
    let page = [
        sighting("x0", "first", nobody()),
        sighting("x1", "changed", nobody()),
        sighting("new", "n", nobody()),
    ];
    let known = store
        .known_accounts(&name("app"), &page, at(1_000))
        .await
        .unwrap();
    let same: Vec<Option<bool>> = known
        .iter()
        .map(|known| known.owner.as_ref().map(|owner| owner.same))
        .collect();
    assert_eq!(same, [Some(true), Some(false), None]);
    let account = known[1].owner.as_ref().unwrap().account;
    let before = store.accounts_in_full(&[account]).await.unwrap();
    let observed = ObservedAccount {
        attributes: attributes("changed"),
        ..before[&account].clone()
    };
    let drift = Drift {
        attributes: vec!["name".to_owned()],
        ..Drift::default()
    };
    let update = StagedAccount {
        external_id: "x1".to_owned(),
        change: AccountChange::Update {
            account,
            observed: Box::new(observed),
            drift,
            plan_again: true,
        },
    };
    let number = reconcile(&store, &[update], false, 10).await;
    let row = store.reconcile(number).await.unwrap();
    assert_eq!(
        (row.state, row.updated, row.drifted),
        (ReconcileState::Done, 1, 1)
    );
    let people = store.identities_page(None, 10).await.unwrap();
    assert_eq!(people[1].accounts[0].observed.attributes, attributes("changed"));
    let due = store.due(at(20), 10).await.unwrap();
    assert!(due.iter().any(|row| row.id == people[1].id));
    assert!(
        events(&store, &people[1])
            .await
            .contains(&"account.drifted".to_owned())
    );
    let known = store
        .known_accounts(&name("app"), &page, at(1_000))
        .await
        .unwrap();
    assert!(known[1].owner.as_ref().unwrap().same);
    store.audit_verify().await.unwrap();
}

#[tokio::test]
async fn a_reconcile_that_is_not_accepted_changes_nothing_and_the_newest_one_counts() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    with_accounts(&store, 1).await;
    let first = begin(&store, 10).await;
    let change = [found(sighting("new", "n", Matched::default()))];
    store.stage_accounts(first, &[], &change).await.unwrap();
    assert!(!store.take_effect(10, &context(11)).await.unwrap());
    let second = begin(&store, 12).await;
    let late = store.stage_accounts(first, &[], &change).await;
    assert!(matches!(late, Err(StoreError::Stale(_))), "{late:?}");
    let late = store.accept_reconcile(first, 1, false, &context(13)).await;
    assert!(matches!(late, Err(StoreError::Stale(_))), "{late:?}");
    store
        .refuse_reconcile(second, 0, "half of it is gone", &context(14))
        .await
        .unwrap();
    assert!(!store.take_effect(10, &context(15)).await.unwrap());
    assert!(listed(&store, None).await.is_empty());
    let rows = store.reconciles().await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].state, ReconcileState::Refused);
    assert_eq!(rows[0].reason.as_deref(), Some("half of it is gone"));
}

#[tokio::test]
async fn what_is_listed_twice_counts_as_it_was_last() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    with_accounts(&store, 1).await;
    let number = begin(&store, 10).await;
    let stage = async |again: &[String], value: &str| {
        let change = [found(sighting("new", value, Matched::default()))];
        store.stage_accounts(number, again, &change).await.unwrap();
    };
    stage(&[], "early").await;
    stage(&["new".to_owned()], "late").await;
    store
        .accept_reconcile(number, 1, false, &context(11))
        .await
        .unwrap();
    while store.take_effect(10, &context(12)).await.unwrap() {}
    let listed = listed(&store, None).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].attributes, attributes("late"));
}

#[tokio::test]
async fn what_accounts_hold_is_kept_until_they_are_listed() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    with_accounts(&store, 1).await;
    let number = begin(&store, 10).await;
    let one = |parameters| ("x0".to_owned(), "staff".to_owned(), parameters);
    store
        .stage_holdings(number, &[one(json!(1)), one(json!({"level": 2}))])
        .await
        .unwrap();
    store.stage_holdings(number, &[one(json!(null))]).await.unwrap();
    let held = store
        .staged_holdings(number, &["x0".to_owned(), "x1".to_owned()])
        .await
        .unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(held["x0"]["staff"], json!(null));
    store
        .accept_reconcile(number, 1, false, &context(11))
        .await
        .unwrap();
    while store.take_effect(10, &context(12)).await.unwrap() {}
    database
        .must_hold("NOT EXISTS (SELECT 1 FROM reconcile_holding)")
        .await;
}

#[tokio::test]
async fn situations_are_told_from_what_is_known_when_they_are_asked_for() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let owners = with_accounts(&store, 1).await;
    import(
        &store,
        "hr2",
        &[upsert("q1", "a"), upsert("q2", "b"), upsert("q3", "c")],
        4,
    )
    .await;
    let people = store.identities_page(None, 10).await.unwrap();
    let perhaps = Matched {
        certain: false,
        candidates: vec![of(&people[1]), of(&people[2])],
    };
    let changes = [
        found(sighting("a-nobody", "n", Matched::default())),
        found(sighting("b-one", "n", exactly(&people[1]))),
        found(sighting("c-taken", "n", exactly(&owners[0]))),
        found(sighting("d-perhaps", "n", perhaps)),
        found(sighting("e-twice", "n", exactly(&people[2]))),
        found(sighting("f-twice", "n", exactly(&people[2]))),
    ];
    reconcile(&store, &changes, false, 10).await;
    use Situation::{Ambiguous, Disputed, Unlinked, Unmatched};
    let all = [
        ("a-nobody", Unmatched),
        ("b-one", Unlinked),
        ("c-taken", Disputed),
        ("d-perhaps", Ambiguous),
        ("e-twice", Disputed),
        ("f-twice", Disputed),
    ];
    assert_eq!(told(&listed(&store, None).await), all);
    for situation in Situation::ALL {
        let wanted: Vec<_> = all.into_iter().filter(|(_, told)| *told == situation).collect();
        assert_eq!(
            told(&listed(&store, Some(situation)).await),
            wanted,
            "{situation}"
        );
    }
    let totals = store.found_totals().await.unwrap();
    let totals: Vec<(Situation, u64)> = totals
        .iter()
        .map(|total| (total.situation, total.accounts))
        .collect();
    assert_eq!(
        totals,
        [(Unlinked, 1), (Unmatched, 1), (Ambiguous, 1), (Disputed, 3)]
    );
    let second = FoundFilter {
        after: Some((name("app"), "d-perhaps".to_owned())),
        limit: 1,
        ..FoundFilter::default()
    };
    assert_eq!(
        told(&store.found_accounts(&second).await.unwrap()),
        [("e-twice", Disputed)]
    );
    // One of two claims is taken away: the other one is plain.
    store
        .ignore_account(&name("app"), "f-twice", true, "a test", &context(20))
        .await
        .unwrap();
    assert_eq!(told(&listed(&store, Some(Unlinked)).await).len(), 2);
}

#[tokio::test]
async fn rules_link_only_what_is_plain_and_only_while_the_facts_are_the_same() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let people = people(&store, 3).await;
    let changes = [
        found(sighting("plain", "n", exactly(&people[0]))),
        found(sighting("stale", "n", exactly(&people[1]))),
        found(sighting("twice-1", "n", exactly(&people[2]))),
        found(sighting("twice-2", "n", exactly(&people[2]))),
    ];
    import(&store, "hr", &[upsert("p01", "changed")], 5).await;
    let number = reconcile(&store, &changes, true, 10).await;
    assert_eq!(store.reconcile(number).await.unwrap().linked, 1);
    // All in one commit, too.
    let p1 = again(&store, &people[1]).await;
    let number = begin(&store, 20).await;
    let fresh = [found(sighting("stale", "n", exactly(&p1)))];
    store.stage_accounts(number, &[], &fresh).await.unwrap();
    store
        .accept_reconcile(number, 1, true, &context(21))
        .await
        .unwrap();
    assert!(store.take_effect(100, &context(22)).await.unwrap());
    assert_eq!(store.reconcile(number).await.unwrap().linked, 1);
    let row = again(&store, &people[0]).await;
    assert_eq!(row.accounts[0].observed.external_id.as_deref(), Some("plain"));
    assert_eq!(row.accounts[0].observed.attributes, attributes("n"));
    assert_eq!(told(&listed(&store, None).await).len(), 2);
    assert!(events(&store, &row).await.contains(&"account.linked".to_owned()));
}

#[tokio::test]
async fn a_person_links_and_unlinks_and_what_was_planned_is_overtaken() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let who = one_person(&store, vec![create("app")]).await;
    let claimed = claim(&store, "app", 1, 2).await;
    record(
        &store,
        &[outcome(&claimed[0], Decision::Held { settle: false })],
        3,
    )
    .await;
    reconcile(
        &store,
        &[found(sighting("hers", "n", Matched::default()))],
        false,
        10,
    )
    .await;
    store
        .link_account(&slot("app"), "hers", who.id, "she said so", &context(20))
        .await
        .unwrap();
    let row = again(&store, &who).await;
    assert_eq!(row.accounts[0].observed.external_id.as_deref(), Some("hers"));
    assert!(row.accounts[0].open.is_empty(), "the held creation is overtaken");
    let twice = store
        .link_account(&slot("app"), "hers", who.id, "again", &context(21))
        .await;
    assert!(matches!(twice, Err(StoreError::NotFound(_))), "{twice:?}");

    let owner = store
        .unlink_account(&name("app"), "hers", "a mistake", &context(22))
        .await
        .unwrap();
    assert_eq!(owner, who.id);
    let row = again(&store, &who).await;
    assert_eq!(row.accounts[0].observed, ObservedAccount::absent());
    assert!(listed(&store, None).await.is_empty(), "it was decided about");
    let filter = FoundFilter {
        decided: true,
        limit: 10,
        ..FoundFilter::default()
    };
    let decided = store.found_accounts(&filter).await.unwrap();
    assert_eq!(
        decided[0].decided.as_ref().unwrap().reason.as_deref(),
        Some("a mistake")
    );
    let seen = events(&store, &row).await;
    for event in ["account.linked", "account.unlinked", "operation.superseded"] {
        assert!(seen.contains(&event.to_owned()), "{event}");
    }
    store.audit_verify().await.unwrap();
}

#[tokio::test]
async fn work_under_way_keeps_everybody_else_off() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let people = with_accounts(&store, 2).await;
    commit(
        &store,
        &[planned(
            &people[0],
            vec![operation("app", Work::Disable, Priority::Deprovision, 4)],
        )],
        5,
    )
    .await;
    assert_eq!(claim(&store, "app", 1, 6).await.len(), 1);
    let linked = store
        .known_page(&name("app"), KnownKind::Linked, at(9), None, 10)
        .await
        .unwrap();
    let missing: Vec<StagedAccount> = linked
        .iter()
        .map(|one| StagedAccount {
            external_id: one.external_id.clone(),
            change: AccountChange::Missing {
                account: AccountRef(one.number),
            },
        })
        .collect();
    let number = reconcile(&store, &missing, false, 10).await;
    let row = store.reconcile(number).await.unwrap();
    assert_eq!((row.missing, row.put_off), (1, 1));
    assert_eq!(told(&listed(&store, None).await), [("x1", Situation::Missing)]);
    let busy = store
        .unlink_account(&name("app"), "x0", "now", &context(20))
        .await;
    assert!(matches!(busy, Err(StoreError::Stale(_))), "{busy:?}");
}

#[tokio::test]
async fn erasing_takes_accounts_that_were_theirs_or_perhaps() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let people = with_accounts(&store, 2).await;
    let who = &people[0];
    let perhaps = Matched {
        certain: false,
        candidates: vec![of(who), of(&people[1])],
    };
    reconcile(
        &store,
        &[
            found(sighting("zq-perhaps", "Quartermain", perhaps)),
            found(sighting("zq-one", "Quartermain", exactly(who))),
            found(sighting("other", "nobody", Matched::default())),
        ],
        false,
        10,
    )
    .await;
    // One that is left staged.
    let number = begin(&store, 14).await;
    let staged = [found(sighting("zq-staged", "Quartermain", exactly(who)))];
    store.stage_accounts(number, &[], &staged).await.unwrap();
    store
        .unlink_account(&name("app"), "x0", "was Quartermain's", &context(15))
        .await
        .unwrap();
    import(&store, "hr", &[missing("p00", true)], 16).await;
    let row = again(&store, who).await;
    let mut plan = planned(&row, Vec::new());
    plan.state = IdentityState::Departed;
    commit(&store, &[plan], 17).await;
    store.erase(who.id, "asked", &context(18)).await.unwrap();
    for (table, column) in [
        ("found_account", "attributes"),
        ("found_account", "external_id"),
        ("found_account", "reason"),
        ("reconcile_change", "attributes"),
        ("reconcile_change", "external_id"),
        ("audit", "payload"),
    ] {
        for trace in ["Quartermain", "zq-", "x0"] {
            let gone = format!("NOT EXISTS (SELECT 1 FROM {table} WHERE {column} LIKE '%{trace}%')");
            database.must_hold(&gone).await;
        }
    }
    assert_eq!(
        told(&listed(&store, None).await),
        [("other", Situation::Unmatched)]
    );
}

#[tokio::test]
async fn a_restored_store_lets_no_old_list_take_effect() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    with_accounts(&store, 1).await;
    let number = begin(&store, 10).await;
    let change = [found(sighting("new", "n", Matched::default()))];
    store.stage_accounts(number, &[], &change).await.unwrap();
    store
        .accept_reconcile(number, 1, true, &context(11))
        .await
        .unwrap();
    store.mark_restored(&context(12)).await.unwrap();
    assert!(!store.take_effect(10, &context(13)).await.unwrap());
    assert!(listed(&store, None).await.is_empty());
}
