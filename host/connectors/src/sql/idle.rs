//! Connections that nobody uses at the moment. They are closed when nobody has used them for a while, and when they are old.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::journal::lock;

/// How long an unused connection is kept: shorter than servers and firewalls commonly do.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection is used at all: rights, passwords, certificates and addresses are looked at when one is made, so a change of
/// them holds for everybody after this.
const AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// A connection, and since when it has been there.
pub(super) struct Aged<S> {
    pub(super) session: S,
    pub(super) made: Instant,
}

/// The unused connections of one endpoint.
pub(super) struct Idle<S> {
    kept: Mutex<Kept<S>>,
}

struct Kept<S> {
    /// The one used last stands at the end.
    connections: Vec<(Aged<S>, Instant)>,
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
    pub(super) fn take(&self) -> Option<Aged<S>> {
        let now = Instant::now();
        let mut kept = lock(&self.kept);
        let (used_last, since) = kept.connections.pop()?;
        if is_old(&used_last, since, now) {
            // So are those that were used before it, or they soon will be.
            kept.connections.clear();
            return None;
        }
        Some(used_last)
    }

    /// Forgets all of them: where one is broken the others commonly are.
    pub(super) fn clear(&self) {
        lock(&self.kept).connections.clear();
    }

    /// Keeps one, unless it is old.
    pub(super) fn keep(idle: &Arc<Self>, connection: Aged<S>) {
        let now = Instant::now();
        if is_old(&connection, now, now) {
            return;
        }
        let mut kept = lock(&idle.kept);
        kept.connections.push((connection, now));
        if !kept.watched {
            kept.watched = true;
            tokio::spawn(watch(Arc::downgrade(idle)));
        }
    }

    /// Takes out those that are too old. The second is false when none is left, and nobody watches any more.
    fn old(&self, now: Instant) -> (Vec<(Aged<S>, Instant)>, bool) {
        let mut kept = lock(&self.kept);
        let (old, young) = std::mem::take(&mut kept.connections)
            .into_iter()
            .partition(|(connection, since)| is_old(connection, *since, now));
        kept.connections = young;
        kept.watched = !kept.connections.is_empty();
        (old, kept.watched)
    }
}

fn is_old<S>(connection: &Aged<S>, unused_since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(unused_since) >= IDLE_TIMEOUT
        || now.saturating_duration_since(connection.made) >= AGE_MAX
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
        let made = Instant::now();
        for session in ["first", "second"] {
            Idle::keep(&idle, Aged { session, made });
        }
        assert_eq!(idle.take().unwrap().session, "second");
        assert!(idle.old(Instant::now()).0.is_empty());
        let (old, watched) = idle.old(Instant::now() + IDLE_TIMEOUT);
        assert_eq!((old[0].0.session, watched), ("first", false));
        assert!(idle.take().is_none());
    }

    #[tokio::test]
    async fn what_is_old_is_closed_however_much_it_is_used() {
        let idle = Idle::new();
        let made = Instant::now().checked_sub(AGE_MAX).unwrap();
        Idle::keep(&idle, Aged { session: "old", made });
        assert!(idle.take().is_none());
        let almost = made + Duration::from_secs(1);
        Idle::keep(
            &idle,
            Aged {
                session: "young",
                made: almost,
            },
        );
        assert!(idle.old(Instant::now()).0.is_empty());
        let (old, _) = idle.old(Instant::now() + Duration::from_secs(1));
        assert_eq!(old[0].0.session, "young");
    }
}
