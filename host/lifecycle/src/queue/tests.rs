use super::*;
use OperationState::{Claimed, Held, Ready, Waiting};

struct Open {
    id: OperationId,
    work: Work,
    state: OperationState,
    priority: Priority,
    settle: bool,
}

fn open(number: u8, work: Work, state: OperationState) -> Open {
    let at: jiff::Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
    Open {
        id: OperationId::from_parts(at, &[number; 10]),
        work,
        state,
        priority: Priority::Change,
        settle: false,
    }
}

fn unsettled(number: u8, work: Work, state: OperationState) -> Open {
    Open {
        settle: true,
        ..open(number, work, state)
    }
}

fn step(work: Work) -> Step {
    Step {
        work,
        priority: Priority::Change,
        cause: Cause::new("because"),
    }
}

fn urgent(work: Work) -> Step {
    Step {
        priority: Priority::Deprovision,
        ..step(work)
    }
}

fn create(name: &str) -> Work {
    Work::Create {
        attributes: [("name".to_owned(), name.into())].into_iter().collect(),
    }
}

fn grant(id: &str) -> Work {
    Work::Grant {
        entitlement: id.to_owned(),
        parameters: serde_json::Value::Null,
    }
}

fn queued(open: &Open) -> Queued<'_> {
    Queued {
        id: open.id,
        work: &open.work,
        state: open.state,
        priority: open.priority,
        settle: open.settle,
    }
}

/// Which are superseded (by their place), what is added (by its verb), whether it was deferred.
fn change(open: &[Open], steps: &[Step]) -> (Vec<usize>, Vec<&'static str>, bool) {
    let queued: Vec<Queued<'_>> = open.iter().map(queued).collect();
    let change = reconcile(&queued, steps);
    let places = change
        .supersede
        .iter()
        .map(|id| open.iter().position(|open| open.id == *id).unwrap())
        .collect();
    (
        places,
        change.add.iter().map(|step| step.work.verb()).collect(),
        change.deferred,
    )
}

#[test]
fn an_empty_queue_takes_all_steps() {
    assert_eq!(
        change(&[], &[step(create("a")), step(grant("x"))]),
        (vec![], vec!["create", "grant"], false)
    );
    assert_eq!(change(&[], &[]), (vec![], vec![], false));
}

#[test]
fn the_same_steps_change_nothing_and_keep_a_held_one_held() {
    for state in [Ready, Held] {
        let queue = [open(1, create("a"), state), open(2, grant("x"), Waiting)];
        assert_eq!(
            change(&queue, &[step(create("a")), step(grant("x"))]),
            (vec![], vec![], false)
        );
    }
}

#[test]
fn what_is_no_longer_wanted_is_superseded() {
    let queue = [open(1, create("a"), Ready), open(2, grant("x"), Waiting)];
    assert_eq!(change(&queue, &[]), (vec![0, 1], vec![], false));
    assert_eq!(
        change(&queue, &[step(create("b")), step(grant("x"))]),
        (vec![0, 1], vec!["create", "grant"], false)
    );
}

#[test]
fn the_front_that_is_still_wanted_is_kept() {
    let queue = [open(1, create("a"), Held), open(2, grant("x"), Waiting)];
    let steps = [step(create("a")), step(grant("y")), step(grant("z"))];
    assert_eq!(change(&queue, &steps), (vec![1], vec!["grant", "grant"], false));
    assert_eq!(
        change(&queue[..1], &steps),
        (vec![], vec!["grant", "grant"], false)
    );
}

#[test]
fn a_held_one_with_other_work_is_superseded() {
    assert_eq!(
        change(&[open(1, create("a"), Held)], &[step(create("b"))]),
        (vec![0], vec!["create"], false)
    );
}

#[test]
fn more_urgent_work_replaces_the_same_less_urgent_work() {
    let queue = [open(1, Work::Disable, Ready)];
    assert_eq!(
        change(&queue, &[urgent(Work::Disable)]),
        (vec![0], vec!["disable"], false)
    );
    let urgent_already = [Open {
        priority: Priority::SecurityHold,
        ..open(1, Work::Disable, Ready)
    }];
    assert_eq!(
        change(&urgent_already, &[urgent(Work::Disable)]),
        (vec![], vec![], false)
    );
}

#[test]
fn a_claimed_operation_is_left_alone_and_defers_the_rest() {
    for under_way in [
        open(1, create("a"), Claimed),
        unsettled(1, create("a"), Ready),
        unsettled(1, create("a"), Held),
    ] {
        let queue = [under_way, open(2, grant("x"), Waiting)];
        assert_eq!(
            change(&queue, &[step(create("b")), step(grant("x"))]),
            (vec![1], vec![], true)
        );
        assert_eq!(change(&queue, &[urgent(Work::Disable)]), (vec![1], vec![], true));
        assert_eq!(change(&queue, &[]), (vec![1], vec![], true));
        assert_eq!(
            change(&queue[..1], &[]),
            (vec![], vec![], true),
            "what it makes must be looked at again"
        );
    }
}

#[test]
fn what_waits_behind_a_claimed_operation_stays_if_it_is_wanted_anyway() {
    let queue = [open(1, create("a"), Claimed), open(2, grant("x"), Waiting)];
    assert_eq!(
        change(&queue, &[step(create("a")), step(grant("x"))]),
        (vec![], vec![], false)
    );
    assert_eq!(change(&queue[..1], &[step(create("a"))]), (vec![], vec![], false));
}

