//! Making way for security holds: what is in hand on their accounts and keeps them waiting is given back, or cut short in time.

use std::sync::Arc;

use tokio::sync::oneshot;
use usher_lifecycle::operation::{Priority, Work};
use usher_store::StoreError;

use super::attempt::Finished;
use super::hand::Hand;

/// How long a security hold waits for a call under way on the same account, in milliseconds: nearly every call is over by then, and a target
/// that hangs keeps nobody's access alive for longer.
pub(crate) const IN_FLIGHT_WAIT_MS: u64 = 5_000;

impl Hand<'_> {
    /// Asks the store what of this writer's claims security holds wait for.
    pub(crate) async fn heed_cuts(&mut self) -> Result<(), StoreError> {
        let cuts = self.ports.store.cuts().await?;
        self.cuts = cuts.into_iter().map(|cut| (cut.number, cut.at)).collect();
        let marked: Vec<i64> = self.cuts.keys().copied().collect();
        for number in marked {
            if !self.under_way.contains_key(&number) {
                self.make_way(number);
            }
        }
        self.cut_due();
        Ok(())
    }

    /// What has not begun does not begin; a creation that may have taken effect is settled at once.
    fn make_way(&mut self, number: i64) {
        let now = self.ports.clock.now();
        let mut found = None;
        for (name, target) in &mut self.targets {
            if let Some(operation) = target.take_out(number) {
                found = Some((name.clone(), operation));
                break;
            }
        }
        let Some((name, mut operation)) = found else {
            return;
        };
        if let (Work::Create { .. }, true) = (&operation.work, operation.settle) {
            self.cuts.remove(&number);
            operation.priority = Priority::SecurityHold;
            if let Some(target) = self.targets.get_mut(&name) {
                target.take_in(operation);
            }
            self.start(&name);
        } else {
            self.finished.push(Finished::give_way(operation, now));
        }
    }

    /// Cuts short what was waited for long enough.
    pub(crate) fn cut_due(&mut self) {
        if self.cuts.is_empty() {
            return;
        }
        let now = self.ports.clock.now();
        let due: Vec<i64> = self
            .cuts
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in due {
            if let Some(cut) = self.under_way.remove(&number) {
                self.cuts.remove(&number);
                // The worker may have come to its end at this moment: then its own outcome counts.
                let asked = cut.send(());
                debug_assert!(
                    asked.is_ok() || self.is_working(),
                    "a worker that ended is still to be heard"
                );
                // It stays known as under way until it has come back, so that it is never taken for a claim that has not begun.
                self.under_way.insert(number, oneshot::channel().0);
            }
        }
    }

    /// Waits until the next of them is to be cut short: for ever where there is none.
    pub(super) fn until_cut(&self) -> impl Future<Output = ()> + use<> {
        let clock = Arc::clone(&self.ports.clock);
        let under_way = self
            .cuts
            .iter()
            .filter(|(number, _)| self.under_way.contains_key(number));
        let next = under_way.map(|(_, at)| *at).min();
        async move {
            match next {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }
}
