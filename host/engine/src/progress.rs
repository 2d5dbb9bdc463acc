//! What a person watching a long run is told.

/// The parts of a run that take time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Rows of a file are read and compared.
    Reading,
    /// Changed rows are staged.
    Staging,
    /// Accepted rows become facts.
    Absorbing,
    /// Identities are planned.
    Planning,
    /// Operations are carried out.
    Running,
    /// Identities are read, to tell whose accounts are.
    Knowing,
    /// Accounts of a target are listed and compared.
    Listing,
    /// A reconcile takes effect.
    Settling,
}

impl Phase {
    /// One word for a progress bar.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Staging => "staging",
            Self::Absorbing => "absorbing",
            Self::Planning => "planning",
            Self::Running => "running",
            Self::Knowing => "reading identities",
            Self::Listing => "listing accounts",
            Self::Settling => "settling",
        }
    }
}

/// Told how far a run is. Called from the engine's own task, so it must return quickly.
pub trait Progress: Send + Sync {
    /// `done` of `total` things of this phase are done. `total` is 0 when it is not known, and may grow.
    fn at(&self, phase: Phase, done: u64, total: u64);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn at(&self, _phase: Phase, _done: u64, _total: u64) {}
}
