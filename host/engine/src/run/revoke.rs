//! Ending a person's access now: a security hold, its plan, and its operations before everything else, while somebody watches.

use jiff::Timestamp;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::facts::HoldKind;
use usher_store::{Context, NewFact};

use super::hand::{Hand, Which};
use super::once::Failing;
use super::stop::Stop;
use super::worker::later;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::observer::NoObserver;
use crate::views::{StopView, hold_in_force};

/// How often is looked how far other hosts are, in milliseconds, beside their wake-ups.
const LOOK_MS: u64 = 1_000;
/// How long calls under way may go on when nobody waits any more, in milliseconds; what is cut off is read back by whoever comes next.
const LAST_CALLS_MS: u64 = 5_000;

/// Whose access to end.
#[derive(Clone, Debug)]
pub struct RevokeRequest {
    /// Public id, or the key of any source record.
    pub key: String,
    /// Why; kept with the hold.
    pub reason: String,
    /// How long to wait until all access has ended, in milliseconds.
    pub wait_ms: u64,
    /// When asked to stop, nothing more is waited for.
    pub stop: Stop,
    /// Who revokes.
    pub actor: Actor,
}

/// What a revoke did, and how far it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Revoked {
    /// The hold was set now; otherwise it was in force already.
    pub is_new: bool,
    /// How far it is.
    pub view: StopView,
}

impl Engine {
    /// Ends all access of a person now: sets a security hold (unless one is in force), plans its disables and carries them out before everything
    /// queued on every target, also those that observe, wait for a person or rest, and under a freeze that is not for everything. Waits at most
    /// `wait_ms`; whoever runs operations goes on with what is left. `told` hears how far it is.
    ///
    /// # Errors
    /// There is no such person; no policy is active, so nothing can be planned (the hold is set all the same); the store fails.
    pub async fn revoke(
        &self,
        request: RevokeRequest,
        told: &(dyn Fn(&StopView) + Sync),
    ) -> Result<Revoked, EngineError> {
        let context = self.context(request.actor.clone());
        let is_new = self.hold_now(&request, &context).await?;
        // What a process that is gone had under way would keep it waiting.
        self.ports.store.recover(&context).await?;
        let deadline = later(context.at, request.wait_ms);
        let active = self.targets().await?;
        let mut hand = Hand::new(self, Which::Urgent, &active, &NoObserver);
        let view = self.carry_on(&mut hand, &request, deadline, told).await;
        self.let_go(&mut hand, &context).await;
        let view = match view {
            Ok(_) => self.stop_view(&request.key).await,
            Err(error) => Err(error),
        };
        Ok(Revoked { is_new, view: view? })
    }

    /// `false`: such a hold is in force already.
    async fn hold_now(&self, request: &RevokeRequest, context: &Context) -> Result<bool, EngineError> {
        let store = &self.ports.store;
        let identity = store.identity(&request.key).await?.id;
        let set = store.personal_facts(identity).await?;
        if hold_in_force(&set, context.at).is_some() {
            return Ok(false);
        }
        let hold = NewFact::Hold {
            kind: HoldKind::Security,
            from: context.at,
            until: None,
        };
        store.add_fact(identity, &hold, &request.reason, context).await?;
        Ok(true)
    }

    async fn stop_view(&self, key: &str) -> Result<StopView, EngineError> {
        let view = self.stop_of(key).await?;
        view.ok_or_else(|| EngineError::NotFound("the security hold was ended meanwhile".to_owned()))
    }

    /// Plans, claims, calls and records until nothing goes on any more, or nobody waits.
    async fn carry_on(
        &self,
        hand: &mut Hand<'_>,
        request: &RevokeRequest,
        deadline: Timestamp,
        told: &(dyn Fn(&StopView) + Sync),
    ) -> Result<(), EngineError> {
        let mut wakes = self.ports.store.wakes();
        let mut failing = Failing::default();
        let clock = &self.ports.clock;
        let last = later(deadline, LAST_CALLS_MS);
        let mut look = true;
        loop {
            // Others may have planned, claimed and recorded as well; each look is a few reads about one person.
            let planned = self.plan_urgent(&request.actor).await?;
            if look || planned.is_some_and(|batch| batch.operations > 0) {
                hand.look_again();
            }
            look = false;
            let heeded = hand.heed_cuts().await;
            let worked = match heeded {
                Ok(()) => hand.step(&self.context(request.actor.clone())).await,
                Err(error) => Err(error),
            };
            let done_now = match worked {
                Ok(done_now) => {
                    failing = Failing::default();
                    done_now
                }
                Err(error) => {
                    hand.wait(&mut failing, error).await?;
                    true
                }
            };
            let view = self.stop_view(&request.key).await?;
            told(&view);
            let now = clock.now();
            let goes_on = view.goes_on() && view.frozen.is_none();
            if !goes_on || request.stop.is_requested() {
                return Ok(());
            }
            if done_now {
                continue;
            }
            // What has begun is still heard of for a moment.
            let over = if hand.is_working() { last } else { deadline };
            if now >= over {
                return Ok(());
            }
            hand.look_ahead().await?;
            let next = [hand.next_moment(now), Some(later(now, LOOK_MS)), Some(over)];
            let next = next.into_iter().flatten().min().unwrap_or(over);
            let cut = hand.until_cut();
            let is_working = hand.is_working();
            tokio::select! {
                _ = hand.event(), if is_working => {}
                () = cut => hand.cut_due(),
                () = wakes.next() => {}
                () = clock.sleep_until(next) => {}
                () = request.stop.requested() => {}
            }
            look = true;
        }
    }

    /// Gives back what has not begun and records what ends soon; the rest is read back by whoever comes next.
    async fn let_go(&self, hand: &mut Hand<'_>, context: &Context) {
        let clock = &self.ports.clock;
        let over = later(clock.now(), LAST_CALLS_MS);
        hand.wind_up();
        while !hand.is_empty() {
            if clock.now() >= over {
                hand.cut_short();
            }
            match hand.step(context).await {
                Ok(true) => {}
                Ok(false) if !hand.is_working() => return,
                Ok(false) => tokio::select! {
                    _ = hand.event() => {}
                    () = clock.sleep_until(over) => {}
                },
                // Not on record: it is read back.
                Err(_) => return,
            }
        }
    }
}
