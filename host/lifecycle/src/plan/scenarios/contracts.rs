//! Several contracts of one person.

use super::*;

impl Company {
    /// Another contract of Ann's.
    fn contract(&mut self, key: &str, attributes: Value) -> &mut Self {
        let Value::Object(attributes) = attributes else {
            panic!("not an object")
        };
        self.records.push(SourceRecord {
            source: "hr".parse().unwrap(),
            key: key.to_owned(),
            attributes,
            absent_since: None,
        });
        self
    }
}

/// Ann at work until the end of June, and again from a day on in Engineering.
fn rehired(start: &str) -> Company {
    let mut company = Company::at_work();
    company.says("endDate", json!("2026-06-30")).contract(
        "2002",
        json!({
            "employeeId": "2002", "givenName": "Ann", "familyName": "Lee", "department": "Engineering",
            "contract": "permanent", "startDate": start,
        }),
    );
    company
}

#[test]
fn a_rehire_after_a_gap_within_retention_gets_the_same_accounts_back() {
    let mut company = rehired("2026-07-15");
    assert_eq!(company.day("2026-06-30T12:00:00Z"), NOTHING);
    let accounts = [company.id("app"), company.id("directory")];
    let plan = company.plan("2026-07-01T08:00:00Z");
    assert_eq!(plan.next_change, Some(at("2026-07-14T22:00:00Z")));
    assert_eq!(
        plan.accounts[0].steps[0].cause.to_string(),
        "hr: contract hr/1001 ended 2026-06-30 → active → leaving → app: disable"
    );
    assert_eq!(
        company.day("2026-07-01T08:00:00Z"),
        ["app: disable", "app: revoke staff", "directory: disable"]
    );
    assert_eq!(
        company.day("2026-07-15T08:00:00Z"),
        [
            "app: enable",
            "app: update department, username",
            "app: grant build",
            "app: grant staff",
            "directory: enable",
            "directory: update cn"
        ]
    );
    assert_eq!([company.id("app"), company.id("directory")], accounts);
}

#[test]
fn a_rehire_after_a_long_gap_gets_new_accounts() {
    let mut company = rehired("2026-09-01");
    company.day("2026-07-01T08:00:00Z");
    assert_eq!(
        company.day("2026-07-31T08:00:00Z"),
        ["app: delete", "directory: delete"]
    );
    assert_eq!(company.recorded, Some(IdentityState::Departed));
    assert_eq!(
        company.day("2026-09-01T08:00:00Z"),
        [
            "app: create",
            "app: grant build",
            "app: grant staff",
            "directory: create"
        ]
    );
}

#[test]
fn one_contract_after_another_is_a_mover_without_a_day_off() {
    let mut company = rehired("2026-07-01");
    assert_eq!(company.day("2026-06-30T12:00:00Z"), NOTHING);
    assert_eq!(
        company.day("2026-07-01T08:00:00Z"),
        [
            "app: update department, username",
            "app: grant build",
            "directory: update cn"
        ]
    );
}

#[test]
fn a_second_contract_moves_nobody_before_the_first_ends_and_the_plan_is_due_then() {
    let mut company = rehired("2026-05-01");
    company.contract(
        "3003",
        json!({"department": "Operations", "startDate": "2026-05-01", "endDate": "2026-05-31"}),
    );
    assert_eq!(company.day("2026-05-15T08:00:00Z"), NOTHING);
    let plan = company.plan("2026-05-15T08:00:00Z");
    assert_eq!(
        (plan.state.next_change, plan.next_change),
        (Some(at("2026-06-30T22:00:00Z")), Some(at("2026-05-31T22:00:00Z"))),
        "another contract's attributes may count before the state changes"
    );
    assert_eq!(company.day("2026-07-01T08:00:00Z").len(), 3);
}

#[test]
fn the_end_of_one_of_two_contracts_takes_nothing_but_its_role() {
    let mut company = Company::at_work();
    company.contract(
        "2002",
        json!({
            "givenName": "Ann", "familyName": "Lee", "employeeId": "1001",
            "startDate": "2026-03-15", "department": "Operations", "contract": "permanent",
        }),
    );
    assert_eq!(company.day("2026-04-01T08:00:00Z"), NOTHING);
    company.says("endDate", json!("2026-06-30"));
    assert_eq!(
        company.plan("2026-07-01T08:00:00Z").state.cause,
        "contract hr/2002 started 2026-03-15"
    );
    assert_eq!(
        company.day("2026-07-01T08:00:00Z"),
        [
            "app/admin: create",
            "app/admin: grant root",
            "app: update department"
        ]
    );
}
