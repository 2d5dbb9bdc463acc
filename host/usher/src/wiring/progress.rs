//! Progress bars, when a terminal watches.

use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use usher_engine::{Phase, Progress};

use crate::output::Output;

/// Draws one bar for the phase that is under way; nothing when nobody watches.
#[derive(Debug)]
pub(crate) struct Bars {
    current: Option<Mutex<Option<(Phase, ProgressBar)>>>,
}

impl Bars {
    /// As the output wants it.
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            current: output.shows_progress().then(|| Mutex::new(None)),
        }
    }
}

impl Progress for Bars {
    fn at(&self, phase: Phase, done: u64, total: u64) {
        let Some(current) = &self.current else { return };
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = match current.take() {
            Some((shown, bar)) if shown == phase => bar,
            earlier => {
                if let Some((_, bar)) = earlier {
                    bar.finish_and_clear();
                }
                bar(phase)
            }
        };
        bar.set_length(total.max(done));
        bar.set_position(done);
        *current = Some((phase, bar));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if let Some(current) = &self.current
            && let Some((_, bar)) = current.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            bar.finish_and_clear();
        }
    }
}

/// A bar of bytes, when somebody watches.
#[derive(Clone, Debug)]
pub(crate) struct Bytes(Option<ProgressBar>);

/// A bar of bytes, as the output wants it.
pub(crate) fn bytes(output: &Output, what: &'static str) -> Bytes {
    let bar = || {
        let bar = ProgressBar::new(0).with_message(what);
        match ProgressStyle::with_template("{msg:>10} {bar:30} {bytes}/{total_bytes} {elapsed}") {
            Ok(style) => bar.with_style(style),
            // The template is fixed; without it the bar has its own style.
            Err(_) => bar,
        }
    };
    Bytes(output.shows_progress().then(bar))
}

impl Bytes {
    /// So many of so many.
    pub(crate) fn at(&self, done: u64, of: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(of.max(done));
            bar.set_position(done);
        }
    }

    /// Takes it away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn bar(phase: Phase) -> ProgressBar {
    let bar = ProgressBar::new(0).with_message(phase.name());
    match ProgressStyle::with_template("{msg:>10} {bar:30} {human_pos}/{human_len} {elapsed}") {
        Ok(style) => bar.with_style(style),
        // The template is fixed and read by a test; without it the bar has its own style.
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_follow_the_phases() {
        let bars = Bars {
            current: Some(Mutex::new(None)),
        };
        bars.at(Phase::Planning, 3, 10);
        bars.at(Phase::Running, 1, 0);
        let current = bars.current.as_ref().unwrap().lock().unwrap();
        let (phase, bar) = current.as_ref().unwrap();
        assert_eq!(
            (*phase, bar.position(), bar.length()),
            (Phase::Running, 1, Some(1))
        );
        assert_eq!(bar.message(), "running");
    }
}
