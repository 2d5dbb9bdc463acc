//! Reconciles: drift, accounts nobody owns, missing ones, lists that are not believed, crashes.

use serde_json::{Value, json};
use usher_lifecycle::account::AccountState;
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::connector::{CallError, ErrorKind};
use usher_lifecycle::operation::OperationState;
use usher_lifecycle::situation::Situation;
use usher_store::{FoundAccount, FoundFilter, OperationFilter};

use super::*;
use crate::plan::Plan;
use crate::ports::Point;
use crate::reconcile::{ReconcileReport, ReconcileRequest};
use crate::serve::ServeRequest;

const THREE: &str = "1,Ana,,permanent,,,,,\n2,Bo,,permanent,,,,,\n3,Cy,,permanent,,,,,\n";
const RULES: &str = r#"
[[correlation.app]]
exact = { username = "identity.employeeId" }
[[correlation.app]]
weighted = [
    { account = "mail", identity = "identity.givenName + '@example.org'", weight = 60, case = "ignore" },
    { account = "name", identity = "identity.givenName", weight = 40 },
]
link = 100
ask = 60
"#;

fn of(text: Value) -> Attributes {
    match text {
        Value::Object(attributes) => attributes,
        other => panic!("no object: {other}"),
    }
}

async fn activate(engine: &Engine, more: &str) {
    let policy = format!("{POLICY}{more}");
    engine
        .activate_policy("policy.toml", &policy, person())
        .await
        .unwrap();
}

/// Of three people one may be missing.
async fn both_auto(engine: &Engine) {
    let targets = TARGETS.replace("manual", "auto").replace(
        "apply = \"auto\"",
        "apply = \"auto\"\nreconcile-shrink-max-percent = 40",
    );
    engine
        .activate_targets("targets.toml", &targets, person())
        .await
        .unwrap();
}

async fn try_reconcile(
    engine: &Engine,
    target: &str,
    overridden: bool,
) -> Result<ReconcileReport, EngineError> {
    let request = ReconcileRequest {
        target: name(target),
        actor: person(),
        override_guards: overridden,
        by_person: true,
    };
    engine.reconcile(request, &NoProgress).await
}

async fn reconcile(engine: &Engine, target: &str) -> ReconcileReport {
    let report = try_reconcile(engine, target, false).await.unwrap();
    assert_eq!(report.refused, None);
    report
}

async fn found(engine: &Engine) -> Vec<FoundAccount> {
    let filter = FoundFilter {
        decided: true,
        limit: 100,
        ..FoundFilter::default()
    };
    engine.ports.store.found_accounts(&filter).await.unwrap()
}

fn told(found: &[FoundAccount]) -> Vec<(&str, Situation)> {
    found
        .iter()
        .map(|one| (one.external_id.as_str(), one.situation))
        .collect()
}

fn steps(plan: &Plan) -> Vec<String> {
    let all = plan.accounts.iter();
    all.flat_map(|account| {
        let steps = account.steps.iter();
        steps.map(move |step| format!("{} {}: {}", account.key, account.slot, step.verb))
    })
    .collect()
}

async fn events(engine: &Engine, key: &str) -> Vec<String> {
    let row = engine.ports.store.identity(key).await.unwrap();
    let rows = engine.ports.store.timeline(row.reference, 1_000).await.unwrap();
    rows.into_iter().map(|row| row.event).collect()
}

/// Everybody has their accounts.
async fn at_work(seed: u64, more: &str) -> (World, Engine) {
    let world = World::new(seed).await;
    let engine = world.engine().await;
    both_auto(&engine).await;
    activate(&engine, more).await;
    import(&engine, THREE).await;
    let report = apply(&engine, 0).await;
    assert!(report.left.is_empty(), "{report:?}");
    (world, engine)
}

