//! What somebody who watches the loop is told: counts per batch, never one call per operation.

use std::time::Duration;

use jiff::Timestamp;
use usher_lifecycle::name::TargetName;
use usher_store::{Decision, StoreError};

/// The two tasks of a serving engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Makes facts of accepted imports and plans what is due.
    Planner,
    /// Claims, calls and records.
    Runner,
}

impl Part {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Planner, Self::Runner];

    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planner => "planner",
            Self::Runner => "runner",
        }
    }
}

/// How attempts ended, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// Done.
    Done,
    /// Found done or overtaken when reading back.
    Settled,
    /// Will be tried again.
    Retry,
    /// Given back before it began: the target rests, or this host stops.
    PutBack,
    /// Waits for a person.
    Held,
    /// Given up.
    Failed,
}

impl Ending {
    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Settled => "settled",
            Self::Retry => "retry",
            Self::PutBack => "put-back",
            Self::Held => "held",
            Self::Failed => "failed",
        }
    }

    pub(crate) const fn of(decision: &Decision, put_back: bool) -> Self {
        match decision {
            Decision::Done => Self::Done,
            Decision::Settled => Self::Settled,
            Decision::Retry { .. } if put_back => Self::PutBack,
            Decision::Retry { .. } => Self::Retry,
            Decision::Held { .. } => Self::Held,
            Decision::Failed => Self::Failed,
        }
    }
}

/// So many attempts of one verb at one target ended like this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// At which target.
    pub target: TargetName,
    /// Of which verb, such as `create`.
    pub verb: &'static str,
    /// How they ended.
    pub ending: Ending,
    /// How many.
    pub operations: u64,
}

/// Something that happened in the loop.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// This part of the loop is alive: it has just begun another turn. At least once per poll, unless it hangs.
    Alive(Part),
    /// Outcomes that are on record now.
    Outcomes(Vec<Outcomes>),
    /// A commit of outcomes and claims.
    Committed {
        /// Outcomes in it.
        outcomes: u64,
        /// Operations claimed by it.
        claimed: u64,
        /// How long it took.
        took: Duration,
    },
    /// Outcomes that were refused: the attempts are not this writer's any more.
    Fenced {
        /// How many.
        operations: u64,
    },
    /// This host was not heard of for too long; it has begun anew as another writer.
    Rejoined,
    /// Operations of writers that are gone are ready again.
    Recovered {
        /// How many.
        operations: u64,
    },
    /// A target rests.
    Rest {
        /// Which.
        target: TargetName,
        /// Until when; `None` for the rest of the run.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// A batch of identities was planned.
    Planned {
        /// Identities recorded.
        identities: u64,
        /// Operations put into the queue.
        operations: u64,
        /// Rules, mappings and dates that could not be evaluated.
        problems: u64,
        /// How long reading, thinking and recording took.
        took: Duration,
    },
    /// For how long planning has had something to do without being at an end of it; zero when everything is planned, or when another host
    /// plans.
    Lag(Duration),
    /// The store failed; the part tries again.
    StoreFailed {
        /// Which part met it.
        part: Part,
        /// What kind of error, one word.
        kind: &'static str,
        /// The error's words.
        message: String,
    },
    /// Something else than the store is in the way, such as no active policy; the part tries again.
    Hindered {
        /// Which part met it.
        part: Part,
        /// What.
        message: String,
    },
    /// A target was reconciled by the clock.
    Reconciled {
        /// Which.
        target: TargetName,
        /// Accounts listed.
        listed: u64,
        /// Accounts that differed although nobody here changed them.
        drifted: u64,
        /// Why the list was not believed, if so.
        refused: Option<String>,
        /// How long it took.
        took: Duration,
    },
    /// A target could not be reconciled; it is tried again when its time comes.
    NotReconciled {
        /// Which.
        target: TargetName,
        /// Why.
        message: String,
    },
    /// Whether the store is frozen, and why. Told when it changes.
    Frozen(Option<String>),
}

/// Told what happens in the loop. Called from the loop's own tasks, so it must return quickly.
pub trait Observer: Send + Sync {
    /// This has just happened.
    fn saw(&self, seen: Seen);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn saw(&self, _seen: Seen) {}
}

/// One word for a kind of store error.
pub(crate) const fn kind_of(error: &StoreError) -> &'static str {
    match error {
        StoreError::NotFound(_) => "not-found",
        StoreError::Stale(_) => "stale",
        StoreError::InUse(_) => "in-use",
        StoreError::Version(_) => "version",
        StoreError::Fenced(_) => "fenced",
        StoreError::Frozen(_) => "frozen",
        StoreError::Key(_) => "key",
        StoreError::Corrupt { .. } => "corrupt",
        StoreError::Contended(_) => "contended",
        StoreError::Damaged(_) => "damaged",
        StoreError::Disk { .. } => "disk",
        StoreError::Unavailable { .. } => "unavailable",
    }
}
