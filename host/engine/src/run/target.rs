//! A target during a run: what is claimed of it, what is under way, whether it rests.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use usher_lifecycle::connector::Creation;
use usher_store::ClaimedOperation;

use super::worker::Link;

/// Operations claimed ahead of the free workers, per target: enough that workers do not idle while a commit is under way and that
/// commits are few (three times the rate of 56, measured), few enough that a crash leaves little to read back.
const CLAIMED_AHEAD: u32 = 248;

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
    pub(super) concurrency: u32,
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
            Creation::Marker | Creation::ClientId(_) | Creation::UniqueKey(_) => CLAIMED_AHEAD,
        };
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        (self.concurrency + ahead)
            .saturating_sub(waiting.saturating_add(self.busy).saturating_add(self.recording))
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
