//! A target during a run: what is claimed of it, what is under way, whether it rests.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use usher_lifecycle::connector::Creation;
use usher_lifecycle::retry::{BACK_OFF_BASE_MS, BACK_OFF_MAX_MS};
use usher_store::ClaimedOperation;

use super::worker::{Link, later};

/// Operations claimed ahead of the free workers, per target: enough that workers do not idle while a commit is under way and that
/// commits are few (fewer ahead was markedly slower when measured), few enough that a crash leaves little to read back.
const CLAIMED_AHEAD: u32 = 248;

/// Calls in a row that find a target unreachable before it rests: fewer could be the bad luck of a few calls, more would try a dead
/// target once for each operation in its queue.
const UNREACHABLE_MAX: u32 = 8;

/// Whether the connector is there.
pub(super) enum Loading {
    /// Nobody needed it yet.
    NotAsked,
    /// Being loaded.
    Asked,
    /// Here.
    Ready(Arc<Link>),
}

/// A target during a run.
pub(super) struct TargetRun {
    /// Most calls at once, as the targets document says.
    concurrency: u32,
    /// Calls at once that the target bears now: halved when it asks for a rest, one more with each success.
    pub(super) allowed: u32,
    /// Rests in a row without a success in between.
    rests_in_a_row: u32,
    /// Calls in a row that could not reach it, without a success in between.
    unreachable_in_a_row: u32,
    pub(super) creation: Creation,
    pub(super) loading: Loading,
    /// Claimed, waiting for a worker. The flag: the absence of the account is on record.
    pub(super) waiting: VecDeque<(ClaimedOperation, bool)>,
    /// Workers busy.
    pub(super) busy: u32,
    /// Claimed and neither waiting nor with a worker: their absence is being recorded.
    pub(super) recording: u32,
    /// Rests until then; [`Timestamp::MAX`] for the rest of the run.
    pub(super) paused_until: Option<Timestamp>,
    /// The last claim found less than it asked for: nothing more is ready until something changes.
    pub(super) dry: bool,
}

impl TargetRun {
    pub(super) fn new(concurrency: u32, creation: Creation) -> Self {
        Self {
            concurrency: concurrency.max(1),
            allowed: concurrency.max(1),
            rests_in_a_row: 0,
            unreachable_in_a_row: 0,
            creation,
            loading: Loading::NotAsked,
            waiting: VecDeque::new(),
            busy: 0,
            recording: 0,
            paused_until: None,
            dry: false,
        }
    }

    /// How many more operations may be claimed.
    pub(super) fn room(&self) -> u32 {
        let ahead = match self.creation {
            // A creation that was claimed when the process died goes to a person there: claim only what starts at once.
            Creation::None => 0,
            // A slow target gives back at each rest what was claimed ahead: the slower, the less.
            Creation::Marker | Creation::ClientId(_) | Creation::UniqueKey(_) => {
                CLAIMED_AHEAD * self.allowed / self.concurrency
            }
        };
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        (self.allowed + ahead)
            .saturating_sub(waiting.saturating_add(self.busy).saturating_add(self.recording))
    }

    /// An operation came to its end: the target bears one more at once. What ends during a rest began before it and says nothing of
    /// the time after.
    pub(super) fn succeeded(&mut self, now: Timestamp) {
        self.unreachable_in_a_row = 0;
        if !self.rests(now) {
            self.allowed = (self.allowed + 1).min(self.concurrency);
            self.rests_in_a_row = 0;
        }
    }

    /// A call could not reach the target. After [`UNREACHABLE_MAX`] of them it must rest: until then, and longer each time.
    pub(super) fn unreachable(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.unreachable_in_a_row = self.unreachable_in_a_row.saturating_add(1);
        (self.unreachable_in_a_row >= UNREACHABLE_MAX).then(|| later(now, BACK_OFF_BASE_MS))
    }

    /// A call came back with the wish that the target rests until then: slows down. Returns until when it must rest, never earlier
    /// than asked. Calls that come back during a rest began before it: they are of the same burst and slow down nothing more.
    pub(super) fn slow_down(&mut self, now: Timestamp, asked: Timestamp) -> Timestamp {
        if self.rests(now) {
            return self
                .paused_until
                .filter(|until| *until != Timestamp::MAX)
                .map_or(asked, |until| until.max(asked));
        }
        self.allowed = (self.allowed / 2).max(1);
        let wait_ms = u64::try_from(asked.duration_since(now).as_millis()).unwrap_or(0);
        let until = later(now, lengthened_ms(wait_ms, self.rests_in_a_row)).max(asked);
        self.rests_in_a_row = self.rests_in_a_row.saturating_add(1);
        until
    }

    /// Whether it rests at this moment; a rest that is over is forgotten.
    pub(super) fn rests(&mut self, now: Timestamp) -> bool {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            self.dry = false;
        }
        self.paused_until.is_some()
    }
}

/// A rest after so many others that helped nothing: doubled for each, up to the longest wait between attempts, never shorter than
/// asked.
fn lengthened_ms(asked_ms: u64, rests_before: u32) -> u64 {
    if rests_before == 0 {
        return asked_ms;
    }
    // 2^10 times the shortest is already beyond the longest wait.
    let doubled = asked_ms.max(BACK_OFF_BASE_MS) << rests_before.min(10);
    doubled.min(BACK_OFF_MAX_MS).max(asked_ms)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn after(now: Timestamp, ms: i64) -> Timestamp {
        now.checked_add(SignedDuration::from_millis(ms)).unwrap()
    }

    #[test]
    fn a_rest_halves_what_runs_at_once_and_each_success_adds_one() {
        let mut now = Timestamp::UNIX_EPOCH;
        let mut target = TargetRun::new(8, Creation::None);
        let mut allowed = Vec::new();
        for _ in 0..4 {
            let until = target.slow_down(now, after(now, 1_000));
            target.paused_until = Some(until);
            assert_eq!(target.slow_down(now, after(now, 900)), until, "the same burst");
            target.succeeded(now);
            allowed.push(target.allowed);
            now = until;
        }
        assert_eq!(allowed, [4, 2, 1, 1]);
        assert_eq!(target.room(), 1);
        for _ in 0..20 {
            target.succeeded(now);
        }
        assert_eq!(target.allowed, 8, "never more than the document says");
    }

    #[test]
    fn rests_in_a_row_double_until_a_success() {
        let mut now = Timestamp::UNIX_EPOCH;
        let mut target = TargetRun::new(8, Creation::Marker);
        let mut rest = |target: &mut TargetRun, asked_ms| {
            let until = target.slow_down(now, after(now, asked_ms));
            let ms = until.duration_since(now).as_millis();
            target.paused_until = Some(until);
            now = until;
            ms
        };
        let rests: Vec<i128> = [500, 500, 500, 3_000, 3_600_000, 0]
            .map(|ms| rest(&mut target, ms))
            .into();
        assert_eq!(rests, [500, 2_000, 4_000, 24_000, 3_600_000, 32_000]);
        let longest = (0..40).map(|_| rest(&mut target, 1)).max();
        assert_eq!(longest, Some(i128::from(BACK_OFF_MAX_MS)));
        target.paused_until = None;
        target.succeeded(Timestamp::UNIX_EPOCH);
        assert_eq!(rest(&mut target, 500), 500);
    }
}
