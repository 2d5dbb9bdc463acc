//! What one call may use of memory and tables, and how long its guest may compute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wasmtime::{Error, ResourceLimiter, Result};

use crate::engine::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};

/// A limit that was reached: ends the call at once, with a clear name instead of the guest's own confusion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LimitReached(pub(crate) String);

/// Something no grant can give, and that ended the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not available to connectors")]
pub(crate) struct Forbidden(pub(crate) String);

/// Sums what all memories and tables of one store hold.
pub(crate) struct MemoryLimit {
    memory_bytes_max: usize,
    memory_bytes: usize,
    table_elements: usize,
}

impl MemoryLimit {
    pub(crate) fn new(memory_mib: u32) -> Self {
        Self {
            memory_bytes_max: memory_mib as usize * 1024 * 1024,
            memory_bytes: 0,
            table_elements: 0,
        }
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let after = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if after > self.memory_bytes_max {
            let mib = self.memory_bytes_max / (1024 * 1024);
            return Err(Error::new(LimitReached(format!("memory-mib = {mib}"))));
        }
        self.memory_bytes = after;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let after = self
            .table_elements
            .saturating_add(desired.saturating_sub(current));
        if after > TABLE_ELEMENTS_MAX {
            return Err(Error::new(LimitReached(format!(
                "{TABLE_ELEMENTS_MAX} table elements"
            ))));
        }
        self.table_elements = after;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}

/// How long a call has been computing. Runs while the call's future is polled, and stands still while the call waits for a
/// target: a slow target is not the guest's fault.
#[derive(Clone)]
pub(crate) struct CpuClock(Arc<CpuTimes>);

struct CpuTimes {
    made: Instant,
    /// Nanoseconds of all polls that have ended.
    spent: AtomicU64,
    /// When the poll under way began, in nanoseconds since `made`.
    began: AtomicU64,
}

impl CpuClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(CpuTimes {
            made: Instant::now(),
            spent: AtomicU64::new(0),
            began: AtomicU64::new(0),
        }))
    }

    fn since_made(&self) -> u64 {
        u64::try_from(self.0.made.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time spent so far; to be asked from inside a poll.
    pub(crate) fn spent(&self) -> Duration {
        let current = self
            .since_made()
            .saturating_sub(self.0.began.load(Ordering::Relaxed));
        Duration::from_nanos(self.0.spent.load(Ordering::Relaxed).saturating_add(current))
    }

    /// Runs a future under this clock.
    pub(crate) async fn measure<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| {
            self.0.began.store(self.since_made(), Ordering::Relaxed);
            let polled = future.as_mut().poll(context);
            let took = self
                .since_made()
                .saturating_sub(self.0.began.load(Ordering::Relaxed));
            self.0.spent.fetch_add(took, Ordering::Relaxed);
            polled
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_over_all_memories() {
        let mut limit = MemoryLimit::new(2);
        assert!(limit.memory_growing(0, 1 << 20, None).unwrap());
        assert!(limit.memory_growing(0, 1 << 20, None).unwrap());
        let error = limit.memory_growing(0, 1 << 16, None).unwrap_err();
        assert_eq!(error.downcast_ref::<LimitReached>().unwrap().0, "memory-mib = 2");
    }

    #[tokio::test]
    async fn waiting_is_not_computing() {
        let clock = CpuClock::new();
        let (send, receive) = tokio::sync::oneshot::channel();
        let waker = std::thread::spawn(move || {
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(60) {
                std::thread::yield_now();
            }
            let _ = send.send(());
        });
        clock.measure(receive).await.unwrap();
        waker.join().unwrap();
        assert!(Duration::from_nanos(clock.0.spent.load(Ordering::Relaxed)) < Duration::from_millis(40));
    }
}
