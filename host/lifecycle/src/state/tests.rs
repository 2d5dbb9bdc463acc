use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;

mod contracts;
mod holds;
mod reference;

use super::terms::{begin_of, end_of};
use super::*;
use crate::facts::{Contract, Leave, When};
use jiff::Span;
use jiff::civil::Date;

const RETENTION: u32 = 30;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap()
}

fn day(text: &str) -> When {
    When::Day(text.parse().unwrap())
}

/// The state of somebody with one contract and no hold.
fn state_at(contract: &Contract, retention_days: u32, now: Timestamp) -> StateAt {
    let employment = Employment {
        contracts: vec![contract.clone()],
        ..Employment::default()
    };
    super::state_at(&employment, &[], retention_days, now)
}

/// Someone in Berlin without any dates.
fn berlin() -> Contract {
    Contract {
        source: "hr".parse().unwrap(),
        key: "1001".to_owned(),
        name: None,
        start: None,
        end: None,
        leave: None,
        zone: zone("Europe/Berlin"),
        absent_since: None,
    }
}

/// `state since cause next`, as one line.
fn line(employment: &Contract, now: &str) -> String {
    let StateAt {
        state,
        since,
        cause,
        next_change,
        ..
    } = state_at(employment, RETENTION, at(now));
    let show = |moment: Option<Timestamp>| moment.map_or("never".to_owned(), |moment| moment.to_string());
    format!(
        "{state} since {} because {cause}; next {}",
        show(since),
        show(next_change)
    )
}

#[test]
fn a_joiner_is_staged_until_the_first_moment_of_the_start_day_in_their_zone() {
    let employment = Contract {
        start: Some(day("2026-03-02")),
        ..berlin()
    };
    assert_eq!(
        line(&employment, "2026-03-01T22:59:59Z"),
        "staged since never because start 2026-03-02 has not come; next 2026-03-01T23:00:00Z"
    );
    assert_eq!(
        line(&employment, "2026-03-01T23:00:00Z"),
        "active since 2026-03-01T23:00:00Z because start 2026-03-02 has come; next never"
    );
}

#[test]
fn a_person_without_dates_is_active_for_ever() {
    assert_eq!(
        line(&berlin(), "2026-03-01T00:00:00Z"),
        "active since never because no start given; next never"
    );
}

#[test]
fn the_end_date_is_the_last_day_worked() {
    let employment = Contract {
        start: Some(day("2020-01-01")),
        end: Some(day("2026-03-02")),
        ..berlin()
    };
    assert_eq!(
        line(&employment, "2026-03-02T22:59:59Z"),
        "active since 2019-12-31T23:00:00Z because start 2020-01-01 has come; next 2026-03-02T23:00:00Z"
    );
    // Retention ends at midnight too, although summer time began meanwhile.
    assert_eq!(
        line(&employment, "2026-03-02T23:00:00Z"),
        "leaving since 2026-03-02T23:00:00Z because end 2026-03-02 is over; next 2026-04-01T22:00:00Z"
    );
    assert_eq!(
        line(&employment, "2026-04-01T22:00:00Z"),
        "departed since 2026-04-01T22:00:00Z because end 2026-03-02 is over, and 30 days of retention have passed; next never"
    );
}

#[test]
fn an_instant_is_taken_as_given() {
    let cut = at("2026-03-02T13:37:00Z");
    let employment = Contract {
        end: Some(When::Instant(cut)),
        ..berlin()
    };
    assert_eq!(
        state_at(&employment, RETENTION, at("2026-03-02T13:36:59Z")).next_change,
        Some(cut)
    );
    assert_eq!(
        state_at(&employment, RETENTION, cut).state,
        IdentityState::Leaving
    );
}

#[test]
fn without_retention_the_end_departs_at_once() {
    let employment = Contract {
        end: Some(day("2026-03-02")),
        ..berlin()
    };
    let before = state_at(&employment, 0, at("2026-03-02T12:00:00Z"));
    assert_eq!(
        (before.state, before.next_change),
        (IdentityState::Active, Some(at("2026-03-02T23:00:00Z")))
    );
    assert_eq!(
        state_at(&employment, 0, at("2026-03-02T23:00:00Z")).state,
        IdentityState::Departed
    );
}

