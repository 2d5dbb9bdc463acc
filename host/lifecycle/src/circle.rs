//! Finds what depends on itself.

use std::collections::{BTreeMap, BTreeSet};

/// A circle among things that depend on others: its members in order, the first once more at the end. `None` when there is none. Of several the
/// one that is met first, so the answer is always the same.
pub(crate) fn circle<T: Ord + Clone>(depends: &BTreeMap<T, BTreeSet<T>>) -> Option<Vec<T>> {
    let mut done: BTreeSet<&T> = BTreeSet::new();
    for start in depends.keys() {
        // A way of its own, not recursion: documents may name thousands.
        let mut way: Vec<(&T, Vec<&T>)> = Vec::new();
        enter(start, depends, &mut way);
        while let Some((at, open)) = way.last_mut() {
            let Some(next) = open.pop() else {
                done.insert(at);
                way.pop();
                continue;
            };
            if let Some(from) = way.iter().position(|(earlier, _)| *earlier == next) {
                let members = way[from..].iter().map(|(member, _)| *member).chain([next]);
                return Some(members.cloned().collect());
            }
            if !done.contains(next) {
                enter(next, depends, &mut way);
            }
        }
    }
    None
}

fn enter<'a, T: Ord>(at: &'a T, depends: &'a BTreeMap<T, BTreeSet<T>>, way: &mut Vec<(&'a T, Vec<&'a T>)>) {
    // Taken from the end, so that the first in order is followed first.
    let open = depends
        .get(at)
        .map_or_else(Vec::new, |others| others.iter().rev().collect());
    way.push((at, open));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(edges: &[(u8, u8)]) -> Option<Vec<u8>> {
        let mut depends: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
        for (from, to) in edges {
            depends.entry(*from).or_default().insert(*to);
        }
        circle(&depends)
    }

    #[test]
    fn a_circle_is_found_with_its_way_and_a_diamond_is_none() {
        assert_eq!(among(&[(1, 2), (1, 3), (2, 4), (3, 4)]), None);
        assert_eq!(among(&[(1, 1)]), Some(vec![1, 1]));
        assert_eq!(among(&[(1, 2), (2, 3), (3, 4), (4, 2)]), Some(vec![2, 3, 4, 2]));
        assert_eq!(among(&[]), None);
    }
}
