//! A hint for a mistyped name.

/// A hint when a known name differs only a little.
pub(crate) fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n String>) -> String {
    let plain = |text: &str| -> String {
        text.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .take(64)
            .collect()
    };
    let wanted = plain(name);
    known
        .map(|candidate| (edits(&wanted, &plain(candidate)), candidate))
        .filter(|(edits, _)| *edits <= 2 && *edits < wanted.chars().count())
        .min()
        .map_or_else(String::new, |(_, candidate)| {
            format!("; did you mean `{candidate}`?")
        })
}

/// How many letters must be put in, taken out or exchanged to make one text of the other.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, to) in right.iter().enumerate() {
            let exchanged = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = exchanged.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_offered_and_a_far_one_is_not() {
        let known = ["givenName".to_owned(), "zone".to_owned()];
        assert_eq!(
            did_you_mean("given_name", known.iter()),
            "; did you mean `givenName`?"
        );
        assert_eq!(
            did_you_mean("givenNam", known.iter()),
            "; did you mean `givenName`?"
        );
        assert_eq!(did_you_mean("salary", known.iter()), "");
        assert_eq!(did_you_mean("x", known.iter()), "");
    }

    #[test]
    fn edits_are_counted() {
        for (left, right, count) in [
            ("", "", 0),
            ("a", "", 1),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(edits(left, right), count);
        }
    }
}
