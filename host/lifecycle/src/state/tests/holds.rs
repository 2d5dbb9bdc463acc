//! Holds: they suspend whoever would work, and end by themselves.

use super::*;
use crate::cause::Actor;

fn hold(kind: HoldKind, from: &str, until: Option<&str>, reason: &str) -> Hold {
    Hold {
        kind,
        from: at(from),
        until: until.map(at),
        reason: reason.to_owned(),
        by: Actor::Person("ada".to_owned()),
    }
}

/// From a moment on, every change of somebody in Berlin, one line each.
fn life(contract: &Contract, holds: &[Hold], from: &str) -> Vec<String> {
    let employment = Employment {
        contracts: vec![contract.clone()],
        ..Employment::default()
    };
    let mut lines = Vec::new();
    let mut now = Some(at(from));
    while let Some(moment) = now {
        let answer = super::super::state_at(&employment, holds, RETENTION, moment);
        let kind = answer.hold.map_or("", HoldKind::as_str);
        lines.push(format!("{moment} {} {kind}: {}", answer.state, answer.cause));
        now = answer.next_change;
    }
    lines
}

#[test]
fn a_hold_suspends_and_ends_by_itself() {
    let held = hold(
        HoldKind::Security,
        "2026-03-10T10:00:00Z",
        Some("2026-03-12T10:00:00Z"),
        "laptop lost",
    );
    assert_eq!(
        life(&berlin(), &[held], "2026-03-01T00:00:00Z"),
        [
            "2026-03-01T00:00:00Z active : no start given",
            "2026-03-10T10:00:00Z suspended security hold: security hold by person ada until 2026-03-12T10:00:00Z",
            "2026-03-12T10:00:00Z active : no start given",
        ]
    );
}

#[test]
fn a_security_hold_is_named_before_another_and_before_leave() {
    let contract = Contract {
        leave: Some(Leave {
            from: day("2026-03-05"),
            until: Some(day("2026-03-31")),
        }),
        ..berlin()
    };
    let holds = [
        hold(HoldKind::Manual, "2026-03-08T00:00:00Z", None, "garden leave"),
        hold(
            HoldKind::Security,
            "2026-03-10T10:00:00Z",
            Some("2026-03-12T10:00:00Z"),
            "laptop lost",
        ),
    ];
    let expected = [
        "2026-03-04T23:00:00Z suspended : on leave from 2026-03-05 until 2026-03-31",
        "2026-03-08T00:00:00Z suspended hold: hold by person ada",
        "2026-03-10T10:00:00Z suspended security hold: security hold by person ada until 2026-03-12T10:00:00Z",
        "2026-03-12T10:00:00Z suspended hold: hold by person ada",
    ];
    assert_eq!(life(&contract, &holds, "2026-03-04T23:00:00Z"), expected);
    let [first, second] = holds;
    assert_eq!(
        life(&contract, &[second, first], "2026-03-04T23:00:00Z"),
        expected
    );
}

#[test]
fn a_hold_waits_for_the_start_and_is_over_with_the_end() {
    let contract = Contract {
        start: Some(day("2026-03-02")),
        end: Some(day("2026-03-31")),
        ..berlin()
    };
    let held = hold(
        HoldKind::Manual,
        "2026-01-01T00:00:00Z",
        None,
        "papers are missing",
    );
    assert_eq!(
        life(&contract, &[held], "2026-02-01T00:00:00Z")[..3],
        [
            "2026-02-01T00:00:00Z staged : start 2026-03-02 has not come",
            "2026-03-01T23:00:00Z suspended hold: hold by person ada",
            "2026-03-31T22:00:00Z leaving : end 2026-03-31 is over",
        ]
    );
}

#[test]
fn a_hold_that_ends_before_it_begins_is_open_and_an_empty_one_is_none() {
    let mistyped = hold(
        HoldKind::Manual,
        "2026-03-10T10:00:00Z",
        Some("2025-03-12T10:00:00Z"),
        "audit",
    );
    assert_eq!(
        life(&berlin(), &[mistyped], "2026-03-10T10:00:00Z"),
        [
            "2026-03-10T10:00:00Z suspended hold: hold by person ada since 2026-03-10T10:00:00Z (its end 2025-03-12T10:00:00Z is \
          before that: taken as open)"
        ]
    );
    let empty = hold(
        HoldKind::Security,
        "2026-03-10T10:00:00Z",
        Some("2026-03-10T10:00:00Z"),
        "audit",
    );
    assert_eq!(
        life(&berlin(), &[empty], "2026-03-10T10:00:00Z"),
        ["2026-03-10T10:00:00Z active : no start given"]
    );
}

#[test]
fn a_cause_names_the_kind_of_hold_and_not_its_reason() {
    let held = hold(HoldKind::Manual, "2026-03-10T10:00:00Z", None, "in hospital");
    assert_eq!(hold_phrase(&held), "hold by person ada");
}
