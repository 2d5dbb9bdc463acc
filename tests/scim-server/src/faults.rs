//! What the server does wrong on request, so that a client can be seen to cope.

use std::time::{Duration, Instant};

/// How long a window of the rate limit is, and so what `Retry-After` says: the shortest a client can obey.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// Which faults, and how far each is.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Every n-th write is applied and then answered with 500.
    pub(crate) fail_every: Option<u32>,
    /// Requests in a second before 429.
    pub(crate) rate_limit: Option<u32>,
    writes: u32,
    window: Option<(Instant, u32)>,
}

impl Faults {
    /// The faults asked for.
    pub(crate) fn new(fail_every: Option<u32>, rate_limit: Option<u32>) -> Self {
        Self {
            fail_every,
            rate_limit,
            writes: 0,
            window: None,
        }
    }

    /// Whether this request is one too many; then how long to wait, in seconds.
    pub(crate) fn retry_after_s(&mut self, now: Instant) -> Option<u64> {
        let limit = self.rate_limit?;
        let (start, count) = self
            .window
            .filter(|(start, _)| now - *start < RATE_WINDOW)
            .unwrap_or((now, 0));
        self.window = Some((start, count + 1));
        (count >= limit).then_some(RATE_WINDOW.as_secs())
    }

    /// Whether this write, just applied, is to be answered with 500.
    pub(crate) fn fails(&mut self, method: &str) -> bool {
        let Some(every) = self.fail_every else {
            return false;
        };
        if method == "GET" {
            return false;
        }
        self.writes += 1;
        self.writes.is_multiple_of(every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nth_write_fails_and_reads_do_not_count() {
        let mut faults = Faults::new(Some(3), None);
        let failed: Vec<bool> = ["POST", "GET", "PATCH", "GET", "DELETE", "POST"]
            .map(|m| faults.fails(m))
            .to_vec();
        assert_eq!(failed, [false, false, false, false, true, false]);
        assert!(!Faults::default().fails("POST"));
    }

    #[test]
    fn the_rate_limit_counts_anew_each_second() {
        let mut faults = Faults::new(None, Some(2));
        let start = Instant::now();
        let half = start + Duration::from_millis(500);
        assert_eq!(
            [start, half, half].map(|at| faults.retry_after_s(at)),
            [None, None, Some(1)]
        );
        assert_eq!(faults.retry_after_s(start + RATE_WINDOW), None);
    }
}
