//! Recording and claiming: one commit for what is finished and what comes next, and what becomes of the hand when that commit fails.
//!
//! While a commit is under way, workers go on with what was claimed ahead; what they finish meanwhile is recorded by the next commit,
//! together with the next claim. So the number of commits follows the speed of the disk, not the number of operations.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;
use usher_lifecycle::name::TargetName;
use usher_store::{
    Claim, ClaimedOperation, Context, Decision, Freeze, Outcome, Recorded, Rest, StoreError, TargetClaim,
};

use super::attempt::Finished;
use super::hand::{Hand, State, Which};
use crate::observer::{Ending, Outcomes, Seen};
use crate::ports::Point;

/// Outcomes recorded in one commit: about 20 ms of the database.
const OUTCOMES_MAX: usize = 512;

/// What goes into one commit; back into the hand when it fails.
struct Batch {
    finished: Vec<Finished>,
    absent: Vec<ClaimedOperation>,
    rests: Vec<Rest>,
}

impl Hand<'_> {
    /// Records what is finished and claims what there is room for. `false`: there was nothing to do.
    ///
    /// After an error nothing is lost: what was to be recorded is in hand still, nothing begins, and the next step tries again. After
    /// [`StoreError::Fenced`] the hand is empty.
    pub(crate) async fn step(&mut self, context: &Context) -> Result<bool, StoreError> {
        let context = Context {
            actor: context.actor.clone(),
            at: self.ports.clock.now(),
        };
        if self.is_taken_over() {
            self.forget();
        }
        let done = self.try_step(&context).await;
        if let Err(error) = &done {
            match error {
                StoreError::Fenced(_) => self.forget(),
                _ => self.cut(),
            }
        }
        done
    }

    async fn try_step(&mut self, context: &Context) -> Result<bool, StoreError> {
        match self.state {
            State::Well => {}
            State::Fenced => {
                self.ports.store.rejoin(context).await?;
                self.state = State::Well;
                self.observer.saw(Seen::Rejoined);
            }
            State::Cut { strays } => return self.mend(strays, context).await,
        }
        if !self.takes_part && self.which != Which::Urgent {
            self.ports.store.take_part().await?;
            self.takes_part = true;
        }
        self.take_shares();
        let claim = self.claim();
        if claim.targets.is_empty() && claim.urgent.is_empty() && self.nothing_to_record() {
            return Ok(false);
        }
        self.commit(claim, context).await?;
        Ok(true)
    }

    pub(super) fn nothing_to_record(&self) -> bool {
        self.finished.is_empty() && self.absent.is_empty() && self.rests.is_empty()
    }

    /// Records what is finished and claims more, in one commit. Workers go on meanwhile.
    pub(super) async fn commit(&mut self, claim: Claim, context: &Context) -> Result<(), StoreError> {
        let batch = Batch {
            finished: self
                .finished
                .drain(..self.finished.len().min(OUTCOMES_MAX))
                .collect(),
            absent: std::mem::take(&mut self.absent),
            rests: std::mem::take(&mut self.rests),
        };
        let claim = Claim {
            rests: batch.rests.clone(),
            ..claim
        };
        let outcomes: Vec<Outcome> = batch
            .finished
            .iter()
            .map(|finished| finished.outcome.clone())
            .collect();
        let absences: Vec<(i64, u32)> = batch
            .absent
            .iter()
            .map(|operation| (operation.number, operation.attempt))
            .collect();
        let began = Instant::now();
        let recorded = match self.send(&absences, &outcomes, &claim, context).await {
            Ok(recorded) => recorded,
            Err(error) => {
                self.put_in_again(batch);
                return Err(error);
            }
        };
        self.observer.saw(Seen::Committed {
            outcomes: outcomes.len() as u64,
            claimed: recorded.claimed.len() as u64,
            took: began.elapsed(),
        });
        self.recorded(batch, recorded, &claim, context.at);
        Ok(())
    }

    async fn send(
        &mut self,
        absences: &[(i64, u32)],
        outcomes: &[Outcome],
        claim: &Claim,
        context: &Context,
    ) -> Result<Recorded, StoreError> {
        let (store, probes) = (Arc::clone(&self.ports.store), Arc::clone(&self.ports.probes));
        if !outcomes.is_empty() {
            probes.reached(Point::BeforeOutcome);
        }
        probes.reached(Point::BeforeClaim);
        if probes.store_fails(Point::BeforeClaim) {
            return Err(simulated_failure());
        }
        let mut commit = store.record_and_claim(absences, outcomes, claim, context);
        let recorded = loop {
            tokio::select! {
                biased;
                done = &mut commit => break done?,
                Some(event) = self.tasks.join_next() => self.handle(event),
            }
        };
        let changes = !(recorded.claimed.is_empty() && outcomes.is_empty());
        if changes && probes.store_fails(Point::AfterClaim) {
            return Err(simulated_failure());
        }
        if !outcomes.is_empty() {
            probes.reached(Point::AfterOutcome);
        }
        if !absences.is_empty() {
            probes.reached(Point::AfterAbsence);
        }
        if !recorded.claimed.is_empty() {
            probes.reached(Point::AfterClaim);
        }
        Ok(recorded)
    }

    fn put_in_again(&mut self, batch: Batch) {
        self.finished.splice(..0, batch.finished);
        self.absent.splice(..0, batch.absent);
        self.rests.splice(..0, batch.rests);
    }

    /// Takes in what a commit did.
    fn recorded(&mut self, batch: Batch, recorded: Recorded, asked: &Claim, at: Timestamp) {
        let fenced: HashSet<i64> = recorded.fenced.into_iter().collect();
        self.count(&batch.finished, &fenced);
        self.rests_recorded(&batch.rests);
        if !(asked.targets.is_empty() && asked.urgent.is_empty()) {
            self.note_frozen(recorded.frozen);
        }
        self.accept(asked, recorded.claimed);
        self.rest_too(recorded.resting);
        self.go_on(batch.absent, &fenced, at);
    }

    fn count(&mut self, finished: &[Finished], fenced: &HashSet<i64>) {
        let mut counts: BTreeMap<(&TargetName, &'static str, Ending), u64> = BTreeMap::new();
        for done in finished
            .iter()
            .filter(|done| !fenced.contains(&done.operation.number))
        {
            let ending = Ending::of(&done.outcome.decision, done.put_back);
            let of = (&done.operation.slot.target, done.operation.work.verb(), ending);
            *counts.entry(of).or_default() += 1;
            if let Some(tally) = &mut self.tally {
                tally.count(done);
            }
            if let Decision::Retry { at, .. } = done.outcome.decision {
                self.next_due = Some(self.next_due.map_or(at, |due| due.min(at)));
            }
        }
        if !fenced.is_empty() {
            self.observer.saw(Seen::Fenced {
                operations: fenced.len() as u64,
            });
        }
        if !counts.is_empty() {
            let outcomes = counts
                .into_iter()
                .map(|((target, verb, ending), operations)| Outcomes {
                    target: target.clone(),
                    verb,
                    ending,
                    operations,
                });
            self.observer.saw(Seen::Outcomes(outcomes.collect()));
        }
    }

    /// Looks whether the store is frozen. A commit tells as well, but only one that claims, and a full hand claims nothing.
    pub(crate) async fn heed_freeze(&mut self) -> Result<(), StoreError> {
        let frozen = self.ports.store.frozen().await?;
        self.note_frozen(frozen);
        if self.frozen.is_some() {
            for name in self.names() {
                self.give_back(&name);
            }
        }
        Ok(())
    }

    fn note_frozen(&mut self, frozen: Option<Freeze>) {
        if self.frozen != frozen {
            let reason = frozen.as_ref().map(|freeze| freeze.reason.clone());
            self.observer.saw(Seen::Frozen(reason));
            self.frozen = frozen;
        }
    }

    /// Creations whose absence is on record since `at` may go on; one that is not ours any more is dropped.
    fn go_on(&mut self, recording: Vec<ClaimedOperation>, fenced: &HashSet<i64>, at: Timestamp) {
        for mut operation in recording {
            let is_ours = !fenced.contains(&operation.number);
            match self.targets.get_mut(&operation.slot.target) {
                Some(target) => {
                    target.recording -= 1;
                    if is_ours {
                        operation.absence_seen_at = Some(at);
                        target.take_on(operation);
                    }
                }
                None if is_ours => self.finished.push(Finished::put_back(
                    operation,
                    at,
                    "put back: the targets document has changed",
                )),
                None => {}
            }
        }
        self.start_all();
    }

    /// Looks for work that is more urgent than what a full hand holds: it must not wait until the hand has room again.
    pub(crate) async fn claim_urgent(&mut self, context: &Context) -> Result<(), StoreError> {
        if self.winding_up
            || self.state != State::Well
            || self.frozen.is_some()
            || !self.ports.store.lease_holds()
        {
            return Ok(());
        }
        let now = self.ports.clock.now();
        let mut full = Vec::new();
        for (name, target) in &mut self.targets {
            if !target.only_urgent(now)
                && let Some(room) = target.urgent_room()
            {
                full.push((name.clone(), room));
            }
        }
        for (target, (limit, than)) in full {
            let context = Context {
                actor: context.actor.clone(),
                at: now,
            };
            let claim = TargetClaim {
                target: target.clone(),
                limit,
            };
            let recorded = match self.ports.store.claim_more_urgent(&claim, than, &context).await {
                Ok(recorded) => recorded,
                Err(error) => {
                    match error {
                        StoreError::Fenced(_) => self.forget(),
                        _ => self.cut(),
                    }
                    return Err(error);
                }
            };
            if !recorded.claimed.is_empty() {
                self.ports.probes.reached(Point::AfterClaim);
            }
            self.note_frozen(recorded.frozen);
            self.accept(&Claim::default(), recorded.claimed);
            self.rest_too(recorded.resting);
            self.start(&target);
        }
        Ok(())
    }
}

/// What a test that lets the store fail is answered.
pub(super) fn simulated_failure() -> StoreError {
    StoreError::Unavailable {
        doing: "recording outcomes and claiming",
        message: "simulated".to_owned(),
    }
}
