//! Kill tests: `USHER_KILL_AT=after-call:3` makes the process kill itself (SIGKILL) when it reaches that point for the third
//! time. A test facility: the crash tests use it to end the process at every named point. Without the variable it does nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use usher_engine::ports::{Point, Probes};

/// The variable.
pub(crate) const KILL_AT: &str = "USHER_KILL_AT";

/// Kills the process at a point, if asked to.
#[derive(Debug, Default)]
pub(crate) struct ProcessProbes {
    kill_at: Option<(Point, u64)>,
    reached: AtomicU64,
}

impl ProcessProbes {
    /// As [`KILL_AT`] says.
    pub(crate) fn from_env() -> Result<Self, String> {
        match std::env::var(KILL_AT) {
            Ok(text) => Ok(Self {
                kill_at: Some(parse(&text)?),
                ..Self::default()
            }),
            Err(std::env::VarError::NotPresent) => Ok(Self::default()),
            Err(error) => Err(format!("{KILL_AT}: {error}")),
        }
    }
}

fn parse(text: &str) -> Result<(Point, u64), String> {
    let (name, times) = text.split_once(':').unwrap_or((text, "1"));
    let point = all_points().find(|point| point.name() == name);
    let times = times.parse::<u64>().ok().filter(|times| *times > 0);
    point.zip(times).ok_or_else(|| {
        let points = all_points().map(Point::name).collect::<Vec<_>>().join(", ");
        format!("{KILL_AT}=`{text}` is not POINT:N with N from 1; the points are {points}")
    })
}

impl Probes for ProcessProbes {
    fn reached(&self, point: Point) {
        let Some((wanted, times)) = self.kill_at else {
            return;
        };
        if point == wanted && self.reached.fetch_add(1, Ordering::SeqCst) + 1 == times {
            // Not an orderly end: no destructors, no buffers written, as when the power fails. Nothing may happen after it.
            let _ = kill(Pid::this(), Signal::SIGKILL);
            loop {
                std::thread::park();
            }
        }
    }
}

/// Every point there is.
fn all_points() -> impl Iterator<Item = Point> {
    Point::ALL.into_iter().chain(Point::OF_RECONCILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_can_be_named() {
        for point in all_points() {
            assert_eq!(parse(&format!("{}:3", point.name())), Ok((point, 3)));
            assert_eq!(parse(point.name()), Ok((point, 1)));
        }
    }

    #[test]
    fn a_typo_does_not_pass_as_no_kill() {
        for bad in ["", "after-cal:1", "after-call:0", "after-call:", "after-call:x"] {
            assert!(parse(bad).unwrap_err().contains("after-call"), "{bad}");
        }
    }
}
