//! Budgets: how many accounts of one target may be disabled, deleted or made within some hours before a person is asked.
//!
//! The operations of one cause are judged together, before the first of them runs: they fit what is left of the budget, or all of them are held. So
//! many small causes pass one after the other until the budget is used up. What counts as used is [`Budget::counts`]; whoever keeps the operations
//! counts them, and adds what has been let go and has not come to an end, so that nothing that is late runs beside a new day's budget.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::name::TargetName;
use crate::operation::{Priority, Work};

/// Longest window, in hours: a month of 31 days.
pub const WINDOW_HOURS_MAX: u32 = 744;
/// The window when the document says nothing, in hours.
pub const WINDOW_HOURS_DEFAULT: u32 = 24;
/// The largest number a budget may name: more accounts than any target has.
pub const MOST_MAX: u32 = 100_000_000;

/// What budgets count: the deeds that hurt when they are done to many by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(i64)]
pub enum Counted {
    /// Accounts disabled.
    Disable = 0,
    /// Accounts deleted.
    Delete = 1,
    /// Accounts made.
    Create = 2,
}

impl Counted {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Disable, Self::Delete, Self::Create];

    /// What an operation counts as, if anything. Reading never does.
    pub const fn of(work: &Work) -> Option<Self> {
        match work {
            Work::Disable => Some(Self::Disable),
            Work::Delete => Some(Self::Delete),
            Work::Create { .. } => Some(Self::Create),
            Work::Update { .. } | Work::Enable | Work::Grant { .. } | Work::Revoke { .. } | Work::Read => {
                None
            }
        }
    }

    /// The word in documents and lists: the verb of [`Work::verb`].
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Delete => "delete",
            Self::Create => "create",
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.verb())
    }
}

/// How many within which time. With both a number and a share, the smaller of them counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Budget {
    /// At most so many.
    pub most: Option<u32>,
    /// At most this share of the accounts of the target, in percent, rounded up.
    pub percent: Option<u8>,
    /// Within so many hours.
    pub per_hours: u32,
}

impl Budget {
    /// How many it allows in a target with so many accounts.
    pub fn allowed(&self, accounts: u64) -> u64 {
        let share = self.percent.map(|percent| {
            let hundredths = u128::from(accounts) * u128::from(percent);
            // At most 255 times what fits; a share is never more than the whole for a percentage up to 100.
            u64::try_from(hundredths.div_ceil(100)).unwrap_or(u64::MAX)
        });
        let most = self.most.map(u64::from);
        [share, most].into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// When its window began.
    pub fn window_start(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(SignedDuration::from_hours(i64::from(self.per_hours)))
            .unwrap_or(Timestamp::MIN)
    }

    /// Whether an operation that was let go counts as used: it has not come to an end, or it did within the window.
    pub fn counts(&self, ended: Option<Timestamp>, now: Timestamp) -> bool {
        ended.is_none_or(|ended| ended > self.window_start(now))
    }

    /// Whether so many more fit.
    pub fn judge(&self, usage: Usage, asked: u64) -> Verdict {
        let allowed = self.allowed(usage.accounts);
        if asked <= allowed.saturating_sub(usage.used) {
            Verdict::Fits
        } else {
            Verdict::Exceeds {
                allowed,
                used: usage.used,
            }
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("at most ")?;
        if let Some(most) = self.most {
            write!(f, "{most}")?;
        }
        if self.most.is_some() && self.percent.is_some() {
            f.write_str(" and ")?;
        }
        if let Some(percent) = self.percent {
            write!(f, "{percent} % of the accounts")?;
        }
        write!(f, " in {} h", self.per_hours)
    }
}

/// What a target has, and what was let go there within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Accounts known in the target.
    pub accounts: u64,
    /// Operations that count as used.
    pub used: u64,
}

/// What becomes of the operations of one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They may run.
    Fits,
    /// They are held, all of them.
    Exceeds {
        /// What the budget allows in its window.
        allowed: u64,
        /// What of it was used when they were judged.
        used: u64,
    },
}

/// The budgets of one target, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// For disabling.
    pub disable: Option<Budget>,
    /// For deleting.
    pub delete: Option<Budget>,
    /// For making.
    pub create: Option<Budget>,
}

impl Budgets {
    /// The budget for one kind.
    pub const fn of(&self, counted: Counted) -> Option<Budget> {
        match counted {
            Counted::Disable => self.disable,
            Counted::Delete => self.delete,
            Counted::Create => self.create,
        }
    }
}

/// All budgets of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// For each target that has none of its own; every target has the whole of it.
    pub every: Budgets,
    /// For single targets, kind by kind.
    pub targets: BTreeMap<TargetName, Budgets>,
}

impl Thresholds {
    /// The budget of a target for one kind, if there is one.
    pub fn budget(&self, target: &TargetName, counted: Counted) -> Option<Budget> {
        let own = self.targets.get(target).and_then(|own| own.of(counted));
        own.or_else(|| self.every.of(counted))
    }

    /// Whether an operation waits until a budget has been asked. A security hold never does.
    pub fn holds_back(&self, target: &TargetName, work: &Work, priority: Priority) -> bool {
        match priority {
            Priority::SecurityHold => false,
            Priority::Deprovision | Priority::Change | Priority::Onboarding | Priority::Reconcile => {
                Counted::of(work).is_some_and(|counted| self.budget(target, counted).is_some())
            }
        }
    }
}

#[cfg(test)]
mod tests;
