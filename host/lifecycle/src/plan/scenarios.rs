//! Everyday lives, day by day: the policy, a person's facts, and what is done to their accounts.

mod contracts;
mod holds;
mod missing;

use serde_json::{Value, json};

use super::*;
use crate::account::after_work;
use crate::connector::AccountRecord;
use crate::policy;

const POLICY: &str = r#"
zone = "Europe/Berlin"
retention-days = 30
unassigned = "disable"

[sources.hr]
kind = "snapshot"
format = "csv"
key = "id"
[sources.hr.columns]
id = { attribute = "employeeId" }
given_name = { attribute = "givenName" }
family_name = { attribute = "familyName" }
department = { attribute = "department" }
contract = { attribute = "contract" }
start = { attribute = "startDate", type = "date" }
end = { attribute = "endDate", type = "date" }
leave_from = { attribute = "leaveFrom", type = "date" }
leave_until = { attribute = "leaveUntil", type = "date" }
zone = { attribute = "zone" }
[sources.hr.lifecycle]
start = "startDate"
end = "endDate"
leave-from = "leaveFrom"
leave-until = "leaveUntil"
zone = "zone"

[[roles]]
name = "employee"
when = "identity.contract in ['permanent', 'temporary']"
accounts = ["app", "directory"]
[roles.entitlements]
app = ["staff"]

[[roles]]
name = "engineer"
when = "has(identity.department) && identity.department == 'Engineering'"
accounts = ["app"]
[roles.entitlements]
app = ["build", "staff"]

[[roles]]
name = "administrator"
when = "has(identity.department) && identity.department == 'Operations'"
accounts = ["app/admin"]
[roles.entitlements]
"app/admin" = ["root"]

[mappings.app]
username = "identity.employeeId"
name = "identity.givenName + ' ' + identity.familyName"
department = "has(identity.department) ? identity.department : null"

[mappings."app/admin"]
username = "'adm-' + identity.employeeId"

[mappings.directory]
cn = "identity.employeeId"
"#;

/// The company: one person, their accounts in targets that do what they are told.
struct Company {
    policy: Policy,
    targets: BTreeMap<TargetName, TargetFacts>,
    records: Vec<SourceRecord>,
    accounts: Vec<(AccountSlot, ObservedAccount)>,
    recorded: Option<IdentityState>,
    holds: Vec<Hold>,
    missing: Vec<AccountSlot>,
    made: u32,
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn slot(text: &str) -> AccountSlot {
    let (target, kind) = text.split_once('/').unwrap_or((text, "primary"));
    AccountSlot {
        target: target.parse().unwrap(),
        kind: kind.parse().unwrap(),
    }
}

fn can(disable: bool, delete: bool) -> TargetFacts {
    let capabilities = Capabilities {
        disable,
        delete,
        entitlements: true,
    };
    TargetFacts {
        capabilities,
        schema: AccountSchema::default(),
        apply: ApplyMode::Auto,
        depends_on: Vec::new(),
        pilot: None,
        protection: Default::default(),
    }
}

impl Company {
    /// With Ann, a permanent employee in Sales since 2 March 2026.
    fn new() -> Self {
        let attributes = json!({
            "employeeId": "1001", "givenName": "Ann", "familyName": "Lee", "department": "Sales",
            "contract": "permanent", "startDate": "2026-03-02",
        });
        Self {
            policy: policy::parse("policy.toml", POLICY).unwrap(),
            targets: [("app", can(true, true)), ("directory", can(true, true))]
                .map(|(name, facts)| (name.parse().unwrap(), facts))
                .into(),
            records: vec![SourceRecord {
                source: "hr".parse().unwrap(),
                key: "1001".to_owned(),
                attributes: attributes.as_object().unwrap().clone(),
                absent_since: None,
            }],
            accounts: Vec::new(),
            recorded: None,
            holds: Vec::new(),
            missing: Vec::new(),
            made: 0,
        }
    }

