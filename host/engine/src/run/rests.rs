//! Rests of targets: asked for by a target, shared with every writer through the store, ended there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::name::TargetName;
use usher_store::{ClaimedOperation, Rest, StoreError};

use super::attempt::Finished;
use super::hand::Hand;
use super::target::{Resting, TargetRun, is_urgent};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::observer::Seen;

impl Engine {
    /// Ends the rest of a target, on every host: a person has seen that it answers. `false`: it did not rest.
    ///
    /// # Errors
    /// The store fails.
    pub async fn end_rest(&self, target: &TargetName, actor: Actor) -> Result<bool, EngineError> {
        let targets = std::slice::from_ref(target);
        Ok(self.ports.store.end_rests(targets, &self.context(actor)).await? > 0)
    }
}

impl Hand<'_> {
    /// Lets a target rest, here at once and everywhere with the next commit. The longer rest counts.
    pub(super) fn rest(&mut self, name: &TargetName, until: Timestamp, reason: &str) {
        if self.begin_rest(name, until, reason, false) {
            self.rests.push(Rest {
                target: name.clone(),
                until,
                reason: reason.to_owned(),
            });
        }
    }

    /// Lets a target rest in this process only: what is wrong is wrong here.
    pub(super) fn rest_here(&mut self, name: &TargetName, until: Timestamp, reason: &str) {
        self.begin_rest(name, until, reason, false);
    }

    /// Lets targets rest that rest on record.
    pub(super) fn rest_too(&mut self, rests: Vec<Rest>) {
        for rest in rests {
            self.begin_rest(&rest.target, rest.until, &rest.reason, true);
        }
    }

    /// `false` when it rests for as long already.
    fn begin_rest(&mut self, name: &TargetName, until: Timestamp, reason: &str, on_record: bool) -> bool {
        let Some(target) = self.targets.get_mut(name) else {
            return false;
        };
        if target.resting.is_some_and(|resting| resting.until >= until) {
            return false;
        }
        target.resting = Some(Resting { until, on_record });
        let until = (until != Timestamp::MAX).then_some(until);
        if let Some(tally) = &mut self.tally {
            tally.pause(name, until, reason);
        }
        self.observer.saw(Seen::Rest {
            target: name.clone(),
            until,
            reason: reason.to_owned(),
        });
        self.give_back(name);
        true
    }

    /// These rests are on record now.
    pub(super) fn rests_recorded(&mut self, rests: &[Rest]) {
        for rest in rests {
            if let Some(resting) = self
                .targets
                .get_mut(&rest.target)
                .and_then(|target| target.resting.as_mut())
                && resting.until == rest.until
            {
                resting.on_record = true;
            }
        }
    }

    /// Ends rests here that somebody has ended on record.
    pub(crate) async fn end_rests(&mut self) -> Result<(), StoreError> {
        let on_record = |resting: &Resting| resting.on_record;
        if !self
            .targets
            .values()
            .any(|target| target.resting.as_ref().is_some_and(on_record))
        {
            return Ok(());
        }
        let rests = self.ports.store.resting(self.ports.clock.now()).await?;
        let until: BTreeMap<&TargetName, Timestamp> =
            rests.iter().map(|rest| (&rest.target, rest.until)).collect();
        for (name, target) in &mut self.targets {
            if target.resting.as_ref().is_some_and(on_record) {
                match until.get(name) {
                    Some(until) => {
                        target.resting = Some(Resting {
                            until: *until,
                            on_record: true,
                        })
                    }
                    None => target.end_rest(),
                }
            }
        }
        Ok(())
    }

    /// Gives back what was claimed and has not begun: it is ready again, as it was, once the target's rest is over. What security holds ask
    /// for stays, where that may begin all the same.
    pub(super) fn give_back(&mut self, name: &TargetName) {
        let none_begins = self.winding_up || self.frozen.as_ref().is_some_and(|freeze| freeze.all);
        if none_begins {
            self.give_all_back(name);
            return;
        }
        let back = self.targets.get_mut(name).map(TargetRun::drain_ordinary);
        self.put_back(name, back.unwrap_or_default());
    }

    /// The same, whatever it is.
    pub(super) fn give_all_back(&mut self, name: &TargetName) {
        let back = self.targets.get_mut(name).map(|target| {
            let all = target.waiting.drain(..);
            all.map(|(operation, _)| operation).collect()
        });
        self.put_back(name, back.unwrap_or_default());
    }

    fn put_back(&mut self, name: &TargetName, back: Vec<ClaimedOperation>) {
        if back.is_empty() {
            return;
        }
        let now = self.ports.clock.now();
        let why = if self.winding_up {
            "put back: this host stops"
        } else if self.frozen.is_some() {
            "put back: the store is frozen"
        } else {
            "put back: the target rests"
        };
        let resting = self.targets.get(name).and_then(|target| target.resting);
        let until = resting.map(|resting| resting.until);
        let at = until
            .filter(|until| *until != Timestamp::MAX && *until > now)
            .unwrap_or(now);
        let back = back.into_iter().map(|operation| {
            let at = if is_urgent(&operation) { now } else { at };
            Finished::put_back(operation, at, why)
        });
        self.finished.extend(back);
    }
}
