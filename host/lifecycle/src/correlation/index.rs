//! Finds the identities of an account by what they share with it.

use std::collections::BTreeMap;

use super::keys::Key;
use super::{CANDIDATES_MAX, Candidate, Match, Matcher, Rule, SHARED_MAX};
use crate::attributes::Attributes;
use crate::name::AccountKind;

/// Collects the keys of all identities. Memory: 20 bytes for each key, about one key for each rule and identity.
#[derive(Clone, Debug, Default)]
pub struct IndexBuilder {
    keys: Vec<(Key, u32)>,
}

/// Who has which keys.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Sorted, each once.
    keys: Vec<(Key, u32)>,
    shared_max: usize,
}

impl IndexBuilder {
    /// Adds what identifies an identity; `identity` is what a [`Candidate`] calls it.
    pub fn add(&mut self, identity: u32, keys: impl IntoIterator<Item = Key>) {
        self.keys.extend(keys.into_iter().map(|key| (key, identity)));
    }

    /// Ready to be asked.
    pub fn finish(self) -> Index {
        self.finish_with(SHARED_MAX)
    }

    pub(super) fn finish_with(mut self, shared_max: usize) -> Index {
        self.keys.sort_unstable();
        self.keys.dedup();
        Index {
            keys: self.keys,
            shared_max,
        }
    }
}

impl Index {
    /// Whose this account is.
    pub fn find(&self, matcher: &Matcher<'_>, account: &Attributes) -> Match {
        let of_kind = |(slot, (kind, correlation)): (usize, &(&AccountKind, &super::Correlation))| {
            correlation
                .rules
                .iter()
                .enumerate()
                .map(|(place, rule)| self.by_rule(matcher, (slot, kind), (place, rule), account))
                .find(|found| *found != Match::Nobody)
                .unwrap_or_default()
        };
        Match::together(matcher.slots.iter().enumerate().map(of_kind).collect())
    }

    fn by_rule(
        &self,
        matcher: &Matcher<'_>,
        (slot, kind): (usize, &AccountKind),
        (place, rule): (usize, &Rule),
        account: &Attributes,
    ) -> Match {
        let keys = matcher.account_keys(slot, place, rule, account);
        let candidate = |identity: u32, weight: Option<u32>| Candidate {
            identity,
            kind: kind.clone(),
            weight,
            rule: u32::try_from(place + 1).unwrap_or(u32::MAX),
        };
        match rule {
            Rule::Exact(_) => {
                let mut found: Vec<u32> = Vec::new();
                for key in keys.iter().flatten() {
                    // One more than can be told is enough to know that it is nobody's for certain.
                    let holders = self.holders(key).iter().take(CANDIDATES_MAX + 1);
                    found.extend(holders.map(|(_, identity)| *identity));
                }
                found.sort_unstable();
                found.dedup();
                let mut found = found.into_iter().map(|identity| candidate(identity, None));
                match (found.next(), found.next()) {
                    (None, _) => Match::Nobody,
                    (Some(one), None) => Match::One(one),
                    (Some(one), Some(other)) => {
                        let rest = found.take(CANDIDATES_MAX - 2);
                        Match::Several([one, other].into_iter().chain(rest).collect())
                    }
                }
            }
            Rule::Weighted {
                comparisons,
                link,
                ask,
            } => {
                let weights: Vec<u32> = comparisons.iter().map(|(_, weight)| *weight).collect();
                let weighed = self.weigh(&keys, &weights);
                judge(weighed, *link, *ask, candidate)
            }
        }
    }

    /// What each candidate weighs: those who share a value that few share.
    fn weigh(&self, keys: &[Vec<Key>], weights: &[u32]) -> BTreeMap<u32, u32> {
        let mut weighed = BTreeMap::new();
        for key in keys.iter().flatten() {
            let holders = self.holders(key);
            if holders.len() <= self.shared_max {
                weighed.extend(holders.iter().map(|(_, identity)| (*identity, 0)));
            }
        }
        for (identity, total) in &mut weighed {
            for (keys, weight) in keys.iter().zip(weights) {
                let shares = |key: &Key| self.keys.binary_search(&(*key, *identity)).is_ok();
                if keys.iter().any(shares) {
                    *total = u32::saturating_add(*total, *weight);
                }
            }
        }
        weighed
    }

    /// The entries of everybody who has this key.
    fn holders(&self, key: &Key) -> &[(Key, u32)] {
        let start = self.keys.partition_point(|(other, _)| other < key);
        let rest = self.keys.get(start..).unwrap_or_default();
        let many = rest.partition_point(|(other, _)| other == key);
        rest.get(..many).unwrap_or_default()
    }
}

/// One who reaches `link`, and no other: it is theirs.
pub(super) fn judge(
    weighed: BTreeMap<u32, u32>,
    link: u32,
    ask: u32,
    candidate: impl Fn(u32, Option<u32>) -> Candidate,
) -> Match {
    let mut likely: Vec<(u32, u32)> = weighed.into_iter().filter(|(_, weight)| *weight >= ask).collect();
    likely.sort_by(|(left, weight), (right, other)| other.cmp(weight).then(left.cmp(right)));
    let certain = likely.iter().filter(|(_, weight)| *weight >= link).count();
    let mut likely = likely
        .into_iter()
        .map(|(identity, weight)| candidate(identity, Some(weight)));
    match (likely.next(), certain) {
        (None, _) => Match::Nobody,
        (Some(one), 1) => Match::One(one),
        (Some(one), _) => {
            let rest = likely.take(CANDIDATES_MAX - 1);
            Match::Several(std::iter::once(one).chain(rest).collect())
        }
    }
}
