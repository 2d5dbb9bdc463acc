//! The lease: a heartbeat that others can see, who else is there, and wake-ups between hosts.
//!
//! One task per process beats, one listens and tells. Neither is on the way of an outcome: `NOTIFY` takes a lock that all committing
//! transactions of a server share, so it is sent on its own, at most once per [`DEBOUNCE`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::since_boot::SinceBoot;
use crate::sql::cells::failed;
use crate::{Membership, StoreError};

/// Beats within one lease: two may be lost.
const BEATS_PER_LEASE: u32 = 3;
/// Wake-ups sent to others are at least this far apart.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// How long to wait before listening again after the connection was lost.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// The channel of wake-ups. Databases do not hear each other; schemas of one database do, and are woken for nothing.
const CHANNEL: &str = "usher_wake";

const BEAT: &str = "
    UPDATE writer SET seen_us = CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)
    WHERE id = $1 AND closed_us IS NULL";

const LIVE: &str = "
    SELECT id, lease_us FROM writer
    WHERE closed_us IS NULL AND (serves = 1 OR id = $1)
      AND seen_us > CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) - lease_us
    ORDER BY id";

/// This process's lease. Its tasks end when it is dropped.
pub(crate) struct Lease {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    duration: Duration,
    state: Mutex<State>,
    wakes: watch::Sender<u64>,
    tell: Notify,
}

#[derive(Clone)]
struct State {
    own: i64,
    /// Raised by whatever makes a beat under way tell of a time that is over.
    epoch: u64,
    /// The first beat of this writer, or the first since it takes part.
    first_beat: Option<SinceBoot>,
    /// Until when others leave its work alone, if not later.
    holds_until: Option<SinceBoot>,
    writers: Vec<i64>,
    /// Every live writer has had the time to see this one.
    settled: bool,
}

impl State {
    fn new(own: i64, epoch: u64, holds_until: Option<SinceBoot>) -> Self {
        Self {
            own,
            epoch,
            first_beat: None,
            holds_until,
            writers: vec![own],
            settled: false,
        }
    }
}

impl Lease {
    /// Begins to beat for a writer that has just registered.
    pub(crate) async fn start(pool: PgPool, own: i64, duration: Duration) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            duration,
            state: Mutex::new(State::new(own, 0, None)),
            wakes: watch::Sender::new(0),
            tell: Notify::new(),
        });
        shared.beat(&pool).await.map_err(failed("beginning the lease"))?;
        let tasks = vec![
            tokio::spawn(beat_on(pool.clone(), Arc::clone(&shared))),
            tokio::spawn(tell(pool.clone(), Arc::clone(&shared))),
            tokio::spawn(listen(pool, Arc::clone(&shared))),
        ];
        Ok(Self { shared, tasks })
    }

    /// Goes on as another writer.
    pub(crate) fn begin(&self, own: i64) {
        let mut state = self.shared.state();
        let until = SinceBoot::now().after(self.shared.duration);
        *state = State::new(own, state.epoch + 1, Some(until));
    }

    /// It runs operations from now on: the others must see that before it takes its share.
    pub(crate) fn takes_part(&self) {
        let mut state = self.shared.state();
        state.epoch += 1;
        (state.first_beat, state.settled) = (None, false);
    }

    pub(crate) fn duration(&self) -> Duration {
        self.shared.duration
    }

    pub(crate) fn holds(&self) -> bool {
        self.shared
            .state()
            .holds_until
            .is_some_and(|until| SinceBoot::now() < until)
    }

    pub(crate) fn membership(&self) -> Membership {
        let state = self.shared.state().clone();
        Membership {
            own: state.own,
            settled: state.settled,
            writers: state.writers,
        }
    }

    /// Wakes listeners here at once, elsewhere soon.
    pub(crate) fn wake(&self) {
        self.shared.wakes.send_modify(|count| *count += 1);
        self.shared.tell.notify_one();
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.wakes.subscribe()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing that holds it can panic; were it so, what it holds would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn beat(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let (own, epoch) = {
            let state = self.state();
            (state.own, state.epoch)
        };
        let sent = SinceBoot::now();
        let kept = sqlx::query(BEAT).bind(own).execute(pool).await?.rows_affected() > 0;
        let live: Vec<(i64, i64)> = sqlx::query_as(LIVE).bind(own).fetch_all(pool).await?;
        self.heard(epoch, sent, kept, &live);
        Ok(())
    }

    /// Takes in what a beat of this epoch, sent then, has learned.
    fn heard(&self, epoch: u64, sent: SinceBoot, kept: bool, live: &[(i64, i64)]) {
        let mut state = self.state();
        if state.epoch != epoch {
            return;
        }
        let slowest_us = live.iter().map(|(_, lease_us)| *lease_us).max().unwrap_or(0);
        // Taken over: nothing of it counts any more, its next commit says so.
        state.holds_until = kept.then(|| sent.after(self.duration));
        let first = *state.first_beat.get_or_insert(sent);
        // After the longest of their leases, every live writer has beaten since the first beat and seen this one.
        let all_have_seen = first.after(Duration::from_micros(u64::try_from(slowest_us).unwrap_or(0)));
        state.writers = live.iter().map(|(id, _)| *id).collect();
        state.settled = state.writers == [state.own] || sent >= all_have_seen;
    }
}