#[test]
fn leave_suspends_from_its_first_day_through_its_last() {
    let leave = Leave {
        from: day("2026-03-10"),
        until: Some(day("2026-03-20")),
    };
    let employment = Contract {
        start: Some(day("2020-01-01")),
        leave: Some(leave),
        ..berlin()
    };
    assert_eq!(
        line(&employment, "2026-03-01T00:00:00Z"),
        "active since 2019-12-31T23:00:00Z because start 2020-01-01 has come; next 2026-03-09T23:00:00Z"
    );
    assert_eq!(
        line(&employment, "2026-03-09T23:00:00Z"),
        "suspended since 2026-03-09T23:00:00Z because on leave from 2026-03-10 until 2026-03-20; next 2026-03-20T23:00:00Z"
    );
    assert_eq!(
        line(&employment, "2026-03-20T23:00:00Z"),
        "active since 2026-03-20T23:00:00Z because leave until 2026-03-20 is over; next never"
    );
}

#[test]
fn an_open_leave_ends_only_with_the_employment() {
    let leave = Leave {
        from: day("2026-03-10"),
        until: None,
    };
    let employment = Contract {
        end: Some(day("2026-06-30")),
        leave: Some(leave),
        ..berlin()
    };
    assert_eq!(
        line(&employment, "2026-04-01T00:00:00Z"),
        "suspended since 2026-03-09T23:00:00Z because on leave since 2026-03-10, no end given; next 2026-06-30T22:00:00Z"
    );
    assert_eq!(
        state_at(&employment, RETENTION, at("2026-06-30T22:00:00Z")).state,
        IdentityState::Leaving
    );
}

#[test]
fn a_leave_after_the_end_does_not_matter() {
    let leave = Leave {
        from: day("2026-07-10"),
        until: None,
    };
    let employment = Contract {
        end: Some(day("2026-06-30")),
        leave: Some(leave),
        ..berlin()
    };
    assert_eq!(
        state_at(&employment, RETENTION, at("2026-07-11T00:00:00Z")).state,
        IdentityState::Leaving
    );
}

#[test]
fn a_leave_that_covers_the_start_begins_with_it() {
    let leave = Leave {
        from: day("2026-01-01"),
        until: Some(day("2026-03-31")),
    };
    let employment = Contract {
        start: Some(day("2026-03-02")),
        leave: Some(leave),
        ..berlin()
    };
    assert_eq!(
        state_at(&employment, RETENTION, at("2026-02-01T00:00:00Z")).state,
        IdentityState::Staged
    );
    assert_eq!(
        line(&employment, "2026-03-02T00:00:00Z"),
        "suspended since 2026-03-01T23:00:00Z because on leave from 2026-01-01 until 2026-03-31; next 2026-03-31T22:00:00Z"
    );
}

#[test]
fn a_leave_that_ends_before_it_begins_is_open() {
    let leave = Leave {
        from: day("2026-03-10"),
        until: Some(day("2025-03-20")),
    };
    let employment = Contract {
        leave: Some(leave),
        ..berlin()
    };
    assert_eq!(
        line(&employment, "2026-04-01T00:00:00Z"),
        "suspended since 2026-03-09T23:00:00Z because on leave since 2026-03-10; its end 2025-03-20 is before that: taken as open; next never"
    );
}

#[test]
fn a_confirmed_absence_ends_unless_the_end_came_first() {
    let gone = at("2026-03-05T08:00:00Z");
    let absent = Contract {
        absent_since: Some(gone),
        end: Some(day("2026-12-31")),
        ..berlin()
    };
    assert_eq!(
        line(&absent, "2026-03-06T00:00:00Z"),
        "leaving since 2026-03-05T08:00:00Z because missing from every source since 2026-03-05T08:00:00Z; next 2026-04-04T07:00:00Z"
    );
    let ended = Contract {
        end: Some(day("2026-03-02")),
        ..absent.clone()
    };
    assert_eq!(
        line(&ended, "2026-03-06T00:00:00Z"),
        "leaving since 2026-03-02T23:00:00Z because end 2026-03-02 is over; next 2026-04-01T22:00:00Z"
    );
    let offer_withdrawn = Contract {
        start: Some(day("2026-05-01")),
        ..absent
    };
    assert_eq!(
        state_at(&offer_withdrawn, RETENTION, at("2026-03-06T00:00:00Z")).state,
        IdentityState::Leaving
    );
    assert_eq!(
        state_at(&offer_withdrawn, RETENTION, at("2026-05-06T00:00:00Z")).state,
        IdentityState::Departed
    );
}

