//! The planner: makes facts of accepted imports and plans what is due, while this host has that duty.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use usher_store::{Duty, StoreError};

use super::Serving;
use super::wait::wait;
use crate::error::EngineError;
use crate::observer::{Part, Seen};
use crate::progress::NoProgress;
use crate::run::{Failing, later};

/// The duty is renewed when a third of the lease is over: two renewals may fail before somebody else plans too.
const RENEWALS_PER_LEASE: u32 = 3;
/// Batches in a row in which every identity had changed meanwhile, before the planner waits for the next call.
const STALE_BATCHES_MAX: u32 = 5;

/// The planner's state between rounds.
struct Planner {
    serving: Serving,
    /// Until when the duty need not be renewed.
    renew_at: Option<Instant>,
    /// Since when there has been something to plan.
    behind_since: Option<Instant>,
}

/// Plans until asked to stop.
pub(super) async fn plan(serving: Serving) -> Result<(), EngineError> {
    let ports = serving.engine.ports.clone();
    let mut wakes = ports.store.wakes();
    let mut failing = Failing::default();
    let mut planner = Planner {
        serving: serving.clone(),
        renew_at: None,
        behind_since: None,
    };
    let request = &serving.request;
    while !request.stop.is_requested() {
        let own = ports.store.membership().own;
        let next = match planner.round().await {
            Ok(next) => {
                failing = Failing::default();
                next
            }
            Err(error) => {
                planner.renew_at = None;
                if matches!(&error, EngineError::Store(StoreError::Fenced(_))) {
                    serving.fenced.send_replace(own);
                }
                let passes = matches!(&error, EngineError::NotActive(_));
                serving.met(Part::Planner, error)?;
                // What a person must do is told by a wake-up.
                (!passes).then(|| later(ports.clock.now(), failing.next_wait_ms()))
            }
        };
        wait(&*ports.clock, &mut wakes, next, request.poll_ms, &request.stop).await;
    }
    Ok(())
}

impl Planner {
    /// Does what there is to do; returns the next moment at which a state changes by itself, if this host plans.
    async fn round(&mut self) -> Result<Option<Timestamp>, EngineError> {
        let (engine, store) = (&self.serving.engine, &self.serving.engine.ports.store);
        self.serving.observer.saw(Seen::Alive(Part::Planner));
        if !on_duty(&self.serving, &mut self.renew_at).await? {
            self.behind_since = None;
            self.serving.observer.saw(Seen::Lag(Duration::ZERO));
            return Ok(None);
        }
        self.plan_urgent().await?;
        engine.absorb_all(0, &NoProgress).await?;
        let mut stale_batches = 0;
        while stale_batches < STALE_BATCHES_MAX && !self.serving.request.stop.is_requested() {
            let began = Instant::now();
            self.serving.observer.saw(Seen::Alive(Part::Planner));
            if !on_duty(&self.serving, &mut self.renew_at).await? {
                return Ok(None);
            }
            let Some(batch) = engine.plan_batch(&self.serving.request.actor).await? else {
                self.behind_since = None;
                engine.judge_causes(&self.serving.request.actor).await?;
                break;
            };
            stale_batches = if batch.in_vain { stale_batches + 1 } else { 0 };
            let since = *self.behind_since.get_or_insert(began);
            self.serving.observer.saw(Seen::Planned {
                identities: batch.planned,
                operations: batch.operations,
                problems: batch.problems.len() as u64,
                took: began.elapsed(),
            });
            self.serving.observer.saw(Seen::Lag(since.elapsed()));
        }
        let lag = self.behind_since.map_or(Duration::ZERO, |since| since.elapsed());
        self.serving.observer.saw(Seen::Lag(lag));
        let now = engine.ports.clock.now();
        Ok(store.next_change().await?.filter(|at| *at > now))
    }
}

impl Planner {
    /// A security hold waits for no import.
    async fn plan_urgent(&self) -> Result<(), EngineError> {
        let began = Instant::now();
        if let Some(batch) = self
            .serving
            .engine
            .plan_urgent(&self.serving.request.actor)
            .await?
        {
            self.serving.observer.saw(Seen::Planned {
                identities: batch.planned,
                operations: batch.operations,
                problems: batch.problems.len() as u64,
                took: began.elapsed(),
            });
        }
        Ok(())
    }
}

/// Takes or keeps the duty of planning.
async fn on_duty(serving: &Serving, renew_at: &mut Option<Instant>) -> Result<bool, EngineError> {
    let now = Instant::now();
    if renew_at.is_some_and(|at| now < at) {
        return Ok(true);
    }
    let store = &serving.engine.ports.store;
    let taken = store.take_duty(Duty::Planning).await?;
    *renew_at = store
        .lease()
        .filter(|_| taken)
        .map(|lease| now + lease / RENEWALS_PER_LEASE);
    Ok(taken)
}
