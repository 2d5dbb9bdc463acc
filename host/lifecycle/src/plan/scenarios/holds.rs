//! Holds: access stops now, and comes back when they are over.

use super::*;
use crate::cause::Actor;

fn hold(kind: HoldKind, from: &str, until: Option<&str>) -> Hold {
    Hold {
        kind,
        from: at(from),
        until: until.map(at),
        reason: "laptop lost".to_owned(),
        by: Actor::Person("ada".to_owned()),
    }
}

/// `cause [priority]` of every step.
fn steps(company: &Company, now: &str) -> Vec<String> {
    let plan = company.plan(now);
    let steps = plan.accounts.into_iter().flat_map(|account| account.steps);
    steps
        .map(|step| format!("{} [{:?}]", step.cause, step.priority))
        .collect()
}

#[test]
fn a_security_hold_disables_before_everything_and_strips_nothing() {
    let mut company = Company::at_work();
    company.holds = vec![hold(
        HoldKind::Security,
        "2026-04-01T08:00:00Z",
        Some("2026-04-03T08:00:00Z"),
    )];
    assert_eq!(
        company.plan("2026-03-31T08:00:00Z").next_change,
        Some(at("2026-04-01T08:00:00Z"))
    );
    assert_eq!(
        steps(&company, "2026-04-01T08:00:00Z"),
        ["app", "directory"].map(|name| format!(
            "security hold by person ada until 2026-04-03T08:00:00Z → active → suspended → {name}: disable [SecurityHold]"
        ))
    );
    assert_eq!(
        company.day("2026-04-01T08:00:00Z"),
        ["app: disable", "directory: disable"]
    );
    assert_eq!(company.has("app"), "disabled [staff]");
    assert_eq!(
        company.plan("2026-04-01T08:00:00Z").next_change,
        Some(at("2026-04-03T08:00:00Z"))
    );
    assert_eq!(
        company.day("2026-04-03T08:00:00Z"),
        ["app: enable", "directory: enable"]
    );
}

#[test]
fn a_hold_by_hand_disables_in_its_turn() {
    let mut company = Company::at_work();
    company.holds = vec![hold(HoldKind::Manual, "2026-04-01T08:00:00Z", None)];
    assert_eq!(
        steps(&company, "2026-04-02T08:00:00Z")[0],
        "hold by person ada → active → suspended → app: disable [Deprovision]"
    );
}

#[test]
fn an_account_nobody_knows_is_read_as_urgently_as_it_must_be_disabled() {
    let mut company = Company::at_work();
    company.holds = vec![hold(HoldKind::Security, "2026-04-01T08:00:00Z", None)];
    company.account_mut(&slot("app")).state = AccountState::Unknown;
    assert_eq!(
        steps(&company, "2026-04-01T08:00:00Z")[0],
        "security hold by person ada → active → suspended → app: read [SecurityHold]"
    );
}

#[test]
fn a_hold_on_who_has_not_started_keeps_them_from_accounts_until_it_is_over() {
    let mut company = Company::new();
    company.holds = vec![hold(
        HoldKind::Manual,
        "2026-02-20T08:00:00Z",
        Some("2026-03-05T08:00:00Z"),
    )];
    assert_eq!(company.day("2026-02-21T08:00:00Z"), NOTHING);
    assert_eq!(company.recorded, Some(IdentityState::Staged));
    assert_eq!(company.day("2026-03-02T08:00:00Z"), NOTHING);
    assert_eq!(company.recorded, Some(IdentityState::Suspended));
    assert_eq!(
        company.day("2026-03-05T08:00:00Z"),
        ["app: create", "app: grant staff", "directory: create"]
    );
}

#[test]
fn a_hold_during_onboarding_creates_nothing_more_and_disables_what_is_there() {
    let mut company = Company::new();
    company.perform(
        &slot("app"),
        &Work::Create {
            attributes: Attributes::new(),
        },
    );
    company.holds = vec![hold(HoldKind::Security, "2026-03-02T08:00:00Z", None)];
    assert_eq!(company.day("2026-03-02T08:00:00Z"), ["app: disable"]);
    assert_eq!(company.has("directory"), "never");
}

