//! Names that must be unique: taken from the reservation, or asked for.

use std::collections::BTreeSet;

use serde_json::Value;

use super::dependencies::Missing;
use super::desired::Wish;
use crate::account::{AccountSlot, AccountState, ObservedAccount};
use crate::attributes::Attributes;
use crate::expr::{ExpressionError, Mapper};
use crate::policy::Make;
use crate::reservation::NameWanted;

/// Most numbers that are tried when all candidates are taken: the 100th John Smith is named by hand.
pub(super) const NUMBERS_MAX: u32 = 99;
/// Longest name, in characters: longer than any target takes as a login or an address.
const NAME_CHARS_MAX: usize = 256;

/// The attributes with their unique names, or why the account cannot be made before one is reserved. What is to be reserved goes to `wanted`.
///
/// An account that is there keeps the name it has until one is reserved. A reserved name stays as long as it is reserved. One whose mapping follows the name stays until another is reserved.
pub(super) fn unique_names(
    slot: &AccountSlot,
    mut attributes: Attributes,
    missing: &Missing<'_>,
    wish: &Wish<'_, '_>,
    wanted: &mut Vec<NameWanted>,
) -> Result<Result<Attributes, String>, ExpressionError> {
    let mut waits: Vec<&str> = Vec::new();
    let mapped = wish.policy.mappings.get(slot).map(|mapping| &mapping.attributes);
    for (attribute, mapping) in mapped.into_iter().flatten() {
        let Make::Unique {
            candidates,
            follow_name,
        } = &mapping.make
        else {
            continue;
        };
        let mut reservations = wish.input.reservations.iter();
        let reserved = reservations.find(|one| one.slot == *slot && one.attribute == *attribute);
        if let Some(reserved) = reserved {
            attributes.insert(attribute.clone(), Value::String(reserved.value.clone()));
        }
        // What a name is made from may not be there yet; then the account is, and keeps the name it has.
        if (reserved.is_some() && !follow_name) || missing.hides(mapping) {
            continue;
        }
        let there = account_there(slot, wish);
        if reserved.is_none() {
            match there {
                None => waits.push(attribute),
                // What is there stays as it is until the name is reserved; everything else goes on.
                Some(observed) => {
                    if let Some(value) = observed.attributes.get(attribute) {
                        attributes.insert(attribute.clone(), value.clone());
                    }
                }
            }
        }
        let own = there
            .filter(|_| reserved.is_none())
            .and_then(|observed| name_of(observed, attribute));
        if let Some(own) = own
            && !follow_name
        {
            // Who has an account already keeps their name. Nobody is renamed because names are reserved from now on: where somebody
            // else has it, a person decides.
            wanted.push(NameWanted {
                slot: slot.clone(),
                attribute: attribute.clone(),
                candidates: vec![own.to_owned()],
            });
            continue;
        }
        let bases = bases(candidates, wish)?;
        if reserved.is_some_and(|reserved| is_candidate(&reserved.value, &bases)) {
            continue;
        }
        let own = own.filter(|own| is_candidate(own, &bases));
        wanted.push(NameWanted {
            slot: slot.clone(),
            attribute: attribute.clone(),
            candidates: numbered(own, &bases),
        });
    }
    if waits.is_empty() {
        return Ok(Ok(attributes));
    }
    Ok(Err(format!(
        "waits until a name is reserved for {}",
        waits.join(", ")
    )))
}

/// What the candidates are for this person: those that are texts with something in them, each once; at least one.
fn bases(candidates: &[Mapper], wish: &Wish<'_, '_>) -> Result<Vec<String>, ExpressionError> {
    let mut bases: Vec<String> = Vec::new();
    for mapper in candidates {
        if let Value::String(text) = mapper.value(wish.mapping_scope)? {
            let short_enough = text.chars().count() <= NAME_CHARS_MAX;
            if !text.trim().is_empty() && short_enough && !bases.contains(&text) {
                bases.push(text);
            }
        }
    }
    match (bases.is_empty(), candidates.first()) {
        (true, Some(first)) => Err(first.unusable(&format!(
            "no candidate is a text of 1 to {NAME_CHARS_MAX} characters for this person"
        ))),
        (true, None) | (false, _) => Ok(bases),
    }
}

/// The account, unless there is none.
pub(super) fn account_there<'w>(slot: &AccountSlot, wish: &Wish<'w, '_>) -> Option<&'w ObservedAccount> {
    let (_, observed) = wish.input.accounts.iter().find(|(known, _)| known == slot)?;
    let unlinked = observed.state == AccountState::Unknown && observed.external_id.is_none();
    (observed.state != AccountState::Absent && !unlinked).then_some(observed)
}

/// The name an account has now.
fn name_of<'w>(observed: &'w ObservedAccount, attribute: &str) -> Option<&'w str> {
    observed
        .attributes
        .get(attribute)?
        .as_str()
        .filter(|name| !name.trim().is_empty())
}

/// Whether a name is one of these, or one of these with a number.
fn is_candidate(name: &str, bases: &[String]) -> bool {
    bases.iter().any(|base| {
        let (front, back) = parts(base);
        let number = name.strip_prefix(front).and_then(|rest| rest.strip_suffix(back));
        name == base || number.is_some_and(is_number)
    })
}

/// A number as [`numbered`] writes it.
fn is_number(text: &str) -> bool {
    let number = text
        .parse::<u32>()
        .ok()
        .filter(|number| (2..=NUMBERS_MAX).contains(number));
    number.is_some_and(|number| number.to_string() == text)
}

/// Own name, candidates, then the first candidate with numbers: `jdoe2`, `jdoe3`; in an address before the `@`.
fn numbered(own: Option<&str>, bases: &[String]) -> Vec<String> {
    let (front, back) = bases.first().map_or(("", ""), |first| parts(first));
    let numbered = (2..=NUMBERS_MAX).map(|number| format!("{front}{number}{back}"));
    let all = own
        .map(ToOwned::to_owned)
        .into_iter()
        .chain(bases.iter().cloned())
        .chain(numbered);
    let mut seen = BTreeSet::new();
    all.filter(|name| seen.insert(name.clone())).collect()
}

/// Where a number goes.
fn parts(base: &str) -> (&str, &str) {
    base.split_at(base.find('@').unwrap_or(base.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_numbered_before_the_at_sign() {
        let bases = ["a.b@x.org".to_owned(), "ab@x.org".to_owned()];
        let all = numbered(Some("old@x.org"), &bases);
        assert_eq!(all[..4], ["old@x.org", "a.b@x.org", "ab@x.org", "a.b2@x.org"]);
        assert_eq!(all.last().unwrap(), "a.b99@x.org");
        assert_eq!(
            numbered(Some("ab@x.org"), &bases)[..2],
            ["ab@x.org", "a.b@x.org"],
            "each once"
        );
        for (name, is) in [
            ("a.b@x.org", true),
            ("ab17@x.org", true),
            ("a.b1@x.org", false),
            ("a.b02@x.org", false),
            ("a.b+2@x.org", false),
            ("a.bc@x.org", false),
            ("a.b2", false),
        ] {
            assert_eq!(is_candidate(name, &bases), is, "{name}");
        }
        assert!(is_candidate("jdoe2", &["jdoe".to_owned()]));
    }
}
