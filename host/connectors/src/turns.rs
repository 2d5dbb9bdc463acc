//! Turns of calls that compute for long, so that one target cannot take the host's threads from the others.
//!
//! A guest is stopped at each tick of the epoch clock and goes to the end of the runtime's queue. If every call of a target did so, a good call would wait behind
//! all of them each time it comes back from its target. So of the calls of one loaded connector that were stopped, only as many as there are workers stand in that queue;
//! the others wait for their turn here. Bounded is that queue and nothing else: each generation of a target has turns of its own, and a call that
//! has just begun, or comes back from its target, runs without one until the next tick. That tick stops any guest that computes then, also one that
//! has waited nearly all the time; a call that never computes at a tick never meets this.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of one target.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    /// As many at a time as the runtime has workers: a target alone may use the whole machine.
    pub(crate) fn of_this_runtime() -> Self {
        Self::new(tokio::runtime::Handle::current().metrics().num_workers())
    }

    fn new(at_a_time: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_a_time.max(1))))
    }

    /// For one call.
    pub(crate) fn turn(&self) -> Turn {
        Turn {
            turns: self.clone(),
            held: Arc::default(),
        }
    }
}

/// The turn of one call, while it has one.
#[derive(Clone)]
pub(crate) struct Turn {
    turns: Turns,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Turn {
    /// Lets others run, and waits for the next turn; first come, first served.
    pub(crate) async fn next(self) {
        tokio::task::yield_now().await;
        // Never closed: an error cannot come.
        let permit = Arc::clone(&self.turns.0).acquire_owned().await.ok();
        self.hold(permit);
    }

    /// Runs a future, whose turn ends whenever it waits: for the next turn, or for its target.
    pub(crate) async fn within<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| {
            let polled = future.as_mut().poll(context);
            self.hold(None);
            polled
        })
        .await
    }

    fn hold(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Computes in that many slices, and notes how many calls were at it in the same moment.
    async fn compute(turn: Turn, slices: usize, at_it: Arc<AtomicUsize>, most: Arc<AtomicUsize>) {
        let own = turn.clone();
        turn.within(async move {
            for _ in 0..slices {
                own.clone().next().await;
                most.fetch_max(at_it.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(2));
                at_it.fetch_sub(1, Ordering::SeqCst);
            }
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_more_calls_of_a_target_compute_than_have_a_turn() {
        let turns = Turns::new(2);
        let (at_it, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let calls: Vec<_> = (0..8)
            .map(|_| tokio::spawn(compute(turns.turn(), 5, Arc::clone(&at_it), Arc::clone(&most))))
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
        assert_eq!(turns.0.available_permits(), 2);
    }

    #[tokio::test]
    async fn a_call_that_waits_for_its_target_leaves_its_turn_to_others() {
        let turns = Turns::new(1);
        let (send, receive) = tokio::sync::oneshot::channel::<()>();
        let (first, second) = (turns.turn(), turns.turn());
        let waiting = first.within(async {
            first.clone().next().await;
            receive.await.unwrap();
        });
        let computing = second.within(async {
            second.clone().next().await;
            send.send(()).unwrap();
        });
        tokio::join!(waiting, computing);
        assert_eq!(turns.0.available_permits(), 1);
    }
}
