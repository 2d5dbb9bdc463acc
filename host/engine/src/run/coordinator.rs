//! The one owner of what is under way: claims, hands out, collects, records.
//!
//! While a commit is under way, workers go on with what was claimed ahead; what they finish meanwhile is recorded by the next commit,
//! together with the next claim. So the number of commits follows the speed of the disk, not the number of operations.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::{JoinError, JoinSet};
use usher_connectors::Connector;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::targets::ApplyMode;
use usher_store::{Claim, ClaimedOperation, Context, Decision, Outcome, Recorded, TargetClaim};

use super::stop::Stop;
use super::tally::Tally;
use super::target::{Loading, TargetRun};
use super::worker::{Finished, Link, Returned};
use crate::documents::ActiveTargets;
use crate::engine::{Engine, Ports};
use crate::error::EngineError;
use crate::ports::Point;
use crate::progress::{Phase, Progress};

/// Outcomes recorded in one commit: about 20 ms of the database.
const OUTCOMES_MAX: usize = 512;

/// What a task brings back.
enum Event {
    Loaded(TargetName, Result<Arc<dyn Connector>, String>),
    Returned(TargetName, Returned),
}

/// One run over everything that is ready.
pub(super) struct Coordinator<'a> {
    ports: &'a Ports,
    active: Arc<ActiveTargets>,
    targets: BTreeMap<TargetName, TargetRun>,
    tasks: JoinSet<Event>,
    finished: Vec<Finished>,
    absent: Vec<ClaimedOperation>,
    pub(super) tally: Tally,
    /// When operations put off in this run fall due.
    due: BTreeSet<Timestamp>,
}

impl<'a> Coordinator<'a> {
    pub(super) fn new(engine: &'a Engine, active: &Arc<ActiveTargets>) -> Self {
        let runs = active
            .targets
            .targets
            .values()
            .filter(|target| match target.apply {
                ApplyMode::Observe => false,
                ApplyMode::Manual | ApplyMode::Auto => true,
            });
        let targets = runs
            .filter_map(|target| {
                let creation = active.resolved.get(&target.name)?.descriptor.creation.clone();
                Some((
                    target.name.clone(),
                    TargetRun::new(target.limits.concurrency, creation),
                ))
            })
            .collect();
        Self {
            ports: &engine.ports,
            active: Arc::clone(active),
            targets,
            tasks: JoinSet::new(),
            finished: Vec::new(),
            absent: Vec::new(),
            tally: Tally::default(),
            due: BTreeSet::new(),
        }
    }

    /// Runs until nothing is ready any more.
    pub(super) async fn run(
        &mut self,
        context: &Context,
        total: u64,
        stop: &Stop,
        progress: &dyn Progress,
    ) -> Result<(), EngineError> {
        self.targets.values_mut().for_each(|target| target.dry = false);
        loop {
            if stop.is_requested() {
                self.wind_up();
            }
            let claim = self.claim();
            if !claim.targets.is_empty() || !self.finished.is_empty() || !self.absent.is_empty() {
                self.commit(&claim, context).await?;
                progress.at(Phase::Running, self.tally.ended, total.max(self.tally.ended));
            } else if let Some(event) = self.tasks.join_next().await {
                self.handle(event);
            } else {
                return Ok(());
            }
            // Whatever else came back meanwhile goes into the same commit.
            while let Some(event) = self.tasks.try_join_next() {
                self.handle(event);
            }
        }
    }

    /// Claims nothing more in this run and gives back what has not started; calls under way go on to their end.
    fn wind_up(&mut self) {
        let names: Vec<TargetName> = self.targets.keys().cloned().collect();
        for name in &names {
            if let Some(target) = self.targets.get_mut(name) {
                target.paused_until = Some(Timestamp::MAX);
            }
            self.give_back(name);
        }
    }

