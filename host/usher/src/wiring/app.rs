//! The parts put together: a data folder, opened, with an engine over it.

use std::path::Path;
use std::sync::Arc;

use usher_engine::ports::Clock;
use usher_engine::{Engine, Ports};
use usher_lifecycle::cause::Actor;
use usher_store::{Context, SqlStore, Store, sqlite};

use super::actor;
use super::clock;
use super::connectors::ConnectorRegistry;
use super::folder;
use super::probes::ProcessProbes;
use super::randomness::OsRandomness;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::table::count;

/// An opened data folder.
pub(crate) struct App {
    /// What is remembered.
    pub(crate) store: Arc<SqlStore>,
    /// Connectors.
    pub(crate) connectors: Arc<ConnectorRegistry>,
    /// The loop.
    pub(crate) engine: Engine,
    clock: Arc<dyn Clock>,
    actor: Actor,
}

impl App {
    /// Opens the data folder. Nothing is recovered yet: see [`App::recovered`].
    pub(crate) async fn open(global: &Global) -> Result<Self, Failure> {
        folder::must_exist(&global.data)?;
        let probes = ProcessProbes::from_env().map_err(|message| Failure::new(Exit::Usage, message))?;
        let stands = sqlite::rehearsal_moment(&global.data).await?;
        let clock = clock::choose(stands, global.now)?;
        let actor = actor::person();
        let context = Context {
            actor: actor.clone(),
            at: clock.now(),
        };
        let store = Arc::new(sqlite::open(&global.data, Arc::new(OsRandomness), &context).await?);
        let shared: Arc<dyn Store> = store.clone();
        let connectors = Arc::new(ConnectorRegistry::new(
            shared.clone(),
            folder::native(&global.data),
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
            store,
            connectors,
            engine,
            clock,
            actor,
        })
    }

    /// Opens the data folder and puts right what an earlier command left when it was cut short.
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

    /// Makes a new data folder with an empty database. A rehearsal folder's clock starts at `--now`, or at the present.
    pub(crate) async fn create(
        path: &Path,
        rehearsal: bool,
        now: Option<jiff::Timestamp>,
    ) -> Result<(), Failure> {
        folder::must_be_free(path)?;
        if now.is_some() && !rehearsal {
            return Err(Failure::new(
                Exit::Usage,
                "--now works in rehearsal folders only; add --rehearsal",
            ));
        }
        let at = now.unwrap_or_else(|| clock::SystemClock.now());
        let context = Context {
            actor: actor::person(),
            at,
        };
        let store = sqlite::create(path, Arc::new(OsRandomness), &context).await?;
        if rehearsal {
            store.set_rehearsal().await?;
        }
        Ok(store.close().await?)
    }

    /// Who runs this command.
    pub(crate) fn actor(&self) -> Actor {
        self.actor.clone()
    }

    /// Who changes something, and when.
    pub(crate) fn context(&self) -> Context {
        Context {
            actor: self.actor.clone(),
            at: self.clock.now(),
        }
    }
}
