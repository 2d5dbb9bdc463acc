//! What is asked for, and what came of it.

use serde::Serialize;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::name::TargetName;
use usher_store::{FoundTotal, ReconcileRef};

use super::guard::Refusal;

/// Most problems listed; more are only counted.
pub const PROBLEMS_LISTED_MAX: usize = 20;

/// What to reconcile.
#[derive(Clone, Debug)]
pub struct ReconcileRequest {
    /// Which target.
    pub target: TargetName,
    /// Who asks.
    pub actor: Actor,
    /// Believe a list that the shrink guard would refuse, and disable more unmatched accounts than `unmatched-max`.
    pub override_guards: bool,
    /// A person asked: what `apply = "manual"` keeps waiting for one is done.
    pub by_person: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReconcileReport {
    /// Of which target.
    pub target: TargetName,
    /// The number it is remembered by.
    pub number: Option<ReconcileRef>,
    /// Why the list was not believed; nothing took effect then.
    pub refused: Option<Refusal>,
    /// Accounts listed.
    pub listed: u64,
    /// How many of them were listed more than once; the last counts.
    pub duplicates: u64,
    /// Accounts that were not listed and yet are there.
    pub unlisted: u64,
    /// Linked accounts brought up to date.
    pub updated: u64,
    /// Those of them that differed although nobody here changed them.
    pub drifted: u64,
    /// Linked accounts that the target has no more, found now.
    pub missing: u64,
    /// Accounts linked by the rules.
    pub linked: u64,
    /// Left for the next reconcile, because they were worked on.
    pub put_off: u64,
    /// All accounts that are not plainly linked now, by their situation.
    pub situations: Vec<FoundTotal>,
    /// Accounts nobody owns that were disabled.
    pub disabled: u64,
    /// Accounts nobody owns that would be, but are not, and why.
    pub not_disabled: Option<NotDisabled>,
    /// What could not be worked out or read, one line each; the first of them.
    pub problems: Vec<String>,
    /// How many there were.
    pub problems_total: u64,
}

/// Why accounts that nobody owns are left enabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NotDisabled {
    /// How many; one more than are allowed when there are too many.
    pub accounts: u64,
    /// Why, and what to do.
    pub reason: String,
}

impl ReconcileReport {
    pub(super) fn new(target: TargetName) -> Self {
        Self {
            target,
            number: None,
            refused: None,
            listed: 0,
            duplicates: 0,
            unlisted: 0,
            updated: 0,
            drifted: 0,
            missing: 0,
            linked: 0,
            put_off: 0,
            situations: Vec::new(),
            disabled: 0,
            not_disabled: None,
            problems: Vec::new(),
            problems_total: 0,
        }
    }

    pub(super) fn problem(&mut self, problem: String) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_LISTED_MAX && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}
