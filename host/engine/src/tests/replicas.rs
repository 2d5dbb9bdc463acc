//! Several engines over one PostgreSQL, each a process of its own as far as the others can see: a runtime on a thread of its own, which a
//! test can stop and let go on.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use usher_lifecycle::connector::Creation;
use usher_store::{OperatorKey, SqlStore, postgres};

use super::serving::Recorder;
use super::*;
use crate::Seen;
use crate::run::Stopper;
use crate::serve::ServeRequest;

/// Longest a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(120);
/// How often a test looks.
const LOOK: Duration = Duration::from_millis(10);

const FOUR_AT_ONCE: &str = r#"
[targets.app]
connector = "sim"
apply = "auto"
limits = { concurrency = 4 }
[targets.directory]
connector = "sim"
apply = "observe"
"#;

/// What all replicas share.
struct Shared {
    url: String,
    lease: Duration,
    clock: Arc<SimClock>,
    connectors: Arc<SimConnectors>,
    app: Arc<SimTarget>,
}

impl Shared {
    fn new(url: String, lease: Duration) -> Arc<Self> {
        let clock = SimClock::running(time("2026-03-02T08:00:00Z"));
        let connectors = SimConnectors::new();
        let app = SimTarget::new(&clock, Creation::UniqueKey(vec!["username".to_owned()]));
        connectors.add(&name("app"), Arc::clone(&app));
        connectors.add(&name("directory"), SimTarget::new(&clock, Creation::Marker));
        Arc::new(Self {
            url,
            lease,
            clock,
            connectors,
            app,
        })
    }

    async fn open(&self, seed: u64, is_new: bool) -> SqlStore {
        let options = postgres::Options {
            lease: self.lease,
            name: format!("replica {seed}"),
        };
        let context = Context {
            actor: Actor::Usher,
            at: crate::ports::Clock::now(&*self.clock),
        };
        let randomness = SimRandomness::seeded(seed);
        let key = OperatorKey::from_bytes([7; 32]);
        if is_new {
            postgres::create(&self.url, options, &key, randomness, &context)
                .await
                .unwrap()
        } else {
            postgres::open(&self.url, options, &key, randomness, &context)
                .await
                .unwrap()
        }
    }

    /// Works with an engine of its own on the store, and leaves in order.
    async fn with_engine<T>(&self, seed: u64, is_new: bool, work: impl AsyncFnOnce(Engine) -> T) -> T {
        let store = Arc::new(self.open(seed, is_new).await);
        let engine = Engine::new(Ports {
            store: Arc::clone(&store) as Arc<dyn Store>,
            connectors: self.connectors.clone(),
            clock: self.clock.clone(),
            randomness: SimRandomness::seeded(seed),
            probes: SimProbes::new(),
            zones: TimeZoneDatabase::bundled(),
        });
        let result = work(engine).await;
        // Without it, others would wait for its lease.
        Arc::into_inner(store)
            .expect("nobody else has it")
            .close()
            .await
            .unwrap();
        result
    }

    /// Makes the database, with documents and so many people in it.
    async fn prepare(&self, people: usize) {
        self.with_engine(1, true, async |engine| {
            engine
                .activate_targets("targets.toml", FOUR_AT_ONCE, person())
                .await
                .unwrap();
            engine
                .activate_policy("policy.toml", POLICY, person())
                .await
                .unwrap();
            let rows: String = (0..people)
                .map(|n| format!("{n},P{n},,external,,,,,\n"))
                .collect();
            import(&engine, &rows).await;
        })
        .await;
    }

    fn created(&self) -> usize {
        self.app
            .journal()
            .iter()
            .filter(|call| call.verb == "create")
            .count()
    }

