//! Brings the open operations of one account in line with the steps of a new plan.

use crate::ids::OperationId;
use crate::operation::{OperationState, Priority, Work};
use crate::plan::Step;

/// An open operation of the account, in the order of the queue.
#[derive(Clone, Copy, Debug)]
pub struct Queued<'a> {
    /// Its id.
    pub id: OperationId,
    /// What it does.
    pub work: &'a Work,
    /// Where it is.
    pub state: OperationState,
    /// Its priority.
    pub priority: Priority,
    /// An attempt with an unknown outcome must be read back first.
    pub settle: bool,
}

/// What to change in the queue of one account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueChange {
    /// Overtaken: none of them has started.
    pub supersede: Vec<OperationId>,
    /// To add, in order, behind what is kept.
    pub add: Vec<Step>,
    /// An operation is under way that is not (or no longer) what is wanted: plan this identity again when it has ended, even if nothing is
    /// wanted now. The account of a person who left during a creation is taken away that way.
    pub deferred: bool,
}

/// Compares the open operations of one account with the steps wanted now.
///
/// - An operation under way (claimed, or to be read back) is left alone. What stands behind it stays if it is what is wanted
///   anyway; otherwise it is superseded, and the steps wait (`deferred`) until the outcome is known.
/// - Otherwise operations are kept from the front for as long as they are the steps wanted: they keep their attempts and
///   back-off, and one that is held stays held. From the first that differs on, the rest is superseded and the rest of the steps added.
/// - A held operation does not keep access alive: when the new steps take access away, a held change whose outcome is unknown is
///   overtaken by a read followed by those steps. A held creation is not: there is no account to take away before it is settled.
pub fn reconcile(open: &[Queued<'_>], steps: &[Step]) -> QueueChange {
    let open: Vec<&Queued<'_>> = open.iter().filter(|queued| queued.state.is_open()).collect();
    match open.iter().rposition(|queued| is_under_way(queued)) {
        None => replace_rest(&open, steps),
        Some(last)
            if takes_access(steps)
                && open
                    .iter()
                    .all(|queued| is_stuck(queued) || !is_under_way(queued)) =>
        {
            let read = Step {
                work: Work::Read,
                priority: Priority::Deprovision,
                cause: steps[0].cause.then(format!(
                    "outcome of {} is not known: read",
                    open[last].work.verb()
                )),
            };
            let supersede = open.iter().map(|queued| queued.id).collect();
            QueueChange {
                supersede,
                add: std::iter::once(read).chain(steps.iter().cloned()).collect(),
                deferred: false,
            }
        }
        Some(last) => wait_behind(&open, last, steps),
    }
}

/// Nothing is under way.
fn replace_rest(open: &[&Queued<'_>], steps: &[Step]) -> QueueChange {
    let kept = open
        .iter()
        .zip(steps)
        .take_while(|(queued, step)| serves(queued, step))
        .count();
    QueueChange {
        supersede: open[kept..].iter().map(|queued| queued.id).collect(),
        add: steps[kept..].to_vec(),
        deferred: false,
    }
}

/// `open[last]` is the last operation under way.
fn wait_behind(open: &[&Queued<'_>], last: usize, steps: &[Step]) -> QueueChange {
    let serve = |queued: &[&Queued<'_>], steps: &[Step]| {
        queued.len() == steps.len()
            && queued
                .iter()
                .zip(steps)
                .all(|(queued, step)| serves(queued, step))
    };
    // Steps are worked out from what was observed before it began, so they start with it if it is still wanted.
    if serve(&open[last..], steps) {
        return QueueChange::default();
    }
    let waiting = open.iter().filter(|queued| !is_under_way(queued));
    QueueChange {
        supersede: waiting.map(|queued| queued.id).collect(),
        add: Vec::new(),
        deferred: true,
    }
}

/// The queued operation is this step, and at least as urgent.
fn serves(queued: &Queued<'_>, step: &Step) -> bool {
    *queued.work == step.work && queued.priority <= step.priority
}

const fn is_under_way(queued: &Queued<'_>) -> bool {
    match queued.state {
        OperationState::Claimed => true,
        OperationState::Waiting | OperationState::Ready | OperationState::Held => queued.settle,
        OperationState::Done | OperationState::Failed | OperationState::Superseded => false,
    }
}

/// Waits for a person with an unknown outcome on an account that exists.
const fn is_stuck(queued: &Queued<'_>) -> bool {
    matches!(queued.state, OperationState::Held)
        && queued.settle
        && !matches!(queued.work, Work::Create { .. })
}

fn takes_access(steps: &[Step]) -> bool {
    steps
        .first()
        .is_some_and(|step| step.priority <= Priority::Deprovision)
}

#[cfg(test)]
mod tests;
