//! The loop running by itself: a planner, a runner and a reconciler side by side, woken by what happens, by time, and by looking now and then.

mod planner;
mod reconciler;
mod runner;
mod wait;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use usher_lifecycle::cause::Actor;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::observer::{Observer, Part, Seen, kind_of};
use crate::run::{Stop, ends};

/// How often is looked although nobody called, in milliseconds: wake-ups from other hosts may be lost, and this is the delay that costs.
pub const POLL_MS: u64 = 5_000;
/// How long calls under way may go on after a stop, in milliseconds: most supervisors kill after 30 s.
pub const GRACE_MS: u64 = 25_000;

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeRequest {
    /// When asked to stop: nothing more is planned or claimed; calls under way go on for at most `grace_ms` and are recorded; what was
    /// claimed and has not begun is given back.
    pub stop: Stop,
    /// Who serves, for the audit.
    pub actor: Actor,
    /// How often is looked although nobody called.
    pub poll_ms: u64,
    /// How long calls under way may go on after a stop.
    pub grace_ms: u64,
}

impl ServeRequest {
    /// With the usual times.
    pub fn new(stop: Stop, actor: Actor) -> Self {
        Self {
            stop,
            actor,
            poll_ms: POLL_MS,
            grace_ms: GRACE_MS,
        }
    }
}

/// What both parts are given.
#[derive(Clone)]
struct Serving {
    engine: Engine,
    request: ServeRequest,
    observer: Arc<dyn Observer>,
    /// The number of a writer that was found to be fenced off, from the planner to the runner, who owns what is in hand.
    fenced: watch::Sender<i64>,
}

impl Engine {
    /// Makes every account as it should be, and keeps it so, until asked to stop. Operations of targets with `apply = "auto"` run; those of
    /// `manual` ones are planned and wait for [`Engine::apply`]. Recovers by itself.
    ///
    /// # Errors
    /// Only what waiting cannot mend: the database is of another version or broken, its key is wrong, or a row makes no sense. While the
    /// store cannot be reached, finished outcomes are kept and nothing new begins.
    pub async fn serve(&self, request: ServeRequest, observer: Arc<dyn Observer>) -> Result<(), EngineError> {
        let asked = request.stop.clone();
        let (stopper, stop) = Stop::pair();
        let serving = Serving {
            engine: self.clone(),
            request: ServeRequest { stop, ..request },
            observer,
            fenced: watch::Sender::new(0),
        };
        if asked.is_requested() {
            stopper.stop();
        }
        let mut parts = JoinSet::new();
        parts.spawn(planner::plan(serving.clone()));
        parts.spawn(reconciler::reconcile(serving.clone()));
        parts.spawn(runner::run(serving));
        let mut result = Ok(());
        loop {
            let part = tokio::select! {
                part = parts.join_next() => part,
                () = asked.requested(), if !stopper.has_stopped() => {
                    stopper.stop();
                    continue;
                }
            };
            match part {
                None => return result,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => {
                    // The other part must not go on alone, but what it has under way still goes on record, if that is possible.
                    result = result.and(Err(error));
                    stopper.stop();
                }
                Some(Err(error)) => {
                    // A bug, or a simulated crash.
                    parts.shutdown().await;
                    if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
    }
}

impl Serving {
    /// Tells what went wrong. The error comes back when waiting cannot mend it.
    fn met(&self, part: Part, error: EngineError) -> Result<(), EngineError> {
        match error {
            EngineError::Store(error) if ends(&error) => Err(error.into()),
            EngineError::Store(error) => {
                self.observer.saw(Seen::StoreFailed {
                    part,
                    kind: kind_of(&error),
                    message: error.to_string(),
                });
                Ok(())
            }
            other => {
                self.observer.saw(Seen::Hindered {
                    part,
                    message: other.to_string(),
                });
                Ok(())
            }
        }
    }
}
