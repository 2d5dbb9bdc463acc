//! The same answers worked out slowly: by the calendar on people's walls, day by day, without instants.

use super::*;
use crate::cause::Actor;

/// The first day a random life may name. The half year from then on has a 29th of February and a night the clock changes in most zones.
const AROUND: Date = jiff::civil::date(2027, 12, 20);
const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "America/Santiago",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/New_York",
];

fn plus(day: Date, days: i64) -> Date {
    day.checked_add(Span::new().days(days)).unwrap()
}

fn date_of(when: Option<When>) -> Option<Date> {
    when.map(|when| match when {
        When::Day(day) => day,
        When::Instant(_) => panic!("the reference knows days only"),
    })
}

/// What one contract says of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDay {
    ToCome,
    Runs,
    OnLeave,
    Contradicts,
    /// Over, with its last day, if it had one.
    Over(Option<Date>),
}

fn on_day(contract: &Contract, today: Date) -> OnDay {
    let start = date_of(contract.start).unwrap_or(Date::MIN);
    let end = date_of(contract.end);
    let contradicts = end.is_some_and(|end| start > plus(end, 1));
    if contradicts {
        return if today >= start {
            OnDay::Contradicts
        } else {
            OnDay::ToCome
        };
    }
    match end {
        Some(end) if today > end => return OnDay::Over((start <= end).then_some(end)),
        Some(_) | None if today < start => return OnDay::ToCome,
        Some(_) | None => {}
    }
    let away = contract.leave.as_ref().is_some_and(|leave| {
        let from = date_of(Some(leave.from)).unwrap();
        let until = date_of(leave.until).filter(|until| plus(*until, 1) >= from);
        today >= from && until.is_none_or(|until| today <= until)
    });
    if away { OnDay::OnLeave } else { OnDay::Runs }
}

/// The state on a day, and whether a hold is in force all day.
fn state_on(contracts: &[Contract], retention_days: u32, held: bool, today: Date) -> IdentityState {
    let days: Vec<OnDay> = contracts.iter().map(|contract| on_day(contract, today)).collect();
    let works = days.contains(&OnDay::Runs);
    if works || days.contains(&OnDay::OnLeave) {
        return if works && !held {
            IdentityState::Active
        } else {
            IdentityState::Suspended
        };
    }
    if days.contains(&OnDay::Contradicts) {
        return IdentityState::Leaving;
    }
    let last_days = days.iter().filter_map(|day| match day {
        OnDay::Over(last) => *last,
        OnDay::ToCome | OnDay::Runs | OnDay::OnLeave | OnDay::Contradicts => None,
    });
    // One that was over before it began counts only for who had no other.
    let empty = contracts
        .iter()
        .zip(&days)
        .filter(|(_, day)| **day == OnDay::Over(None));
    let left = last_days
        .max()
        .or_else(|| empty.filter_map(|(contract, _)| date_of(contract.end)).max());
    let Some(last) = left else {
        return IdentityState::Staged;
    };
    let mut retained = 0;
    let mut walk = plus(last, 1);
    while walk < today {
        walk = plus(walk, 1);
        retained += 1;
    }
    if retained >= retention_days {
        IdentityState::Departed
    } else {
        IdentityState::Leaving
    }
}

fn any_day() -> impl Strategy<Value = When> {
    (0_i64..110).prop_map(|days| When::Day(plus(AROUND, days)))
}