#[test]
fn a_start_after_the_end_gives_no_access_and_deletes_nothing() {
    let employment = Contract {
        start: Some(day("2026-05-01")),
        end: Some(day("2026-03-31")),
        ..berlin()
    };
    assert_eq!(
        line(&employment, "2026-03-01T00:00:00Z"),
        "staged since never because start 2026-05-01 has not come; next 2026-04-30T22:00:00Z"
    );
    assert_eq!(
        line(&employment, "2036-05-01T00:00:00Z"),
        "leaving since 2026-04-30T22:00:00Z because start 2026-05-01 is after end 2026-03-31: no access until the source corrects it; next never"
    );
    let gone = Contract {
        absent_since: Some(at("2026-06-01T00:00:00Z")),
        ..employment
    };
    assert_eq!(
        state_at(&gone, RETENTION, at("2026-06-02T00:00:00Z")).next_change,
        Some(at("2026-07-01T00:00:00Z"))
    );
    assert_eq!(
        state_at(&gone, RETENTION, at("2026-07-01T00:00:00Z")).state,
        IdentityState::Departed
    );
}

#[test]
fn one_day_of_work_is_one_day() {
    let employment = Contract {
        start: Some(day("2026-03-02")),
        end: Some(day("2026-03-02")),
        ..berlin()
    };
    assert_eq!(
        state_at(&employment, RETENTION, at("2026-03-02T12:00:00Z")).state,
        IdentityState::Active
    );
    assert_eq!(
        state_at(&employment, RETENTION, at("2026-03-02T23:00:00Z")).state,
        IdentityState::Leaving
    );
}

#[test]
fn the_night_the_clock_changes_has_its_own_length() {
    // Berlin, 29 March 2026: 23 hours. 25 October 2026: 25 hours.
    for (last_day, start, end) in [
        ("2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
    ] {
        let employment = Contract {
            start: Some(day(last_day)),
            end: Some(day(last_day)),
            ..berlin()
        };
        assert_eq!(state_at(&employment, RETENTION, at(start)).since, Some(at(start)));
        assert_eq!(
            state_at(&employment, RETENTION, at(start)).next_change,
            Some(at(end))
        );
    }
}

#[test]
fn a_day_without_midnight_starts_when_it_starts() {
    // Beirut put the clock forward at midnight on 26 March 2023 by the old rule: 00:00 became 01:00. Santiago does so each year.
    let employment = Contract {
        start: Some(day("2024-09-08")),
        zone: zone("America/Santiago"),
        ..berlin()
    };
    assert_eq!(
        state_at(&employment, RETENTION, at("2024-01-01T00:00:00Z")).next_change,
        Some(at("2024-09-08T04:00:00Z"))
    );
}

#[test]
fn a_day_that_never_was_is_empty() {
    // Samoa went from 29 to 31 December 2011.
    let apia = Contract {
        zone: zone("Pacific/Apia"),
        ..berlin()
    };
    let employment = Contract {
        start: Some(day("2011-12-30")),
        end: Some(day("2011-12-30")),
        ..apia
    };
    let midnight = at("2011-12-30T10:00:00Z");
    assert_eq!(
        state_at(&employment, RETENTION, at("2011-12-30T09:59:59Z")).state,
        IdentityState::Staged
    );
    assert_eq!(
        state_at(&employment, RETENTION, midnight).state,
        IdentityState::Leaving
    );
}

#[test]
fn the_29th_of_february_ends_at_the_1st_of_march() {
    let employment = Contract {
        end: Some(day("2028-02-29")),
        zone: TimeZone::UTC,
        ..berlin()
    };
    let next = state_at(&employment, RETENTION, at("2028-02-29T23:59:59Z")).next_change;
    assert_eq!(next, Some(at("2028-03-01T00:00:00Z")));
}

#[test]
fn the_same_day_starts_at_different_moments_around_the_world() {
    for (name, moment) in [
        ("Pacific/Kiritimati", "2026-03-01T10:00:00Z"),
        ("Asia/Kolkata", "2026-03-01T18:30:00Z"),
        ("America/New_York", "2026-03-02T05:00:00Z"),
    ] {
        let employment = Contract {
            start: Some(day("2026-03-02")),
            zone: zone(name),
            ..berlin()
        };
        assert_eq!(
            state_at(&employment, RETENTION, at("2026-01-01T00:00:00Z")).next_change,
            Some(at(moment)),
            "{name}"
        );
    }
}

#[test]
fn a_date_beyond_the_calendar_is_never_or_always() {
    let now = at("2026-01-01T00:00:00Z");
    let never = Contract {
        end: Some(When::Day(Date::MAX)),
        ..berlin()
    };
    assert_eq!(state_at(&never, RETENTION, now).next_change, None);
    let not_yet = Contract {
        start: Some(When::Day(Date::MAX)),
        ..berlin()
    };
    assert_eq!(state_at(&not_yet, RETENTION, now).state, IdentityState::Staged);
    let always = Contract {
        start: Some(When::Day(Date::MIN)),
        ..berlin()
    };
    assert_eq!(state_at(&always, RETENTION, now).state, IdentityState::Active);
    let long_ago = Contract {
        end: Some(When::Day(Date::MIN)),
        ..berlin()
    };
    assert_eq!(state_at(&long_ago, u32::MAX, now).state, IdentityState::Leaving);
    assert_eq!(state_at(&long_ago, 1, now).state, IdentityState::Departed);
}

fn any_when() -> impl Strategy<Value = When> {
    prop_oneof![
        8 => (0_i64..60).prop_map(|days| When::Day(date(2026, 2, 15).checked_add(Span::new().days(days)).unwrap())),
        4 => (0_i64..60 * 86_400).prop_map(|seconds| When::Instant(Timestamp::from_second(1_771_113_600 + seconds).unwrap())),
        1 => prop::sample::select(vec![When::Day(Date::MIN), When::Day(Date::MAX), When::Day(date(2028, 2, 29))]),
        1 => prop::sample::select(vec![When::Instant(Timestamp::MIN), When::Instant(Timestamp::MAX)]),
    ]
}

fn any_now() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        20 => (-10_i64 * 86_400..100 * 86_400)
            .prop_map(|seconds| Timestamp::from_second(1_771_113_600 + seconds).unwrap()),
        1 => prop::sample::select(vec![Timestamp::MIN, Timestamp::MAX]),
    ]
}