    /// With Ann at work since the start, all accounts made.
    fn at_work() -> Self {
        let mut company = Self::new();
        company.day("2026-03-02T08:00:00Z");
        company
    }

    /// The source says so now; `null` clears.
    fn says(&mut self, name: &str, value: Value) -> &mut Self {
        if value.is_null() {
            self.records[0].attributes.remove(name);
        } else {
            self.records[0].attributes.insert(name.to_owned(), value);
        }
        self
    }

    fn plan(&self, now: &str) -> IdentityPlan {
        let input = PlanInput {
            records: &self.records,
            accounts: &self.accounts,
            recorded: self.recorded,
            holds: &self.holds,
            missing: &self.missing,
            ..PlanInput::default()
        };
        plan_identity(
            &input,
            &self.policy,
            &self.targets,
            &TimeZoneDatabase::bundled(),
            at(now),
        )
    }

    /// Plans, does everything, and makes sure that planning again finds nothing to do. Returns what was done, one line each.
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
        let again = self.plan(now);
        let left: Vec<&Step> = again.accounts.iter().flat_map(|account| &account.steps).collect();
        assert!(left.is_empty(), "left after {now}: {left:?}");
        done
    }

    fn perform(&mut self, slot: &AccountSlot, work: &Work) {
        if !self.accounts.iter().any(|(known, _)| known == slot) {
            self.accounts.push((slot.clone(), ObservedAccount::absent()));
        }
        self.made += u32::from(matches!(work, Work::Create { .. }));
        let id = format!("id-{}", self.made);
        let account = self.account_mut(slot);
        let answer = match work {
            Work::Create { attributes } => Some((id, attributes.clone(), AccountState::Enabled)),
            // It was enabled all the while.
            Work::Read => Some((
                account.external_id.clone().unwrap(),
                account.attributes.clone(),
                AccountState::Enabled,
            )),
            _ => None,
        };
        let answer = answer.map(|(id, attributes, state)| AccountRecord {
            id,
            attributes,
            state,
            version: None,
            marker: None,
        });
        *account = after_work(account, work, answer.as_ref());
    }

    fn account_mut(&mut self, slot: &AccountSlot) -> &mut ObservedAccount {
        &mut self
            .accounts
            .iter_mut()
            .find(|(known, _)| known == slot)
            .unwrap()
            .1
    }

    /// `enabled [staff]` of an account.
    fn has(&self, name: &str) -> String {
        let found = self.accounts.iter().find(|(known, _)| *known == slot(name));
        found.map_or("never".to_owned(), |(_, account)| {
            let held: Vec<&str> = account.entitlements.keys().map(String::as_str).collect();
            format!("{} [{}]", account.state, held.join(" "))
        })
    }

    fn id(&self, name: &str) -> String {
        self.accounts
            .iter()
            .find(|(known, _)| *known == slot(name))
            .unwrap()
            .1
            .external_id
            .clone()
            .unwrap()
    }

