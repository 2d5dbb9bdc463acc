use std::collections::BTreeMap;

use jiff::tz::TimeZoneDatabase;
use serde_json::{Value, json};

use super::super::*;
use super::*;
use crate::account::{AccountSlot, AccountState, after_work};
use crate::assignment::SeparationException;
use crate::cause::Actor;
use crate::connector::AccountRecord;
use crate::operation::Work;
use crate::policy;
use crate::reservation::Reservation;

const SOURCE: &str = r#"
zone = "UTC"
[sources.hr]
key = "id"
[sources.hr.columns]
id = { attribute = "id" }
name = { attribute = "name" }
job = { attribute = "job" }
start = { attribute = "start", type = "date" }
end = { attribute = "end", type = "date" }
away = { attribute = "away", type = "date" }
[sources.hr.lifecycle]
start = "start"
end = "end"
leave-from = "away"
"#;

const POLICY: &str = r#"
[[roles]]
name = "employee"
when = "true"
accounts = ["app"]
[roles.entitlements]
app = ["staff"]

[[roles]]
name = "sales"
when = "identity.job == 'sales'"
overlap-days = 14
[roles.entitlements]
app = ["crm"]

[[roles]]
name = "payer"
when = "identity.job == 'payer'"
[roles.entitlements]
app = ["pay"]

[[roles]]
name = "approver"
when = "identity.job == 'approver'"
overlap-days = 7
[roles.entitlements]
app = ["approve"]

[[roles]]
name = "vpn"
[roles.entitlements]
app = [{ id = "vpn", parameters = { level = 1 } }]

[[roles]]
name = "admin"
includes = ["vpn"]
accounts = ["app/admin"]
[roles.entitlements]
"app/admin" = ["root"]
app = [{ id = "vpn", parameters = { level = 2 } }, "ledger"]

[[separation]]
name = "pay-and-approve"
of = ["role:payer", "role:approver"]

[[separation]]
name = "ledger-and-sales"
of = ["entitlement:app:ledger", "role:sales"]

[mappings.app]
id = "identity.id"
title = { value = "identity.job", strength = "initial" }
phone = { value = "'0'", strength = "weak" }
[mappings."app/admin"]
id = "'adm-' + identity.id"
"#;

mod random;

/// One person and their accounts, in a target that does what it is told.
struct Life {
    policy: Policy,
    record: SourceRecord,
    accounts: Vec<(AccountSlot, ObservedAccount)>,
    recorded: Option<IdentityState>,
    assignments: Vec<Assignment>,
    held: Vec<HeldRole>,
    exceptions: Vec<SeparationException>,
    reservations: Vec<Reservation>,
}

fn at(text: &str) -> Timestamp {
    let text = if text.len() == 10 {
        format!("{text}T12:00:00Z")
    } else {
        text.to_owned()
    };
    text.parse().unwrap()
}

fn slot(text: &str) -> AccountSlot {
    let (target, kind) = text.split_once('/').unwrap_or((text, "primary"));
    AccountSlot {
        target: target.parse().unwrap(),
        kind: kind.parse().unwrap(),
    }
}

fn assigned(role: &str, from: &str, until: &str) -> Assignment {
    Assignment {
        role: role.parse().unwrap(),
        origin: Origin::Manual,
        reason: "covering".to_owned(),
        valid_from: (!from.is_empty()).then(|| at(from)),
        valid_until: (!until.is_empty()).then(|| at(until)),
        by: Actor::Person("ann".to_owned()),
    }
}

impl Life {
    fn new(job: &str) -> Self {
        Self::under(POLICY, job)
    }

    fn under(policy: &str, job: &str) -> Self {
        let attributes = json!({"id": "7", "name": "Jo", "job": job, "start": "2026-01-01"});
        Self {
            policy: policy::parse("policy.toml", &format!("{SOURCE}{policy}"))
                .unwrap_or_else(|errors| panic!("{errors}")),
            record: SourceRecord {
                source: "hr".parse().unwrap(),
                key: "7".to_owned(),
                attributes: attributes.as_object().unwrap().clone(),
                absent_since: None,
            },
            accounts: Vec::new(),
            recorded: None,
            assignments: Vec::new(),
            held: Vec::new(),
            exceptions: Vec::new(),
            reservations: Vec::new(),
        }
    }

    fn says(&mut self, name: &str, value: &str) -> &mut Self {
        self.record.attributes.insert(name.to_owned(), json!(value));
        self
    }

