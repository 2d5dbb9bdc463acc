//! `usher serve`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinHandle;
use usher_engine::run::{Stop, Stopper};
use usher_engine::serve::ServeRequest;
use usher_server::{About, BindError, Board, ListenAddress, Server, Site};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::logging::LogFormat;
use crate::wiring::app::App;
use crate::wiring::interrupt;
use crate::wiring::place::Place;
use crate::wiring::sealing::Sealing;
use crate::wiring::serving::Serving;
use crate::wiring::supervisor::Supervisor;
use crate::wiring::watch::Watch;

/// How long answers under way may take after the loop has ended.
const ANSWERS_MAX: Duration = Duration::from_secs(3);

/// Keep every account as it should be, by itself, until stopped. Several hosts may serve one PostgreSQL database.
///
/// Operations of targets with `apply = "auto"` run; those of `manual` ones are planned and wait for `usher apply`. SIGTERM or Ctrl-C
/// finishes what is under way; a second one ends at once. Answers GET /healthz, /livez, /readyz and /metrics.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where health and metrics are answered: ADDRESS:PORT or unix:PATH.
    ///
    /// Answers are neither encrypted nor asked for a password, so only this machine is let in unless you say otherwise. Open it to a network
    /// only where that network is trusted, or through a proxy that asks who is there.
    #[arg(
        long,
        env = "USHER_LISTEN",
        value_name = "WHERE",
        default_value = "127.0.0.1:8088"
    )]
    listen: ListenAddress,
    /// Append signed checkpoints of the audit to this file, one a minute while something happens. Ship it off this machine as it grows:
    /// `usher audit verify --against FILE` then finds what was changed or cut off, whoever did it.
    #[arg(long, env = "USHER_CHECKPOINTS", value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// How log lines on stderr are written.
    #[arg(long, env = "USHER_LOG", value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}

impl Serve {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global) -> Outcome {
        let supervisor = Supervisor::from_env();
        let app = App::open(global).await?;
        let server = Server::bind(self.listen.clone())
            .await
            .map_err(|error| cannot_listen(&error))?;
        let address = server.address();
        let _mark = Serving::mark(&Place::of(global)?, &address)?;
        let stop = interrupt::listen_with({
            let supervisor = supervisor.clone();
            move || {
                supervisor.stopping();
                tracing::info!(
                    "stopping: what is under way is finished and recorded; a second signal ends at once"
                );
            }
        })
        .map_err(|error| Failure::unexpected(&error))?;
        let sealing = Sealing::start(app.store.clone(), app.clock(), self.checkpoints.clone())?;
        let board = Arc::new(Board::default());
        let site = Arc::new(site(&app, Arc::clone(&board), stop.clone()));
        let answering = Answering::start(server, &site, &supervisor);
        drop(site);
        tracing::info!(%address, place = Place::of(global)?.name(), version = env!("CARGO_PKG_VERSION"), "serving");
        supervisor.ready(&format!("serving; health and metrics on {address}"));
        let served = app
            .engine
            .serve(ServeRequest::new(stop, app.actor()), Arc::new(Watch::new(board)))
            .await;
        answering.end().await;
        sealing.end().await;
        served?;
        tracing::info!("stopped; everything is recorded");
        Ok(Exit::Ok)
    }
}

fn site(app: &App, board: Arc<Board>, stop: Stop) -> Site {
    let about = About {
        version: env!("CARGO_PKG_VERSION"),
        schema_version: usher_store::SCHEMA_VERSION,
    };
    Site::new(app.store.clone(), app.clock(), board, stop, about)
}

fn cannot_listen(error: &BindError) -> Failure {
    let advice = if error.is_in_use() {
        "another server answers there already; name another address with --listen (or USHER_LISTEN)"
    } else {
        "name an address of this machine with --listen (or USHER_LISTEN)"
    };
    Failure::new(Exit::Usage, error.to_string()).advice(advice)
}

/// What goes on beside the loop: answers, and signs of life for the supervisor.
struct Answering {
    stopper: Stopper,
    server: JoinHandle<()>,
    life: JoinHandle<()>,
}

impl Answering {
    fn start(server: Server, site: &Arc<Site>, supervisor: &Supervisor) -> Self {
        let (stopper, stop) = Stop::pair();
        let (for_server, for_life) = (Arc::clone(site), Arc::clone(site));
        let supervisor = supervisor.clone();
        Self {
            stopper,
            server: tokio::spawn(async move {
                if let Err(error) = server.run(for_server, stop).await {
                    tracing::error!(%error, "health and metrics are not answered any more");
                }
            }),
            life: tokio::spawn(async move { supervisor.signs_of_life(|| for_life.is_alive()).await }),
        }
    }

    async fn end(self) {
        self.life.abort();
        // Cancelled: that is what was asked for.
        let _ = self.life.await;
        self.stopper.stop();
        if tokio::time::timeout(ANSWERS_MAX, self.server).await.is_err() {
            tracing::warn!("somebody did not take the last answers in time");
        }
    }
}
