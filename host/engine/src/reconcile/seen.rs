//! Which numbers were seen: one bit each, so that a million accounts take 125 kB.

/// Bits beyond this number are kept one by one: a number may be far from all others.
const DENSE_MAX: usize = 64_000_000;

/// A set of the store's numbers, which are dense and start at 1.
#[derive(Debug, Default)]
pub(super) struct Seen {
    words: Vec<u64>,
    far: std::collections::BTreeSet<i64>,
    len: u64,
}

impl Seen {
    /// Takes a number in.
    pub(super) fn insert(&mut self, number: i64) {
        let Some((word, bit)) = place(number) else {
            self.len += u64::from(self.far.insert(number));
            return;
        };
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word) {
            self.len += u64::from(*word & bit == 0);
            *word |= bit;
        }
    }

    /// Whether it is in.
    pub(super) fn contains(&self, number: i64) -> bool {
        match place(number) {
            Some((word, bit)) => self.words.get(word).is_some_and(|word| word & bit != 0),
            None => self.far.contains(&number),
        }
    }

    /// How many are in.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }
}

fn place(number: i64) -> Option<(usize, u64)> {
    let number = usize::try_from(number)
        .ok()
        .filter(|number| *number < DENSE_MAX)?;
    Some((number / 64, 1 << (number % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_counted_once() {
        let mut seen = Seen::default();
        for number in [1, 64, 65, 1_000_000, 1, i64::MAX, i64::MAX, -1] {
            seen.insert(number);
        }
        assert_eq!(seen.len(), 6);
        assert!(seen.contains(64) && seen.contains(i64::MAX) && seen.contains(-1));
        assert!(!seen.contains(63) && !seen.contains(0) && !seen.contains(999_999_999_999));
        assert!(
            seen.words.len() < 20_000,
            "a million numbers are a few thousand words"
        );
    }
}
