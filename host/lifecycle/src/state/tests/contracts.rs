//! Several contracts of one person: the union counts.

use super::*;

/// A contract in Berlin, named.
fn contract(name: &str, start: &str, end: &str) -> Contract {
    let when = |text: &str| (!text.is_empty()).then(|| day(text));
    Contract {
        key: name.to_owned(),
        name: Some(name.to_owned()),
        start: when(start),
        end: when(end),
        ..berlin()
    }
}

fn on_leave(contract: Contract, from: &str, until: &str) -> Contract {
    let leave = Leave {
        from: day(from),
        until: Some(day(until)),
    };
    Contract {
        leave: Some(leave),
        ..contract
    }
}

/// From a moment on, every change, one line each: `moment state: cause`.
fn life(contracts: &[Contract], from: &str) -> Vec<String> {
    let employment = Employment {
        contracts: contracts.to_vec(),
        ..Employment::default()
    };
    let mut lines = Vec::new();
    let mut now = Some(at(from));
    while let Some(moment) = now {
        let answer = super::super::state_at(&employment, &[], RETENTION, moment);
        lines.push(format!("{moment} {}: {}", answer.state, answer.cause));
        now = answer.next_change;
    }
    lines
}

#[test]
fn while_any_contract_runs_the_person_is_active() {
    let both = [
        contract("C17", "2026-01-01", "2026-06-30"),
        contract("C18", "2026-03-01", "2026-11-30"),
    ];
    let expected = [
        "2026-04-01T00:00:00Z active: contract C17 started 2026-01-01",
        "2026-06-30T22:00:00Z active: contract C18 started 2026-03-01",
        "2026-11-30T23:00:00Z leaving: contract C18 ended 2026-11-30",
        "2026-12-30T23:00:00Z departed: contract C18 ended 2026-11-30, and 30 days of retention have passed",
    ];
    assert_eq!(life(&both, "2026-04-01T00:00:00Z"), expected);
    let [first, second] = both;
    assert_eq!(
        life(&[second, first], "2026-04-01T00:00:00Z"),
        expected,
        "whatever order they come in"
    );
}

#[test]
fn a_contract_right_after_another_leaves_no_gap() {
    let chain = [
        contract("C17", "2026-01-01", "2026-06-30"),
        contract("C18", "2026-07-01", ""),
    ];
    assert_eq!(
        life(&chain, "2026-04-01T00:00:00Z"),
        [
            "2026-04-01T00:00:00Z active: contract C17 started 2026-01-01",
            "2026-06-30T22:00:00Z active: contract C18 started 2026-07-01",
        ]
    );
}

#[test]
fn a_gap_is_leaving_and_the_later_start_brings_them_back() {
    let gap = [
        contract("C17", "2026-01-01", "2026-06-30"),
        contract("C18", "2026-07-15", ""),
    ];
    assert_eq!(
        life(&gap, "2026-06-01T00:00:00Z"),
        [
            "2026-06-01T00:00:00Z active: contract C17 started 2026-01-01",
            "2026-06-30T22:00:00Z leaving: contract C17 ended 2026-06-30",
            "2026-07-14T22:00:00Z active: contract C18 started 2026-07-15",
        ]
    );
}

#[test]
fn retention_in_a_gap_counts_from_the_end_of_the_earlier_one() {
    let long_gap = [
        contract("C17", "2026-01-01", "2026-06-30"),
        contract("C18", "2026-09-01", ""),
    ];
    assert_eq!(
        life(&long_gap, "2026-07-01T00:00:00Z"),
        [
            "2026-07-01T00:00:00Z leaving: contract C17 ended 2026-06-30",
            "2026-07-30T22:00:00Z departed: contract C17 ended 2026-06-30, and 30 days of retention have passed",
            "2026-08-31T22:00:00Z active: contract C18 started 2026-09-01",
        ]
    );
}

#[test]
fn who_has_only_future_contracts_is_staged_until_the_first() {
    let future = [
        contract("C18", "2026-09-01", ""),
        contract("C17", "2026-07-01", "2026-07-31"),
    ];
    assert_eq!(
        life(&future, "2026-06-01T00:00:00Z")[..3],
        [
            "2026-06-01T00:00:00Z staged: contract C17 starts 2026-07-01",
            "2026-06-30T22:00:00Z active: contract C17 started 2026-07-01",
            "2026-07-31T22:00:00Z leaving: contract C17 ended 2026-07-31",
        ]
    );
}

#[test]
fn leave_from_one_contract_is_no_leave_while_another_runs() {
    let jobs = [
        on_leave(contract("C17", "2026-01-01", ""), "2026-03-01", "2026-03-31"),
        contract("C18", "2026-01-01", "2026-03-15"),
    ];
    assert_eq!(
        life(&jobs, "2026-02-01T00:00:00Z"),
        [
            "2026-02-01T00:00:00Z active: contract C17 started 2026-01-01",
            "2026-02-28T23:00:00Z active: contract C18 started 2026-01-01",
            "2026-03-15T23:00:00Z suspended: contract C17: on leave from 2026-03-01 until 2026-03-31",
            "2026-03-31T22:00:00Z active: contract C17: leave until 2026-03-31 is over",
        ]
    );
}

