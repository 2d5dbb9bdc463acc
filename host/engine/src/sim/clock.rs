//! Time that moves only when it is told to, or when somebody waits.

use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use super::world::lock;
use crate::ports::Clock;

/// How time goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Whoever waits makes it jump to the end of the wait.
    Jumps,
    /// It stands until it is moved.
    Held,
    /// As fast as real time, from this moment on.
    Runs(Instant),
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    pace: Pace,
    /// Until when somebody sleeps; one entry for each sleeper.
    sleepers: Vec<Timestamp>,
}

/// A clock that tests move.
#[derive(Debug)]
pub struct SimClock {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl SimClock {
    fn with(now: Timestamp, pace: Pace) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                now,
                pace,
                sleepers: Vec::new(),
            }),
            changed: watch::Sender::new(0),
        })
    }

    /// A clock that shows this moment, and jumps whenever somebody waits.
    pub fn at(now: Timestamp) -> Arc<Self> {
        Self::with(now, Pace::Jumps)
    }

    /// A clock that shows this moment and goes on with real time.
    pub fn running(now: Timestamp) -> Arc<Self> {
        Self::with(now, Pace::Runs(Instant::now()))
    }

    /// From now on it stands until it is moved, whoever waits.
    pub fn hold(&self) {
        lock(&self.state).pace = Pace::Held;
    }

    /// Sets it.
    pub fn set(&self, now: Timestamp) {
        lock(&self.state).now = now;
        self.changed.send_modify(|count| *count += 1);
    }

    /// Moves it on.
    pub fn advance(&self, by: SignedDuration) {
        let now = self.now().checked_add(by).unwrap_or(Timestamp::MAX);
        self.set(now);
    }

    /// How many sleep now.
    pub fn sleepers(&self) -> usize {
        lock(&self.state).sleepers.len()
    }

    /// Moves to the first moment somebody sleeps until, once so many sleep.
    pub async fn jump(&self, sleepers: usize) {
        let mut changed = self.changed.subscribe();
        loop {
            let first = {
                let state = lock(&self.state);
                let enough = state.sleepers.len() >= sleepers;
                state.sleepers.iter().min().copied().filter(|_| enough)
            };
            if let Some(first) = first {
                self.set(first.max(self.now()));
                return;
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn count(&self, at: Timestamp) -> Sleeper<'_> {
        lock(&self.state).sleepers.push(at);
        self.changed.send_modify(|count| *count += 1);
        Sleeper { clock: self, at }
    }
}

/// Somebody who sleeps.
struct Sleeper<'a> {
    clock: &'a SimClock,
    at: Timestamp,
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.clock.state);
        if let Some(place) = state.sleepers.iter().position(|at| *at == self.at) {
            state.sleepers.swap_remove(place);
        }
        drop(state);
        self.clock.changed.send_modify(|count| *count += 1);
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let state = lock(&self.state);
        match state.pace {
            Pace::Jumps | Pace::Held => state.now,
            Pace::Runs(since) => state.now.saturating_add(since.elapsed()).unwrap_or(state.now),
        }
    }

    async fn sleep_until(&self, at: Timestamp) {
        let pace = lock(&self.state).pace;
        match pace {
            Pace::Jumps => {
                // Others get their turn first; then time jumps.
                tokio::task::yield_now().await;
                let mut state = lock(&self.state);
                state.now = state.now.max(at);
            }
            Pace::Runs(_) => {
                let wait = at.duration_since(self.now());
                tokio::time::sleep(wait.try_into().unwrap_or_default()).await;
            }
            Pace::Held => {
                let mut changed = self.changed.subscribe();
                if self.now() >= at {
                    return;
                }
                let _sleeper = self.count(at);
                while self.now() < at && changed.changed().await.is_ok() {}
            }
        }
    }
}
