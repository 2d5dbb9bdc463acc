//! What one process has in hand: targets, what is claimed of them, what is under way, what is finished and not yet on record. One owner,
//! never a lock over a connector call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::targets::ApplyMode;
use usher_store::{Claim, ClaimedOperation, Freeze, Rest, TargetClaim};

use super::attempt::Finished;
use super::events::Event;
use super::share::share;
use super::tally::Tally;
use super::target::{Carries, TargetRun};
use crate::documents::ActiveTargets;
use crate::engine::{Engine, Ports};
use crate::observer::Observer;

/// Which targets are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that run by themselves.
    Auto,
    /// Those that wait for a person as well, because a person asks.
    AutoAndManual,
    /// None: only what security holds ask for, of all targets, because a person asks.
    Urgent,
}

/// What is in hand.
pub(crate) struct Hand<'a> {
    pub(super) ports: &'a Ports,
    pub(super) observer: &'a dyn Observer,
    pub(super) which: Which,
    pub(super) active: Arc<ActiveTargets>,
    pub(super) targets: BTreeMap<TargetName, TargetRun>,
    pub(super) tasks: JoinSet<Event>,
    /// Operations with a worker, and what cuts it short.
    pub(super) under_way: BTreeMap<i64, oneshot::Sender<()>>,
    /// Of the operations in hand, those a security hold waits for, and until when.
    pub(super) cuts: BTreeMap<i64, Timestamp>,
    /// Ended and not on record.
    pub(super) finished: Vec<Finished>,
    /// `find` saw nothing, which is not on record.
    pub(super) absent: Vec<ClaimedOperation>,
    /// Rests that are not on record.
    pub(super) rests: Vec<Rest>,
    /// For a report; who serves needs none.
    pub(crate) tally: Option<Tally>,
    /// The first moment at which something put off falls due, as far as it is known.
    pub(super) next_due: Option<Timestamp>,
    /// Nothing may begin but what security holds ask for, or nothing at all.
    pub(super) frozen: Option<Freeze>,
    pub(super) state: State,
    pub(super) winding_up: bool,
    /// The other hosts know that this one runs operations.
    pub(super) takes_part: bool,
}

/// How the hand stands to its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Well.
    Well,
    /// A call failed: what is finished is kept and nothing begins until it is on record. `strays`: an answer to a claim may have been lost.
    Cut { strays: bool },
    /// Others have taken over; a new writer must be made.
    Fenced,
}

impl<'a> Hand<'a> {
    /// An empty hand.
    pub(crate) fn new(
        engine: &'a Engine,
        which: Which,
        active: &Arc<ActiveTargets>,
        observer: &'a dyn Observer,
    ) -> Self {
        let mut hand = Self {
            ports: &engine.ports,
            observer,
            which,
            active: Arc::clone(active),
            targets: BTreeMap::new(),
            tasks: JoinSet::new(),
            under_way: BTreeMap::new(),
            cuts: BTreeMap::new(),
            finished: Vec::new(),
            absent: Vec::new(),
            rests: Vec::new(),
            tally: match which {
                Which::Auto | Which::Urgent => None,
                Which::AutoAndManual => Some(Tally::default()),
            },
            next_due: None,
            frozen: None,
            state: State::Well,
            winding_up: false,
            takes_part: false,
        };
        hand.take_up(active);
        hand
    }

    /// Goes on under another targets document: what was claimed and has not begun is given back, calls under way come to their end.
    pub(crate) fn follow(&mut self, active: &Arc<ActiveTargets>) {
        if self.active.version == active.version {
            return;
        }
        for name in self.names() {
            self.give_all_back(&name);
        }
        self.take_up(active);
    }

    fn take_up(&mut self, active: &Arc<ActiveTargets>) {
        let mut before = std::mem::take(&mut self.targets);
        self.active = Arc::clone(active);
        for target in active.targets.targets.values() {
            let carries = match (target.apply, self.which) {
                (ApplyMode::Observe, _) | (ApplyMode::Manual, Which::Auto) | (_, Which::Urgent) => {
                    Carries::Urgent
                }
                (ApplyMode::Manual, Which::AutoAndManual)
                | (ApplyMode::Auto, Which::Auto | Which::AutoAndManual) => Carries::All,
            };
            let Some(resolved) = active.resolved.get(&target.name) else {
                continue;
            };
            let (concurrency, creation) = (target.limits.concurrency, resolved.descriptor.creation.clone());
            let run = match before.remove(&target.name) {
                Some(before) => before.renewed(concurrency, creation, carries),
                None => TargetRun::new(concurrency, creation, carries),
            };
            self.targets.insert(target.name.clone(), run);
        }
    }

    /// Something may have changed: every target is asked again.
    pub(crate) fn look_again(&mut self) {
        for target in self.targets.values_mut() {
            (target.dry, target.urgent_dry) = (false, false);
        }
    }

