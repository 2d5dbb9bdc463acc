//! The runner: claims, calls, records; finds what others have left; follows the targets document.

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use usher_store::{Context, StoreError, Wakes};

use super::Serving;
use super::wait::{Woken, wait};
use crate::documents::ActiveTargets;
use crate::error::EngineError;
use crate::observer::{Part, Seen};
use crate::run::{Failing, Hand, Which, later};

/// What writers that are gone have left is looked for twice within a lease.
const RECOVERIES_PER_LEASE: u32 = 2;

struct Runner<'a> {
    serving: &'a Serving,
    hand: Hand<'a>,
    wakes: Wakes,
    /// When to look next for what others have left; `None` when nobody else can be.
    recover_at: Option<Timestamp>,
    /// When to look at everything again although nobody called.
    look_at: Timestamp,
}

/// Runs until asked to stop.
pub(super) async fn run(serving: Serving) -> Result<(), EngineError> {
    let ports = &serving.engine.ports;
    let now = ports.clock.now();
    // The first look reads the document.
    let none = std::sync::Arc::<ActiveTargets>::default();
    let mut runner = Runner {
        serving: &serving,
        hand: Hand::new(&serving.engine, Which::Auto, &none, &*serving.observer),
        wakes: ports.store.wakes(),
        recover_at: Some(now),
        look_at: now,
    };
    let mut fenced = serving.fenced.subscribe();
    let mut failing = Failing::default();
    while !serving.request.stop.is_requested() {
        serving.observer.saw(Seen::Alive(Part::Runner));
        if fenced.has_changed().unwrap_or(false)
            && *fenced.borrow_and_update() == ports.store.membership().own
        {
            runner.hand.forget();
        }
        match runner.turn().await {
            Ok(true) => failing = Failing::default(),
            Ok(false) => {
                failing = Failing::default();
                runner.rest().await;
            }
            Err(error) => {
                if let Err(error) = serving.met(Part::Runner, error) {
                    // What cannot be read need not keep what is finished from being recorded; whether it did changes nothing of the error.
                    let _ = runner.leave().await;
                    return Err(error);
                }
                runner.look_at = Timestamp::MIN;
                let again = later(ports.clock.now(), failing.next_wait_ms());
                tokio::select! {
                    () = runner.hand.sleep_working(again) => {}
                    () = serving.request.stop.requested() => {}
                }
            }
        }
    }
    runner.leave().await
}

impl Runner<'_> {
    fn context(&self) -> Context {
        self.serving.engine.context(self.serving.request.actor.clone())
    }

    /// Looks around if there is reason to, then records and claims once. `false`: nothing is to be done now.
    async fn turn(&mut self) -> Result<bool, EngineError> {
        let called = self.wakes.next().now_or_never().is_some();
        if called || self.serving.engine.ports.clock.now() >= self.look_at {
            self.look().await?;
        }
        self.hand.cut_due();
        Ok(self.hand.step(&self.context()).await?)
    }

    /// Something may have changed: documents, rests, the queue, who else is there.
    async fn look(&mut self) -> Result<(), EngineError> {
        let ports = &self.serving.engine.ports;
        let now = ports.clock.now();
        if self
            .recover_at
            .is_some_and(|at| at <= now || at > self.next_recovery(now))
        {
            // The second: the clock was set back.
            self.recover(now).await?;
        }
        let active = self.serving.engine.targets().await?;
        self.hand.follow(&active);
        self.hand.heed_freeze().await?;
        self.hand.heed_cuts().await?;
        self.hand.end_rests().await?;
        self.hand.look_again();
        self.hand.claim_urgent(&self.context()).await?;
        self.hand.look_ahead().await?;
        self.look_at = self.next_look(now);
        Ok(())
    }

    async fn recover(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let store = &self.serving.engine.ports.store;
        let operations = store.recover(&self.context()).await?;
        if operations > 0 {
            self.serving.observer.saw(Seen::Recovered { operations });
        }
        self.recover_at = store.lease().map(|_| self.next_recovery(now));
        Ok(())
    }

    fn next_recovery(&self, now: Timestamp) -> Timestamp {
        let lease = self.serving.engine.ports.store.lease().unwrap_or_default();
        let wait = SignedDuration::try_from(lease / RECOVERIES_PER_LEASE).unwrap_or(SignedDuration::MAX);
        now.saturating_add(wait).unwrap_or(Timestamp::MAX)
    }

    fn next_look(&self, now: Timestamp) -> Timestamp {
        let poll = later(now, self.serving.request.poll_ms);
        let moments = [self.hand.next_moment(now), self.recover_at];
        moments.into_iter().flatten().fold(poll, Timestamp::min)
    }

    /// Waits until there is something to do.
    async fn rest(&mut self) {
        let ports = &self.serving.engine.ports;
        let request = &self.serving.request;
        // An outcome may have put something off that falls due before the next look.
        let now = ports.clock.now();
        self.look_at = self.look_at.min(self.next_look(now));
        let next = Some(self.look_at);
        let is_working = self.hand.is_working();
        tokio::select! {
            _ = self.hand.event(), if is_working => {}
            woken = wait(&*ports.clock, &mut self.wakes, next, request.poll_ms, &request.stop) => match woken {
                // What called has been heard; the look must happen all the same.
                Woken::Called | Woken::Time => self.look_at = Timestamp::MIN,
                Woken::Stop => {}
            },
        }
    }

    /// Claims nothing more, lets calls under way come to their end for as long as there is grace, and records them.
    async fn leave(mut self) -> Result<(), EngineError> {
        let ports = &self.serving.engine.ports;
        let grace_over = later(ports.clock.now(), self.serving.request.grace_ms);
        self.hand.wind_up();
        let mut failing = Failing::default();
        while !self.hand.is_empty() {
            self.serving.observer.saw(Seen::Alive(Part::Runner));
            let over = ports.clock.now() >= grace_over;
            if over {
                self.hand.cut_short();
            }
            match self.hand.step(&self.context()).await {
                Ok(true) => {}
                Ok(false) => {
                    tokio::select! {
                        _ = self.hand.event() => {}
                        () = ports.clock.sleep_until(grace_over) => {}
                    }
                }
                Err(error) => {
                    self.serving.met(Part::Runner, error.into())?;
                    if over {
                        // What is not on record is read back by whoever comes next.
                        return Ok(());
                    }
                    let again = later(ports.clock.now(), failing.next_wait_ms()).min(grace_over);
                    self.hand.sleep_working(again).await;
                }
            }
        }
        Ok(())
    }
}