    /// What to claim: of each target that neither rests nor has shown to be empty, as many as it has room for.
    fn claim(&mut self) -> Claim {
        let now = self.ports.clock.now();
        let mut claim = Claim::default();
        // What these outcomes end makes the next operation of the account ready.
        let freed: HashSet<&TargetName> = self
            .finished
            .iter()
            .map(|done| &done.operation.slot.target)
            .collect();
        for (name, target) in &mut self.targets {
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

    /// Records what is finished and claims more, in one commit. Workers go on meanwhile.
    async fn commit(&mut self, claim: &Claim, context: &Context) -> Result<(), EngineError> {
        let batch: Vec<Finished> = self
            .finished
            .drain(..self.finished.len().min(OUTCOMES_MAX))
            .collect();
        let outcomes: Vec<Outcome> = batch.iter().map(|finished| finished.outcome.clone()).collect();
        let recording = std::mem::take(&mut self.absent);
        let absences: Vec<(i64, u32)> = recording
            .iter()
            .map(|operation| (operation.number, operation.attempt))
            .collect();
        let context = Context {
            actor: context.actor.clone(),
            at: self.ports.clock.now(),
        };

        if !outcomes.is_empty() {
            self.ports.probes.reached(Point::BeforeOutcome);
        }
        self.ports.probes.reached(Point::BeforeClaim);
        let store = Arc::clone(&self.ports.store);
        let Recorded { claimed, fenced, .. } = {
            let mut commit = store.record_and_claim(&absences, &outcomes, claim, &context);
            loop {
                tokio::select! {
                    biased;
                    done = &mut commit => break done.map_err(EngineError::from)?,
                    Some(event) = self.tasks.join_next() => self.handle(event),
                }
            }
        };
        if !outcomes.is_empty() {
            self.ports.probes.reached(Point::AfterOutcome);
        }
        if !absences.is_empty() {
            self.ports.probes.reached(Point::AfterAbsence);
        }
        if !claimed.is_empty() {
            self.ports.probes.reached(Point::AfterClaim);
        }
        let fenced: HashSet<i64> = fenced.into_iter().collect();
        self.recorded(&batch, &fenced);
        self.accept(claim, claimed);
        self.go_on(recording, &fenced, context.at);
        Ok(())
    }

    fn recorded(&mut self, batch: &[Finished], fenced: &HashSet<i64>) {
        for finished in batch {
            if fenced.contains(&finished.operation.number) {
                continue;
            }
            self.tally.count(finished);
            if let Decision::Retry { at, .. } = finished.outcome.decision {
                self.due.insert(at);
            }
        }
    }

    /// Takes in what was claimed.
    fn accept(&mut self, claim: &Claim, claimed: Vec<ClaimedOperation>) {
        let mut got: BTreeMap<TargetName, u32> = BTreeMap::new();
        for operation in claimed {
            *got.entry(operation.slot.target.clone()).or_default() += 1;
            if let Some(target) = self.targets.get_mut(&operation.slot.target) {
                target.waiting.push_back((operation, false));
            }
        }
        for asked in &claim.targets {
            if let Some(target) = self.targets.get_mut(&asked.target) {
                target.dry = got.get(&asked.target).copied().unwrap_or(0) < asked.limit;
            }
        }
    }

    /// Creations whose absence is on record since `at` may go on; one that is not ours any more is dropped.
    fn go_on(&mut self, recording: Vec<ClaimedOperation>, fenced: &HashSet<i64>, at: Timestamp) {
        for mut operation in recording {
            if let Some(target) = self.targets.get_mut(&operation.slot.target) {
                target.recording -= 1;
                if !fenced.contains(&operation.number) {
                    operation.absence_seen_at = Some(at);
                    target.waiting.push_front((operation, true));
                }
            }
        }
        let names: Vec<TargetName> = self.targets.keys().cloned().collect();
        for name in &names {
            self.start(name);
        }
    }

    fn handle(&mut self, event: Result<Event, JoinError>) {
        let event = match event {
            Ok(event) => event,
            // A bug in a worker, or a simulated crash: it must not be mistaken for an outcome.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return,
            },
        };
        let name = match event {
            Event::Loaded(name, Ok(connector)) => {
                self.loaded(&name, connector);
                name
            }
            Event::Loaded(name, Err(reason)) => {
                self.pause(&name, Timestamp::MAX, &reason);
                name
            }
            Event::Returned(name, returned) => {
                self.returned(&name, returned);
                name
            }
        };
        self.start(&name);
    }

    fn returned(&mut self, name: &TargetName, returned: Returned) {
        let Some(target) = self.targets.get_mut(name) else {
            return;
        };
        target.busy -= 1;
        match returned {
            Returned::Absent(operation) => {
                target.recording += 1;
                self.absent.push(*operation);
            }
            Returned::Finished(mut finished) => {
                let now = self.ports.clock.now();
                let asked = match finished.pause_until {
                    None if finished.unreachable => target.unreachable(now),
                    asked => asked,
                };
                let pause_until = asked.map(|asked| target.slow_down(now, asked));
                match &mut finished.outcome.decision {
                    Decision::Done | Decision::Settled => target.succeeded(now),
                    // It cannot go on before the rest is over.
                    Decision::Retry { at, .. } => *at = (*at).max(pause_until.unwrap_or(*at)),
                    Decision::Held { .. } | Decision::Failed => {}
                }
                let reason = finished.outcome.message.clone();
                self.finished.push(*finished);
                if let Some(until) = pause_until {
                    self.pause(name, until, &reason);
                }
            }
        }
    }

    fn loaded(&mut self, name: &TargetName, connector: Arc<dyn Connector>) {
        let facts = self.active.facts.get(name).cloned();
        let settle_ms = self
            .active
            .targets
            .targets
            .get(name)
            .map(|target| target.limits.settle_ms);
        let (Some(target), Some(facts), Some(settle_ms)) = (self.targets.get_mut(name), facts, settle_ms)
        else {
            return;
        };
        target.loading = Loading::Ready(Arc::new(Link {
            connector,
            creation: target.creation.clone(),
            facts,
            settle_ms,
            clock: Arc::clone(&self.ports.clock),
            randomness: Arc::clone(&self.ports.randomness),
            probes: Arc::clone(&self.ports.probes),
        }));
    }

    /// Gives free workers something to do.
    fn start(&mut self, name: &TargetName) {
        let now = self.ports.clock.now();
        let Some(target) = self.targets.get_mut(name) else {
            return;
        };
        if target.rests(now) {
            self.give_back(name);
            return;
        }
        if target.waiting.is_empty() {
            return;
        }
        match &target.loading {
            Loading::Asked => {}
            Loading::NotAsked => {
                target.loading = Loading::Asked;
                let (connectors, name) = (Arc::clone(&self.ports.connectors), name.clone());
                self.tasks.spawn(async move {
                    let loaded = connectors.connector(&name).await;
                    Event::Loaded(name, loaded)
                });
            }
            Loading::Ready(link) => {
                while target.busy < target.allowed
                    && let Some((operation, absence_recorded)) = target.waiting.pop_front()
                {
                    target.busy += 1;
                    let (link, name) = (Arc::clone(link), name.clone());
                    self.tasks.spawn(async move {
                        let returned = link.work(operation, absence_recorded).await;
                        Event::Returned(name, returned)
                    });
                }
            }
        }
    }

    /// Lets a target rest. The longer rest counts.
    fn pause(&mut self, name: &TargetName, until: Timestamp, reason: &str) {
        let Some(target) = self.targets.get_mut(name) else {
            return;
        };
        if target.paused_until.is_some_and(|paused| paused >= until) {
            return;
        }
        target.paused_until = Some(until);
        self.tally
            .pause(name, (until != Timestamp::MAX).then_some(until), reason);
        self.give_back(name);
    }

    /// Gives back what was claimed and has not started: it is ready again, as it was, once the target's rest is over.
    fn give_back(&mut self, name: &TargetName) {
        let now = self.ports.clock.now();
        let Some(target) = self.targets.get_mut(name) else {
            return;
        };
        let at = target
            .paused_until
            .filter(|until| *until != Timestamp::MAX)
            .unwrap_or(now);
        let back = target
            .waiting
            .drain(..)
            .map(|(operation, _)| Finished::put_back(operation, at));
        self.finished.extend(back);
    }

    /// The next moment at which something put off in this run may go on.
    pub(super) fn next_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.due.retain(|at| *at > now);
        let rests = self.targets.values().filter_map(|target| target.paused_until);
        let rests = rests.filter(|until| *until > now && *until != Timestamp::MAX);
        rests.chain(self.due.first().copied()).min()
    }
}