    fn plan(&self, now: &str) -> IdentityPlan {
        self.plan_at(at(now))
    }

    fn plan_at(&self, now: Timestamp) -> IdentityPlan {
        self.plan_with(&[], now)
    }

    fn plan_with(&self, holds: &[crate::facts::Hold], now: Timestamp) -> IdentityPlan {
        let facts = TargetFacts {
            capabilities: Capabilities {
                disable: true,
                delete: true,
                entitlements: true,
            },
            schema: AccountSchema::default(),
            apply: ApplyMode::Auto,
            depends_on: Vec::new(),
            pilot: None,
            protection: Default::default(),
        };
        let input = PlanInput {
            records: std::slice::from_ref(&self.record),
            accounts: &self.accounts,
            recorded: self.recorded,
            assignments: &self.assignments,
            held: &self.held,
            exceptions: &self.exceptions,
            reservations: &self.reservations,
            holds,
            missing: &[],
        };
        let targets: BTreeMap<TargetName, TargetFacts> = ["app", "dir"]
            .map(|name| (name.parse().unwrap(), facts.clone()))
            .into();
        plan_identity(&input, &self.policy, &targets, &TimeZoneDatabase::bundled(), now)
    }

    /// Plans, does it all, and plans again: nothing is left. Returns what was done.
    fn day(&mut self, now: &str) -> Vec<String> {
        let plan = self.plan(now);
        let mut done = Vec::new();
        for account in &plan.accounts {
            for step in &account.steps {
                done.push(step.cause.links().last().unwrap().clone());
                self.perform(&account.slot, &step.work);
            }
        }
        self.recorded = Some(plan.state.state);
        self.held = plan.held.clone();
        let again = self.plan(now);
        let left: Vec<&Step> = again.accounts.iter().flat_map(|account| &account.steps).collect();
        assert!(left.is_empty(), "left at {now}: {left:?}");
        assert_eq!(again.held, plan.held, "what is kept for the next plan is settled");
        assert_eq!(again.next_change, plan.next_change);
        done
    }

    fn perform(&mut self, slot: &AccountSlot, work: &Work) {
        if !self.accounts.iter().any(|(known, _)| known == slot) {
            self.accounts.push((slot.clone(), ObservedAccount::absent()));
        }
        let (_, account) = self.accounts.iter_mut().find(|(known, _)| known == slot).unwrap();
        let answer = match work {
            Work::Create { attributes } => Some(AccountRecord {
                id: slot.to_string(),
                attributes: attributes.clone(),
                state: AccountState::Enabled,
                version: None,
                marker: None,
            }),
            _ => None,
        };
        *account = after_work(account, work, answer.as_ref());
    }

    fn observed(&self, name: &str) -> &ObservedAccount {
        &self
            .accounts
            .iter()
            .find(|(known, _)| *known == slot(name))
            .unwrap()
            .1
    }

