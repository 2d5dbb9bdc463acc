//! Connections that nobody uses at the moment. They are closed when nobody has used them for a while.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::journal::lock;

/// How long an unused connection is kept: shorter than servers and firewalls commonly do.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The unused connections of one endpoint.
pub(super) struct Idle<S> {
    kept: Mutex<Kept<S>>,
}

struct Kept<S> {
    /// The one used last stands at the end.
    connections: Vec<(S, Instant)>,
    /// Whether somebody looks after them.
    watched: bool,
}

impl<S: Send + 'static> Idle<S> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::new(Kept {
                connections: Vec::new(),
                watched: false,
            }),
        })
    }

    /// The one used last, so that those not needed grow old.
    pub(super) fn take(&self) -> Option<S> {
        lock(&self.kept).connections.pop().map(|(session, _)| session)
    }

    /// Keeps one.
    pub(super) fn keep(idle: &Arc<Self>, session: S) {
        let mut kept = lock(&idle.kept);
        kept.connections.push((session, Instant::now()));
        if !kept.watched {
            kept.watched = true;
            tokio::spawn(watch(Arc::downgrade(idle)));
        }
    }

    /// Takes out those that are too old. The second is false when none is left, and nobody watches any more.
    fn old(&self, now: Instant) -> (Vec<(S, Instant)>, bool) {
        let mut kept = lock(&self.kept);
        let (old, young) = std::mem::take(&mut kept.connections)
            .into_iter()
            .partition(|(_, since)| now.saturating_duration_since(*since) >= IDLE_TIMEOUT);
        kept.connections = young;
        kept.watched = !kept.connections.is_empty();
        (old, kept.watched)
    }
}

async fn watch<S: Send + 'static>(idle: Weak<Idle<S>>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT / 4).await;
        let Some(idle) = idle.upgrade() else { return };
        let (old, watched) = idle.old(Instant::now());
        drop(old);
        if !watched {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_used_is_closed_and_the_last_used_is_used_again() {
        let idle = Idle::new();
        Idle::keep(&idle, "first");
        Idle::keep(&idle, "second");
        assert_eq!(idle.take(), Some("second"));
        assert!(idle.old(Instant::now()).0.is_empty());
        let (old, watched) = idle.old(Instant::now() + IDLE_TIMEOUT);
        assert_eq!((old[0].0, watched), ("first", false));
        assert_eq!(idle.take(), None);
    }
}
