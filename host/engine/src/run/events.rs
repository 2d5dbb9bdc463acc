//! What comes back from tasks, and what free workers are given.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::task::JoinError;
use usher_connectors::Connector;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::retry::{BACK_OFF_MAX_MS, PAUSE_MS};
use usher_store::{ClaimedOperation, Decision};

use super::attempt::{Finished, Returned};
use super::hand::{Hand, State, Which};
use super::target::{Ask, Loading, is_urgent};
use super::worker::{Link, later};

/// How long a target waits whose connector could not be loaded, in milliseconds: what is missing is put right by a person. Doubled each time.
const LOAD_AGAIN_MS: u64 = 30_000;

/// How long an operation of a security hold waits before a connector that could not be loaded is tried again, in milliseconds: another host may
/// have it, and nothing is hammered.
const STOP_LOAD_AGAIN_MS: u64 = 5_000;

/// What a task brings back.
pub(super) enum Event {
    /// A connector, or why there is none, for this version of the targets document.
    Loaded(TargetName, i64, Result<Arc<dyn Connector>, String>),
    /// A worker.
    Returned(TargetName, i64, Returned),
}

impl Hand<'_> {
    /// Waits until something comes back and takes it in; `false` when nothing is under way.
    pub(crate) async fn event(&mut self) -> bool {
        let Some(event) = self.tasks.join_next().await else {
            return false;
        };
        self.handle(event);
        // Whatever else came back meanwhile goes into the same commit.
        while let Some(event) = self.tasks.try_join_next() {
            self.handle(event);
        }
        true
    }

    pub(super) fn handle(&mut self, event: Result<Event, JoinError>) {
        let event = match event {
            Ok(event) => event,
            // A bug in a worker, or a simulated crash: it must not be mistaken for an outcome.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return,
            },
        };
        let name = match event {
            Event::Loaded(name, version, loaded) => {
                if version == self.active.version {
                    self.loaded(&name, loaded);
                }
                name
            }
            Event::Returned(name, number, returned) => {
                self.under_way.remove(&number);
                self.cuts.remove(&number);
                self.returned(&name, returned);
                name
            }
        };
        self.start(&name);
    }

    fn returned(&mut self, name: &TargetName, returned: Returned) {
        let now = self.ports.clock.now();
        let Some(target) = self.targets.get_mut(name) else {
            // A newer document has done away with the target: what has happened there is recorded all the same.
            self.finished.push(match returned {
                Returned::Finished(finished) => *finished,
                Returned::Absent(operation) => {
                    Finished::put_back(*operation, now, "put back: the targets document has changed")
                }
            });
            return;
        };
        target.busy -= 1;
        match returned {
            Returned::Absent(operation) => {
                target.recording += 1;
                self.absent.push(*operation);
            }
            Returned::Finished(mut finished) => {
                let asked = match finished.pause {
                    None if finished.unreachable => target.unreachable(now).map(|at| (at, Ask::SlowDown)),
                    asked => asked,
                };
                let pause_until = asked.map(|(at, ask)| target.slow_down(now, at, ask));
                match &mut finished.outcome.decision {
                    Decision::Done | Decision::Settled => target.succeeded(now),
                    // It cannot go on before the rest is over. A security hold has its own back-off.
                    Decision::Retry { at, .. } if !is_urgent(&finished.operation) => {
                        *at = (*at).max(pause_until.unwrap_or(*at));
                    }
                    Decision::Retry { .. } => {}
                    Decision::Held { .. } | Decision::Failed => {}
                }
                let reason = finished.outcome.message.clone();
                self.finished.push(*finished);
                if let Some(until) = pause_until {
                    self.rest(name, until, &reason);
                }
            }
        }
    }

    fn loaded(&mut self, name: &TargetName, loaded: Result<Arc<dyn Connector>, String>) {
        let now = self.ports.clock.now();
        let facts = self.active.facts.get(name).cloned();
        let document = self.active.targets.targets.get(name);
        let settle_ms = document.map(|target| target.limits.settle_ms);
        let (Some(target), Some(facts), Some(settle_ms)) = (self.targets.get_mut(name), facts, settle_ms)
        else {
            return;
        };
        match loaded {
            Ok(connector) => {
                target.load_failures = 0;
                target.loading = Loading::Ready(Arc::new(Link {
                    connector,
                    creation: target.creation.clone(),
                    facts,
                    settle_ms,
                    store: Arc::clone(&self.ports.store),
                    clock: Arc::clone(&self.ports.clock),
                    randomness: Arc::clone(&self.ports.randomness),
                    probes: Arc::clone(&self.ports.probes),
                }));
            }
            Err(reason) => {
                target.loading = Loading::NotAsked;
                let (urgent, rests) = (target.drain_urgent(), target.rests(now));
                let again = match self.which {
                    Which::Auto => later(now, STOP_LOAD_AGAIN_MS),
                    // Others may have what is missing here.
                    Which::AutoAndManual | Which::Urgent => {
                        target.unloadable = true;
                        now
                    }
                };
                let why = format!("the connector could not be loaded: {reason}");
                let back = urgent
                    .into_iter()
                    .map(|operation| Finished::put_back(operation, again, &why));
                self.finished.extend(back);
                if rests {
                    return;
                }
                let wait_ms =
                    (LOAD_AGAIN_MS << target.load_failures.min(10)).min(BACK_OFF_MAX_MS.max(PAUSE_MS));
                target.load_failures = target.load_failures.saturating_add(1);
                let until = match self.which {
                    Which::Auto => later(self.ports.clock.now(), wait_ms),
                    Which::AutoAndManual | Which::Urgent => Timestamp::MAX,
                };
                self.rest_here(name, until, &reason);
            }
        }
    }

    /// Gives free workers something to do.
    pub(super) fn start(&mut self, name: &TargetName) {
        let now = self.ports.clock.now();
        if self.winding_up || self.frozen.is_some() {
            self.give_back(name);
        }
        if self.state != State::Well {
            return;
        }
        let Some(target) = self.targets.get_mut(name) else {
            return;
        };
        if target.only_urgent(now) {
            self.give_back(name);
        }
        let Some(target) = self.targets.get_mut(name) else {
            return;
        };
        if target.waiting.is_empty() {
            return;
        }
        match &target.loading {
            Loading::Asked => {}
            Loading::NotAsked => {
                target.loading = Loading::Asked;
                let (connectors, name) = (Arc::clone(&self.ports.connectors), name.clone());
                let version = self.active.version;
                self.tasks.spawn(async move {
                    let loaded = connectors.connector(&name).await;
                    Event::Loaded(name, version, loaded)
                });
            }
            Loading::Ready(link) => {
                let link = Arc::clone(link);
                while let Some((operation, absence_recorded)) = target.next() {
                    if self.cuts.contains_key(&operation.number) {
                        let back = Finished::give_way(operation, now);
                        self.finished.push(back);
                        continue;
                    }
                    target.busy += 1;
                    let (cut, asked) = oneshot::channel();
                    self.under_way.insert(operation.number, cut);
                    let (link, name) = (Arc::clone(&link), name.clone());
                    self.tasks
                        .spawn(work(link, name, operation, absence_recorded, asked));
                }
            }
        }
    }

    pub(super) fn start_all(&mut self) {
        for name in self.names() {
            self.start(&name);
        }
    }
}

async fn work(
    link: Arc<Link>,
    name: TargetName,
    operation: ClaimedOperation,
    absence_recorded: bool,
    cut: oneshot::Receiver<()>,
) -> Event {
    let number = operation.number;
    let ended = tokio::select! {
        biased;
        ended = link.attempt(&operation, absence_recorded) => Some(ended),
        () = asked(cut) => None,
    };
    let returned = match ended {
        Some(ended) => link.returned(operation, ended),
        None => Returned::Finished(Box::new(Finished::cut_short(operation, link.clock.now()))),
    };
    Event::Returned(name, number, returned)
}

/// Waits until somebody asks: for ever when nobody can any more.
async fn asked(cut: oneshot::Receiver<()>) {
    if cut.await.is_err() {
        std::future::pending::<()>().await;
    }
}
