//! What becomes of the hand when the store fails, or when others have taken over.

use tokio::task::JoinSet;
use usher_store::{Claim, Context, StoreError};

use super::hand::{Hand, State};
use super::record::simulated_failure;
use super::target::Loading;
use crate::ports::Point;

impl Hand<'_> {
    /// Others have found this writer's lease over and closed it: its heartbeat is not taken any more. Where nothing of it is left to be
    /// recorded, no commit would ever tell.
    pub(super) fn is_taken_over(&self) -> bool {
        let store = &self.ports.store;
        if store.lease_holds() {
            return false;
        }
        let membership = store.membership();
        !membership.writers.contains(&membership.own)
    }

    /// After a failure: everything finished goes on record before anything begins.
    pub(super) async fn mend(&mut self, strays: bool, context: &Context) -> Result<bool, StoreError> {
        if !self.nothing_to_record() {
            self.commit(Claim::default(), context).await?;
            return Ok(true);
        }
        if self.ports.probes.store_fails(Point::BeforeClaim) {
            return Err(simulated_failure());
        }
        if strays {
            self.ports.store.release_strays(&self.held()).await?;
        }
        self.state = State::Well;
        self.look_again();
        self.start_all();
        Ok(true)
    }

    /// The store has failed.
    pub(super) fn cut(&mut self) {
        let strays = match self.state {
            State::Cut { strays } => strays,
            State::Well => true,
            State::Fenced => return,
        };
        self.state = State::Cut { strays };
    }

    /// Others have taken over what was in hand, or will: nothing of it counts, and calls under way are cut short, because somebody else
    /// may be at work on the same accounts.
    pub(crate) fn forget(&mut self) {
        self.state = State::Fenced;
        self.tasks = JoinSet::new();
        self.under_way.clear();
        self.cuts.clear();
        self.finished.clear();
        self.absent.clear();
        for target in self.targets.values_mut() {
            target.waiting.clear();
            (target.busy, target.recording, target.dry) = (0, 0, false);
            if matches!(target.loading, Loading::Asked) {
                target.loading = Loading::NotAsked;
            }
        }
    }
}
