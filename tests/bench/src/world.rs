//! Real ports for the benches: the machine's clock, connectors from memory, random bytes that need not be secret.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use usher_connectors::{Connector, FixedSecrets, Generation, Sandbox};
use usher_engine::ports::{Clock, Connectors, Point, Probes, Randomness, ResolvedTarget};
use usher_engine::{Engine, Ports};
use usher_lifecycle::name::TargetName;
use usher_lifecycle::targets::Target;
use usher_store::SqlStore;

use crate::noop;

/// The wall clock.
pub(crate) struct WallClock;

#[async_trait]
impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "a bench measures in real time")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        let wait = at.duration_since(self.now());
        if let Ok(wait) = std::time::Duration::try_from(wait) {
            tokio::time::sleep(wait).await;
        }
    }
}

/// Bytes that never repeat within a run.
#[derive(Default)]
pub(crate) struct Counted(AtomicU64);

impl Randomness for Counted {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            // An odd constant (the golden ratio in 64 bits) spreads the counter over all bits.
            let next = self
                .0
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15);
            chunk.copy_from_slice(&next.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Nothing happens at any point.
pub(crate) struct NoProbes;

impl Probes for NoProbes {
    fn reached(&self, _point: Point) {}
}

/// Every target is served by the connector that does nothing.
pub(crate) struct NoopConnectors {
    sandbox: Sandbox,
    component: Vec<u8>,
    loaded: BTreeMap<TargetName, Arc<Generation>>,
}

impl NoopConnectors {
    /// Loads the component once for each target.
    pub(crate) async fn load(targets: &[&str]) -> anyhow::Result<Self> {
        let sandbox = Sandbox::new(crate::compiler()?, None)?;
        let component = noop::component();
        let mut loaded = BTreeMap::new();
        for name in targets {
            let target = noop::target(name)?;
            let generation = sandbox
                .load(component.clone(), &target, Arc::new(FixedSecrets::none()))
                .await?;
            loaded.insert(target.name, generation);
        }
        Ok(Self {
            sandbox,
            component,
            loaded,
        })
    }
}

#[async_trait]
impl Connectors for NoopConnectors {
    async fn resolve(&self, target: &Target) -> Result<ResolvedTarget, String> {
        let generation = self
            .sandbox
            .load(self.component.clone(), target, Arc::new(FixedSecrets::none()))
            .await
            .map_err(|error| error.to_string())?;
        Ok(ResolvedTarget {
            digest: generation.digest().into(),
            descriptor: generation.descriptor().clone(),
            account_schema: generation.account_schema().clone(),
        })
    }

    async fn connector(&self, target: &TargetName) -> Result<Arc<dyn Connector>, String> {
        match self.loaded.get(target) {
            Some(generation) => Ok(generation.clone()),
            None => Err(format!("no target {target}")),
        }
    }
}

/// An engine over a store and these targets.
pub(crate) async fn engine(store: Arc<SqlStore>, targets: &[&str]) -> anyhow::Result<Engine> {
    Ok(Engine::new(Ports {
        store,
        connectors: Arc::new(NoopConnectors::load(targets).await?),
        clock: Arc::new(WallClock),
        randomness: Arc::new(Counted::default()),
        probes: Arc::new(NoProbes),
        zones: jiff::tz::TimeZoneDatabase::bundled(),
    }))
}