    /// `enabled crm staff`.
    fn has(&self, name: &str) -> String {
        let account = self.observed(name);
        let held = account.entitlements.keys().map(String::as_str);
        std::iter::once(account.state.to_string().as_str())
            .chain(held)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn problems(plan: &IdentityPlan) -> Vec<String> {
    plan.problems.iter().map(ToString::to_string).collect()
}

fn names(plan: &IdentityPlan) -> Vec<&str> {
    plan.roles.iter().map(|role| role.as_str()).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn an_assigned_role_is_given_from_its_first_moment_until_its_last() {
    let mut life = Life::new("clerk");
    life.day("2026-02-01");
    life.assignments = vec![assigned("vpn", "2026-03-01", "2026-04-01")];
    assert_eq!(life.plan("2026-02-02").next_change, Some(at("2026-03-01")));
    assert_eq!(life.day("2026-02-02"), NOTHING);
    let plan = life.plan("2026-03-01");
    assert_eq!(plan.next_change, Some(at("2026-04-01")));
    assert_eq!(
        plan.accounts[0].steps[0].cause.to_string(),
        "hr: start 2026-01-01 has come → active → role vpn (by hand, person ann) → app: grant vpn with parameters"
    );
    assert_eq!(life.day("2026-03-01"), ["app: grant vpn with parameters"]);
    assert_eq!(life.observed("app").entitlements["vpn"], json!({"level": 1}));
    assert_eq!(life.day("2026-04-01"), ["app: revoke vpn"]);
    assert_eq!(life.plan("2026-04-01").next_change, None);
}

#[test]
fn the_next_change_is_the_earliest_of_all() {
    let mut life = Life::new("clerk");
    life.assignments = vec![
        assigned("vpn", "", "2026-06-01"),
        assigned("vpn", "2026-05-01", ""),
    ];
    assert_eq!(
        life.plan("2025-12-01").next_change,
        Some(at("2026-01-01T00:00:00Z")),
        "the start"
    );
    assert_eq!(life.plan("2026-02-01").next_change, Some(at("2026-05-01")));
    assert_eq!(life.plan("2026-05-02").next_change, Some(at("2026-06-01")));
    life.says("end", "2026-05-10");
    assert_eq!(
        life.plan("2026-05-02").next_change,
        Some(at("2026-05-11T00:00:00Z"))
    );
    assert_eq!(life.plan("2026-05-12").state.state, IdentityState::Leaving);
    assert_eq!(
        life.plan("2026-05-12").next_change,
        life.plan("2026-05-12").state.next_change,
        "assignments give a leaver nothing"
    );
}

#[test]
fn a_role_stays_until_the_last_origin_goes_and_the_cause_names_all() {
    let mut life = Life::new("clerk");
    let mut request = assigned("vpn", "", "2026-05-01");
    request.origin = Origin::Request;
    request.reason = "x".repeat(200);
    life.assignments = vec![
        request,
        assigned("vpn", "", "2026-04-01"),
        assigned("admin", "", "2026-03-01"),
    ];
    let plan = life.plan("2026-02-01");
    assert_eq!(names(&plan), ["employee", "vpn", "admin"]);
    let app = plan
        .accounts
        .iter()
        .find(|account| account.slot == slot("app"))
        .unwrap();
    let cause = app
        .steps
        .iter()
        .map(|step| step.cause.to_string())
        .find(|cause| cause.contains("grant vpn"))
        .unwrap();
    assert!(
        cause.contains(
            "roles vpn (by hand, person ann; by request, person ann; in admin), admin (by hand, person ann) →"
        ),
        "{cause}"
    );
    let all = format!("{plan:?}");
    assert!(
        !all.contains("covering") && !all.contains("xxx"),
        "reasons are not in causes"
    );
    life.day("2026-02-01");
    assert_eq!(
        (life.has("app"), life.has("app/admin")),
        ("enabled ledger staff vpn".to_owned(), "enabled root".to_owned())
    );
    assert_eq!(
        life.observed("app").entitlements["vpn"],
        json!({"level": 1}),
        "the first in the document decides"
    );
    assert_eq!(
        life.day("2026-03-01"),
        [
            "app/admin: disable",
            "app/admin: revoke root",
            "app: revoke ledger"
        ]
    );
    assert_eq!(life.day("2026-04-01"), NOTHING, "the request still counts");
    assert_eq!(life.day("2026-05-01"), ["app: revoke vpn"]);
}

#[test]
fn an_assignment_of_a_role_that_is_not_there_is_a_problem_only_while_it_counts() {
    let mut life = Life::new("clerk");
    life.assignments = vec![assigned("gone", "", "2026-04-01")];
    assert_eq!(
        problems(&life.plan("2026-02-01")),
        ["assignments.gone: the policy has no role of this name: the assignment gives nothing"]
    );
    assert_eq!(problems(&life.plan("2026-05-01")), NOTHING);
}

#[test]
fn a_leaver_loses_what_was_assigned_and_gets_it_back_when_rehired() {
    let mut life = Life::new("clerk");
    life.assignments = vec![assigned("vpn", "", "")];
    life.day("2026-02-01");
    life.says("end", "2026-03-01");
    assert_eq!(
        life.day("2026-03-02"),
        ["app: disable", "app: revoke staff", "app: revoke vpn"]
    );
    life.says("end", "2027-03-01");
    assert_eq!(
        life.day("2026-03-10"),
        [
            "app: enable",
            "app: grant staff",
            "app: grant vpn with parameters"
        ]
    );
}

#[test]
fn a_mover_keeps_the_old_for_the_overlap_and_never_longer() {
    let mut life = Life::new("sales");
    life.day("2026-02-01");
    assert_eq!(life.held.len(), 1);
    life.says("job", "clerk");
    let plan = life.plan("2026-03-01");
    assert_eq!(names(&plan), ["employee", "sales"]);
    assert_eq!(plan.next_change, Some(at("2026-03-15")));
    assert_eq!(life.day("2026-03-01"), NOTHING);
    assert_eq!(
        life.day("2026-03-10"),
        NOTHING,
        "it does not begin anew with each plan"
    );
    assert_eq!(life.plan("2026-03-10").next_change, Some(at("2026-03-15")));
    assert_eq!(life.day("2026-03-15"), ["app: revoke crm"]);
    assert_eq!(life.held, []);
}

#[test]
fn who_comes_back_within_the_overlap_never_lost_anything() {
    let mut life = Life::new("sales");
    life.day("2026-02-01");
    life.says("job", "clerk").day("2026-03-01");
    life.says("job", "sales");
    assert_eq!(life.day("2026-03-05"), NOTHING);
    life.says("job", "clerk").day("2026-03-10");
    assert_eq!(life.day("2026-03-23"), NOTHING, "counted from the second time");
    assert_eq!(life.day("2026-03-24"), ["app: revoke crm"]);
}

#[test]
fn an_overlap_ends_with_the_employment_and_does_not_revive() {
    let mut life = Life::new("sales");
    life.day("2026-02-01");
    life.says("job", "clerk").day("2026-03-01");
    life.says("end", "2026-03-04");
    assert_eq!(
        life.day("2026-03-05"),
        ["app: disable", "app: revoke crm", "app: revoke staff"]
    );
    life.says("end", "2027-01-01");
    assert_eq!(life.day("2026-03-06"), ["app: enable", "app: grant staff"]);
}

#[test]
fn what_somebody_assigned_is_not_kept_for_an_overlap() {
    let mut life = Life::new("clerk");
    life.assignments = vec![assigned("sales", "", "2026-03-01")];
    life.day("2026-02-01");
    assert_eq!(life.day("2026-03-01"), ["app: revoke crm"]);
}

#[test]
fn before_the_start_nothing_is_kept() {
    let mut life = Life::new("sales");
    assert_eq!(life.plan("2025-12-01").held, []);
    life.day("2025-12-01");
    life.says("job", "clerk");
    assert_eq!(names(&life.plan("2026-01-02")), ["employee"]);
}

#[test]
fn of_what_excludes_each_other_nothing_new_is_given() {
    let mut life = Life::new("payer");
    life.assignments = vec![assigned("approver", "", "")];
    let plan = life.plan("2026-02-01");
    assert_eq!(names(&plan), ["employee"]);
    assert_eq!(
        problems(&plan),
        [
            "separation.pay-and-approve: `role:payer`, `role:approver` exclude each other: none of them is given"
        ]
    );
    assert_eq!(life.day("2026-02-01"), ["app: create", "app: grant staff"]);
    assert_eq!(life.day("2026-02-02"), NOTHING);
}

#[test]
fn what_is_held_stays_and_the_new_is_not_given() {
    let mut life = Life::new("payer");
    life.day("2026-02-01");
    life.assignments = vec![assigned("approver", "", "")];
    assert_eq!(life.day("2026-02-02"), NOTHING);
    assert_eq!(
        problems(&life.plan("2026-02-02")),
        ["separation.pay-and-approve: `role:payer` held already exclude `role:approver`: not given"]
    );
    // The queue has not caught up, the account is disabled for a leave: held is held.
    life.says("away", "2026-02-10").day("2026-02-11");
    life.record.attributes.remove("away");
    assert_eq!(life.day("2026-02-20"), ["app: enable"]);
    assert_eq!(life.has("app"), "enabled pay staff");
    life.says("job", "clerk");
    assert_eq!(
        life.day("2026-02-21"),
        ["app: revoke pay", "app: grant approve"],
        "the way is free"
    );
}

#[test]
fn a_mover_across_a_separation_loses_the_old_at_once() {
    let mut life = Life::new("approver");
    life.day("2026-02-01");
    life.says("job", "payer");
    assert_eq!(
        life.day("2026-02-02"),
        ["app: revoke approve", "app: grant pay"],
        "no overlap where duties are apart"
    );
    assert_eq!(problems(&life.plan("2026-02-02")), NOTHING);
}

#[test]
fn a_conflict_that_is_held_already_is_reported_and_nothing_is_taken() {
    let mut life = Life::new("payer");
    life.policy.separations.clear();
    life.assignments = vec![assigned("approver", "", "")];
    life.day("2026-02-01");
    assert_eq!(life.has("app"), "enabled approve pay staff");
    life.policy = Life::new("payer").policy;
    assert_eq!(life.day("2026-02-02"), NOTHING);
    assert_eq!(
        problems(&life.plan("2026-02-02")),
        [
            "separation.pay-and-approve: `role:payer`, `role:approver` exclude each other and are held already: nothing is taken away"
        ]
    );
}

#[test]
fn when_an_exception_ends_what_it_allowed_is_reported_and_not_removed() {
    let mut life = Life::new("payer");
    life.assignments = vec![assigned("approver", "", "")];
    life.exceptions = vec![SeparationException {
        separation: "pay-and-approve".parse().unwrap(),
        until: at("2026-03-01"),
        reason: "year end".to_owned(),
    }];
    let plan = life.plan("2026-02-01");
    assert_eq!(
        (problems(&plan), plan.next_change),
        (vec![], Some(at("2026-03-01")))
    );
    life.day("2026-02-01");
    assert_eq!(life.has("app"), "enabled approve pay staff");
    assert_eq!(life.day("2026-03-01"), NOTHING);
    assert_eq!(
        problems(&life.plan("2026-03-01")).len(),
        1,
        "reported, not removed"
    );
}

#[test]
fn a_single_entitlement_is_withheld_and_the_rest_of_its_role_is_given() {
    let mut life = Life::new("sales");
    life.day("2026-02-01");
    life.assignments = vec![assigned("admin", "", "")];
    life.day("2026-02-02");
    assert_eq!(
        (life.has("app"), life.has("app/admin")),
        ("enabled crm staff vpn".to_owned(), "enabled root".to_owned())
    );
    assert_eq!(
        problems(&life.plan("2026-02-02")),
        [
            "separation.ledger-and-sales: `role:sales` held already exclude `entitlement:app:ledger`: not given"
        ]
    );
}

#[test]
fn initial_and_weak_attributes_are_the_targets_own_afterwards() {
    let mut life = Life::new("clerk");
    life.day("2026-02-01");
    assert_eq!(
        Value::Object(life.observed("app").attributes.clone()),
        json!({"id": "7", "title": "clerk", "phone": "0"})
    );
    life.says("job", "baker");
    let (_, app) = &mut life.accounts[0];
    app.attributes.insert("phone".to_owned(), json!("112"));
    assert_eq!(life.day("2026-02-02"), NOTHING);
    life.accounts[0].1.attributes.remove("phone");
    assert_eq!(life.day("2026-02-03"), ["app: update phone"]);
    assert_eq!(life.observed("app").attributes["title"], "clerk");
}

const UNIQUE: &str = r#"
[[roles]]
name = "employee"
when = "true"
accounts = ["app", "app/admin"]
[mappings.app]
login = { candidates = ["identity.name", "identity.name + '.' + identity.id"], unique = true }
[mappings."app/admin"]
login = { value = "identity.name + '-adm'", unique = true, follow-name = true }
"#;

fn reserved(name: &str, value: &str) -> Reservation {
    Reservation {
        slot: slot(name),
        attribute: "login".to_owned(),
        value: value.to_owned(),
    }
}

#[test]
fn an_account_waits_for_its_name_and_then_keeps_it() {
    let mut life = Life::under(UNIQUE, "clerk");
    let plan = life.plan("2026-02-01");
    let wanted: Vec<String> = plan
        .wanted_names
        .iter()
        .map(|one| format!("{} {:?}", one.slot, &one.candidates[..3]))
        .collect();
    assert_eq!(
        wanted,
        [
            r#"app/admin ["Jo-adm", "Jo-adm2", "Jo-adm3"]"#,
            r#"app ["Jo", "Jo.7", "Jo2"]"#
        ]
    );
    assert_eq!(
        plan.accounts
            .iter()
            .map(|account| account.steps.len())
            .sum::<usize>(),
        0
    );
    assert_eq!(
        plan.accounts[0].notes[0].to_string(),
        "left as it is: waits until a name is reserved for login"
    );
    life.reservations = vec![reserved("app", "Jo2"), reserved("app/admin", "Jo-adm")];
    assert_eq!(life.day("2026-02-01"), ["app/admin: create", "app: create"]);
    assert_eq!(life.observed("app").attributes["login"], "Jo2");
    assert!(life.plan("2026-02-01").wanted_names.is_empty());

    life.says("name", "Mo");
    assert_eq!(
        life.day("2026-02-02"),
        NOTHING,
        "until another name is reserved the old one stays"
    );
    let wanted = life.plan("2026-02-02").wanted_names;
    assert_eq!(wanted.len(), 1, "only where the name is followed");
    assert_eq!(wanted[0].candidates[0], "Mo-adm");
    life.reservations[1] = reserved("app/admin", "Mo-adm");
    assert_eq!(life.day("2026-02-02"), ["app/admin: update login"]);
}

#[test]
fn who_has_an_account_already_asks_for_the_name_it_has() {
    let mut life = Life::under(UNIQUE, "clerk");
    life.reservations = vec![reserved("app", "jojo"), reserved("app/admin", "other")];
    life.day("2026-02-01");
    life.reservations.clear();
    let wanted = life.plan("2026-02-02").wanted_names;
    assert_eq!(
        wanted[1].candidates,
        ["jojo"],
        "and for no other: nobody is renamed because names are reserved from now on"
    );
    assert_eq!(
        wanted[0].candidates[0], "Jo-adm",
        "a name that is followed is not kept"
    );
}

#[test]
fn an_account_that_waits_for_its_name_is_planned_in_all_the_rest() {
    let mut life = Life::under(
        &format!("{UNIQUE}title = \"identity.job\"\n").replace(
            "[mappings.\"app/admin\"]",
            "title = \"identity.job\"\n[mappings.\"app/admin\"]",
        ),
        "clerk",
    );
    life.reservations = vec![reserved("app", "jojo"), reserved("app/admin", "other")];
    life.day("2026-02-01");
    life.reservations.clear();
    life.says("job", "baker");
    life.accounts[0]
        .1
        .entitlements
        .insert("old".to_owned(), Value::Null);
    let mut done = life.day("2026-02-02");
    done.sort();
    assert_eq!(
        done,
        [
            "app/admin: revoke old",
            "app/admin: update title",
            "app: update title"
        ]
    );
    assert_eq!(life.observed("app").attributes["login"], "jojo");
    assert_eq!(life.observed("app/admin").attributes["login"], "other");
    life.accounts[1].1.attributes.remove("login");
    assert_eq!(
        life.day("2026-02-03"),
        NOTHING,
        "what is not there is not made up"
    );
}

const APART: &str = r#"
[[roles]]
name = "payer"
when = "true"
accounts = ["app"]
[[roles]]
name = "approver"
when = "true"
accounts = ["dir"]
[[separation]]
name = "pay-and-approve"
of = ["role:payer", "role:approver"]
[mappings.app]
id = "identity.id"
[mappings.dir]
id = "identity.id"
"#;

#[test]
fn a_separation_new_in_the_policy_takes_nothing_from_who_is_on_leave() {
    for (recorded, problem) in [
        (
            IdentityState::Suspended,
            "exclude each other and are held already: nothing is taken away",
        ),
        // An account that is disabled for another reason holds nothing.
        (IdentityState::Active, "exclude each other: none of them is given"),
    ] {
        let mut life = Life::under(APART, "clerk");
        let separations = std::mem::take(&mut life.policy.separations);
        life.day("2026-02-01");
        assert_eq!(life.held, [], "nothing of roles is recorded");
        for (_, account) in &mut life.accounts {
            account.state = AccountState::Disabled;
        }
        life.policy.separations = separations;
        life.recorded = Some(recorded);
        let problem = [format!(
            "separation.pay-and-approve: `role:payer`, `role:approver` {problem}"
        )];
        assert_eq!(problems(&life.plan("2026-02-02")), problem);
        if recorded != IdentityState::Suspended {
            continue;
        }
        let suspended = crate::facts::Hold {
            kind: crate::facts::HoldKind::Manual,
            from: at("2026-02-01"),
            until: None,
            reason: "unpaid".to_owned(),
            by: Actor::Person("ann".to_owned()),
        };
        let plan = life.plan_with(&[suspended], at("2026-02-02"));
        assert_eq!(plan.state.state, IdentityState::Suspended);
        assert_eq!(problems(&plan), problem);
        assert_eq!(plan.held, [], "during leave what was recorded stays");
        for day in ["2026-02-03", "2026-02-04"] {
            life.day(day);
            assert_eq!(
                (life.has("app"), life.has("dir")),
                ("enabled".to_owned(), "enabled".to_owned())
            );
        }
    }
}

#[test]
fn a_name_that_cannot_be_made_is_a_problem() {
    let mut life = Life::under(UNIQUE, "clerk");
    life.says("name", " ");
    let life = Life {
        policy: Life::under(
            &UNIQUE.replace(", \"identity.name + '.' + identity.id\"", ""),
            "clerk",
        )
        .policy,
        ..life
    };
    assert_eq!(
        problems(&life.plan("2026-02-01")),
        ["mappings.app.login.candidates[0]: no candidate is a text of 1 to 256 characters for this person"]
    );
}
