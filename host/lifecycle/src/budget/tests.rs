use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::attributes::Attributes;

fn budget(most: Option<u32>, percent: Option<u8>, per_hours: u32) -> Budget {
    Budget {
        most,
        percent,
        per_hours,
    }
}

fn hours(hours: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
}

#[test]
fn the_smaller_of_number_and_share_counts_and_a_share_is_rounded_up() {
    assert_eq!(budget(Some(20), None, 24).allowed(5), 20);
    assert_eq!(budget(None, Some(5), 24).allowed(1_000), 50);
    assert_eq!(budget(None, Some(5), 24).allowed(10), 1);
    assert_eq!(budget(None, Some(5), 24).allowed(0), 0);
    assert_eq!(budget(None, Some(0), 24).allowed(1_000), 0);
    assert_eq!(budget(None, Some(100), 24).allowed(u64::MAX), u64::MAX);
    assert_eq!(budget(Some(20), Some(5), 24).allowed(100), 5);
    assert_eq!(budget(Some(20), Some(5), 24).allowed(10_000), 20);
}

#[test]
fn what_has_not_ended_counts_however_old_it_is() {
    let day = budget(Some(1), None, 24);
    assert!(day.counts(None, hours(1_000)));
    assert!(day.counts(Some(hours(77)), hours(100)));
    assert!(!day.counts(Some(hours(76)), hours(100)));
    assert!(day.counts(Some(hours(101)), hours(100)), "a clock that went back");
    assert_eq!(day.window_start(Timestamp::MIN), Timestamp::MIN);
}

#[test]
fn a_cause_fits_whole_or_not_at_all() {
    let day = budget(Some(20), None, 24);
    let usage = |used| Usage { accounts: 100, used };
    assert_eq!(day.judge(usage(0), 20), Verdict::Fits);
    let exceeds = |used| Verdict::Exceeds { allowed: 20, used };
    assert_eq!(day.judge(usage(0), 21), exceeds(0));
    assert_eq!(day.judge(usage(19), 1), Verdict::Fits);
    assert_eq!(day.judge(usage(19), 2), exceeds(19));
    assert_eq!(day.judge(usage(45), 1), exceeds(45));
    assert_eq!(day.judge(usage(45), 0), Verdict::Fits);
}

#[test]
fn a_target_has_its_own_budget_kind_by_kind_and_else_that_of_all() {
    let (app, other): (TargetName, TargetName) = ("app".parse().unwrap(), "other".parse().unwrap());
    let own = Budgets {
        disable: Some(budget(Some(3), None, 1)),
        ..Budgets::default()
    };
    let thresholds = Thresholds {
        every: Budgets {
            disable: Some(budget(Some(9), None, 1)),
            delete: Some(budget(Some(8), None, 1)),
            create: None,
        },
        targets: BTreeMap::from([(app.clone(), own)]),
    };
    let most = |target, counted| thresholds.budget(target, counted).and_then(|budget| budget.most);
    assert_eq!(most(&app, Counted::Disable), Some(3));
    assert_eq!(most(&app, Counted::Delete), Some(8));
    assert_eq!(most(&other, Counted::Disable), Some(9));
    assert_eq!(most(&app, Counted::Create), None);
}

#[test]
fn only_what_is_counted_waits_and_a_security_hold_never_does() {
    let app: TargetName = "app".parse().unwrap();
    let every = Some(budget(Some(0), None, 1));
    let thresholds = Thresholds {
        every: Budgets {
            disable: every,
            delete: every,
            create: every,
        },
        targets: BTreeMap::new(),
    };
    let create = Work::Create {
        attributes: Attributes::new(),
    };
    let grant = Work::Grant {
        entitlement: "x".to_owned(),
        parameters: Value::Null,
    };
    for priority in Priority::ALL {
        let waits = |work| thresholds.holds_back(&app, work, priority);
        for counted in [&create, &Work::Disable, &Work::Delete] {
            assert_eq!(waits(counted), priority != Priority::SecurityHold, "{counted:?}");
        }
        for free in [&grant, &Work::Read, &Work::Enable] {
            assert!(!waits(free), "{free:?}");
        }
        assert!(!Thresholds::default().holds_back(&app, &Work::Delete, priority));
    }
}

#[test]
fn a_budget_says_itself() {
    let shown = |most, percent, per_hours| budget(most, percent, per_hours).to_string();
    assert_eq!(shown(Some(20), None, 24), "at most 20 in 24 h");
    assert_eq!(shown(None, Some(5), 1), "at most 5 % of the accounts in 1 h");
    assert_eq!(
        shown(Some(20), Some(5), 24),
        "at most 20 and 5 % of the accounts in 24 h"
    );
}

/// What happens to a target.
#[derive(Clone, Debug)]
enum Event {
    /// A cause with so many operations is judged.
    Asked(u64),
    /// A person releases the oldest cause that is held.
    Released,
    /// The n-th operation that is let go and not at an end runs and ends.
    Ended(usize),
    /// Minutes pass.
    Passed(i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1_u64..12).prop_map(Event::Asked),
        1 => Just(Event::Released),
        6 => (0_usize..40).prop_map(Event::Ended),
        3 => (1_i64..400).prop_map(Event::Passed),
    ];
    proptest::collection::vec(event, 1..120)
}

/// One that was let go.
struct Gone {
    released: bool,
    ended: Option<Timestamp>,
}

proptest! {
    /// Whatever comes in whatever order: within any window no more run than the budget allows, but for what people released. And what fits, runs.
    #[test]
    fn never_more_run_in_a_window_than_the_budget_allows(
        most in 0_u32..10, per_hours in 1_u32..30, events in events(),
    ) {
        let budget = budget(Some(most), None, per_hours);
        let (mut now, mut gone, mut held) = (hours(10_000), Vec::<Gone>::new(), Vec::new());
        for event in events {
            match event {
                Event::Asked(asked) => {
                    let used = gone.iter().filter(|one| !one.released && budget.counts(one.ended, now)).count() as u64;
                    match budget.judge(Usage { accounts: 1_000, used }, asked) {
                        Verdict::Fits => gone.extend((0..asked).map(|_| Gone { released: false, ended: None })),
                        Verdict::Exceeds { allowed, used: counted } => {
                            prop_assert_eq!((allowed, counted), (u64::from(most), used));
                            prop_assert!(used + asked > allowed, "held although it fits");
                            held.push(asked);
                        }
                    }
                }
                Event::Released if held.is_empty() => {}
                Event::Released => {
                    let asked = held.remove(0);
                    gone.extend((0..asked).map(|_| Gone { released: true, ended: None }));
                }
                Event::Ended(place) => {
                    if let Some(one) = gone.iter_mut().filter(|one| one.ended.is_none()).nth(place) {
                        one.ended = Some(now);
                    }
                }
                Event::Passed(minutes) => now += SignedDuration::from_mins(minutes),
            }
        }
        let ran: Vec<Timestamp> = gone.iter().filter(|one| !one.released).filter_map(|one| one.ended).collect();
        for end in &ran {
            let start = budget.window_start(*end);
            let within = ran.iter().filter(|at| **at > start && *at <= end).count();
            prop_assert!(within <= most as usize, "{within} within {per_hours} h");
        }
    }
}