fn any_contract() -> impl Strategy<Value = Contract> {
    let zones = vec![
        "Europe/Berlin",
        "America/Santiago",
        "Pacific/Apia",
        "Asia/Kathmandu",
        "Africa/Casablanca",
    ];
    let leave = (any_when(), prop::option::of(any_when())).prop_map(|(from, until)| Leave { from, until });
    (
        prop::option::of(any_when()),
        prop::option::of(any_when()),
        prop::option::of(leave),
        prop::sample::select(zones),
        prop::option::weighted(0.2, any_now()),
    )
        .prop_map(|(start, end, leave, name, absent_since)| Contract {
            start,
            end,
            leave,
            zone: zone(name),
            absent_since,
            ..berlin()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_changes_before_next_change_and_the_state_or_its_cause_does_at_it(
        employment in any_contract(),
        retention in prop_oneof![Just(0_u32), 0_u32..40, Just(u32::MAX)],
        now in any_now(),
        samples in prop::collection::vec(0.0_f64..1.0, 8),
    ) {
        let answer = state_at(&employment, retention, now);
        let until = answer.next_change.unwrap_or(Timestamp::MAX);
        if let Some(next) = answer.next_change {
            prop_assert!(next > now, "{answer:?}");
            let then = state_at(&employment, retention, next);
            prop_assert_ne!((then.state, &then.cause), (answer.state, &answer.cause), "at {}", next);
            let just_before = Timestamp::from_nanosecond(next.as_nanosecond() - 1).unwrap();
            prop_assert_eq!(&state_at(&employment, retention, just_before), &answer);
        }
        for share in samples {
            let span = (until.as_second() - now.as_second()) as f64;
            let sample = Timestamp::from_second(now.as_second() + (span * share) as i64).unwrap_or(now).max(now);
            if sample < until {
                prop_assert_eq!(&state_at(&employment, retention, sample), &answer, "at {}", sample);
            }
        }
    }

    #[test]
    fn a_life_takes_few_steps_and_never_goes_back(employment in any_contract(), retention in 0_u32..40) {
        let mut now = Timestamp::MIN;
        let mut states = Vec::new();
        loop {
            let answer = state_at(&employment, retention, now);
            states.push(answer.state);
            states.dedup();
            prop_assert!(!answer.cause.is_empty());
            prop_assert!(answer.since.is_none_or(|since| since <= now), "{answer:?} at {now}");
            // staged, active, suspended, active, leaving, departed is the longest.
            prop_assert!(states.len() <= 6, "{states:?}");
            match answer.next_change {
                Some(next) => now = next,
                None => break,
            }
        }
        let ended = states.iter().position(|state| *state >= IdentityState::Leaving).unwrap_or(states.len());
        prop_assert!(states[ended..].iter().all(|state| *state >= IdentityState::Leaving), "{states:?}");
    }

    #[test]
    fn nobody_is_active_after_the_end_or_before_the_start(employment in any_contract(), now in any_now()) {
        let answer = state_at(&employment, RETENTION, now);
        if answer.state == IdentityState::Active {
            if let Some(start) = employment.start {
                prop_assert!(begin_of(start, &employment.zone).is_some_and(|start| start <= now));
            }
            if let Some(end) = employment.end {
                prop_assert!(end_of(end, &employment.zone).is_none_or(|end| now < end));
            }
            prop_assert!(employment.absent_since.is_none_or(|absent| now < absent));
        }
    }
}
