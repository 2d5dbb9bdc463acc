use super::*;
use crate::cause::Cause;
use crate::ids::OperationId;
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

/// Which are superseded (by their place), what is added (by its verb), whether it was deferred.
fn change(open: &[Open], steps: &[Step]) -> (Vec<usize>, Vec<&'static str>, bool) {
    let queued: Vec<Queued<'_>> = open
        .iter()
        .map(|o| Queued {
            id: o.id,
            work: &o.work,
            state: o.state,
            priority: o.priority,
            settle: o.settle,
        })
        .collect();
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
    for under_way in [open(1, create("a"), Claimed), unsettled(1, create("a"), Ready)] {
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

#[test]
fn a_held_change_with_an_unknown_outcome_does_not_keep_access_alive() {
    let update = Work::Update {
        changes: vec![],
        desired: Default::default(),
    };
    let queue = [unsettled(1, update, Held), open(2, grant("x"), Waiting)];
    let steps = [
        urgent(Work::Disable),
        urgent(Work::Revoke {
            entitlement: "x".to_owned(),
        }),
    ];
    assert_eq!(
        change(&queue, &steps),
        (vec![0, 1], vec!["read", "disable", "revoke"], false)
    );
    // Giving more does not overtake it.
    assert_eq!(change(&queue, &[step(grant("y"))]), (vec![1], vec![], true));
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
