//! Measuring: wall time per call, CPU time and peak memory of this process.

use std::time::{Duration, Instant};

/// What many calls of one thing took.
pub(crate) struct Samples {
    nanos: Vec<u64>,
    wall: Duration,
    cpu: Duration,
}

impl Samples {
    /// Starts a run of about `expected` calls.
    pub(crate) fn start(expected: usize) -> Run {
        Run { nanos: Vec::with_capacity(expected), started: Instant::now(), cpu_before: cpu_time() }
    }

    /// The sample below which `permille` of a thousand lie, in microseconds.
    pub(crate) fn percentile_us(&self, permille: usize) -> f64 {
        let mut sorted = self.nanos.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * permille / 1000).min(sorted.len().saturating_sub(1));
        sorted.get(index).map_or(0.0, |nanos| *nanos as f64 / 1000.0)
    }

    /// CPU time (user and system, all threads) per call, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.nanos.len().max(1) as f64
    }

    /// Calls per second of wall time.
    pub(crate) fn per_second(&self) -> f64 {
        self.nanos.len() as f64 / self.wall.as_secs_f64()
    }
}

/// A run under way.
pub(crate) struct Run {
    nanos: Vec<u64>,
    started: Instant,
    cpu_before: Duration,
}

impl Run {
    /// Records one call that began at `since`.
    pub(crate) fn add(&mut self, since: Instant) {
        self.nanos.push(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }

    /// Ends the run.
    pub(crate) fn finish(self) -> Samples {
        Samples {
            wall: self.started.elapsed(),
            cpu: cpu_time().saturating_sub(self.cpu_before),
            nanos: self.nanos,
        }
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
    move || Stretch { wall: started.elapsed(), cpu: cpu_time().saturating_sub(cpu_before) }
}

/// CPU time of this process so far (proc(5): /proc/self/schedstat counts one thread only, stat counts all, in ticks of 10 ms).
fn cpu_time() -> Duration {
    const TICK_MS: u64 = 10;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The command name may hold spaces; the fields after its closing parenthesis do not.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    // utime and stime are fields 14 and 15 of the whole line, 11 and 12 counted from after the name.
    Duration::from_millis((ticks(11) + ticks(12)) * TICK_MS)
}

/// The most memory this process has had resident so far, in MiB (proc(5): VmHWM).
pub(crate) fn peak_memory_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<f64>().ok())
        .map_or(0.0, |kib| kib / 1024.0)
}