async fn beat_on(pool: PgPool, shared: Arc<Shared>) {
    let mut beats = interval(shared.duration / BEATS_PER_LEASE);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        // A beat that failed is not lost yet: the next may succeed within the lease. If none does, the lease does not hold. A connection that
        // swallows everything must not keep the next one waiting.
        let _ = timeout(shared.duration / BEATS_PER_LEASE, shared.beat(&pool)).await;
    }
}

async fn tell(pool: PgPool, shared: Arc<Shared>) {
    loop {
        shared.tell.notified().await;
        // Lost ones cost a delay: the others look again from time to time.
        let _ = sqlx::query("SELECT pg_notify($1, '')")
            .bind(CHANNEL)
            .execute(&pool)
            .await;
        sleep(DEBOUNCE).await;
    }
}

async fn listen(pool: PgPool, shared: Arc<Shared>) {
    loop {
        if let Ok(mut listener) = PgListener::connect_with(&pool).await
            && listener.listen(CHANNEL).await.is_ok()
        {
            // Something may have happened while nobody listened.
            shared.wakes.send_modify(|count| *count += 1);
            while listener.recv().await.is_ok() {
                shared.wakes.send_modify(|count| *count += 1);
            }
        }
        sleep(LISTEN_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_beat_learned_before_a_turn_is_not_taken_in_after_it() {
        let shared = Arc::new(Shared {
            duration: Duration::from_secs(1),
            state: Mutex::new(State::new(1, 0, None)),
            wakes: watch::Sender::new(0),
            tell: Notify::new(),
        });
        let lease = Lease {
            shared: Arc::clone(&shared),
            tasks: Vec::new(),
        };
        let alone = [(1, 1_000_000)];
        shared.heard(0, SinceBoot::now(), true, &alone);
        assert!(lease.membership().settled && lease.holds());
        // A beat is under way that has seen nobody else; meanwhile this one takes part, and so does another.
        let (epoch, sent) = (shared.state().epoch, SinceBoot::now());
        lease.takes_part();
        shared.heard(epoch, sent, true, &alone);
        assert!(!lease.membership().settled, "it knows only of the time before");
        shared.heard(
            epoch + 1,
            SinceBoot::now(),
            true,
            &[(1, 1_000_000), (2, 1_000_000)],
        );
        assert_eq!(lease.membership().writers, [1, 2]);
        assert!(!lease.membership().settled, "the other has not beaten since");
        // The same for a writer that begins anew.
        let epoch = shared.state().epoch;
        lease.begin(3);
        shared.heard(epoch, SinceBoot::now(), false, &alone);
        assert!(lease.holds());
        assert_eq!(lease.membership().own, 3);
    }
}
