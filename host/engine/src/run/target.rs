//! A target during a run: what is claimed of it, what is under way, whether it rests.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use usher_lifecycle::connector::Creation;
use usher_lifecycle::operation::Priority;
use usher_lifecycle::retry::{BACK_OFF_BASE_MS, BACK_OFF_MAX_MS};
use usher_store::ClaimedOperation;

use super::worker::{Link, later};

/// Operations claimed ahead of the free workers, per target: enough that workers do not idle while a commit is under way and that
/// commits are few (fewer ahead was markedly slower when measured), few enough that a crash leaves little to read back.
const CLAIMED_AHEAD: u32 = 248;

/// Operations claimed ahead for each worker where other hosts are at work too: what one has claimed the others cannot do, so it is only
/// as much as keeps workers busy during a commit.
const CLAIMED_AHEAD_BESIDE_OTHERS: u32 = 16;

/// Calls in a row that find a target unreachable before it rests: fewer could be the bad luck of a few calls, more would try a dead
/// target once for each operation in its queue.
const UNREACHABLE_MAX: u32 = 8;

/// The longest rest of a target that refuses its credential or settings, in milliseconds (4 hours): each try may count towards locking the
/// account it is made with.
const REFUSED_MAX_MS: u64 = 4 * 60 * 60 * 1_000;

/// Whether the connector is there.
pub(super) enum Loading {
    /// Nobody needed it yet.
    NotAsked,
    /// Being loaded.
    Asked,
    /// Here.
    Ready(Arc<Link>),
}

/// A rest of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resting {
    /// [`Timestamp::MAX`] for the rest of the run.
    pub(super) until: Timestamp,
    /// The store knows of it, so that whoever ends it there ends it here.
    pub(super) on_record: bool,
}

/// Why a target is asked to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// It bears fewer calls, or cannot be reached.
    SlowDown,
    /// It refuses the credential or the settings.
    Refused,
}

/// Which operations of a target this process carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    /// All.
    All,
    /// Only what a security hold asks for: the target observes, or waits for a person.
    Urgent,
}

/// Whether a security hold asks for it.
pub(super) fn is_urgent(operation: &ClaimedOperation) -> bool {
    operation.priority == Priority::SecurityHold
}

/// A target during a run.
pub(super) struct TargetRun {
    pub(super) carries: Carries,
    /// Most calls at once, as the targets document says.
    pub(super) concurrency: u32,
    /// As many of them are this replica's.
    share: u32,
    /// No other replica is there.
    alone: bool,
    /// Calls at once that the target bears now: halved when it asks for a rest, one more with each success.
    bears: u32,
    /// Rests in a row without a success in between.
    rests_in_a_row: u32,
    /// Calls in a row that could not reach it, without a success in between.
    unreachable_in_a_row: u32,
    /// How often its connector could not be loaded, without a success in between.
    pub(super) load_failures: u32,
    pub(super) creation: Creation,
    pub(super) loading: Loading,
    /// Claimed, waiting for a worker, the most urgent first. The flag: the absence of the account is on record.
    pub(super) waiting: VecDeque<(ClaimedOperation, bool)>,
    /// Workers busy.
    pub(super) busy: u32,
    /// Claimed and neither waiting nor with a worker: their absence is being recorded.
    pub(super) recording: u32,
    pub(super) resting: Option<Resting>,
    /// The last claim found less than it asked for: nothing more is ready until something changes.
    pub(super) dry: bool,
    /// The same of a claim of what security holds ask for.
    pub(super) urgent_dry: bool,
    /// Its connector cannot be had in this process: others may have it.
    pub(super) unloadable: bool,
}