#[test]
fn a_security_hold_makes_what_a_leaver_still_has_urgent() {
    let mut company = Company::at_work();
    company.says("endDate", json!("2026-06-30"));
    company.holds = vec![hold(HoldKind::Security, "2026-07-01T08:00:00Z", None)];
    assert_eq!(
        steps(&company, "2026-07-01T09:00:00Z"),
        [
            "hr: end 2026-06-30 is over → active → leaving → security hold by person ada → app: disable [SecurityHold]",
            "hr: end 2026-06-30 is over → active → leaving → app: revoke staff [Deprovision]",
            "hr: end 2026-06-30 is over → active → leaving → security hold by person ada → directory: disable [SecurityHold]",
        ]
    );
    company.day("2026-07-01T09:00:00Z");
    assert_eq!(
        company.day("2026-07-31T09:00:00Z"),
        ["app: delete", "directory: delete"]
    );
}

#[test]
fn who_leaves_while_on_hold_is_stripped_and_deleted_as_any_leaver() {
    let mut company = Company::at_work();
    company.holds = vec![hold(HoldKind::Manual, "2026-04-01T08:00:00Z", None)];
    company.day("2026-04-01T08:00:00Z");
    company.says("endDate", json!("2026-06-30"));
    assert_eq!(company.day("2026-07-01T08:00:00Z"), ["app: revoke staff"]);
    assert_eq!(
        company.day("2026-07-31T08:00:00Z"),
        ["app: delete", "directory: delete"]
    );
}

#[test]
fn a_hold_needs_neither_dates_nor_rules_nor_a_source() {
    for broken in ["endDate", "contract", "records"] {
        let mut company = Company::at_work();
        match broken {
            "records" => company.records.clear(),
            "endDate" => drop(
                company.records[0]
                    .attributes
                    .insert(broken.to_owned(), json!("soon")),
            ),
            name => drop(company.records[0].attributes.remove(name)),
        }
        assert_eq!(company.day("2026-04-01T07:00:00Z"), NOTHING);
        company.holds = vec![hold(
            HoldKind::Security,
            "2026-04-01T08:00:00Z",
            Some("2026-04-02T08:00:00Z"),
        )];
        assert_eq!(
            company.plan("2026-04-01T07:00:00Z").next_change,
            Some(at("2026-04-01T08:00:00Z"))
        );
        assert_eq!(
            company.day("2026-04-01T08:00:00Z"),
            ["app: disable", "directory: disable"]
        );
        assert_eq!(
            company.plan("2026-04-01T08:00:00Z").next_change,
            Some(at("2026-04-02T08:00:00Z"))
        );
    }
}

#[test]
fn a_hold_while_dates_cannot_be_read_is_not_taken_for_leave_afterwards() {
    let mut company = Company::at_work();
    company.records[0]
        .attributes
        .insert("endDate".to_owned(), json!("soon"));
    let from = "2026-04-01T08:00:00Z";
    company.holds = vec![hold(HoldKind::Manual, from, Some("2026-04-02T08:00:00Z"))];
    assert_eq!(
        steps(&company, from)[0],
        "hold by person ada until 2026-04-02T08:00:00Z → active → suspended → app: disable [Deprovision]"
    );
    assert_eq!(company.day(from), ["app: disable", "directory: disable"]);
    assert_eq!(company.recorded, Some(IdentityState::Active), "what it was");
    let after = company.plan("2026-04-02T08:00:00Z");
    assert_eq!(after.state.state, IdentityState::Active);
    assert_eq!(
        after.accounts[0].desired, None,
        "left as it is until dates can be read"
    );
    company.account_mut(&slot("app")).state = AccountState::Enabled;
    assert_eq!(company.day("2026-04-02T08:00:00Z"), NOTHING);
}

#[test]
fn a_hold_does_not_bring_back_the_erased() {
    let mut company = Company::at_work();
    company.recorded = Some(IdentityState::Erased);
    company.holds = vec![hold(HoldKind::Security, "2026-04-01T08:00:00Z", None)];
    let plan = company.plan("2026-03-31T08:00:00Z");
    assert_eq!(
        (plan.state.state, plan.next_change),
        (IdentityState::Erased, None)
    );
    assert!(plan.accounts.is_empty());
}
