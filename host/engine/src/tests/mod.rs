//! The whole loop on a real SQLite store against simulated targets.

mod budgets;
mod crashes;
mod days;
mod differences;
mod documents;
mod faults;
mod imports;
mod joining;
mod new_documents;
mod personal;
mod pilots;
mod reconciling;
mod replicas;
mod serving;
mod shared_rests;
mod stops;
mod store_failures;
mod troubles;
mod unknown;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::connector::Creation;
use usher_lifecycle::name::Name;
use usher_store::{Context, OperatorKey, Store, sqlite};

use crate::import::{ImportReport, ImportRequest};
use crate::run::{ApplyReport, ApplyRequest, Stop};
use crate::sim::{Crash, SimAccount, SimClock, SimConnectors, SimProbes, SimRandomness, SimTarget};
use crate::{Engine, EngineError, NoProgress, Ports};

pub(super) const POLICY: &str = r#"
zone = "Europe/Berlin"
retention-days = 30

[sources.hr]
kind = "snapshot"
format = "csv"
key = "id"
bad-rows-max-percent = 60
shrink-max-percent = 60
absent-after-snapshots = 2
[sources.hr.columns]
id = { attribute = "employeeId", required = true }
given = { attribute = "givenName", required = true }
family = { attribute = "familyName" }
contract = { attribute = "contract" }
start = { attribute = "startDate", type = "date" }
end = { attribute = "endDate", type = "date" }
away = { attribute = "leaveFrom", type = "date" }
back = { attribute = "leaveUntil", type = "date" }
zone = { attribute = "zone" }
[sources.hr.lifecycle]
start = "startDate"
end = "endDate"
leave-from = "leaveFrom"
leave-until = "leaveUntil"
zone = "zone"

[[roles]]
name = "employee"
when = "identity.contract == 'permanent'"
accounts = ["app", "directory"]
[roles.entitlements]
app = ["staff"]
directory = ["All Staff"]

[[roles]]
name = "contractor"
when = "identity.contract == 'external'"
accounts = ["app"]
[roles.entitlements]
app = ["guests"]

[mappings.app]
username = "identity.employeeId"
mail = "identity.givenName + '@Example.org'"
name = "has(identity.familyName) ? identity.givenName + ' ' + identity.familyName : identity.givenName"
pin = "'secret-' + identity.employeeId"

[mappings.directory]
username = "identity.employeeId"
mail = "identity.givenName + '@Example.org'"
"#;

pub(super) const TARGETS: &str = r#"
[targets.app]
connector = "sim"
apply = "auto"
[targets.directory]
connector = "sim"
apply = "manual"
"#;

pub(super) const HEADER: &str = "id,given,family,contract,start,end,away,back,zone\n";

/// A world that survives crashes of the engine in it.
pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) clock: Arc<SimClock>,
    pub(super) randomness: Arc<SimRandomness>,
    pub(super) connectors: Arc<SimConnectors>,
    pub(super) probes: Arc<SimProbes>,
    pub(super) app: Arc<SimTarget>,
    pub(super) directory: Arc<SimTarget>,
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn person() -> Actor {
    Actor::Person("ada".to_owned())
}

impl World {
    /// A world without documents.
    pub(super) fn bare(seed: u64) -> Self {
        let clock = SimClock::at(time("2026-03-02T08:00:00Z"));
        let connectors = SimConnectors::new();
        let app = SimTarget::normalizing(&clock, Creation::UniqueKey(vec!["username".to_owned()]));
        let directory = SimTarget::new(&clock, Creation::Marker);
        connectors.add(&name("app"), Arc::clone(&app));
        connectors.add(&name("directory"), Arc::clone(&directory));
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock,
            randomness: SimRandomness::seeded(seed),
            connectors,
            probes: SimProbes::new(),
            app,
            directory,
        }
    }

    /// A world with both documents active.
    pub(super) async fn new(seed: u64) -> Self {
        let world = Self::bare(seed);
        let engine = world.engine().await;
        engine
            .activate_targets("targets.toml", TARGETS, person())
            .await
            .unwrap();
        engine
            .activate_policy("policy.toml", POLICY, person())
            .await
            .unwrap();
        world
    }

    /// Starts an engine: opens the store (one at a time) and recovers.
    pub(super) async fn engine(&self) -> Engine {
        let engine = self.unrecovered().await;
        engine.recover().await.unwrap();
        engine
    }

    /// The same, and leaves everything as it is.
    pub(super) async fn unrecovered(&self) -> Engine {
        let folder = self.folder.path().join("data");
        let context = Context {
            actor: Actor::Usher,
            at: crate::ports::Clock::now(&*self.clock),
        };
        let randomness: Arc<dyn crate::ports::Randomness> = self.randomness.clone();
        let key = OperatorKey::from_bytes([7; 32]);
        let mut turns = 0;
        let store = loop {
            let randomness = Arc::clone(&randomness);
            let opened = if sqlite::exists(&folder) {
                sqlite::open(&folder, &key, randomness, &context).await
            } else {
                sqlite::create(&folder, &key, randomness, &context).await
            };
            match opened {
                Ok(store) => break store,
                // Tasks of an engine that crashed are dropped at their next turn, and the store with them.
                Err(usher_store::StoreError::InUse(_)) if turns < 1_000 => {
                    turns += 1;
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        Engine::new(Ports {
            store: Arc::new(store) as Arc<dyn Store>,
            connectors: self.connectors.clone(),
            clock: self.clock.clone(),
            randomness: self.randomness.clone(),
            probes: self.probes.clone(),
            zones: TimeZoneDatabase::bundled(),
        })
    }

    /// The accounts of both targets.
    pub(super) fn accounts(&self) -> BTreeMap<&'static str, BTreeMap<String, SimAccount>> {
        BTreeMap::from([
            ("app", self.app.accounts()),
            ("directory", self.directory.accounts()),
        ])
    }

    /// How often each account was created, at the most.
    pub(super) fn creations_max(&self) -> usize {
        let mut counts: BTreeMap<(usize, String), usize> = BTreeMap::new();
        for (at, target) in [&self.app, &self.directory].into_iter().enumerate() {
            for call in target.journal().into_iter().filter(|call| call.verb == "create") {
                *counts.entry((at, call.id)).or_default() += 1;
            }
        }
        counts.into_values().max().unwrap_or(0)
    }
}

pub(super) async fn import(engine: &Engine, rows: &str) -> ImportReport {
    try_import(engine, format!("{HEADER}{rows}").as_bytes(), false)
        .await
        .unwrap()
}

pub(super) async fn try_import(
    engine: &Engine,
    bytes: &[u8],
    overridden: bool,
) -> Result<ImportReport, EngineError> {
    let source = name("hr");
    let request = ImportRequest {
        source: &source,
        origin: "people.csv",
        bytes,
        override_guards: overridden,
        actor: Actor::Source(source.clone()),
    };
    engine.import(request, &NoProgress).await
}

pub(super) async fn apply(engine: &Engine, wait_ms: u64) -> ApplyReport {
    let request = ApplyRequest {
        expect: None,
        wait_ms,
        stop: Stop::never(),
        actor: person(),
    };
    engine.apply(request, &NoProgress).await.unwrap()
}

/// Runs until the end or a simulated crash; `None` after a crash.
pub(super) async fn survive<T>(run: impl Future<Output = T>) -> Option<T> {
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(value) => Some(value),
        Err(panic) if panic.is::<Crash>() => None,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