    /// Takes this replica's share of each target.
    pub(super) fn take_shares(&mut self) {
        let membership = self.ports.store.membership();
        let now = self.ports.clock.now();
        for (name, target) in &mut self.targets {
            let apply = self.active.facts.get(name).map(|facts| facts.apply);
            let least = match apply {
                // Hosts that serve leave such a target alone: whoever applies must not be left without.
                Some(ApplyMode::Manual) => u32::from(membership.settled),
                Some(ApplyMode::Observe | ApplyMode::Auto) | None => 0,
            };
            let share = share(target.concurrency, name, &membership).max(least);
            let excess = target.set_share(share, membership.writers.len() == 1);
            let back = excess.into_iter().map(|operation| {
                Finished::put_back(operation, now, "put back: other hosts take their share")
            });
            self.finished.extend(back);
        }
    }

    /// What to claim: of each target that neither rests nor has shown to be empty, as many as it has room for; of the others only what
    /// security holds ask for.
    pub(super) fn claim(&mut self) -> Claim {
        let mut claim = Claim::default();
        if self.winding_up || self.state != State::Well || !self.ports.store.lease_holds() {
            return claim;
        }
        let now = self.ports.clock.now();
        // What these outcomes end makes the next operation of the account ready.
        let freed: BTreeSet<&TargetName> = self
            .finished
            .iter()
            .filter(|done| !done.put_back)
            .map(|done| &done.operation.slot.target)
            .collect();
        for (name, target) in &mut self.targets {
            if target.only_urgent(now) {
                let limit = target.room_for_stops();
                if limit > 0 && (!target.urgent_dry || freed.contains(name)) {
                    claim.urgent.push(TargetClaim {
                        target: name.clone(),
                        limit,
                    });
                }
                continue;
            }
            let limit = target.room();
            if !target.rests(now) && limit > 0 && (!target.dry || freed.contains(name)) {
                claim.targets.push(TargetClaim {
                    target: name.clone(),
                    limit,
                });
            }
        }
        claim
    }

    /// Takes in what was claimed of what was asked for.
    pub(super) fn accept(&mut self, asked: &Claim, claimed: Vec<ClaimedOperation>) {
        let mut got: BTreeMap<TargetName, u32> = BTreeMap::new();
        for operation in claimed {
            *got.entry(operation.slot.target.clone()).or_default() += 1;
            // A mark is of one attempt.
            self.cuts.remove(&operation.number);
            if let Some(target) = self.targets.get_mut(&operation.slot.target) {
                target.take_in(operation);
            }
        }
        let is_dry = |asked: &TargetClaim| got.get(&asked.target).copied().unwrap_or(0) < asked.limit;
        for asked in &asked.targets {
            if let Some(target) = self.targets.get_mut(&asked.target) {
                target.dry = is_dry(asked);
            }
        }
        for asked in &asked.urgent {
            if let Some(target) = self.targets.get_mut(&asked.target) {
                target.urgent_dry = is_dry(asked);
            }
        }
    }

    /// Claims nothing more and gives back what has not begun; calls under way go on to their end.
    pub(crate) fn wind_up(&mut self) {
        self.winding_up = true;
        for name in self.names() {
            self.give_all_back(&name);
        }
    }

    /// The targets that are run.
    pub(crate) fn names(&self) -> Vec<TargetName> {
        self.targets.keys().cloned().collect()
    }

    /// Every operation in hand.
    pub(super) fn held(&self) -> Vec<i64> {
        let waiting = self.targets.values().flat_map(|target| &target.waiting);
        let waiting = waiting.map(|(operation, _)| operation.number);
        let finished = self.finished.iter().map(|done| done.operation.number);
        let absent = self.absent.iter().map(|operation| operation.number);
        waiting
            .chain(finished)
            .chain(absent)
            .chain(self.under_way.keys().copied())
            .collect()
    }

    /// Nothing is under way and nothing waits to be recorded.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.finished.is_empty() && self.absent.is_empty() && self.rests.is_empty()
    }

    /// Something is under way.
    pub(crate) fn is_working(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Cuts calls under way short: their outcome is read back by whoever comes next. They stay known as under way, so that they are never taken
    /// for claims that have not begun.
    pub(crate) fn cut_short(&mut self) {
        self.tasks = JoinSet::new();
    }

    /// Why nothing begins, if the store is frozen.
    pub(crate) fn frozen(&self) -> Option<&str> {
        self.frozen.as_ref().map(|freeze| freeze.reason.as_str())
    }

    /// The next moment at which something may go on that is known here: a rest is over, or what was put off falls due.
    pub(crate) fn next_moment(&self, now: Timestamp) -> Option<Timestamp> {
        let rests = self.targets.values().filter_map(|target| target.resting);
        let ends = rests
            .map(|resting| resting.until)
            .filter(|until| *until != Timestamp::MAX);
        let cuts = self.cuts.values().copied();
        ends.chain(self.next_due).chain(cuts).filter(|at| *at > now).min()
    }

    /// Asks the store when the next operation falls due that may be carried out here.
    pub(crate) async fn look_ahead(&mut self) -> Result<(), usher_store::StoreError> {
        let now = self.ports.clock.now();
        let all = self
            .targets
            .iter()
            .filter(|(_, target)| target.carries == Carries::All);
        let names: Vec<TargetName> = all.map(|(name, _)| name.clone()).collect();
        let store = &self.ports.store;
        let dues = [
            store.next_due_of(&names, now).await?,
            store.next_urgent_due(now).await?,
        ];
        self.next_due = dues.into_iter().flatten().min();
        Ok(())
    }
}