impl TargetRun {
    pub(super) fn new(concurrency: u32, creation: Creation, carries: Carries) -> Self {
        Self {
            carries,
            concurrency: concurrency.max(1),
            share: concurrency.max(1),
            alone: true,
            bears: concurrency.max(1),
            rests_in_a_row: 0,
            unreachable_in_a_row: 0,
            load_failures: 0,
            creation,
            loading: Loading::NotAsked,
            waiting: VecDeque::new(),
            busy: 0,
            recording: 0,
            resting: None,
            dry: false,
            urgent_dry: false,
            unloadable: false,
        }
    }

    /// The same target under a new document: what is under way goes on and counts, what it has shown to bear is kept.
    pub(super) fn renewed(&self, concurrency: u32, creation: Creation, carries: Carries) -> Self {
        let new = Self::new(concurrency, creation, carries);
        Self {
            bears: self.bears.min(new.concurrency),
            rests_in_a_row: self.rests_in_a_row,
            busy: self.busy,
            recording: self.recording,
            ..new
        }
    }

    /// Calls at once that may be under way here now.
    pub(super) fn allowed(&self) -> u32 {
        self.bears.min(self.share)
    }

    /// Most operations in hand: with workers, and claimed ahead of them.
    fn capacity(&self) -> u32 {
        let allowed = self.allowed();
        let ahead = match self.creation {
            // A creation that was claimed when the process died goes to a person there: claim only what starts at once.
            Creation::None => 0,
            // A slow target gives back at each rest what was claimed ahead: the slower, the less.
            Creation::Marker | Creation::ClientId(_) | Creation::UniqueKey(_) => {
                let ahead = u64::from(CLAIMED_AHEAD) * u64::from(allowed) / u64::from(self.concurrency);
                let ahead = u32::try_from(ahead).unwrap_or(CLAIMED_AHEAD);
                if self.alone {
                    ahead
                } else {
                    ahead.min(allowed.saturating_mul(CLAIMED_AHEAD_BESIDE_OTHERS))
                }
            }
        };
        allowed.saturating_add(ahead)
    }

    fn in_hand(&self) -> u32 {
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        waiting.saturating_add(self.busy).saturating_add(self.recording)
    }

    /// How many more operations may be claimed.
    pub(super) fn room(&self) -> u32 {
        self.capacity().saturating_sub(self.in_hand())
    }

    /// When the hand is full: how many operations more urgent than which may be claimed all the same. They go before what waits, so there
    /// is no use for more of them than workers.
    pub(super) fn urgent_room(&self) -> Option<(u32, Priority)> {
        let least = self.waiting.back()?.0.priority;
        let urgent = self
            .waiting
            .iter()
            .take_while(|(waiting, _)| waiting.priority < least)
            .count();
        let room = self
            .allowed()
            .saturating_sub(u32::try_from(urgent).unwrap_or(u32::MAX));
        (self.room() == 0 && room > 0).then_some((room, least))
    }

    /// Whether nothing but what a security hold asks for may begin here now.
    pub(super) fn only_urgent(&mut self, now: Timestamp) -> bool {
        self.rests(now) || self.carries == Carries::Urgent
    }

    /// How many operations of security holds may be claimed where nothing else is. One is always borne: such a hold does not wait until this
    /// replica has a share, or until a target that was slow is trusted again.
    pub(super) fn room_for_stops(&self) -> u32 {
        if self.unloadable {
            return 0;
        }
        let waiting = self
            .waiting
            .iter()
            .filter(|(waiting, _)| is_urgent(waiting))
            .count();
        self.allowed_urgent()
            .saturating_sub(u32::try_from(waiting).unwrap_or(u32::MAX))
            .saturating_sub(self.busy)
    }

    /// Calls at once while the next is of a security hold.
    fn allowed_urgent(&self) -> u32 {
        self.allowed().max(1)
    }

    /// Takes the next operation for a free worker.
    pub(super) fn next(&mut self) -> Option<(ClaimedOperation, bool)> {
        let (front, _) = self.waiting.front()?;
        let allowed = if is_urgent(front) {
            self.allowed_urgent()
        } else {
            self.allowed()
        };
        if self.busy < allowed {
            self.waiting.pop_front()
        } else {
            None
        }
    }