#[tokio::test]
async fn drift_is_found_noted_and_corrected() {
    let (world, engine) = at_work(1, "").await;
    // A grant may change the version of a record, which is not told with it.
    assert_eq!(reconcile(&engine, "app").await.drifted, 0);
    let before = world.app.accounts();
    world.app.list_in_pages(2);
    world.app.edit("1", |account| {
        account.attributes.insert("mail".to_owned(), json!("evil@x"));
        account.entitlements.insert("admins".to_owned(), Value::Null);
    });
    world.app.edit("2", |account| account.enabled = false);
    let report = reconcile(&engine, "app").await;
    assert_eq!(
        (report.listed, report.updated, report.drifted, report.put_off),
        (3, 2, 2, 0)
    );
    assert!(events(&engine, "1").await.contains(&"account.drifted".to_owned()));
    assert!(!events(&engine, "3").await.contains(&"account.drifted".to_owned()));
    assert_eq!(
        steps(&engine.preview().await.unwrap()),
        ["1 app: revoke", "1 app: update", "2 app: enable"]
    );
    apply(&engine, 0).await;
    for (id, account) in world.app.accounts() {
        let was = &before[&id];
        assert_eq!(
            (&account.attributes, account.enabled, &account.entitlements),
            (&was.attributes, was.enabled, &was.entitlements)
        );
    }
    let again = reconcile(&engine, "app").await;
    assert_eq!(
        (again.updated, again.drifted),
        (0, 0),
        "a second one finds nothing"
    );
}

#[tokio::test]
async fn what_nobody_decides_by_makes_nobody_be_planned_again() {
    let (world, engine) = at_work(2, "").await;
    reconcile(&engine, "app").await;
    world.app.edit("1", |account| {
        account.attributes.insert("lastLogin".to_owned(), json!("today"));
    });
    let report = reconcile(&engine, "app").await;
    assert_eq!((report.updated, report.drifted), (1, 0));
    assert_eq!(apply(&engine, 0).await.planned, 0);
    let row = engine.ports.store.identity("1").await.unwrap();
    assert_eq!(row.accounts[0].observed.attributes["lastLogin"], "today");
}

#[tokio::test]
async fn an_orphan_is_reported_and_left_alone() {
    let (world, engine) = at_work(3, RULES).await;
    world.app.put(of(json!({"username": "ghost", "mail": "ghost@x"})));
    let journal = world.app.journal();
    let report = reconcile(&engine, "app").await;
    let found = found(&engine).await;
    assert_eq!(told(&found), [("ghost", Situation::Unmatched)]);
    assert_eq!(found[0].attributes["mail"], "ghost@x");
    assert_eq!(report.situations[0].accounts, 1);
    assert_eq!(world.app.journal(), journal, "nothing was written");
    world.app.remove("ghost");
    reconcile(&engine, "app").await;
    assert_eq!(told(&self::found(&engine).await), [], "gone is gone");
}

#[tokio::test]
async fn an_unlinked_account_is_linked_before_the_first_plan_would_create_it() {
    for (reaction, planned) in [
        ("report", ["1 app: create", "1 app: grant"].as_slice()),
        ("link", ["1 app: update", "1 app: grant"].as_slice()),
    ] {
        let world = World::new(4).await;
        let engine = world.engine().await;
        activate(
            &engine,
            &format!("{RULES}[reactions.app]\nunlinked = \"{reaction}\"\n"),
        )
        .await;
        world
            .app
            .put(of(json!({"username": "1", "mail": "old@example.org"})));
        import(&engine, "1,Ana,,permanent,,,,,\n").await;
        let report = reconcile(&engine, "app").await;
        let plan = engine.preview().await.unwrap();
        let app: Vec<String> = steps(&plan)
            .into_iter()
            .filter(|step| step.contains(" app:"))
            .collect();
        assert_eq!(app, planned, "{reaction}");
        if reaction == "link" {
            assert_eq!((report.linked, report.situations.len()), (1, 0));
            let shown = serde_json::to_value(&plan.accounts[0].diff).unwrap();
            assert!(shown.to_string().contains("old@example.org"), "{shown}");
            apply(&engine, 0).await;
            assert_eq!(world.app.accounts()["1"].attributes["mail"], "ana@example.org");
            assert!(world.app.journal().iter().all(|call| call.verb != "create"));
            assert!(events(&engine, "1").await.contains(&"account.linked".to_owned()));
        } else {
            assert_eq!(told(&found(&engine).await), [("1", Situation::Unlinked)]);
        }
    }
}

