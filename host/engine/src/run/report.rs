//! What an apply is asked for and what it answers.

use jiff::Timestamp;
use serde::Serialize;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::targets::ApplyMode;

use crate::plan::{PlanProblem, SavedPlan};

/// Most held or failed operations listed in a report; all are counted.
pub const TROUBLES_LISTED_MAX: usize = 200;

/// Most reasons of retries listed in a report: about a screen.
pub const RETRY_REASONS_LISTED_MAX: usize = 20;

/// What to apply.
#[derive(Clone, Debug)]
pub struct ApplyRequest {
    /// Apply only when the plan is still this one.
    pub expect: Option<SavedPlan>,
    /// How long to wait for operations that fall due later (retries, paused targets), in milliseconds in all.
    pub wait_ms: u64,
    /// When asked to stop (Ctrl-C): nothing more is planned or claimed and no due time is waited for; calls under way are finished,
    /// within their own time limits, and recorded; then the report is given as usual.
    pub stop: super::Stop,
    /// Who applies.
    pub actor: Actor,
}

/// What was found and put right at start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Recovered {
    /// Accepted rows that had not become facts.
    pub absorbed: u64,
    /// Operations under way when the last run ended: they read back first.
    pub operations: u64,
}

/// What an apply did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ApplyReport {
    /// What was found at start.
    pub recovered: Recovered,
    /// Identities planned.
    pub planned: u64,
    /// Operations put into the queue.
    pub queued: u64,
    /// What became of attempts, by target and verb.
    pub totals: Vec<ApplyTotal>,
    /// Operations held or failed in this run; at most [`TROUBLES_LISTED_MAX`].
    pub troubles: Vec<Trouble>,
    /// Why attempts will be made again; at most [`RETRY_REASONS_LISTED_MAX`], those of most operations first.
    pub retries: Vec<RetryReason>,
    /// Targets that were paused in this run.
    pub paused: Vec<PausedTarget>,
    /// Operations still open, by target.
    pub left: Vec<Left>,
    /// When the first of them falls due.
    pub next_due: Option<Timestamp>,
    /// When the state of a person changes next by itself.
    pub next_change: Option<Timestamp>,
    /// Rules, mappings and dates that could not be evaluated.
    pub problems: Vec<PlanProblem>,
}

impl ApplyReport {
    /// Attempts that ended in an operation done (or found done when reading back).
    pub fn done(&self) -> u64 {
        self.totals.iter().map(|total| total.done + total.settled).sum()
    }
}

/// What became of attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ApplyTotal {
    /// At which target.
    pub target: TargetName,
    /// Of which verb.
    pub verb: String,
    /// Operations done.
    pub done: u64,
    /// Operations found done or overtaken when reading back.
    pub settled: u64,
    /// Attempts that will be made again.
    pub retrying: u64,
    /// Operations that wait for a person.
    pub held: u64,
    /// Operations given up.
    pub failed: u64,
}

/// An operation that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trouble {
    /// Which.
    pub operation: OperationId,
    /// At which account: `app` or `app/admin`.
    pub account: String,
    /// What it does.
    pub verb: String,
    /// `held` or `failed`.
    pub state: TroubleState,
    /// Why.
    pub message: String,
}

/// How an operation is in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TroubleState {
    /// A person must decide.
    Held,
    /// Given up.
    Failed,
}

/// Why operations at a target are tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RetryReason {
    /// Which target.
    pub target: TargetName,
    /// What their latest attempts said.
    pub message: String,
    /// Of how many operations it was the latest word when the run ended.
    pub operations: u64,
}

/// A target that was paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PausedTarget {
    /// Which.
    pub target: TargetName,
    /// Why.
    pub reason: String,
    /// Until when; `None` for the rest of this run.
    pub until: Option<Timestamp>,
}

/// Operations still open at a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Left {
    /// Which target.
    pub target: TargetName,
    /// Whether its operations run.
    pub apply: ApplyMode,
    /// Ready or waiting.
    pub open: u64,
    /// Waiting for a person.
    pub held: u64,
}