    /// Takes out what waits here and is not asked for by a security hold.
    pub(super) fn drain_ordinary(&mut self) -> Vec<ClaimedOperation> {
        let (urgent, ordinary): (VecDeque<_>, VecDeque<_>) = self
            .waiting
            .drain(..)
            .partition(|(waiting, _)| is_urgent(waiting));
        self.waiting = urgent;
        ordinary.into_iter().map(|(operation, _)| operation).collect()
    }

    /// Takes out what security holds ask for.
    pub(super) fn drain_urgent(&mut self) -> Vec<ClaimedOperation> {
        let (urgent, ordinary): (VecDeque<_>, VecDeque<_>) = self
            .waiting
            .drain(..)
            .partition(|(waiting, _)| is_urgent(waiting));
        self.waiting = ordinary;
        urgent.into_iter().map(|(operation, _)| operation).collect()
    }

    /// Takes out one that waits here.
    pub(super) fn take_out(&mut self, number: i64) -> Option<ClaimedOperation> {
        let place = self
            .waiting
            .iter()
            .position(|(waiting, _)| waiting.number == number)?;
        self.waiting.remove(place).map(|(operation, _)| operation)
    }

    /// Puts a claimed operation behind what is as urgent.
    pub(super) fn take_in(&mut self, operation: ClaimedOperation) {
        let place = self
            .waiting
            .partition_point(|(waiting, _)| waiting.priority <= operation.priority);
        self.waiting.insert(place, (operation, false));
    }

    /// Puts a creation whose absence is on record before what is as urgent.
    pub(super) fn take_on(&mut self, operation: ClaimedOperation) {
        let place = self
            .waiting
            .partition_point(|(waiting, _)| waiting.priority < operation.priority);
        self.waiting.insert(place, (operation, true));
    }

    /// This replica's share has changed. Returns what is in hand and too much now.
    pub(super) fn set_share(&mut self, share: u32, alone: bool) -> Vec<ClaimedOperation> {
        if (share, alone) == (self.share, self.alone) {
            return Vec::new();
        }
        if share > self.share {
            self.dry = false;
        }
        (self.share, self.alone) = (share, alone);
        let excess = self.in_hand().saturating_sub(self.capacity());
        let urgent = self
            .waiting
            .iter()
            .filter(|(waiting, _)| is_urgent(waiting))
            .count();
        let kept = self
            .waiting
            .len()
            .saturating_sub(excess.try_into().unwrap_or(usize::MAX))
            .max(urgent);
        self.waiting
            .drain(kept..)
            .map(|(operation, _)| operation)
            .collect()
    }