#[tokio::test]
async fn a_likely_account_waits_for_a_person_who_links_it() {
    let world = World::new(5).await;
    let engine = world.engine().await;
    activate(&engine, &format!("{RULES}[reactions.app]\nunlinked = \"link\"\n")).await;
    world
        .app
        .put(of(json!({"username": "ana.old", "mail": "Ana@Example.org"})));
    import(&engine, "1,Ana,,permanent,,,,,\n").await;
    let report = reconcile(&engine, "app").await;
    assert_eq!(report.linked, 0);
    let listed = found(&engine).await;
    assert_eq!(told(&listed), [("ana.old", Situation::Ambiguous)]);
    assert_eq!(listed[0].candidates[0].who.key.as_deref(), Some("1"));
    assert_eq!(listed[0].candidates[0].weight, Some(60));

    let row = engine.ports.store.identity("1").await.unwrap();
    let slot = usher_lifecycle::account::AccountSlot {
        target: name("app"),
        kind: Name::primary(),
    };
    let context = engine.context(person());
    engine
        .ports
        .store
        .link_account(&slot, "ana.old", row.id, "she told me", &context)
        .await
        .unwrap();
    assert_eq!(told(&found(&engine).await), []);
    assert_eq!(
        steps(&engine.preview().await.unwrap())[0],
        "1 app: update",
        "not a create"
    );
}