    /// Everything is as it should be, each account made once, each operation ended once, and the audit verifies.
    async fn assert_whole(&self, people: usize) -> Vec<usher_store::AuditRow> {
        let tail = self
            .with_engine(99, false, async |engine| {
                assert_eq!(engine.preview().await.unwrap().operations(), 0);
                engine.ports.store.audit_verify().await.unwrap();
                engine.ports.store.audit_tail(10_000).await.unwrap()
            })
            .await;
        assert_eq!((self.app.accounts().len(), self.created()), (people, people));
        assert!(
            self.app
                .accounts()
                .values()
                .all(|account| account.entitlements.len() == 1)
        );
        let mut ends: BTreeMap<String, u32> = BTreeMap::new();
        for row in &tail {
            if row.event == "operation.done" || row.event == "operation.settled" {
                *ends.entry(row.payload["operation"].to_string()).or_default() += 1;
            }
        }
        assert_eq!(ends.len(), 2 * people);
        assert!(ends.values().all(|times| *times == 1), "{ends:?}");
        tail
    }
}

/// One engine that serves.
struct Replica {
    recorder: Arc<Recorder>,
    stopper: Stopper,
    halts: UnboundedSender<mpsc::Receiver<()>>,
    thread: JoinHandle<()>,
}

impl Replica {
    fn start(shared: &Arc<Shared>, seed: u64) -> Self {
        let (stopper, stop) = Stop::pair();
        let (halts, mut halted) = unbounded_channel::<mpsc::Receiver<()>>();
        let recorder = Arc::new(Recorder::default());
        let (shared, seen) = (Arc::clone(shared), recorder.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::spawn(async move {
                    while let Some(go_on) = halted.recv().await {
                        // The only thread stands: no heartbeat, no call, no commit, as if the process were stopped.
                        let _ = go_on.recv();
                    }
                });
                let request = ServeRequest {
                    poll_ms: 200,
                    ..ServeRequest::new(stop, Actor::Usher)
                };
                let serve = async |engine: Engine| engine.serve(request, seen).await.unwrap();
                shared.with_engine(seed, false, serve).await;
            });
        });
        Self {
            recorder,
            stopper,
            halts,
            thread,
        }
    }

    /// Stops the whole replica until what is returned is dropped.
    fn halt(&self) -> mpsc::Sender<()> {
        let (go_on, waits) = mpsc::channel();
        self.halts.send(waits).unwrap();
        go_on
    }

    fn end(self) -> Vec<Seen> {
        self.stopper.stop();
        self.thread.join().unwrap();
        self.recorder.seen()
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

fn done(seen: &[Seen]) -> u64 {
    let counts = seen.iter().map(|seen| match seen {
        Seen::Outcomes(outcomes) => outcomes.iter().map(|outcome| outcome.operations).sum(),
        _ => 0,
    });
    counts.sum()
}

async fn import_people(engine: &Engine, people: usize) {
    let rows: String = (0..people)
        .map(|n| format!("{n},P{n},,external,,,,,\n"))
        .collect();
    assert_eq!(import(engine, &rows).await.refused, None);
}

async fn all_hold_their_group(shared: &Shared, people: usize) {
    until("everybody has an account and a group", || {
        let accounts = shared.app.accounts();
        accounts.len() == people && accounts.values().all(|account| !account.entitlements.is_empty())
    })
    .await;
}

#[tokio::test]
async fn replicas_share_the_calls_a_target_bears() {
    let Some(server) = usher_test_postgres::shared().unwrap() else {
        return;
    };
    let shared = Shared::new(server.fresh_database().unwrap(), Duration::from_millis(1_500));
    shared.prepare(150).await;
    shared.app.delay_answers(40);
    let replicas = [2, 3, 4].map(|seed| Replica::start(&shared, seed));
    all_hold_their_group(&shared, 150).await;
    // By now each has been seen by all others.
    let before = replicas.each_ref().map(|replica| done(&replica.recorder.seen()));
    shared
        .with_engine(5, false, async |engine| import_people(&engine, 300).await)
        .await;
    all_hold_their_group(&shared, 300).await;
    let most = shared.app.most_at_once();
    assert!((2..=4).contains(&most), "{most} calls at once");
    let after = replicas.map(Replica::end).map(|seen| done(&seen));
    assert!(
        before.iter().zip(after).all(|(before, after)| *before < after),
        "each did some: {before:?}, {after:?}"
    );
    let tail = shared.assert_whole(300).await;
    assert!(
        tail.iter().all(|row| row.event != "operation.recovered"),
        "who stops leaves nothing to read back"
    );
}

#[tokio::test]
async fn a_replica_that_stands_still_loses_its_work_and_its_late_outcomes_are_refused() {
    let Some(server) = usher_test_postgres::shared().unwrap() else {
        return;
    };
    let shared = Shared::new(server.fresh_database().unwrap(), Duration::from_millis(500));
    shared.prepare(60).await;
    shared.app.delay_answers(150);
    let first = Replica::start(&shared, 2);
    until("the first is at work", || shared.created() >= 3).await;
    let go_on = first.halt();
    let others = [3, 4].map(|seed| Replica::start(&shared, seed));
    all_hold_their_group(&shared, 60).await;
    drop(go_on);
    until("the first has begun anew", || {
        first.recorder.has(|seen| *seen == Seen::Rejoined)
    })
    .await;
    let seen = others.map(Replica::end);
    first.end();
    assert!(
        seen.iter()
            .flatten()
            .any(|seen| matches!(seen, Seen::Recovered { operations } if *operations > 0))
    );
    let tail = shared.assert_whole(60).await;
    assert!(tail.iter().any(|row| row.event == "operation.recovered"));
}

#[tokio::test]
async fn a_database_that_goes_away_for_a_while_loses_nothing() {
    if usher_test_postgres::shared().unwrap().is_none() {
        return;
    }
    let server = usher_test_postgres::Server::start().unwrap();
    let shared = Shared::new(server.fresh_database().unwrap(), Duration::from_secs(30));
    shared.prepare(60).await;
    shared.app.delay_answers(50);
    let replica = Replica::start(&shared, 2);
    until("it is at work", || shared.created() >= 5).await;
    server.crash().unwrap();
    until("it has noticed", || {
        replica
            .recorder
            .has(|seen| matches!(seen, Seen::StoreFailed { .. }))
    })
    .await;
    let made = shared.created();
    server.start_again().unwrap();
    all_hold_their_group(&shared, 60).await;
    replica.end();
    assert!(made < 60, "it has not gone on without its store: {made}");
    let tail = shared.assert_whole(60).await;
    assert!(
        tail.iter()
            .all(|row| row.event != "operation.recovered" && row.event != "operation.settled"),
        "what was finished was kept and recorded, not read back"
    );
}

#[tokio::test]
async fn a_revoke_cuts_short_what_hangs_on_another_host() {
    let Some(server) = usher_test_postgres::shared().unwrap() else {
        return;
    };
    let shared = Shared::new(server.fresh_database().unwrap(), Duration::from_secs(30));
    shared.prepare(2).await;
    let replicas = [2, 3].map(|seed| Replica::start(&shared, seed));
    all_hold_their_group(&shared, 2).await;
    shared.app.faults.ask(crate::sim::Fault::Slow(86_400_000));
    let revoked = shared
        .with_engine(5, false, async |engine| {
            import(&engine, "0,P0,,external,,,,,\n1,Other,,external,,,,,\n").await;
            until_claimed(&engine, "update").await;
            super::stops::revoke(&engine, 60_000).await
        })
        .await;
    assert!(revoked.is_new && revoked.view.ended, "{revoked:?}");
    assert!(!shared.app.accounts()["1"].enabled);
    let verbs: Vec<&str> = shared.app.journal().iter().map(|call| call.verb).collect();
    assert!(
        !verbs.contains(&"update"),
        "cut short, and not written again: {verbs:?}"
    );
    for replica in replicas {
        replica.end();
    }
}

/// Waits until some host has an operation of this kind in hand.
async fn until_claimed(engine: &Engine, verb: &str) {
    let filter = usher_store::OperationFilter {
        states: vec![usher_lifecycle::operation::OperationState::Claimed],
        limit: 100,
        ..usher_store::OperationFilter::default()
    };
    let deadline = Instant::now() + DEADLINE;
    loop {
        let claimed = engine.ports.store.operations(&filter).await.unwrap();
        if claimed.iter().any(|one| one.work.verb() == verb) {
            return;
        }
        assert!(Instant::now() < deadline, "no {verb} was ever claimed");
        tokio::time::sleep(LOOK).await;
    }
}