    /// The notes of all accounts, one line each.
    fn notes(&self, now: &str) -> Vec<String> {
        let lines = |account: AccountPlan| {
            account
                .notes
                .into_iter()
                .map(|note| format!("{}: {note}", account.slot))
                .collect::<Vec<_>>()
        };
        self.plan(now).accounts.into_iter().flat_map(lines).collect()
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_joiner_gets_accounts_and_then_what_they_hold() {
    let mut company = Company::new();
    let plan = company.plan("2026-03-02T08:00:00Z");
    let causes: Vec<String> = plan
        .accounts
        .iter()
        .flat_map(|account| &account.steps)
        .map(|step| step.cause.to_string())
        .collect();
    assert_eq!(
        causes,
        [
            "hr: start 2026-03-02 has come → active → role employee → app: create",
            "hr: start 2026-03-02 has come → active → role employee → app: grant staff",
            "hr: start 2026-03-02 has come → active → role employee → directory: create",
        ]
    );
    assert!(
        plan.accounts
            .iter()
            .flat_map(|account| &account.steps)
            .all(|step| step.priority == Priority::Onboarding)
    );
    let shown: Vec<&str> = plan.accounts[0]
        .diff
        .iter()
        .map(|diff| diff.name.as_str())
        .collect();
    assert_eq!(shown, ["department", "name", "username"]);
    company.day("2026-03-02T08:00:00Z");
    assert_eq!(company.has("app"), "enabled [staff]");
}

#[test]
fn a_future_start_gets_nothing_until_the_day_begins_there() {
    let mut company = Company::new();
    let plan = company.plan("2026-02-20T08:00:00Z");
    assert_eq!(plan.state.state, IdentityState::Staged);
    assert_eq!(plan.state.next_change, Some(at("2026-03-01T23:00:00Z")));
    assert_eq!(
        plan.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(),
        ["employee"],
        "shown beforehand"
    );
    assert_eq!(company.day("2026-02-20T08:00:00Z"), NOTHING);
    assert_eq!(company.day("2026-03-01T22:59:59Z"), NOTHING);
    assert_eq!(
        company.day("2026-03-01T23:00:00Z"),
        ["app: create", "app: grant staff", "directory: create"]
    );
}

#[test]
fn a_start_far_east_begins_earlier() {
    let mut company = Company::new();
    company.says("zone", json!("Asia/Tokyo"));
    assert_eq!(
        company.plan("2026-02-20T08:00:00Z").state.next_change,
        Some(at("2026-03-01T15:00:00Z"))
    );
}

#[test]
fn a_mover_gets_the_new_and_loses_the_old() {
    let mut company = Company::at_work();
    company.says("department", json!("Engineering"));
    let plan = company.plan("2026-04-01T08:00:00Z");
    let app = &plan.accounts[0];
    assert_eq!(
        app.diff,
        [AttributeDiff {
            name: "department".into(),
            from: json!("Sales"),
            to: json!("Engineering")
        }]
    );
    assert!(app.steps.iter().all(|step| step.priority == Priority::Change));
    assert_eq!(
        app.steps[1].cause.to_string(),
        "hr: start 2026-03-02 has come → active → role engineer → app: grant build"
    );
    assert_eq!(
        company.day("2026-04-01T08:00:00Z"),
        ["app: update department", "app: grant build"]
    );
    company.says("department", json!("Sales"));
    let back = company.plan("2026-05-01T08:00:00Z");
    assert_eq!(back.accounts[0].steps[0].priority, Priority::Deprovision);
    assert_eq!(
        back.accounts[0].steps[0].cause.to_string(),
        "hr: start 2026-03-02 has come → active → role employee → no role gives this entitlement → app: revoke build"
    );
    assert_eq!(
        company.day("2026-05-01T08:00:00Z"),
        ["app: revoke build", "app: update department"]
    );
    assert_eq!(company.has("app"), "enabled [staff]");
}

#[test]
fn a_new_name_is_an_update_and_nothing_else() {
    let mut company = Company::at_work();
    company.says("familyName", json!("Lee-Müller"));
    assert_eq!(company.day("2026-04-01T08:00:00Z"), ["app: update name"]);
    assert_eq!(company.accounts[0].1.attributes["name"], "Ann Lee-Müller");
}

#[test]
fn an_attribute_that_is_gone_is_cleared() {
    let mut company = Company::at_work();
    company.says("department", Value::Null);
    assert_eq!(company.day("2026-04-01T08:00:00Z"), ["app: update department"]);
    assert!(!company.accounts[0].1.attributes.contains_key("department"));
}

#[test]
fn a_leaver_is_disabled_then_stripped_and_deleted_after_retention() {
    let mut company = Company::at_work();
    company.says("endDate", json!("2026-06-30"));
    assert_eq!(
        company.day("2026-06-30T21:59:59Z"),
        NOTHING,
        "the last day is worked"
    );
    let plan = company.plan("2026-06-30T22:00:00Z");
    assert_eq!(
        plan.accounts[0].steps[0].cause.to_string(),
        "hr: end 2026-06-30 is over → active → leaving → app: disable"
    );
    assert!(
        plan.accounts
            .iter()
            .flat_map(|account| &account.steps)
            .all(|step| step.priority == Priority::Deprovision)
    );
    assert_eq!(
        company.day("2026-06-30T22:00:00Z"),
        ["app: disable", "app: revoke staff", "directory: disable"]
    );
    assert_eq!(company.day("2026-07-30T21:59:59Z"), NOTHING);
    assert_eq!(
        company.day("2026-07-30T22:00:00Z"),
        ["app: delete", "directory: delete"]
    );
    assert_eq!(
        (company.has("app"), company.has("directory")),
        ("absent []".into(), "absent []".into())
    );
}

#[test]
fn one_who_left_long_ago_is_disabled_stripped_and_deleted_in_one_go() {
    let mut company = Company::at_work();
    company.says("endDate", json!("2026-03-31"));
    let done = company.day("2027-01-01T00:00:00Z");
    assert_eq!(
        done,
        [
            "app: disable",
            "app: revoke staff",
            "app: delete",
            "directory: disable",
            "directory: delete"
        ]
    );
}

#[test]
fn where_the_target_cannot_delete_the_account_stays_disabled_and_is_reported() {
    let mut company = Company::at_work();
    company.targets.insert("app".parse().unwrap(), can(true, false));
    company.says("endDate", json!("2026-06-30"));
    company.day("2026-07-01T08:00:00Z");
    assert_eq!(company.day("2026-09-01T08:00:00Z"), ["directory: delete"]);
    assert_eq!(company.has("app"), "disabled []");
    assert_eq!(
        company.notes("2026-09-01T08:00:00Z"),
        ["app: blocked: the target cannot delete accounts"]
    );
}

#[test]
fn where_the_target_cannot_disable_entitlements_go_at_once_and_the_account_after_retention() {
    let mut company = Company::at_work();
    company.targets.insert("app".parse().unwrap(), can(false, true));
    company.says("endDate", json!("2026-06-30"));
    assert_eq!(
        company.day("2026-07-01T08:00:00Z"),
        ["app: revoke staff", "directory: disable"]
    );
    assert_eq!(
        company.notes("2026-07-01T08:00:00Z"),
        ["app: blocked: the target cannot disable accounts"]
    );
    assert_eq!(
        company.day("2026-09-01T08:00:00Z"),
        ["app: delete", "directory: delete"]
    );
}

#[test]
fn leave_disables_and_the_return_enables_with_everything_as_it_was() {
    let mut company = Company::at_work();
    company
        .says("leaveFrom", json!("2026-05-01"))
        .says("leaveUntil", json!("2026-07-31"));
    assert_eq!(
        company.day("2026-05-01T08:00:00Z"),
        ["app: disable", "directory: disable"]
    );
    assert_eq!(company.has("app"), "disabled [staff]");
    assert_eq!(company.day("2026-07-31T21:59:59Z"), NOTHING);
    assert_eq!(
        company.day("2026-07-31T22:00:00Z"),
        ["app: enable", "directory: enable"]
    );
    assert_eq!(company.has("app"), "enabled [staff]");
}

#[test]
fn who_moves_during_leave_gets_the_new_at_the_return() {
    let mut company = Company::at_work();
    company.says("leaveFrom", json!("2026-05-01"));
    company.day("2026-05-01T08:00:00Z");
    company.says("department", json!("Operations"));
    assert_eq!(company.day("2026-06-01T08:00:00Z"), NOTHING);
    company.says("leaveUntil", json!("2026-06-30"));
    assert_eq!(
        company.day("2026-07-01T08:00:00Z"),
        [
            "app/admin: create",
            "app/admin: grant root",
            "app: enable",
            "app: update department",
            "directory: enable"
        ]
    );
}

#[test]
fn who_leaves_during_leave_is_stripped_then() {
    let mut company = Company::at_work();
    company.says("leaveFrom", json!("2026-05-01"));
    company.day("2026-05-01T08:00:00Z");
    company.says("endDate", json!("2026-05-31"));
    assert_eq!(company.day("2026-06-01T08:00:00Z"), ["app: revoke staff"]);
}

#[test]
fn a_rehire_in_retention_gets_the_same_accounts_back() {
    let mut company = Company::at_work();
    company.says("endDate", json!("2026-06-30"));
    company.day("2026-07-01T08:00:00Z");
    let id = company.id("app");
    company
        .says("startDate", json!("2026-07-15"))
        .says("endDate", Value::Null)
        .says("department", json!("Support"));
    assert_eq!(
        company.day("2026-07-10T08:00:00Z"),
        NOTHING,
        "staged: disabled as they are, and not deleted"
    );
    assert_eq!(
        company.day("2026-07-15T08:00:00Z"),
        [
            "app: enable",
            "app: update department",
            "app: grant staff",
            "directory: enable"
        ]
    );
    assert_eq!(company.id("app"), id);
}

#[test]
fn a_rehire_after_deletion_gets_new_accounts() {
    let mut company = Company::at_work();
    company.says("endDate", json!("2026-06-30"));
    company.day("2026-07-01T08:00:00Z");
    company.day("2026-09-01T08:00:00Z");
    let id = company.id("app");
    company
        .says("startDate", json!("2026-10-01"))
        .says("endDate", Value::Null);
    assert_eq!(
        company.day("2026-10-01T08:00:00Z"),
        ["app: create", "app: grant staff", "directory: create"]
    );
    assert_ne!(company.id("app"), id);
}

#[test]
fn a_rehire_whose_old_end_was_not_cleared_gets_nothing_and_the_cause_says_why() {
    let mut company = Company::at_work();
    company.says("endDate", json!("2026-06-30"));
    company.day("2026-07-01T08:00:00Z");
    company.says("startDate", json!("2026-07-15"));
    assert_eq!(company.day("2026-07-20T08:00:00Z"), NOTHING);
    assert_eq!(
        company.plan("2026-07-20T08:00:00Z").state_cause.to_string(),
        "hr: start 2026-07-15 is after end 2026-06-30: no access until the source corrects it → leaving"
    );
    assert_eq!(
        company.day("2030-01-01T00:00:00Z"),
        NOTHING,
        "nor is anything deleted"
    );
}

#[test]
fn an_end_moved_back_and_forth_follows() {
    let mut company = Company::at_work();
    company.says("endDate", json!("2026-06-30"));
    assert_eq!(company.day("2026-06-15T08:00:00Z"), NOTHING);
    company.says("endDate", json!("2026-06-10"));
    assert_eq!(
        company.day("2026-06-15T09:00:00Z"),
        ["app: disable", "app: revoke staff", "directory: disable"]
    );
    company.says("endDate", json!("2026-08-31"));
    assert_eq!(
        company.day("2026-06-15T10:00:00Z"),
        ["app: enable", "app: grant staff", "directory: enable"]
    );
    assert_eq!(company.day("2026-08-31T12:00:00Z"), NOTHING);
    assert_eq!(company.day("2026-08-31T22:00:00Z").len(), 3);
}

#[test]
fn a_contractor_without_a_birthright_gets_nothing() {
    let mut company = Company::new();
    company.says("contract", json!("contractor"));
    assert_eq!(company.day("2026-03-02T08:00:00Z"), NOTHING);
    assert!(company.plan("2026-03-02T08:00:00Z").accounts.is_empty());
}

#[test]
fn a_contract_that_becomes_one_without_accounts_loses_them() {
    let mut company = Company::at_work();
    company.says("contract", json!("contractor"));
    let plan = company.plan("2026-04-01T08:00:00Z");
    assert_eq!(
        plan.accounts[0].steps[0].cause.to_string(),
        "hr: start 2026-03-02 has come → active → no role gives app → app: disable"
    );
    assert_eq!(plan.accounts[0].steps[0].priority, Priority::Deprovision);
    assert_eq!(
        company.day("2026-04-01T08:00:00Z"),
        ["app: disable", "app: revoke staff", "directory: disable"]
    );
    assert_eq!(
        company.day("2027-04-01T08:00:00Z"),
        NOTHING,
        "kept while the person is here"
    );
    company.says("contract", json!("temporary"));
    assert_eq!(
        company.day("2027-05-01T08:00:00Z"),
        ["app: enable", "app: grant staff", "directory: enable"]
    );
}

#[test]
fn an_unassigned_account_is_deleted_where_policy_says_so() {
    let mut company = Company::at_work();
    company.policy.unassigned = policy::Unassigned::Delete;
    company
        .says("contract", json!("contractor"))
        .says("department", json!("Engineering"));
    assert_eq!(
        company.day("2026-04-01T08:00:00Z"),
        [
            "app: update department",
            "app: grant build",
            "directory: disable",
            "directory: delete"
        ]
    );
}

#[test]
fn a_second_account_of_the_same_target_has_its_own_life() {
    let mut company = Company::at_work();
    company.says("department", json!("Operations"));
    let done = company.day("2026-04-01T08:00:00Z");
    assert_eq!(
        done,
        [
            "app/admin: create",
            "app/admin: grant root",
            "app: update department"
        ]
    );
    company.says("department", json!("Sales"));
    let done = company.day("2026-05-01T08:00:00Z");
    assert_eq!(
        done,
        [
            "app/admin: disable",
            "app/admin: revoke root",
            "app: update department"
        ]
    );
    assert_eq!(company.has("app"), "enabled [staff]");
}

#[test]
fn the_night_summer_time_begins_ends_an_hour_earlier() {
    let mut company = Company::at_work();
    company.says("endDate", json!("2026-03-29"));
    assert_eq!(
        company.plan("2026-03-20T00:00:00Z").state.next_change,
        Some(at("2026-03-29T22:00:00Z"))
    );
    assert_eq!(company.day("2026-03-29T21:59:59Z"), NOTHING);
    assert_eq!(company.day("2026-03-29T22:00:00Z").len(), 3);
}

#[test]
fn a_row_that_is_gone_for_good_ends_and_one_that_comes_back_does_not() {
    let mut company = Company::at_work();
    company.records[0].absent_since = Some(at("2026-05-05T06:00:00Z"));
    let plan = company.plan("2026-05-05T06:00:00Z");
    assert_eq!(
        plan.accounts[1].steps[0].cause.to_string(),
        "hr: missing from every source since 2026-05-05T06:00:00Z → active → leaving → directory: disable"
    );
    assert_eq!(
        company.day("2026-05-05T06:00:00Z"),
        ["app: disable", "app: revoke staff", "directory: disable"]
    );
    company.records[0].absent_since = None;
    assert_eq!(
        company.day("2026-05-06T06:00:00Z"),
        ["app: enable", "app: grant staff", "directory: enable"]
    );
}

#[test]
fn an_offer_withdrawn_before_the_start_never_becomes_an_account() {
    let mut company = Company::new();
    company.records[0].absent_since = Some(at("2026-02-20T06:00:00Z"));
    assert_eq!(company.day("2026-02-21T06:00:00Z"), NOTHING);
    assert_eq!(company.day("2026-03-02T08:00:00Z"), NOTHING);
}

#[test]
fn a_start_put_off_after_the_first_day_takes_access_back_and_deletes_nothing() {
    let mut company = Company::at_work();
    company.says("startDate", json!("2026-09-01"));
    assert_eq!(
        company.day("2026-03-03T08:00:00Z"),
        ["app: disable", "app: revoke staff", "directory: disable"]
    );
    assert_eq!(company.day("2026-08-30T08:00:00Z"), NOTHING);
    assert_eq!(
        company.day("2026-09-01T08:00:00Z"),
        ["app: enable", "app: grant staff", "directory: enable"]
    );
}

#[test]
fn a_mapping_that_fails_leaves_its_account_alone_and_the_others_go_on() {
    let mut company = Company::at_work();
    company
        .says("familyName", Value::Null)
        .says("employeeId", json!("1002"));
    let plan = company.plan("2026-04-01T08:00:00Z");
    assert_eq!(plan.problems.len(), 1);
    assert!(plan.problems[0].path.contains("app"), "{}", plan.problems[0]);
    assert_eq!(plan.accounts[0].desired, None, "its queue is left alone too");
    assert_eq!(company.day("2026-04-01T08:00:00Z"), ["directory: update cn"]);
    assert_eq!(company.has("app"), "enabled [staff]");
    company.says("endDate", json!("2026-04-30"));
    assert_eq!(
        company.day("2026-05-01T08:00:00Z").len(),
        3,
        "leaving needs no mapping"
    );
}

#[test]
fn a_rule_that_fails_leaves_all_accounts_alone_but_not_a_leaver() {
    let mut company = Company::at_work();
    company.says("contract", Value::Null);
    let plan = company.plan("2026-04-01T08:00:00Z");
    assert_eq!(plan.problems.len(), 1);
    assert!(
        plan.accounts
            .iter()
            .all(|account| account.desired.is_none() && account.steps.is_empty())
    );
    assert_eq!(
        company.notes("2026-04-01T08:00:00Z"),
        ["app", "directory"]
            .map(|name| format!("{name}: left as it is: a rule cannot be evaluated for this person"))
    );
    company
        .says("leaveFrom", json!("2026-04-10"))
        .says("leaveUntil", json!("2026-04-20"));
    assert_eq!(
        company.day("2026-04-11T08:00:00Z"),
        ["app: disable", "directory: disable"]
    );
    company.says("endDate", json!("2026-04-30"));
    assert_eq!(company.day("2026-05-01T08:00:00Z"), ["app: revoke staff"]);
}

#[test]
fn a_date_nobody_can_read_changes_nothing_unless_the_person_is_gone() {
    let mut company = Company::at_work();
    company
        .says("endDate", json!("30.06.2026"))
        .says("department", json!("Engineering"));
    let plan = company.plan("2026-07-01T08:00:00Z");
    assert!(!plan.problems.is_empty());
    assert_eq!(
        (plan.state.state, plan.state.cause.as_str()),
        (IdentityState::Active, "their dates cannot be read")
    );
    assert_eq!(company.day("2026-07-01T08:00:00Z"), NOTHING);
    company.records[0].absent_since = Some(at("2026-07-02T06:00:00Z"));
    assert_eq!(
        company.day("2026-07-02T08:00:00Z"),
        ["app: disable", "app: revoke staff", "directory: disable"]
    );
}

#[test]
fn a_date_nobody_can_read_does_not_give_access_back() {
    let mut company = Company::at_work();
    company.says("endDate", json!("2026-06-30"));
    company.day("2026-07-01T08:00:00Z");
    company.says("endDate", json!("soon"));
    company.account_mut(&slot("app")).state = AccountState::Enabled;
    assert_eq!(company.day("2026-07-02T08:00:00Z"), ["app: disable"]);
}

#[test]
fn a_joiner_whose_dates_cannot_be_read_gets_nothing() {
    let mut company = Company::new();
    company.says("startDate", json!("next Monday"));
    assert_eq!(company.day("2026-03-02T08:00:00Z"), NOTHING);
}

#[test]
fn a_source_taken_out_of_the_policy_ends_nobody() {
    let mut company = Company::at_work();
    company.says("department", json!("Engineering"));
    company.records[0].source = "payroll".parse().unwrap();
    assert_eq!(company.day("2026-04-01T08:00:00Z"), NOTHING);
    assert_eq!(company.recorded, Some(IdentityState::Active));
}

#[test]
fn a_target_taken_out_of_the_document_is_left_alone() {
    let mut company = Company::at_work();
    company
        .targets
        .remove(&"directory".parse::<TargetName>().unwrap());
    company.says("endDate", json!("2026-06-30"));
    assert_eq!(
        company.day("2026-07-01T08:00:00Z"),
        ["app: disable", "app: revoke staff"]
    );
    assert_eq!(
        company.notes("2026-07-01T08:00:00Z"),
        ["directory: left as it is: its target is not in the targets document"]
    );
}

#[test]
fn what_somebody_did_by_hand_is_put_right() {
    let mut company = Company::at_work();
    company
        .account_mut(&slot("app"))
        .entitlements
        .insert("boss".to_owned(), Value::Null);
    company
        .account_mut(&slot("app"))
        .attributes
        .insert("name".to_owned(), json!("The Boss"));
    company.account_mut(&slot("directory")).state = AccountState::Disabled;
    assert_eq!(
        company.day("2026-04-01T08:00:00Z"),
        ["app: revoke boss", "app: update name", "directory: enable"]
    );
}

#[test]
fn an_account_of_unknown_state_is_read_before_anything_is_done() {
    let mut company = Company::at_work();
    company.says("endDate", json!("2026-06-30"));
    company.account_mut(&slot("app")).state = AccountState::Unknown;
    let plan = company.plan("2026-07-01T08:00:00Z");
    assert_eq!(plan.accounts[0].steps.len(), 1);
    assert_eq!(plan.accounts[0].steps[0].work, Work::Read);
    assert_eq!(plan.accounts[0].steps[0].priority, Priority::Deprovision);
    company.perform(&slot("app"), &Work::Read);
    assert_eq!(
        company.day("2026-07-01T08:00:00Z"),
        ["app: disable", "app: revoke staff", "directory: disable"]
    );
}

#[test]
fn who_is_still_in_one_source_is_not_gone() {
    let mut company = Company::at_work();
    let gone = SourceRecord {
        key: "9".to_owned(),
        absent_since: Some(at("2026-05-05T06:00:00Z")),
        ..company.records[0].clone()
    };
    company.records.push(gone);
    assert_eq!(company.day("2026-06-01T08:00:00Z"), NOTHING);
    company.records[0].absent_since = Some(at("2026-06-02T06:00:00Z"));
    assert_eq!(company.day("2026-06-03T08:00:00Z").len(), 3);
    assert_eq!(
        company.plan("2026-06-03T08:00:00Z").state.since,
        Some(at("2026-06-02T06:00:00Z"))
    );
}

#[test]
fn an_account_that_was_never_linked_cannot_be_read_and_is_made() {
    let mut company = Company::new();
    let never_linked = ObservedAccount {
        state: AccountState::Unknown,
        ..ObservedAccount::absent()
    };
    company.accounts.push((slot("directory"), never_linked));
    assert_eq!(
        company.day("2026-03-02T08:00:00Z"),
        ["app: create", "app: grant staff", "directory: create"]
    );
}

#[test]
fn an_erased_person_is_not_touched() {
    let mut company = Company::at_work();
    company.recorded = Some(IdentityState::Erased);
    let plan = company.plan("2026-07-01T08:00:00Z");
    assert_eq!(plan.state.state, IdentityState::Erased);
    assert!(plan.accounts.is_empty() && plan.roles.is_empty());
}

#[test]
fn every_step_of_every_scenario_has_a_chain_from_a_fact_to_the_deed() {
    let mut company = Company::at_work();
    for (name, value) in [
        ("endDate", "2026-06-30"),
        ("department", "Engineering"),
        ("contract", "contractor"),
    ] {
        company.says(name, json!(value));
        for now in [
            "2026-02-01T00:00:00Z",
            "2026-04-01T00:00:00Z",
            "2026-07-01T00:00:00Z",
            "2026-09-01T00:00:00Z",
        ] {
            for account in company.plan(now).accounts {
                for step in account.steps {
                    let links = step.cause.links();
                    assert!(links.len() >= 3 && links[0].starts_with("hr: "), "{}", step.cause);
                    assert!(
                        links.last().unwrap().starts_with(&format!("{}: ", account.slot)),
                        "{}",
                        step.cause
                    );
                }
            }
        }
    }
}
