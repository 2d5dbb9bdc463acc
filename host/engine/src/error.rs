//! Engine errors, by what the caller can do.

use usher_lifecycle::document::DocumentErrors;
use usher_store::StoreError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A document has mistakes. Correct them; nothing was activated.
    #[error(transparent)]
    Document(#[from] DocumentErrors),
    /// Targets whose connector cannot be had or does not accept its settings. Nothing was activated.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Targets(Vec<TargetError>),
    /// A document is needed that is not active. Activate it first.
    #[error("{0}")]
    NotActive(String),
    /// There is no such source, identity or account. Ask for another.
    #[error("{0}")]
    NotFound(String),
    /// A saved plan is out of date: what changed, one line each. Make a new one. Nothing was done.
    #[error("the plan is out of date: {}. Make a new plan and look at it again; nothing was done", .0.join("; "))]
    Stale(Vec<String>),
    /// What a document would change is not what was looked at. Look again. Nothing was activated.
    #[error(
        "what the document would change is not what was looked at: its digest is {found} now. Look at it again; nothing was activated"
    )]
    Differs {
        /// The digest now.
        found: String,
    },
    /// An active document in the store can no longer be read. It was valid when it was activated.
    #[error("the active {kind} document (version {version}) cannot be read by this program: {reason}")]
    Unreadable {
        /// `policy` or `targets`.
        kind: &'static str,
        /// Its version.
        version: i64,
        /// Why.
        reason: String,
    },
    /// A target did not answer as it must for what was asked. Nothing took effect; try again when it does.
    #[error(transparent)]
    Unanswered(TargetError),
    /// The store is frozen: nothing runs until a person has looked and thawed it. What was planned is queued.
    #[error("the store is frozen, so nothing runs: {0}")]
    Frozen(String),
    /// The store.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(message) => Self::NotFound(message),
            StoreError::Frozen(reason) => Self::Frozen(reason),
            other => Self::Store(other),
        }
    }
}

/// A target that cannot be activated, or does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target {target}: {reason}")]
pub struct TargetError {
    /// Which.
    pub target: usher_lifecycle::name::TargetName,
    /// Why, and what to do.
    pub reason: String,
}
