//! Time that moves only when it is told to, or when somebody waits.

use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use super::world::lock;
use crate::ports::Clock;

/// Turns others are given before time jumps: more than any chain of tasks that wake each other.
const TURNS: u32 = 10;

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
    /// How many are about something that takes no time.
    busy: u32,
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
                busy: 0,
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

    /// Moves to the first moment somebody sleeps until.
    pub fn jump(&self) {
        if let Some(first) = self.first(1) {
            self.set(first);
        }
    }

    /// Waits until so many sleep and nobody is busy.
    pub async fn quiet(&self, sleepers: usize) {
        let mut changed = self.changed.subscribe();
        loop {
            if self.first(sleepers).is_some() {
                // Whoever has been woken and has not had a turn yet looks asleep.
                for _ in 0..TURNS {
                    tokio::task::yield_now().await;
                }
                if self.first(sleepers).is_some() {
                    return;
                }
            } else if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn first(&self, sleepers: usize) -> Option<Timestamp> {
        let state = lock(&self.state);
        // Whose moment has come is not asleep any more, only not up yet.
        let asleep = state.sleepers.iter().filter(|at| **at > state.now);
        let enough = asleep.clone().count() >= sleepers && state.busy == 0;
        asleep.min().copied().filter(|_| enough)
    }

    /// Somebody is about something that takes no time, until this is dropped.
    pub(super) fn busy(&self) -> Busy<'_> {
        lock(&self.state).busy += 1;
        Busy(self)
    }

    fn count(&self, at: Timestamp) -> Sleeper<'_> {
        lock(&self.state).sleepers.push(at);
        self.changed.send_modify(|count| *count += 1);
        Sleeper { clock: self, at }
    }
}

/// Somebody who is about something that takes no time.
pub(super) struct Busy<'a>(&'a SimClock);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).busy -= 1;
        self.0.changed.send_modify(|count| *count += 1);
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
