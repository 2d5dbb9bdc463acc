//! What the engine needs from the world. The store is [`usher_store::Store`], one connector is [`usher_connectors::Connector`].

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_connectors::Connector;
use usher_lifecycle::connector::Descriptor;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::targets::Target;
pub use usher_store::Randomness;

/// The time. The real one reads the wall clock; in a rehearsal folder and in simulation it is set.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The moment.
    fn now(&self) -> Timestamp;
    /// Waits until that moment; returns at once when it has passed, and early when the clock is set back meanwhile.
    async fn sleep_until(&self, at: Timestamp);
}

/// What activating a targets document works out for each target, kept with the document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ResolvedTarget {
    /// SHA-256 of the component, lower-case hexadecimal.
    pub digest: String,
    /// What it is under the target's settings.
    pub descriptor: Descriptor,
    /// JSON Schema of its account attributes under the target's settings.
    pub account_schema: Value,
}

/// Where connectors come from.
#[async_trait]
pub trait Connectors: Send + Sync {
    /// Loads the component a target names under its settings and grants, and asks it to describe itself. The error says what is
    /// wrong and what to do, one line each.
    async fn resolve(&self, target: &Target) -> Result<ResolvedTarget, String>;
    /// The connector of an active target, loaded at first use. The error says why it cannot be had.
    async fn connector(&self, target: &TargetName) -> Result<Arc<dyn Connector>, String>;
}

/// Named points an operation passes. The real one does nothing unless a test asked it to kill the process there; the simulated
/// one makes the engine's future end there.
pub trait Probes: Send + Sync {
    /// Called when the point is reached.
    fn reached(&self, point: Point);

    /// Whether the store is to fail here: before a commit as if it could not be reached, after it as if its answer was lost. Asked at
    /// [`Point::BeforeClaim`] and [`Point::AfterClaim`].
    fn store_fails(&self, _point: Point) -> bool {
        false
    }
}

/// The points, in the order an operation passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// A chunk of an import is staged.
    Staged,
    /// An import is accepted.
    Accepted,
    /// A chunk of an accepted import has become facts.
    Absorbed,
    /// A batch of identities is about to be recorded as planned.
    BeforePlanCommit,
    /// It has been recorded.
    AfterPlanCommit,
    /// What was planned is about to be judged by its budgets.
    BeforeJudging,
    /// It has been, and what is let go is ready.
    AfterJudging,
    /// A batch is about to be claimed (and earlier outcomes recorded).
    BeforeClaim,
    /// It has been claimed.
    AfterClaim,
    /// The absence of an account has been recorded before its creation.
    AfterAbsence,
    /// A connector is about to be called with a write.
    BeforeCall,
    /// It has answered; the target is changed, the store does not know.
    AfterCall,
    /// An outcome is about to be recorded.
    BeforeOutcome,
    /// It has been recorded.
    AfterOutcome,
    /// A page of a target's accounts is staged.
    PageStaged,
    /// A reconcile is accepted.
    ReconcileAccepted,
    /// A chunk of an accepted reconcile has taken effect.
    TookEffect,
    /// A reaction is about to disable an account that nobody owns.
    BeforeReaction,
    /// The target has answered; the store does not know.
    AfterReaction,
}

impl Point {
    /// Those that a reconcile passes.
    pub const OF_RECONCILE: [Self; 5] = [
        Self::PageStaged,
        Self::ReconcileAccepted,
        Self::TookEffect,
        Self::BeforeReaction,
        Self::AfterReaction,
    ];

    /// Those that imports, plans and operations pass.
    pub const ALL: [Self; 14] = [
        Self::Staged,
        Self::Accepted,
        Self::Absorbed,
        Self::BeforePlanCommit,
        Self::AfterPlanCommit,
        Self::BeforeJudging,
        Self::AfterJudging,
        Self::BeforeClaim,
        Self::AfterClaim,
        Self::AfterAbsence,
        Self::BeforeCall,
        Self::AfterCall,
        Self::BeforeOutcome,
        Self::AfterOutcome,
    ];

    /// The name, as in `USHER_KILL_AT=after-call:3`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Accepted => "accepted",
            Self::Absorbed => "absorbed",
            Self::BeforePlanCommit => "before-plan-commit",
            Self::AfterPlanCommit => "after-plan-commit",
            Self::BeforeJudging => "before-judging",
            Self::AfterJudging => "after-judging",
            Self::BeforeClaim => "before-claim",
            Self::AfterClaim => "after-claim",
            Self::AfterAbsence => "after-absence",
            Self::BeforeCall => "before-call",
            Self::AfterCall => "after-call",
            Self::BeforeOutcome => "before-outcome",
            Self::AfterOutcome => "after-outcome",
            Self::PageStaged => "page-staged",
            Self::ReconcileAccepted => "reconcile-accepted",
            Self::TookEffect => "took-effect",
            Self::BeforeReaction => "before-reaction",
            Self::AfterReaction => "after-reaction",
        }
    }
}
