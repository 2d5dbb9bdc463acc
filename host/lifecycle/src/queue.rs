//! Brings the open operations of one account in line with the steps of a new plan.

use crate::cause::Cause;
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
    /// Overtaken: none of them is under way.
    pub supersede: Vec<OperationId>,
    /// To add, in order, behind what is kept.
    pub add: Vec<Step>,
    /// An operation is under way that is not (or no longer) what is wanted: plan this identity again when it has ended, even if nothing is
    /// wanted now. The account of a person who left during a creation is taken away that way.
    pub deferred: bool,
}

/// Compares the open operations of one account with the steps wanted now. Only the first open operation can have been started.
///
/// - A claimed one is left alone, and so is a creation whose outcome is unknown: it is settled by looking for the account, and there is
///   none to read before that. What stands behind stays if it is what is wanted anyway; otherwise it is superseded, and the steps
///   wait (`deferred`) until the outcome is known.
/// - Any other operation with an unknown outcome stays while it is the first step wanted. Otherwise it must neither be written again nor
///   keep anything waiting: it is superseded by a read, due at once, and the steps.
/// - A read stays until it has been done: it tells the outcome of what it superseded. Only more urgent steps bring their own, and one that
///   is held keeps no step waiting.
/// - Otherwise operations are kept from the front for as long as they are the steps wanted: they keep their attempts and
///   back-off, and one that is held stays held. From the first that differs on, the rest is superseded and the rest of the steps added.
pub fn reconcile(open: &[Queued<'_>], steps: &[Step]) -> QueueChange {
    let open: Vec<&Queued<'_>> = open.iter().filter(|queued| queued.state.is_open()).collect();
    let Some(front) = open.first() else {
        return replace_rest(&open, steps);
    };
    let wanted = steps.first().is_some_and(|step| serves(front, step));
    match (standing(front), wanted) {
        (Standing::UnderWay, _) | (Standing::Unknown, true) => wait_behind(&open, steps),
        (Standing::Unknown, false) => read_first(
            &open,
            steps,
            format!("outcome of {} is not known: read", front.work.verb()),
        ),
        (Standing::Reading, false) => behind_read(front, &open, steps),
        (Standing::Reading, true) | (Standing::Free, _) => replace_rest(&open, steps),
    }
}

/// What the first operation of the queue means for what is wanted now.
enum Standing {
    /// It must come to its end.
    UnderWay,
    /// It may have taken effect.
    Unknown,
    /// It reads.
    Reading,
    /// It has changed nothing.
    Free,
}

const fn standing(front: &Queued<'_>) -> Standing {
    match (front.state, front.work, front.settle) {
        (OperationState::Claimed, _, _) | (_, Work::Create { .. }, true) => Standing::UnderWay,
        (_, Work::Read, _) => Standing::Reading,
        (_, _, true) => Standing::Unknown,
        (_, _, false) => Standing::Free,
    }
}

/// Everything is superseded by a read and the steps.
fn read_first(open: &[&Queued<'_>], steps: &[Step], why: String) -> QueueChange {
    let read = match steps.first() {
        Some(Step { work: Work::Read, .. }) => None,
        Some(step) => Some((step.priority, step.cause.then(why))),
        None => Some((Priority::Change, Cause::new(why))),
    };
    let read = read.map(|(priority, cause)| Step {
        work: Work::Read,
        priority,
        cause,
    });
    QueueChange {
        supersede: open.iter().map(|queued| queued.id).collect(),
        add: read.into_iter().chain(steps.iter().cloned()).collect(),
        deferred: false,
    }
}

/// `read` is the first of the queue and not itself a step.
fn behind_read(read: &Queued<'_>, open: &[&Queued<'_>], steps: &[Step]) -> QueueChange {
    match steps.first() {
        // The write answers what the read could not.
        Some(_) if read.state == OperationState::Held => replace_rest(open, steps),
        Some(step) if step.priority < read.priority => {
            read_first(open, steps, "the account is to be read first".to_owned())
        }
        Some(_) | None => replace_rest(&open[1..], steps),
    }
}

/// Keeps the front that is still wanted.
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

/// The first operation must come to its end before anything else.
fn wait_behind(open: &[&Queued<'_>], steps: &[Step]) -> QueueChange {
    // Steps are worked out from what was observed before it began, so they start with it if it is still wanted.
    let as_wanted =
        open.len() == steps.len() && open.iter().zip(steps).all(|(queued, step)| serves(queued, step));
    if as_wanted {
        return QueueChange::default();
    }
    QueueChange {
        supersede: open.iter().skip(1).map(|queued| queued.id).collect(),
        add: Vec::new(),
        deferred: true,
    }
}

/// The queued operation is this step, and at least as urgent.
fn serves(queued: &Queued<'_>, step: &Step) -> bool {
    *queued.work == step.work && queued.priority <= step.priority
}

#[cfg(test)]
mod tests;
