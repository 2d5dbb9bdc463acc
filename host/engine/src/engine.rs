//! The engine: one value that holds the ports and does everything.

use std::sync::Arc;

use jiff::tz::TimeZoneDatabase;
use usher_lifecycle::cause::Actor;
use usher_store::{Context, Store};

use crate::documents::Active;
use crate::error::EngineError;
use crate::ports::{Clock, Connectors, Probes, Randomness};
use crate::progress::NoProgress;
use crate::run::Recovered;

/// What the engine needs from the world.
#[derive(Clone)]
pub struct Ports {
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// The connected systems.
    pub connectors: Arc<dyn Connectors>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub randomness: Arc<dyn Randomness>,
    /// Named points, for crash tests.
    pub probes: Arc<dyn Probes>,
    /// Time zones.
    pub zones: TimeZoneDatabase,
}

/// The loop.
#[derive(Clone)]
pub struct Engine {
    pub(crate) ports: Ports,
    pub(crate) active: Arc<Active>,
}

impl Engine {
    /// An engine over these ports. Call [`Engine::recover`] before anything else.
    pub fn new(ports: Ports) -> Self {
        Self {
            ports,
            active: Arc::default(),
        }
    }

    /// Puts right what the last run left: accepted imports become facts, accepted reconciles take effect, operations that were under way read back first. Doing it twice
    /// does nothing the second time.
    ///
    /// # Errors
    /// The store fails.
    pub async fn recover(&self) -> Result<Recovered, EngineError> {
        let absorbed = self.absorb_all(0, &NoProgress).await?;
        self.settle_reconciles(&NoProgress).await?;
        let operations = self.ports.store.recover(&self.context(Actor::Usher)).await?;
        Ok(Recovered { absorbed, operations })
    }

    pub(crate) fn context(&self, actor: Actor) -> Context {
        Context {
            actor,
            at: self.ports.clock.now(),
        }
    }

    /// Ten random bytes, for an id.
    pub(crate) fn random_id(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        self.ports.randomness.fill(&mut bytes);
        bytes
    }
}
