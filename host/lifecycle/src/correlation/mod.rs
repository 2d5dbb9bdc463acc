//! Correlation: whose is an account that a target has and nobody owns?
//!
//! The policy has rules for each account (`[[correlation.app]]`), tried in their order; the first that finds anybody decides. An exact rule
//! finds those for whom all its comparisons are equal, a weighted one those whose comparisons weigh enough together: from `link` on an
//! account is theirs, from `ask` on a person is asked. [`Index`] finds them without comparing everybody with everything; it never
//! looks at identities that share no value with the account.

mod index;
mod keys;

use serde::{Deserialize, Serialize};

use crate::account::AccountSlot;
use crate::expr::Mapper;
use crate::name::AccountKind;
use crate::schema::AccountSchema;

pub use index::{Index, IndexBuilder};
pub use keys::Key;

/// Most candidates told of one account: a person can look at so many.
pub const CANDIDATES_MAX: usize = 10;
/// A value that more identities share than this (a department, a city) brings no candidates of its own; it counts for those that other
/// values bring.
pub const SHARED_MAX: usize = 1_000;
/// Most members of a list that are compared: longer ones are no way to tell who somebody is.
pub const MEMBERS_MAX: usize = 50;

/// The rules of one kind of account, in the order of the document.
#[derive(Clone, Debug)]
pub struct Correlation {
    /// The rules, at least one.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug)]
pub enum Rule {
    /// All must be equal.
    Exact(Vec<Comparison>),
    /// What is equal is weighed.
    Weighted {
        /// What is compared, and what it weighs.
        comparisons: Vec<(Comparison, u32)>,
        /// From this weight on the account is theirs, if only one identity reaches it.
        link: u32,
        /// From this weight on a person is asked.
        ask: u32,
    },
}

impl Rule {
    /// All it compares.
    pub fn comparisons(&self) -> Vec<&Comparison> {
        match self {
            Self::Exact(comparisons) => comparisons.iter().collect(),
            Self::Weighted { comparisons, .. } => {
                comparisons.iter().map(|(comparison, _)| comparison).collect()
            }
        }
    }
}

/// One attribute of the account with one value of the person. A value that is missing or empty equals nothing; of lists one member must be
/// the same. Numbers and texts that look alike are alike: systems keep a personnel number as either.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The attribute, or `attribute.member` of an attribute that is an object or a list of them.
    pub account: String,
    /// The person's value.
    pub identity: Mapper,
    /// Texts that differ in case only are the same, also where the schema does not say so.
    pub ignore_case: bool,
}

/// An identity that an account may belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The identity, by the number it was given to [`IndexBuilder::add`] with.
    pub identity: u32,
    /// As which kind of account.
    pub kind: AccountKind,
    /// What was equal weighs so much; nothing of an exact rule.
    pub weight: Option<u32>,
    /// Which rule of this kind found it, from 1.
    pub rule: u32,
}

/// Whose an account is by the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Match {
    /// Nobody's.
    #[default]
    Nobody,
    /// Exactly one identity's.
    One(Candidate),
    /// Perhaps one of these: a person must say. The heaviest first, at most [`CANDIDATES_MAX`]; also a single one that is not certain.
    Several(Vec<Candidate>),
}

/// All rules of one target, ready to compare.
#[derive(Clone, Debug)]
pub struct Matcher<'p> {
    slots: Vec<(&'p AccountKind, &'p Correlation)>,
    schema: &'p AccountSchema,
}

impl<'p> Matcher<'p> {
    /// For these accounts, all of one target with this schema.
    pub fn new(
        rules: impl IntoIterator<Item = (&'p AccountSlot, &'p Correlation)>,
        schema: &'p AccountSchema,
    ) -> Self {
        Self {
            slots: rules
                .into_iter()
                .map(|(slot, correlation)| (&slot.kind, correlation))
                .collect(),
            schema,
        }
    }

    /// Whether there is no rule: then every account is nobody's.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl Match {
    /// What the rules of several kinds of account say together.
    fn together(all: Vec<Self>) -> Self {
        let mut candidates = Vec::new();
        let mut certain = true;
        for one in all {
            match one {
                Self::Nobody => {}
                Self::One(candidate) => candidates.push(candidate),
                Self::Several(several) => {
                    certain = false;
                    candidates.extend(several);
                }
            }
        }
        if certain && candidates.len() <= 1 {
            return candidates.pop().map_or(Self::Nobody, Self::One);
        }
        candidates.sort_by(|left, right| {
            right
                .weight
                .cmp(&left.weight)
                .then(left.identity.cmp(&right.identity))
        });
        candidates.truncate(CANDIDATES_MAX);
        Self::Several(candidates)
    }
}

#[cfg(test)]
mod tests;
