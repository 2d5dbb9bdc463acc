//! What there is to tell: the board beside what the store says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::Mutex;
use usher_engine::Part;
use usher_engine::ports::Clock;
use usher_engine::run::Stop;
use usher_store::Store;

use crate::board::Board;
use crate::health::{self, Answer, Health, TURN_MAX};
use crate::metrics::PartLabels;
use crate::process;
use crate::queue::Queue;

/// The store is asked how it is at most so often: probes come every few seconds, a storm of them costs nothing more.
pub(crate) const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long the store may take to answer before it counts as unreachable.
pub(crate) const ASK_MAX: Duration = Duration::from_secs(3);

/// What program this is.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its version.
    pub version: &'static str,
    /// The newest schema version it knows.
    pub schema_version: i64,
}

/// What the server tells, and where from.
pub struct Site {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    board: Arc<Board>,
    stop: Stop,
    about: About,
    since: Timestamp,
    registry: Registry,
    answer: Mutex<Option<(Instant, Answer)>>,
    queue: Mutex<Queue>,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").finish_non_exhaustive()
    }
}

impl Site {
    /// `stop` is what ends the loop, not this: while the loop finishes, the answer is that it does.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        board: Arc<Board>,
        stop: Stop,
        about: About,
    ) -> Self {
        let since = clock.now();
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact to the microsecond until long after us"
        )]
        let start_time = since.as_microsecond() as f64 / 1e6;
        board.metrics.start_time.set(start_time);
        Self {
            registry: board.metrics.registry(&about),
            store,
            clock,
            board,
            stop,
            about,
            since,
            answer: Mutex::default(),
            queue: Mutex::default(),
        }
    }

    /// Whether both parts of the loop go on: if not, only a new start helps. That the database is away is no reason for one.
    pub fn is_alive(&self) -> bool {
        Part::ALL
            .iter()
            .all(|part| self.board.part(*part).age() < TURN_MAX)
    }

    /// How everything is.
    pub async fn health(&self) -> Health {
        let answer = self.ask().await;
        let lease_holds = self.store.lease_holds();
        let parts = health::parts(&self.board);
        let problems = health::problems(&answer, lease_holds, &parts);
        let (replica, replicas) = health::replicas(self.store.membership());
        Health {
            status: health::status(&problems, self.stop.is_requested(), answer.frozen.is_some()),
            problems,
            version: self.about.version,
            schema_version: self.about.schema_version,
            database_reachable: answer.reachable,
            lease_holds,
            r#loop: parts,
            frozen: answer.frozen,
            replica,
            replicas,
            since: self.since,
        }
    }

    /// All numbers, as OpenMetrics text.
    pub async fn metrics(&self) -> Result<String, std::fmt::Error> {
        let health = self.health().await;
        // Held until the text is made: no scrape sees half of another's numbers.
        let mut queue = self.queue.lock().await;
        let metrics = &self.board.metrics;
        if health.database_reachable {
            queue
                .refresh(self.store.as_ref(), self.clock.as_ref(), metrics)
                .await;
        }
        for part in Part::ALL {
            let labels = PartLabels { part: part.name() };
            let age = self.board.part(part).age();
            metrics.turn_age.get_or_create(&labels).set(age.as_secs_f64());
        }
        metrics.up.set(i64::from(health.database_reachable));
        metrics.lease_holds.set(i64::from(health.lease_holds));
        metrics
            .replicas
            .set(i64::try_from(health.replicas.len()).unwrap_or(i64::MAX));
        if health.database_reachable {
            metrics.frozen.set(i64::from(health.frozen.is_some()));
        }
        if let Some(memory) = process::memory() {
            let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            metrics.resident_bytes.set(bytes(memory.resident_bytes));
            metrics.peak_bytes.set(bytes(memory.peak_bytes));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// How the store is, as of a moment ago. Who asks meanwhile waits for the same answer.
    async fn ask(&self) -> Answer {
        let mut known = self.answer.lock().await;
        if let Some((at, answer)) = &*known
            && at.elapsed() < ASK_EVERY
        {
            return answer.clone();
        }
        let answer = match tokio::time::timeout(ASK_MAX, self.store.frozen()).await {
            Ok(Ok(frozen)) => Answer {
                reachable: true,
                frozen,
            },
            // What was known of a freeze before is not known any more.
            Ok(Err(_)) | Err(_) => Answer {
                reachable: false,
                frozen: None,
            },
        };
        *known = Some((Instant::now(), answer.clone()));
        answer
    }
}