#[test]
fn leave_after_termination_does_not_matter() {
    let ended = on_leave(
        contract("C17", "2026-01-01", "2026-02-28"),
        "2026-03-01",
        "2026-12-31",
    );
    assert_eq!(
        life(&[ended], "2026-03-05T00:00:00Z")[0],
        "2026-03-05T00:00:00Z leaving: contract C17 ended 2026-02-28"
    );
}

#[test]
fn leave_from_the_start_day_on_never_shows_them_active() {
    let away = on_leave(contract("C17", "2026-03-01", ""), "2026-03-01", "2026-03-31");
    assert_eq!(
        life(&[away], "2026-02-05T00:00:00Z"),
        [
            "2026-02-05T00:00:00Z staged: contract C17 starts 2026-03-01",
            "2026-02-28T23:00:00Z suspended: contract C17: on leave from 2026-03-01 until 2026-03-31",
            "2026-03-31T22:00:00Z active: contract C17: leave until 2026-03-31 is over",
        ]
    );
}

#[test]
fn a_contract_that_contradicts_itself_hurts_no_other_and_deletes_nothing() {
    let rehired = [
        contract("C17", "2026-01-01", "2026-06-30"),
        // The end was mistyped.
        contract("C18", "2026-07-15", "2025-12-31"),
    ];
    assert_eq!(
        life(&rehired, "2026-06-01T00:00:00Z"),
        [
            "2026-06-01T00:00:00Z active: contract C17 started 2026-01-01",
            "2026-06-30T22:00:00Z leaving: contract C17 ended 2026-06-30",
            "2026-07-14T22:00:00Z leaving: contract C18: start 2026-07-15 is after end 2025-12-31: no access until the source \
             corrects it",
        ]
    );
    let beside = [
        contract("C17", "2026-01-01", ""),
        contract("C18", "2026-07-15", "2025-12-31"),
    ];
    assert_eq!(life(&beside, "2026-06-01T00:00:00Z").len(), 1);
}

#[test]
fn a_hire_taken_back_does_not_prolong_retention() {
    let gone = Contract {
        absent_since: Some(at("2026-07-10T08:00:00Z")),
        ..contract("C18", "2026-09-01", "")
    };
    let empty = contract("C19", "2026-07-15", "2026-07-14");
    let expected = [
        "2026-07-12T00:00:00Z leaving: contract C17 ended 2026-06-30",
        "2026-07-30T22:00:00Z departed: contract C17 ended 2026-06-30, and 30 days of retention have passed",
    ];
    let first = contract("C17", "2026-01-01", "2026-06-30");
    assert_eq!(
        life(&[first.clone(), gone.clone()], "2026-07-12T00:00:00Z"),
        expected
    );
    assert_eq!(life(&[empty.clone(), first], "2026-07-12T00:00:00Z"), expected);
    assert_eq!(
        life(&[gone], "2026-07-12T00:00:00Z")[0],
        "2026-07-12T00:00:00Z leaving: contract C18 is missing from its source since 2026-07-10T08:00:00Z"
    );
    assert_eq!(
        life(&[empty], "2026-07-14T22:00:00Z")[0],
        "2026-07-14T22:00:00Z leaving: contract C19 ended 2026-07-14"
    );
}

#[test]
fn each_contract_ends_at_its_own_midnight() {
    let tokyo = Contract {
        zone: zone("Asia/Tokyo"),
        ..contract("C17", "2026-01-01", "2026-06-30")
    };
    let berlin = contract("C18", "2026-01-01", "2026-06-30");
    assert_eq!(
        life(&[tokyo, berlin], "2026-06-01T00:00:00Z")[1..3],
        [
            "2026-06-30T15:00:00Z active: contract C18 started 2026-01-01",
            "2026-06-30T22:00:00Z leaving: contract C18 ended 2026-06-30",
        ]
    );
}

#[test]
fn contracts_that_people_cannot_tell_apart_are_told_apart_all_the_same() {
    // Two hires taken back, by the same name and of the same day, in two zones.
    let in_zone = |name: &str| Contract {
        zone: zone(name),
        ..contract("C17", "2026-07-15", "2026-07-14")
    };
    assert_eq!(
        life(
            &[in_zone("Asia/Tokyo"), in_zone("America/New_York")],
            "2026-07-14T20:00:00Z"
        ),
        [
            "2026-07-14T20:00:00Z leaving: contract C17 ended 2026-07-14",
            "2026-08-14T04:00:00Z departed: contract C17 ended 2026-07-14, and 30 days of retention have passed",
        ],
        "thirty days after the later one"
    );
}

#[test]
fn leave_that_was_over_when_the_contract_started_is_not_what_let_them_in() {
    let away = on_leave(contract("C17", "2026-04-01", ""), "2026-03-01", "2026-03-31");
    assert_eq!(
        life(&[away], "2026-04-05T00:00:00Z"),
        ["2026-04-05T00:00:00Z active: contract C17 started 2026-04-01"]
    );
}

#[test]
fn who_has_no_contract_at_all_is_staged() {
    assert_eq!(
        life(&[], "2026-06-01T00:00:00Z"),
        ["2026-06-01T00:00:00Z staged: no contract is known"]
    );
}