    /// An operation came to its end: the target bears one more at once. What ends during a rest began before it and says nothing of
    /// the time after.
    pub(super) fn succeeded(&mut self, now: Timestamp) {
        self.unreachable_in_a_row = 0;
        if !self.rests(now) {
            self.bears = (self.bears + 1).min(self.concurrency);
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
    pub(super) fn slow_down(&mut self, now: Timestamp, asked: Timestamp, ask: Ask) -> Timestamp {
        if self.rests(now) {
            return self
                .resting
                .filter(|resting| resting.until != Timestamp::MAX)
                .map_or(asked, |resting| resting.until.max(asked));
        }
        self.bears = (self.allowed() / 2).max(1);
        let wait_ms = u64::try_from(asked.duration_since(now).as_millis()).unwrap_or(0);
        let until = later(now, lengthened_ms(wait_ms, self.rests_in_a_row, ask)).max(asked);
        self.rests_in_a_row = self.rests_in_a_row.saturating_add(1);
        until
    }

    /// Whether it rests at this moment; a rest that is over is forgotten.
    pub(super) fn rests(&mut self, now: Timestamp) -> bool {
        if self.resting.is_some_and(|resting| resting.until <= now) {
            self.end_rest();
        }
        self.resting.is_some()
    }

    pub(super) fn end_rest(&mut self) {
        self.resting = None;
        self.dry = false;
    }
}

/// A rest after so many others that helped nothing: doubled for each, up to the longest wait between attempts, never shorter than
/// asked.
fn lengthened_ms(asked_ms: u64, rests_before: u32, ask: Ask) -> u64 {
    if rests_before == 0 {
        return asked_ms;
    }
    let longest = match ask {
        Ask::SlowDown => BACK_OFF_MAX_MS,
        Ask::Refused => REFUSED_MAX_MS,
    };
    // 2^10 times the shortest is already beyond the longest wait.
    let doubled = asked_ms.max(BACK_OFF_BASE_MS) << rests_before.min(10);
    doubled.min(longest).max(asked_ms)
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
        let mut target = TargetRun::new(8, Creation::None, Carries::All);
        let mut allowed = Vec::new();
        for _ in 0..4 {
            let until = target.slow_down(now, after(now, 1_000), Ask::SlowDown);
            target.resting = Some(Resting {
                until,
                on_record: false,
            });
            assert_eq!(
                target.slow_down(now, after(now, 900), Ask::SlowDown),
                until,
                "the same burst"
            );
            target.succeeded(now);
            allowed.push(target.allowed());
            now = until;
        }
        assert_eq!(allowed, [4, 2, 1, 1]);
        assert_eq!(target.room(), 1);
        for _ in 0..20 {
            target.succeeded(now);
        }
        assert_eq!(target.allowed(), 8, "never more than the document says");
    }

    #[test]
    fn rests_in_a_row_double_until_a_success() {
        let mut now = Timestamp::UNIX_EPOCH;
        let mut target = TargetRun::new(8, Creation::Marker, Carries::All);
        let mut rest = |target: &mut TargetRun, asked_ms| {
            let until = target.slow_down(now, after(now, asked_ms), Ask::SlowDown);
            let ms = until.duration_since(now).as_millis();
            target.resting = Some(Resting {
                until,
                on_record: false,
            });
            now = until;
            ms
        };
        let rests: Vec<i128> = [500, 500, 500, 3_000, 3_600_000, 0]
            .map(|ms| rest(&mut target, ms))
            .into();
        assert_eq!(rests, [500, 2_000, 4_000, 24_000, 3_600_000, 32_000]);
        let longest = (0..40).map(|_| rest(&mut target, 1)).max();
        assert_eq!(longest, Some(i128::from(BACK_OFF_MAX_MS)));
        target.resting = None;
        target.succeeded(Timestamp::UNIX_EPOCH);
        assert_eq!(rest(&mut target, 500), 500);
    }

    #[test]
    fn rests_of_a_refused_credential_grow_beyond_the_usual() {
        let mut now = Timestamp::UNIX_EPOCH;
        let mut target = TargetRun::new(8, Creation::Marker, Carries::All);
        let minutes: Vec<i128> = (0..6)
            .map(|_| {
                let until = target.slow_down(now, after(now, 15 * 60_000), Ask::Refused);
                let rest = until.duration_since(now).as_millis() / 60_000;
                now = until;
                rest
            })
            .collect();
        assert_eq!(minutes, [15, 30, 60, 120, 240, 240]);
    }

    #[test]
    fn a_smaller_share_means_fewer_calls_and_less_in_hand() {
        let mut target = TargetRun::new(8, Creation::Marker, Carries::All);
        assert_eq!((target.allowed(), target.room()), (8, 256));
        assert!(target.set_share(2, false).is_empty());
        assert_eq!((target.allowed(), target.room()), (2, 34));
        target.dry = true;
        target.set_share(0, false);
        assert_eq!((target.allowed(), target.room(), target.dry), (0, 0, true));
        target.set_share(1, false);
        assert!(!target.dry, "what others had is asked for again");
    }
}
