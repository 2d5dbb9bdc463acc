//! In which order contracts of one source count when their attributes are merged.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::terms::{Phase, Terms};
use crate::facts::{Contract, Employment};

/// How much the record of a contract counts among records of the same source; the least counts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It runs (or is on leave); the one that began first counts first, so that a second job does not push aside the first.
    Running(Timestamp),
    /// It is over (or contradicts itself); the last counts first.
    Ended(Reverse<Timestamp>),
    /// It is to come; the next counts first.
    Future(Timestamp),
    /// The record is not a contract.
    None,
}

/// The standing of each contract, in their order: those that decide, then the others.
pub(crate) fn standings(employment: &Employment, now: Timestamp) -> Vec<Standing> {
    let standing = |terms: Terms<'_>| {
        let start = terms.start.unwrap_or(Timestamp::MAX);
        match terms.phase(now) {
            Phase::Running { .. } | Phase::Away => Standing::Running(start),
            Phase::Contradicting => Standing::Ended(Reverse(start)),
            Phase::Ended { at, .. } => Standing::Ended(Reverse(at)),
            Phase::Future => Standing::Future(start),
        }
    };
    all(employment).map(Terms::of).map(standing).collect()
}

fn all(employment: &Employment) -> impl Iterator<Item = &Contract> {
    employment.contracts.iter().chain(&employment.others)
}

/// When the order of contracts may change next: one begins or ends. Never where there is only one.
pub(crate) fn next_standing(employment: &Employment, now: Timestamp) -> Option<Timestamp> {
    if all(employment).count() < 2 {
        return None;
    }
    let moments = all(employment)
        .map(Terms::of)
        .flat_map(|terms| [terms.start, terms.end, terms.contract.absent_since]);
    moments.flatten().filter(|at| *at > now).min()
}