#[test]
fn a_held_creation_with_an_unknown_outcome_waits_for_a_person_whatever_is_wanted() {
    let queue = [unsettled(1, create("a"), Held), open(2, grant("x"), Waiting)];
    assert_eq!(change(&queue, &[]), (vec![1], vec![], true));
    assert_eq!(change(&queue, &[step(create("b"))]), (vec![1], vec![], true));
    assert_eq!(change(&queue, &[urgent(Work::Delete)]), (vec![1], vec![], true));
}

fn update(name: &str) -> Work {
    Work::Update {
        changes: vec![],
        desired: [("name".to_owned(), name.into())].into_iter().collect(),
    }
}

#[test]
fn what_may_have_been_done_and_is_not_wanted_any_more_is_read_instead_of_written_again() {
    for state in [Ready, Waiting, Held] {
        let queue = [unsettled(1, Work::Delete, state), open(2, grant("x"), Waiting)];
        assert_eq!(
            change(&queue, &[step(Work::Enable), step(grant("y"))]),
            (vec![0, 1], vec!["read", "enable", "grant"], false)
        );
        assert_eq!(change(&queue, &[]), (vec![0, 1], vec!["read"], false));
        assert_eq!(
            change(&queue, &[step(Work::Read)]),
            (vec![0, 1], vec!["read"], false),
            "once is enough"
        );
    }
}

#[test]
fn a_change_with_an_unknown_outcome_does_not_keep_access_alive() {
    for state in [Ready, Held] {
        let queue = [unsettled(1, update("a"), state), open(2, grant("x"), Waiting)];
        let revoke = Work::Revoke {
            entitlement: "x".to_owned(),
        };
        let steps = [urgent(Work::Disable), urgent(revoke)];
        assert_eq!(
            change(&queue, &steps),
            (vec![0, 1], vec!["read", "disable", "revoke"], false)
        );
    }
    let disable = [unsettled(1, Work::Disable, Ready)];
    assert_eq!(
        change(&disable, &[urgent(Work::Disable)]),
        (vec![0], vec!["read", "disable"], false),
        "the same, and more urgent"
    );
}

#[test]
fn what_may_have_been_done_stays_while_it_is_what_is_wanted_first() {
    for state in [Ready, Held] {
        let queue = [unsettled(1, update("a"), state), open(2, grant("x"), Waiting)];
        assert_eq!(
            change(&queue, &[step(update("a")), step(grant("x"))]),
            (vec![], vec![], false)
        );
        assert_eq!(
            change(&queue, &[step(update("a")), step(grant("y"))]),
            (vec![1], vec![], true)
        );
    }
}

#[test]
fn a_read_stays_until_it_is_done_and_is_as_urgent_as_what_follows() {
    for read in [open(1, Work::Read, Ready), unsettled(1, Work::Read, Ready)] {
        let queue = [read, open(2, grant("x"), Waiting)];
        assert_eq!(change(&queue, &[]), (vec![1], vec![], false));
        assert_eq!(change(&queue, &[step(grant("x"))]), (vec![], vec![], false));
        assert_eq!(
            change(&queue, &[step(grant("y"))]),
            (vec![1], vec!["grant"], false)
        );
        assert_eq!(
            change(&queue, &[urgent(Work::Disable)]),
            (vec![0, 1], vec!["read", "disable"], false)
        );
    }
    let held = [open(1, Work::Read, Held)];
    assert_eq!(change(&held, &[]), (vec![], vec![], false));
    assert_eq!(
        change(&held, &[urgent(Work::Disable)]),
        (vec![0], vec!["disable"], false)
    );
}

proptest::proptest! {
    /// Whatever stands in the queue: planning again, with nothing changed meanwhile, changes nothing.
    #[test]
    fn what_was_changed_is_not_changed_again(
        works in proptest::collection::vec(0..6_usize, 0..4),
        steps in proptest::collection::vec(0..6_usize, 0..4),
        state in 0..3_usize,
        settle: bool,
        hurry: bool,
    ) {
        let work = |n: &usize| match n {
            0 => Work::Disable,
            1 => Work::Delete,
            2 => Work::Read,
            3 => Work::Enable,
            4 => update("a"),
            _ => grant("x"),
        };
        let steps: Vec<Step> = steps
            .iter()
            .map(|n| if hurry { urgent(work(n)) } else { step(work(n)) })
            .collect();
        let mut queue: Vec<Open> = (1..).zip(&works).map(|(n, w)| open(n, work(w), Waiting)).collect();
        if let Some(front) = queue.first_mut() {
            (front.state, front.settle) = ([Ready, Held, Claimed][state], settle);
        }
        let before: Vec<Queued<'_>> = queue.iter().map(queued).collect();
        let first = reconcile(&before, &steps);
        let kept = queue.iter().filter(|open| !first.supersede.contains(&open.id)).map(queued);
        let added = (100..).zip(&first.add).map(|(n, step)| Open {
            priority: step.priority,
            ..open(n, step.work.clone(), Waiting)
        });
        let added: Vec<Open> = added.collect();
        let mut after: Vec<Queued<'_>> = kept.chain(added.iter().map(queued)).collect();
        if let Some(front) = after.first_mut() && front.state == Waiting {
            front.state = Ready;
        }
        let again = reconcile(&after, &steps);
        proptest::prop_assert_eq!((again.supersede, again.add), (vec![], vec![]));
    }
}

#[test]
fn reconciling_again_after_the_change_changes_nothing() {
    let steps = [urgent(Work::Disable), urgent(Work::Delete)];
    let queued = [
        Open {
            priority: Priority::Deprovision,
            ..open(1, Work::Disable, Ready)
        },
        Open {
            priority: Priority::Deprovision,
            ..open(2, Work::Delete, Waiting)
        },
    ];
    assert_eq!(change(&queued, &steps), (vec![], vec![], false));
}
