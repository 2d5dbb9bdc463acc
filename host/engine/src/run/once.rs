//! Running until nothing is ready any more.

use jiff::Timestamp;
use usher_store::{Context, StoreError};

use super::hand::Hand;
use super::stop::Stop;
use super::worker::later;
use crate::error::EngineError;

/// How long a person's apply tries to put on record what is finished while the store fails, in milliseconds: a restart of a database is over
/// by then.
const PATIENCE_MS: u64 = 30_000;

/// How often is looked whether other hosts have seen this process, in milliseconds.
const SETTLED_LOOK_MS: u64 = 100;

impl Hand<'_> {
    /// Runs until nothing is ready any more.
    ///
    /// # Errors
    /// The store fails for longer than [`PATIENCE_MS`]; what is finished and not on record is read back by whoever comes next.
    pub(super) async fn run(&mut self, context: &Context, stop: &Stop) -> Result<(), EngineError> {
        let mut wakes = self.ports.store.wakes();
        let mut failing = Failing::default();
        self.look_again();
        loop {
            if stop.is_requested() && !self.winding_up {
                self.wind_up();
            }
            match self.step(context).await {
                Ok(true) => failing = Failing::default(),
                Ok(false) if self.tasks.is_empty() => {
                    if self.winding_up || self.ports.store.membership().settled {
                        return Ok(());
                    }
                    // Others must have seen this process before it takes its share of what all share.
                    let look = later(self.ports.clock.now(), SETTLED_LOOK_MS);
                    self.sleep_working(look).await;
                }
                Ok(false) => {
                    failing = Failing::default();
                    let cut = self.until_cut();
                    tokio::select! {
                        came_back = self.event() => debug_assert!(came_back, "something is under way"),
                        () = cut => self.cut_due(),
                        () = wakes.next() => {
                            self.look_again();
                            if let Err(error) = self.make_room(context).await {
                                self.wait(&mut failing, error).await?;
                            }
                        }
                        () = stop.requested(), if !self.winding_up => {}
                    }
                }
                Err(error) => self.wait(&mut failing, error).await?,
            }
        }
    }

    /// What others wait for goes first.
    async fn make_room(&mut self, context: &Context) -> Result<(), StoreError> {
        self.heed_cuts().await?;
        self.claim_urgent(context).await
    }

    /// Waits before the store is tried again; calls under way go on meanwhile. The error when it has failed for too long, or cannot be mended
    /// by waiting.
    pub(super) async fn wait(&mut self, failing: &mut Failing, error: StoreError) -> Result<(), EngineError> {
        let now = self.ports.clock.now();
        let since = *failing.since.get_or_insert(now);
        if ends(&error) || now >= later(since, PATIENCE_MS) {
            return Err(error.into());
        }
        let again = later(now, failing.next_wait_ms());
        self.sleep_working(again).await;
        Ok(())
    }

    /// Waits until then; what comes back meanwhile is taken in.
    pub(crate) async fn sleep_working(&mut self, until: Timestamp) {
        let clock = std::sync::Arc::clone(&self.ports.clock);
        let mut over = clock.sleep_until(until);
        loop {
            tokio::select! {
                () = &mut over => return,
                _ = self.event(), if !self.tasks.is_empty() => {}
            }
        }
    }
}

/// The first wait after the store has failed, in milliseconds.
const FIRST_WAIT_MS: u64 = 100;
/// The longest wait between two tries, in milliseconds: a store that is back is noticed soon, one that is down for hours is not hammered.
const LONGEST_WAIT_MS: u64 = 5_000;

/// How long something has been failing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failing {
    since: Option<Timestamp>,
    times: u32,
}

impl Failing {
    /// How long to wait before the next try: doubled each time.
    pub(crate) fn next_wait_ms(&mut self) -> u64 {
        let wait_ms = (FIRST_WAIT_MS << self.times.min(10)).min(LONGEST_WAIT_MS);
        self.times = self.times.saturating_add(1);
        wait_ms
    }
}

/// Whether waiting cannot mend this: a person or another program is needed.
pub(crate) const fn ends(error: &StoreError) -> bool {
    match error {
        StoreError::Version(_) | StoreError::Key(_) | StoreError::Corrupt { .. } | StoreError::Damaged(_) => {
            true
        }
        StoreError::NotFound(_)
        | StoreError::Stale(_)
        | StoreError::InUse(_)
        | StoreError::Fenced(_)
        | StoreError::Frozen(_)
        | StoreError::Contended(_)
        | StoreError::Disk { .. }
        | StoreError::Unavailable { .. } => false,
    }
}
