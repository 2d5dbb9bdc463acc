//! How many of a target's calls at once are this replica's.

use sha2::{Digest as _, Sha256};
use usher_lifecycle::name::TargetName;
use usher_store::Membership;

/// This replica's share of the calls a target bears at once. All replicas that see the same membership come to shares whose sum is
/// `concurrency`. What does not divide goes to different replicas for different targets, so that where a target bears fewer calls than
/// there are replicas, no host gets them all. Nothing until every other has had the time to see this one.
pub(super) fn share(concurrency: u32, target: &TargetName, membership: &Membership) -> u32 {
    let replicas = u32::try_from(membership.writers.len()).unwrap_or(u32::MAX);
    let own = membership
        .writers
        .iter()
        .position(|writer| *writer == membership.own);
    let Some(own) = own
        .and_then(|own| u32::try_from(own).ok())
        .filter(|_| membership.settled)
    else {
        return 0;
    };
    let left_over = concurrency % replicas;
    let turned = (own + first(target) % replicas) % replicas;
    concurrency / replicas + u32::from(turned < left_over)
}

/// Where the count begins for this target: the same on every host.
fn first(target: &TargetName) -> u32 {
    let digest = Sha256::digest(target.as_str().as_bytes());
    // One bit less than 32, so that the sum with a place does not overflow.
    (u32::from(digest[0]) << 16) | (u32::from(digest[1]) << 8) | u32::from(digest[2])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn shares(concurrency: u32, target: &str, writers: &[i64]) -> Vec<u32> {
        let target = target.parse().unwrap();
        let of = |own: &i64| {
            let membership = Membership {
                own: *own,
                writers: writers.to_vec(),
                settled: true,
            };
            share(concurrency, &target, &membership)
        };
        writers.iter().map(of).collect()
    }

    proptest! {
        #[test]
        fn shares_sum_to_the_concurrency_and_differ_by_one_at_most(
            concurrency in 1_u32..10_000,
            target in "[a-z]{1,12}",
            writers in proptest::collection::btree_set(1_i64..1_000_000, 1..40),
        ) {
            let writers: Vec<i64> = writers.into_iter().collect();
            let shares = shares(concurrency, &target, &writers);
            prop_assert_eq!(shares.iter().sum::<u32>(), concurrency);
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }
    }

    #[test]
    fn where_there_are_fewer_calls_than_replicas_no_host_gets_all_targets() {
        let holders: BTreeSet<usize> = (0..40)
            .map(|n| {
                let shares = shares(1, &format!("target-{n}"), &[3, 5, 8]);
                shares.iter().position(|share| *share == 1).unwrap()
            })
            .collect();
        assert_eq!(holders.len(), 3);
    }

    #[test]
    fn nothing_before_all_others_have_seen_it_and_nothing_for_who_is_not_there() {
        let of = |own, settled| {
            let membership = Membership {
                own,
                writers: vec![1, 2],
                settled,
            };
            share(8, &"app".parse().unwrap(), &membership)
        };
        assert_eq!((of(2, true), of(2, false), of(3, true)), (4, 0, 0));
    }
}
