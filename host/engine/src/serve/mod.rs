//! The loop running by itself.

use std::sync::Arc;

use usher_lifecycle::cause::Actor;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::observer::{Observer, Part, Seen};
use crate::progress::NoProgress;
use crate::run::{ApplyRequest, Stop};

/// How often is looked although nobody called, in milliseconds: wake-ups from other hosts may be lost, and this is the delay that costs.
pub const POLL_MS: u64 = 5_000;
/// How long calls under way may go on after a stop, in milliseconds: as long as most supervisors wait before they kill.
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

impl Engine {
    /// Makes every account as it should be, and keeps it so, until asked to stop. Operations of targets with `apply = "auto"` run; those of
    /// `manual` ones are planned and wait for [`Engine::apply`].
    ///
    /// # Errors
    /// Only what waiting cannot mend: the database is of another version, its key is wrong, or a row makes no sense. While the store
    /// cannot be reached, finished outcomes are kept and nothing new begins.
    pub async fn serve(&self, request: ServeRequest, observer: Arc<dyn Observer>) -> Result<(), EngineError> {
        let mut wakes = self.ports.store.wakes();
        while !request.stop.is_requested() {
            for part in Part::ALL {
                observer.saw(Seen::Alive(part));
            }
            let round = ApplyRequest {
                expect: None,
                wait_ms: 0,
                stop: request.stop.clone(),
                actor: request.actor.clone(),
            };
            self.apply(round, &NoProgress).await?;
            let poll = crate::run::later(self.ports.clock.now(), request.poll_ms);
            tokio::select! {
                () = wakes.next() => {}
                () = self.ports.clock.sleep_until(poll) => {}
                () = request.stop.requested() => {}
            }
        }
        Ok(())
    }
}