#[tokio::test]
async fn a_creation_held_because_of_a_conflict_is_overtaken_by_linking_what_is_in_its_way() {
    let world = World::new(6).await;
    let engine = world.engine().await;
    activate(&engine, RULES).await;
    world.app.put(of(json!({"username": "1", "mail": "old@x"})));
    import(&engine, "1,Ana,,permanent,,,,,\n").await;
    apply(&engine, 0).await;
    let held = |state| OperationFilter {
        states: vec![state],
        target: Some(name("app")),
        identity: None,
        without_budgets: false,
        limit: 10,
    };
    let store = &engine.ports.store;
    assert_eq!(
        store.operations(&held(OperationState::Held)).await.unwrap().len(),
        1
    );
    reconcile(&engine, "app").await;
    let row = store.identity("1").await.unwrap();
    let slot = row.accounts[0].slot.clone();
    store
        .link_account(&slot, "1", row.id, "hers since 2019", &engine.context(person()))
        .await
        .unwrap();
    let report = apply(&engine, 0).await;
    assert!(report.troubles.is_empty(), "{report:?}");
    assert!(
        store
            .operations(&held(OperationState::Held))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(world.app.accounts()["1"].attributes["mail"], "ana@example.org");
    assert_eq!(world.creations_max(), 1, "only in the other target");
    assert!(world.app.journal().iter().all(|call| call.verb != "create"));
}

#[tokio::test]
async fn several_accounts_that_claim_one_person_are_disputed_and_none_is_linked() {
    let world = World::new(7).await;
    let engine = world.engine().await;
    let rules = RULES.replace(
        "exact = { username = \"identity.employeeId\" }",
        "exact = { name = \"identity.givenName\" }",
    );
    activate(&engine, &format!("{rules}[reactions.app]\nunlinked = \"link\"\n")).await;
    for username in ["a", "b"] {
        world
            .app
            .put(of(json!({"username": username, "mail": "x", "name": "Ana"})));
    }
    import(&engine, "1,Ana,,permanent,,,,,\n").await;
    assert_eq!(reconcile(&engine, "app").await.linked, 0);
    assert_eq!(
        told(&found(&engine).await),
        [("a", Situation::Disputed), ("b", Situation::Disputed)]
    );
    // A person takes one of them out of the way: the other one is hers.
    let store = &engine.ports.store;
    store
        .ignore_account(
            &name("app"),
            "a",
            true,
            "a test account",
            &engine.context(person()),
        )
        .await
        .unwrap();
    assert_eq!(reconcile(&engine, "app").await.linked, 1);
    let row = store.identity("1").await.unwrap();
    assert_eq!(row.accounts[0].observed.external_id.as_deref(), Some("b"));
}

#[tokio::test]
async fn an_account_linked_to_one_person_and_by_the_rules_anothers_is_disputed() {
    let (world, engine) = at_work(8, RULES).await;
    world.app.edit("1", |account| {
        account.attributes.insert("username".to_owned(), json!("2"));
    });
    reconcile(&engine, "app").await;
    let listed = found(&engine).await;
    assert_eq!(told(&listed), [("1", Situation::Disputed)]);
    assert_eq!(
        listed[0].owner.as_ref().and_then(|owner| owner.key.as_deref()),
        Some("1")
    );
    assert_eq!(listed[0].candidates[0].who.key.as_deref(), Some("2"));
    apply(&engine, 0).await;
    reconcile(&engine, "app").await;
    assert_eq!(told(&found(&engine).await), [], "drift was corrected: it is over");
}

#[tokio::test]
async fn a_missing_account_is_made_again_only_where_the_policy_says_so() {
    let (world, engine) = at_work(9, "").await;
    world.app.put(of(json!({"username": "x1"})));
    world.app.put(of(json!({"username": "x2"})));
    reconcile(&engine, "app").await;
    world.app.remove("2");
    let report = reconcile(&engine, "app").await;
    assert_eq!((report.missing, report.refused), (1, None));
    assert!(told(&found(&engine).await).contains(&("2", Situation::Missing)));
    apply(&engine, 0).await;
    assert!(!world.app.accounts().contains_key("2"), "only reported");
    assert!(events(&engine, "2").await.contains(&"account.missing".to_owned()));

    activate(&engine, "[reactions.app]\nmissing = \"create\"\n").await;
    apply(&engine, 0).await;
    assert!(world.app.accounts().contains_key("2"));
    assert!(
        found(&engine)
            .await
            .iter()
            .all(|one| one.situation != Situation::Missing)
    );
}

#[tokio::test]
async fn a_missing_account_that_comes_back_is_its_owners_again() {
    let (world, engine) = at_work(10, "").await;
    world.app.put(of(json!({"username": "x1"})));
    reconcile(&engine, "app").await;
    let was = world.app.accounts()["2"].clone();
    world.app.remove("2");
    assert_eq!(reconcile(&engine, "app").await.missing, 1);
    world.app.put(was.attributes);
    let report = reconcile(&engine, "app").await;
    assert_eq!(report.drifted, 1);
    let row = engine.ports.store.identity("2").await.unwrap();
    let observed = &row.accounts[0].observed;
    assert_eq!(
        (observed.state, row.accounts[0].missing_since),
        (AccountState::Enabled, None)
    );
    assert_eq!(told(&found(&engine).await), [("x1", Situation::Unmatched)]);
}

#[tokio::test]
async fn a_person_unlinks_an_account_and_no_rule_links_it_again() {
    let (world, engine) = at_work(11, &format!("{RULES}[reactions.app]\nunlinked = \"link\"\n")).await;
    let store = &engine.ports.store;
    let context = engine.context(person());
    store
        .unlink_account(&name("app"), "2", "not his", &context)
        .await
        .unwrap();
    let listed = found(&engine).await;
    assert_eq!(
        listed[0].decided.as_ref().map(|decided| &decided.by),
        Some(&person())
    );
    let report = reconcile(&engine, "app").await;
    assert_eq!(report.linked, 0);
    assert!(world.app.accounts().contains_key("2"), "left as it is");
    assert_eq!(
        store.identity("2").await.unwrap().accounts[0]
            .observed
            .external_id,
        None
    );
}

#[tokio::test]
async fn what_is_not_listed_is_asked_for_before_it_counts_as_gone() {
    let (world, engine) = at_work(12, "").await;
    world.app.put(of(json!({"username": "x1"})));
    reconcile(&engine, "app").await;
    world.app.hide("2");
    world.app.edit("2", |account| account.enabled = false);
    let report = reconcile(&engine, "app").await;
    assert_eq!((report.listed, report.unlisted, report.missing), (3, 1, 0));
    assert_eq!(report.drifted, 1, "and it is compared, too");
}

#[tokio::test]
async fn a_list_that_suddenly_has_half_of_the_accounts_or_none_is_not_believed() {
    let (world, engine) = at_work(13, "").await;
    for gone in [["1", "2"].as_slice(), &["3"]] {
        gone.iter().for_each(|id| world.app.remove(id));
        let report = try_reconcile(&engine, "app", false).await.unwrap();
        let refused = report.refused.expect("it is refused");
        assert!(refused.reason.contains("of the 3 accounts"), "{}", refused.reason);
        apply(&engine, 0).await;
        let row = engine.ports.store.identity("1").await.unwrap();
        assert_eq!(row.accounts[0].missing_since, None, "nothing took effect");
    }
    let report = try_reconcile(&engine, "app", true).await.unwrap();
    assert_eq!((report.missing, report.refused), (3, None));
}

/// What a list is believed by is the accounts of people: any number of others does not make up for them, nor does one that is counted twice.
#[tokio::test]
async fn accounts_of_strangers_do_not_make_up_for_those_of_people() {
    let (world, engine) = at_work(23, "").await;
    for n in 0..20 {
        world.app.put(of(json!({"username": format!("stranger-{n}")})));
    }
    reconcile(&engine, "app").await;
    for id in ["1", "2"] {
        world.app.remove(id);
    }
    let report = try_reconcile(&engine, "app", false).await.unwrap();
    let refused = report.refused.expect("it is refused");
    assert!(
        refused.reason.contains("2 of the 3 accounts"),
        "{}",
        refused.reason
    );
}

#[tokio::test]
async fn accounts_with_work_under_way_are_left_for_the_next_one() {
    let (world, engine) = at_work(14, "").await;
    import(
        &engine,
        "1,Ana,,external,,,,,\n2,Bo,,permanent,,,,,\n3,Cy,,permanent,,,,,\n",
    )
    .await;
    let context = engine.context(person());
    engine.plan_due(&context, &NoProgress).await.unwrap();
    let claim = usher_store::Claim {
        targets: vec![usher_store::TargetClaim {
            target: name("app"),
            limit: 1,
        }],
        ..usher_store::Claim::default()
    };
    let store = &engine.ports.store;
    let claimed = store.record_and_claim(&[], &[], &claim, &context).await.unwrap();
    assert_eq!(claimed.claimed.len(), 1);
    for id in ["1", "2"] {
        world.app.edit(id, |account| account.enabled = false);
    }
    let report = reconcile(&engine, "app").await;
    assert_eq!((report.put_off, report.drifted), (1, 1));
}

#[tokio::test]
async fn orphans_are_disabled_only_where_all_says_so() {
    const DISABLE: &str = "[reactions.app]\nunmatched = \"disable\"\nunmatched-max = 2\n";
    let (world, engine) = at_work(15, &format!("{RULES}{DISABLE}")).await;
    let enabled = || {
        let all = world.app.accounts().into_iter();
        all.filter(|(id, account)| id.starts_with('x') && account.enabled)
            .count()
    };
    for username in ["x1", "x2", "x3"] {
        world.app.put(of(json!({"username": username})));
    }
    let report = reconcile(&engine, "app").await;
    assert_eq!((report.disabled, enabled()), (0, 3));
    let reason = report.not_disabled.unwrap().reason;
    assert!(reason.contains("unmatched-max = 2"), "{reason}");

    let store = &engine.ports.store;
    store.freeze("incident", &engine.context(person())).await.unwrap();
    world.app.remove("x3");
    let report = reconcile(&engine, "app").await;
    assert!(report.not_disabled.unwrap().reason.contains("frozen"));
    store.thaw("over", &engine.context(person())).await.unwrap();

    store
        .ignore_account(&name("app"), "x2", true, "break glass", &engine.context(person()))
        .await
        .unwrap();
    let report = reconcile(&engine, "app").await;
    assert_eq!((report.disabled, report.not_disabled), (1, None));
    assert!(!world.app.accounts()["x1"].enabled && world.app.accounts()["x2"].enabled);
    let report = reconcile(&engine, "app").await;
    assert_eq!(report.disabled, 0, "it is disabled already");

    world.app.put(of(json!({"username": "x4"})));
    let targets = TARGETS.replace("auto", "observe");
    engine
        .activate_targets("targets.toml", &targets, person())
        .await
        .unwrap();
    let report = reconcile(&engine, "app").await;
    assert!(report.not_disabled.unwrap().reason.contains("observe"));
    assert!(world.app.accounts()["x4"].enabled);
}

#[tokio::test]
async fn no_reaction_touches_a_protected_account() {
    let more = format!("{RULES}[reactions.app]\nunlinked = \"link\"\nunmatched = \"disable\"\n");
    let (world, engine) = at_work(20, &more).await;
    let targets = TARGETS.replacen(
        "apply = \"auto\"",
        "apply = \"auto\"\nprotected = { ids = [\"root\", \"4\"] }",
        1,
    );
    engine
        .activate_targets("targets.toml", &targets, person())
        .await
        .unwrap();
    import(&engine, &format!("{THREE}4,Di,,permanent,,,,,\n")).await;
    for username in ["root", "4", "ghost"] {
        world.app.put(of(json!({"username": username})));
    }
    let report = reconcile(&engine, "app").await;
    assert_eq!((report.linked, report.disabled), (0, 1));
    assert!(world.app.accounts()["root"].enabled && world.app.accounts()["4"].enabled);
    assert!(!world.app.accounts()["ghost"].enabled);
    assert_eq!(told(&found(&engine).await).len(), 3, "all are told");
}

fn error(kind: ErrorKind) -> CallError {
    CallError::harmless(kind, "simulated")
}

#[tokio::test]
async fn a_target_that_fails_in_the_middle_leaves_nothing_half_done() {
    let (world, engine) = at_work(16, "").await;
    world.app.list_in_pages(1);
    world.app.edit("1", |account| account.enabled = false);
    // One entitlement with one page of members, then two pages of accounts.
    for _ in 0..4 {
        world.app.faults.ask_read(None);
    }
    world.app.faults.ask_read(Some(error(ErrorKind::Forbidden)));
    let failed = try_reconcile(&engine, "app", false).await.unwrap_err();
    assert!(failed.to_string().contains("forbidden"), "{failed}");
    assert_eq!(apply(&engine, 0).await.planned, 0);
    let report = reconcile(&engine, "app").await;
    assert_eq!(report.drifted, 1);
}

#[tokio::test]
async fn a_target_that_asks_for_a_pause_is_given_one() {
    let (world, engine) = at_work(17, "").await;
    let began = crate::ports::Clock::now(&*world.clock);
    let mut slow = error(ErrorKind::RateLimited);
    slow.retry_after_ms = Some(30_000);
    world.app.faults.ask_read(Some(slow));
    let report = reconcile(&engine, "app").await;
    assert_eq!(report.listed, 3);
    let took = crate::ports::Clock::now(&*world.clock).duration_since(began);
    assert!(took.as_secs() >= 30, "{took:?}");
}

/// Some of everything: drift, a missing account, one to be linked, an orphan to be disabled.
async fn mixed(seed: u64) -> World {
    let more = format!(
        "{RULES}[reactions.app]\nunlinked = \"link\"\nunmatched = \"disable\"\nmissing = \"create\"\n"
    );
    let (world, engine) = at_work(seed, &more).await;
    import(&engine, &format!("{THREE}4,Di,,permanent,,,,,\n")).await;
    world.app.list_in_pages(2);
    world.app.edit("1", |account| account.enabled = false);
    world.app.remove("2");
    world.app.put(of(json!({"username": "4", "mail": "old"})));
    world.app.put(of(json!({"username": "ghost"})));
    drop(engine);
    world
}

/// Reconciles and applies; after a crash everything begins anew. Returns how often it crashed.
async fn play(world: &World) -> u32 {
    let mut crashes = 0;
    loop {
        let engine = world.engine();
        let run = async {
            let engine = engine.await;
            try_reconcile(&engine, "app", true).await.unwrap();
            apply(&engine, 60_000).await;
        };
        match survive(run).await {
            Some(()) => return crashes,
            None => crashes += 1,
        }
        assert!(crashes < 10);
    }
}

#[tokio::test]
async fn killed_anywhere_it_resumes() {
    let calm = mixed(18).await;
    assert_eq!(play(&calm).await, 0);
    let wanted = super::crashes::states(&calm);
    assert!(calm.app.accounts()["1"].enabled && calm.app.accounts().contains_key("2"));
    assert!(!calm.app.accounts()["ghost"].enabled);
    assert_eq!(calm.app.accounts()["4"].attributes["mail"], "di@example.org");
    for point in Point::OF_RECONCILE {
        let reached = calm.probes.times(point);
        assert!(reached > 0, "{} is never reached", point.name());
        for times in 1..=reached {
            let world = mixed(18).await;
            world.probes.crash_at(point, times);
            assert!(play(&world).await > 0, "{}:{times} was not reached", point.name());
            assert_eq!(
                super::crashes::states(&world),
                wanted,
                "after a crash at {}:{times}",
                point.name()
            );
            let engine = world.engine().await;
            let report = try_reconcile(&engine, "app", false).await.unwrap();
            assert_eq!((report.drifted, report.missing, report.linked), (0, 0, 0));
        }
    }
}

#[tokio::test]
async fn a_serving_host_reconciles_when_the_time_has_come() {
    let (world, engine) = at_work(19, "").await;
    let targets = TARGETS.replace("apply = \"auto\"", "apply = \"auto\"\nreconcile-every = \"6h\"");
    engine
        .activate_targets("targets.toml", &targets, person())
        .await
        .unwrap();
    world.app.edit("1", |account| account.enabled = false);
    let (stopper, stop) = Stop::pair();
    let serving = engine.serve(ServeRequest::new(stop, person()), Arc::new(crate::NoObserver));
    let watching = async {
        while !world.app.accounts()["1"].enabled {
            tokio::task::yield_now().await;
        }
        stopper.stop();
    };
    let (served, ()) = tokio::join!(serving, watching);
    served.unwrap();
    let rows = engine.ports.store.reconciles().await.unwrap();
    assert_eq!((rows.len(), rows[0].target.as_str()), (1, "app"));
    let (due, next) = engine.reconciles_due().await.unwrap();
    let began = rows[0].began_at;
    assert_eq!(due, [], "not again at once");
    assert_eq!(
        next,
        Some(began + jiff::SignedDuration::from_hours(6)),
        "and only the target that says so"
    );
}
