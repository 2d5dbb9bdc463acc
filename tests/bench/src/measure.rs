//! Measuring: wall time of each call, CPU time and peak memory of this process.

use std::time::{Duration, Instant};

/// How long each call of one thing took, in nanoseconds.
pub(crate) struct Samples(Vec<u64>);

impl Samples {
    /// Room for about `expected` calls.
    pub(crate) fn new(expected: usize) -> Self {
        Self(Vec::with_capacity(expected))
    }

    /// Records one call that began at `since`.
    pub(crate) fn add(&mut self, since: Instant) {
        self.0
            .push(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }

    /// Forgets what was recorded: the end of warming up.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The sample below which `permille` of a thousand lie, in microseconds.
    pub(crate) fn percentile_us(&self, permille: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * permille / 1000).min(sorted.len().saturating_sub(1));
        sorted.get(index).map_or(0.0, |nanos| *nanos as f64 / 1000.0)
    }
}

/// One stretch of work: how long it took and what it cost.
pub(crate) struct Stretch {
    /// Wall time.
    pub(crate) wall: Duration,
    /// CPU time of all threads.
    pub(crate) cpu: Duration,
}

/// Starts a stretch; call the returned closure at its end.
pub(crate) fn stretch() -> impl FnOnce() -> Stretch {
    let (started, cpu_before) = (Instant::now(), cpu_time());
    move || Stretch {
        wall: started.elapsed(),
        cpu: cpu_time().saturating_sub(cpu_before),
    }
}

/// CPU time of this process so far (proc(5): /proc/self/schedstat counts one thread only, stat counts all, in ticks of 10 ms).
fn cpu_time() -> Duration {
    const TICK_MS: u64 = 10;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The command name may hold spaces; the fields after its closing parenthesis do not.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    // utime and stime are fields 14 and 15 of the whole line, 11 and 12 counted from after the name.
    Duration::from_millis((ticks(11) + ticks(12)) * TICK_MS)
}

/// The most memory this process has had resident so far, in MiB (proc(5): VmHWM).
pub(crate) fn peak_memory_mib() -> f64 {
    status_mib("VmHWM:")
}

/// Lets the peak begin anew (proc(5): writing 5 to clear_refs). Where that cannot be done, the old peak stays and is told.
pub(crate) fn forget_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The memory this process has resident now, in MiB (proc(5): VmRSS).
pub(crate) fn resident_memory_mib() -> f64 {
    status_mib("VmRSS:")
}

fn status_mib(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<f64>().ok())
        .map_or(0.0, |kib| kib / 1024.0)
}
