//! The queue as the store has it: read seldom, however often somebody asks.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use usher_engine::ports::Clock;
use usher_store::{Store, StoreError};

use crate::metrics::{Metrics, OPEN, QueueLabels, TargetLabels};

/// The queue is read at most so often: a scrape every few seconds is answered from what is known.
pub(crate) const READ_EVERY: Duration = Duration::from_secs(5);
/// And takes at most this share of the time: a long queue is counted more seldom.
const READ_SHARE: u32 = 20;
/// How long reading it may take.
const READ_MAX: Duration = Duration::from_secs(4);

/// When the queue was read, and the targets it ever had: their series stay, at 0.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    next: Option<Instant>,
    targets: BTreeSet<String>,
}

impl Queue {
    /// Brings the numbers up to date if they are old. A store that fails leaves them as they were.
    pub(crate) async fn refresh(&mut self, store: &dyn Store, clock: &dyn Clock, metrics: &Metrics) {
        let begun = Instant::now();
        if self.next.is_some_and(|next| begun < next) {
            return;
        }
        // A failure is seen in the health and counted there.
        let _ = tokio::time::timeout(READ_MAX, self.read(store, clock, metrics)).await;
        self.next = Some(Instant::now() + READ_EVERY.max(begun.elapsed() * READ_SHARE));
    }

    async fn read(
        &mut self,
        store: &dyn Store,
        clock: &dyn Clock,
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        let totals = store.operation_totals().await?;
        let resting = store.resting(clock.now()).await?;
        let named = totals.iter().map(|total| &total.target);
        let named = named.chain(resting.iter().map(|rest| &rest.target));
        self.targets.extend(named.map(ToString::to_string));
        for target in &self.targets {
            for state in OPEN {
                let total = totals
                    .iter()
                    .find(|total| total.target.as_str() == target && total.state == state);
                let labels = QueueLabels {
                    target: target.clone(),
                    state: state.to_string(),
                };
                let operations = total.map_or(0, |total| i64::try_from(total.operations).unwrap_or(i64::MAX));
                metrics.queue.get_or_create(&labels).set(operations);
            }
            let rests = resting.iter().any(|rest| rest.target.as_str() == target);
            let labels = TargetLabels {
                target: target.clone(),
            };
            metrics.resting.get_or_create(&labels).set(i64::from(rests));
        }
        Ok(())
    }
}
