use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::cause::Actor;
use crate::facts::{Contract, Employment, Hold, HoldKind, Leave, When};
use crate::state::state_at;

/// The page the docs have. Run the test with `USHER_WRITE_DOCS=1` after a meant change.
#[test]
fn the_printed_page_is_the_one_in_the_docs() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/TRANSITIONS.md");
    if std::env::var_os("USHER_WRITE_DOCS").is_some() {
        std::fs::write(file, markdown()).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == markdown(),
        "{file} differs from the code; USHER_WRITE_DOCS=1 writes it anew"
    );
}

/// Every cell, written by hand: from each state, in the order of a life. `t`ime, `f`acts, `p`erson, `-` never.
#[test]
fn every_cell_is_as_written_by_hand() {
    let expected = ["-tttt-", "f-ttt-", "ft-tt-", "ftt-t-", "fttt-p", "------"];
    for (from, row) in IdentityState::ALL.into_iter().zip(expected) {
        let made: String = IdentityState::ALL
            .into_iter()
            .map(|to| match transition(from, to) {
                Some(Transition::Time(_)) => 't',
                Some(Transition::Facts(_)) => 'f',
                Some(Transition::Person(_)) => 'p',
                None => '-',
            })
            .collect();
        assert_eq!(made, row, "from {from}");
    }
}

/// Mermaid takes no colon or semicolon inside a label.
#[test]
fn every_label_fits_the_diagram() {
    for (from, to, transition) in all() {
        let (Transition::Time(why) | Transition::Facts(why) | Transition::Person(why)) = transition;
        assert!(
            !why.is_empty() && !why.contains([':', ';', '\n']),
            "{from} {to}: {why}"
        );
    }
}

fn day(number: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Span::new().hours(24 * number)
}

fn contract(start: Option<i64>, end: Option<i64>, leave: Option<(i64, i64)>) -> Contract {
    let when = |number| When::Instant(day(number));
    Contract {
        source: "hr".parse().unwrap(),
        key: format!("{start:?} {end:?} {leave:?}"),
        name: None,
        start: start.map(when),
        end: end.map(when),
        leave: leave.map(|(from, until)| Leave {
            from: when(from),
            until: Some(when(until)),
        }),
        zone: TimeZone::UTC,
        absent_since: None,
    }
}

/// The states somebody goes through when only time passes.
fn life(employment: &Employment, holds: &[Hold], retention_days: u32) -> Vec<IdentityState> {
    let mut states = Vec::new();
    let mut now = Some(day(-1_000));
    while let Some(moment) = now {
        let at = state_at(employment, holds, retention_days, moment);
        states.push(at.state);
        now = at.next_change;
    }
    states.dedup();
    states
}

fn steps(states: &[IdentityState]) -> impl Iterator<Item = (IdentityState, IdentityState)> {
    states.windows(2).map(|pair| (pair[0], pair[1]))
}

#[test]
fn time_does_everything_the_table_says_it_does() {
    let lives: [(&[Contract], u32); 8] = [
        (
            &[
                contract(Some(0), Some(10), Some((3, 5))),
                contract(Some(12), Some(20), Some((12, 20))),
            ],
            30,
        ),
        (
            &[
                contract(Some(0), Some(10), Some((0, 10))),
                contract(Some(60), Some(70), Some((60, 61))),
            ],
            30,
        ),
        (
            &[contract(Some(0), Some(0), None), contract(Some(5), Some(7), None)],
            30,
        ),
        (
            &[contract(Some(0), Some(0), None), contract(Some(5), Some(7), None)],
            0,
        ),
        (
            &[
                contract(Some(0), Some(5), None),
                contract(Some(7), Some(9), Some((7, 9))),
            ],
            0,
        ),
        (
            &[
                contract(Some(0), Some(5), None),
                contract(Some(50), Some(9), None),
            ],
            30,
        ),
        (&[contract(Some(5), Some(3), None)], 30),
        (&[contract(Some(0), Some(5), Some((2, 5)))], 0),
    ];
    let mut seen = BTreeSet::new();
    for (contracts, retention_days) in lives {
        let employment = Employment {
            contracts: contracts.to_vec(),
            ..Employment::default()
        };
        seen.extend(steps(&life(&employment, &[], retention_days)));
    }
    let said: BTreeSet<(IdentityState, IdentityState)> = all()
        .filter(|(.., transition)| matches!(transition, Transition::Time(_)))
        .map(|(from, to, _)| (from, to))
        .collect();
    assert_eq!(seen, said);
}

fn any_contract() -> impl Strategy<Value = Contract> {
    let leave = prop::option::of((0_i64..40, 0_i64..40));
    let absent = prop::option::weighted(0.2, 0_i64..40);
    (
        prop::option::of(0_i64..40),
        prop::option::of(0_i64..40),
        leave,
        absent,
    )
        .prop_map(|(start, end, leave, absent)| Contract {
            absent_since: absent.map(day),
            ..contract(start, end, leave)
        })
}

fn any_hold() -> impl Strategy<Value = Hold> {
    (0_i64..40, prop::option::of(0_i64..40), any::<bool>()).prop_map(|(from, until, security)| Hold {
        kind: if security {
            HoldKind::Security
        } else {
            HoldKind::Manual
        },
        from: day(from),
        until: until.map(day),
        reason: "a reason".to_owned(),
        by: Actor::Usher,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn time_does_nothing_but_what_the_table_says(
        contracts in prop::collection::vec(any_contract(), 0..4),
        holds in prop::collection::vec(any_hold(), 0..3),
        retention_days in 0_u32..20,
    ) {
        let states = life(&Employment { contracts, ..Employment::default() }, &holds, retention_days);
        for (from, to) in steps(&states) {
            prop_assert!(matches!(transition(from, to), Some(Transition::Time(_))), "{} {} in {:?}", from, to, states);
        }
    }
}
