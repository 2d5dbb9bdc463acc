//! Who else works on this store, and what only one of them does at a time.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{Context, StoreError};

/// The writers at work now, as the last heartbeat saw them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// This writer's number.
    pub own: i64,
    /// All live ones that take part (see [`Replicas::take_part`]) and this one, ascending. Only this one on SQLite.
    pub writers: Vec<i64>,
    /// Every live writer has had the time to see this one: it may take its share of what all share.
    pub settled: bool,
}

/// Work that one writer does for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Planning what is due. Two planners would be right, but each would do the other's work again.
    Planning,
    /// Sealing the audit.
    Sealing,
    /// Reconciling targets. A second one would throw away what the first has listed.
    Reconciling,
}

impl Duty {
    /// Its name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Sealing => "sealing",
            Self::Reconciling => "reconciling",
        }
    }
}

/// Working beside others on one store.
#[async_trait]
pub trait Replicas: Send + Sync {
    /// From now on this writer runs operations, after a [`Replicas::rejoin`] too: the others leave it its share of what all share. Those who only look
    /// or plan never ask for it.
    async fn take_part(&self) -> Result<(), StoreError>;
    /// Who is at work, as of the last heartbeat. Costs nothing.
    fn membership(&self) -> Membership;
    /// How long others leave this writer's work alone after its last heartbeat; `None` where nobody else can be.
    fn lease(&self) -> Option<Duration>;
    /// Whether the lease holds now, by this machine's clock since it was started (which goes on while it sleeps), counted from before the last heartbeat was sent. A writer whose lease
    /// does not hold must not begin a call: somebody else may do the same work.
    fn lease_holds(&self) -> bool;
    /// Begins anew as another writer, after [`StoreError::Fenced`]. What was claimed before is somebody else's.
    async fn rejoin(&self, context: &Context) -> Result<(), StoreError>;
    /// Takes or keeps a duty. `false`: another live writer has it.
    async fn take_duty(&self, duty: Duty) -> Result<bool, StoreError>;
    /// Tells when somebody, here or elsewhere, has made something ready or dirty.
    fn wakes(&self) -> Wakes;
}

/// Wake-ups as one listener hears them. A wake-up may be for nothing, and one from elsewhere may be lost: look again from time to time.
#[derive(Clone, Debug)]
pub struct Wakes(pub(crate) watch::Receiver<u64>);

impl Wakes {
    /// Waits for the next wake-up; returns at once if there was one since the last call. For ever when the store is gone.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
