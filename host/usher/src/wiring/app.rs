//! The parts put together: a store, opened, with an engine over it.

use std::sync::Arc;

use usher_connectors::CodeKey;
use usher_engine::ports::Clock;
use usher_engine::{Engine, Ports};
use usher_lifecycle::cause::Actor;
use usher_store::{Context, SqlStore, Store};

use super::actor;
use super::clock;
use super::connectors::ConnectorRegistry;
use super::folder;
use super::keys::KeySource;
use super::leaving::Leaving;
use super::place::Place;
use super::probes::ProcessProbes;
use super::randomness::OsRandomness;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::table::count;

/// An opened store.
pub(crate) struct App {
    /// What is remembered.
    pub(crate) store: Arc<SqlStore>,
    /// Connectors.
    pub(crate) connectors: Arc<ConnectorRegistry>,
    /// The loop.
    pub(crate) engine: Engine,
    clock: Arc<dyn Clock>,
    actor: Actor,
    /// Last, so that nothing else holds the store any more.
    _leaving: Leaving,
}

impl App {
    /// Opens the store. Nothing is recovered yet: see [`App::recovered`].
    pub(crate) async fn open(global: &Global) -> Result<Self, Failure> {
        let place = Place::of(global)?;
        let probes = ProcessProbes::from_env().map_err(|message| Failure::new(Exit::Usage, message))?;
        let clock = clock::choose(place.rehearsal_moment().await?, global.now)?;
        let actor = actor::person();
        let context = Context {
            actor: actor.clone(),
            at: clock.now(),
        };
        let native = folder::native(&place, &global.data)?;
        let key = KeySource::of(global, &place)?
            .find(|text| Output::new(global).note(text))
            .await?;
        let store = Arc::new(place.open(&key, &context).await?);
        let shared: Arc<dyn Store> = store.clone();
        let connectors = Arc::new(ConnectorRegistry::new(
            shared.clone(),
            native,
            CodeKey::new(&key.native_code_key()),
            clock.clone(),
            Arc::new(OsRandomness),
        ));
        let engine = Engine::new(Ports {
            store: shared,
            connectors: connectors.clone(),
            clock: clock.clone(),
            randomness: Arc::new(OsRandomness),
            probes: Arc::new(probes),
            zones: jiff::tz::db().clone(),
        });
        Ok(Self {
            _leaving: Leaving::new(store.clone()),
            store,
            connectors,
            engine,
            clock,
            actor,
        })
    }

    /// Opens the store and puts right what an earlier command left when it was cut short.
    pub(crate) async fn recovered(global: &Global, output: &Output) -> Result<Self, Failure> {
        let app = Self::open(global).await?;
        let recovered = app.engine.recover().await?;
        if recovered.absorbed > 0 {
            let rows = count(recovered.absorbed, "row more was", "rows more were");
            output.note(&format!(
                "an earlier import was cut short after it was accepted; {rows} taken in"
            ));
        }
        if recovered.operations > 0 {
            let operations = count(recovered.operations, "operation was", "operations were");
            output.note(&format!(
                "an earlier apply was cut short; {operations} under way and will read back first"
            ));
        }
        Ok(app)
    }

    /// Makes an empty store. A rehearsal's clock starts at `--now`, or at the present. Returns where it is, for people.
    pub(crate) async fn create(global: &Global, rehearsal: bool) -> Result<Place, Failure> {
        let place = Place::of(global)?;
        if global.now.is_some() && !rehearsal {
            return Err(Failure::new(
                Exit::Usage,
                "--now works in rehearsals only; add --rehearsal",
            ));
        }
        let at = global.now.unwrap_or_else(|| clock::SystemClock.now());
        let context = Context {
            actor: actor::person(),
            at,
        };
        let source = KeySource::of(global, &place)?;
        place.must_be_free()?;
        let store = place.create(&source.make().await?, &context).await?;
        if rehearsal {
            store.set_rehearsal().await?;
        }
        store.close().await?;
        folder::native(&place, &global.data)?;
        Ok(place)
    }

    /// Who runs this command.
    pub(crate) fn actor(&self) -> Actor {
        self.actor.clone()
    }

    /// The clock it lives by.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Who changes something, and when.
    pub(crate) fn context(&self) -> Context {
        Context {
            actor: self.actor.clone(),
            at: self.clock.now(),
        }
    }
}