fn any_contract_of_days() -> impl Strategy<Value = Contract> {
    let leave = (any_day(), prop::option::of(any_day())).prop_map(|(from, until)| Leave { from, until });
    (
        prop::option::weighted(0.9, any_day()),
        prop::option::weighted(0.7, any_day()),
        prop::option::weighted(0.4, leave),
    )
        .prop_map(|(start, end, leave)| Contract {
            start,
            end,
            leave,
            ..berlin()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// On every day of half a year, from its first moment to its last.
    #[test]
    fn every_day_is_as_the_calendar_says(
        mut contracts in prop::collection::vec(any_contract_of_days(), 1..5),
        name in prop::sample::select(ZONES.to_vec()),
        retention_days in 0_u32..40,
        held in prop::option::weighted(0.3, (0_i64..110, 0_i64..60)),
    ) {
        let zone = zone(name);
        for (index, contract) in contracts.iter_mut().enumerate() {
            contract.zone = zone.clone();
            contract.name = Some(format!("C{index}"));
        }
        let midnight = |day: Date| day.to_zoned(zone.clone()).unwrap().timestamp();
        let held_days = held.map(|(from, days)| (plus(AROUND, from), plus(AROUND, from + days)));
        let holds: Vec<Hold> = held_days
            .iter()
            .map(|(first, last)| Hold {
                kind: HoldKind::Manual,
                from: midnight(*first),
                until: Some(midnight(plus(*last, 1))),
                reason: "audit".to_owned(),
                by: Actor::Usher,
            })
            .collect();
        let employment = Employment { contracts, ..Employment::default() };
        for number in -5..180 {
            let today = plus(AROUND, number);
            let held = held_days.is_some_and(|(first, last)| first <= today && today <= last);
            let expected = state_on(&employment.contracts, retention_days, held, today);
            let last = Timestamp::from_nanosecond(midnight(plus(today, 1)).as_nanosecond() - 1).unwrap();
            for now in [midnight(today), last] {
                let answer = super::super::state_at(&employment, &holds, retention_days, now);
                prop_assert_eq!(answer.state, expected, "{} at {}: {:?}", today, now, answer);
            }
        }
    }

    /// The next change is the first moment of all there are at which state or cause is another.
    #[test]
    fn the_next_change_is_neither_early_nor_late(
        mut contracts in prop::collection::vec(any_contract(), 0..4),
        same_names in any::<bool>(),
        holds in prop::collection::vec((any_now(), prop::option::of(any_now()), any::<bool>()), 0..3),
        retention_days in prop_oneof![Just(0_u32), 0_u32..40, Just(u32::MAX)],
        now in any_now(),
    ) {
        for (index, contract) in contracts.iter_mut().enumerate() {
            contract.name = Some(if same_names { "C".to_owned() } else { format!("C{index}") });
        }
        let holds: Vec<Hold> = holds
            .into_iter()
            .map(|(from, until, security)| Hold {
                kind: if security { HoldKind::Security } else { HoldKind::Manual },
                from,
                until,
                reason: "audit".to_owned(),
                by: Actor::Usher,
            })
            .collect();
        let employment = Employment { contracts, ..Employment::default() };
        let answer_at = |moment| {
            let answer = super::super::state_at(&employment, &holds, retention_days, moment);
            (answer.state, answer.cause)
        };
        let mut moments: Vec<Timestamp> = holds.iter().flat_map(|hold| [Some(hold.from), hold.until]).flatten().collect();
        for contract in &employment.contracts {
            let ends = [contract.end.and_then(|end| end_of(end, &contract.zone)), contract.absent_since];
            let departs = ends.into_iter().flatten().filter_map(|end| {
                let days = Span::new().try_days(i64::from(retention_days)).ok()?;
                Some(end.to_zoned(contract.zone.clone()).checked_add(days).ok()?.timestamp())
            });
            moments.extend(departs);
            moments.extend(ends.into_iter().flatten());
            moments.extend(contract.start.and_then(|start| begin_of(start, &contract.zone)));
            if let Some(leave) = &contract.leave {
                moments.extend(begin_of(leave.from, &contract.zone));
                moments.extend(leave.until.and_then(|until| end_of(until, &contract.zone)));
            }
        }
        moments.sort_unstable();
        let before = answer_at(now);
        let expected = moments.into_iter().find(|moment| *moment > now && answer_at(*moment) != before);
        let answer = super::super::state_at(&employment, &holds, retention_days, now);
        prop_assert_eq!(answer.next_change, expected, "{:?}", answer);
    }
}
