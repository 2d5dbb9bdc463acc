//! What is compared, as keys: the digest of a rule and of the values it compares. Equal keys are equal values of the same rule.

use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Comparison, MEMBERS_MAX, Matcher, Rule};
use crate::attributes::Attributes;
use crate::expr::{ExpressionError, Scope};
use crate::schema::{AccountSchema, AttributeSchema};

/// Most keys of one exact rule for one account or person: several lists in one rule multiply. Beyond, the rule finds nobody.
const KEYS_MAX: usize = 100;

/// The first 16 bytes of a SHA-256: among a million identities no two texts share it by chance or by intent.
pub type Key = [u8; 16];

/// The keys of a weighted rule, comparison by comparison; of an exact one there is one list.
pub(super) type KeysOfRule = Vec<Vec<Key>>;

impl Matcher<'_> {
    /// What identifies a person under all rules. A value that cannot be worked out finds nobody; it is told.
    pub fn identity_keys(&self, scope: &Scope<'_>, problems: &mut Vec<ExpressionError>) -> Vec<Key> {
        let mut keys = Vec::new();
        for (slot, rule, one) in self.rules() {
            let of_rule = keys_of(slot, rule, one, |comparison| {
                let value = comparison
                    .identity
                    .value(scope)
                    .map_err(|error| problems.push(error))
                    .ok();
                texts(value.iter().collect(), self.ignores_case(comparison), None)
            });
            keys.extend(of_rule.into_iter().flatten());
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// What identifies an account under one rule.
    pub(super) fn account_keys(
        &self,
        slot: usize,
        rule: usize,
        one: &Rule,
        account: &Attributes,
    ) -> KeysOfRule {
        keys_of(slot, rule, one, |comparison| {
            self.account_texts(comparison, account)
        })
    }

    /// The values of an account that a comparison looks at.
    pub(super) fn account_texts(&self, comparison: &Comparison, account: &Attributes) -> BTreeSet<String> {
        let (value, member) = place(&comparison.account, account);
        texts(value.into_iter().collect(), self.ignores_case(comparison), member)
    }

    /// The values of a person.
    #[cfg(test)]
    pub(super) fn identity_texts(&self, comparison: &Comparison, scope: &Scope<'_>) -> BTreeSet<String> {
        let value = comparison.identity.value(scope).ok();
        texts(value.iter().collect(), self.ignores_case(comparison), None)
    }

    fn ignores_case(&self, comparison: &Comparison) -> bool {
        comparison.ignore_case || self.attribute(&comparison.account).ignore_case
    }

    fn attribute(&self, name: &str) -> AttributeSchema {
        let outer = outer_name(name, self.schema);
        self.schema.attribute(outer)
    }

    /// Every rule with the place of its kind and its own.
    pub(super) fn rules(&self) -> impl Iterator<Item = (usize, usize, &Rule)> {
        self.slots
            .iter()
            .enumerate()
            .flat_map(|(slot, (_, correlation))| {
                let rules = correlation.rules.iter().enumerate();
                rules.map(move |(place, rule)| (slot, place, rule))
            })
    }
}

/// The attribute that a comparison is about: the part before the last dot, unless the schema knows the whole (extensions of SCIM have
/// dots in their names).
fn outer_name<'n>(name: &'n str, schema: &AccountSchema) -> &'n str {
    match name.rsplit_once('.') {
        Some((outer, _)) if !schema.has(name) => outer,
        Some(_) | None => name,
    }
}

/// The value a comparison is about, and the member of it, if one is named.
fn place<'a, 'n>(name: &'n str, account: &'a Attributes) -> (Option<&'a Value>, Option<&'n str>) {
    match (account.get(name), name.rsplit_once('.')) {
        (None, Some((outer, member))) => (account.get(outer), Some(member)),
        (whole, _) => (whole, None),
    }
}

/// The texts that stand for values: the members of lists, folded where case does not matter. What is missing, empty or too long a list gives
/// none.
fn texts(values: Vec<&Value>, ignore_case: bool, member: Option<&str>) -> BTreeSet<String> {
    let mut open = values;
    let mut texts = BTreeSet::new();
    while let Some(value) = open.pop() {
        let text = match (value, member) {
            (Value::Array(members), _) if members.len() <= MEMBERS_MAX => {
                open.extend(members.iter().filter(|member| !member.is_array()));
                continue;
            }
            (Value::Array(_) | Value::Null, _) => continue,
            (Value::Object(object), Some(member)) => match object.get(member).and_then(plain) {
                Some(text) => text,
                None => continue,
            },
            (Value::Object(_), None) => AttributeSchema::default().canonical(value),
            (Value::Bool(_) | Value::Number(_) | Value::String(_), Some(_)) => continue,
            (Value::Bool(_) | Value::Number(_) | Value::String(_), None) => match plain(value) {
                Some(text) => text,
                None => continue,
            },
        };
        if !text.is_empty() {
            texts.insert(if ignore_case { text.to_lowercase() } else { text });
        }
    }
    texts
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(AttributeSchema::default().canonical(value)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn keys_of(
    slot: usize,
    rule: usize,
    one: &Rule,
    mut texts: impl FnMut(&Comparison) -> BTreeSet<String>,
) -> KeysOfRule {
    match one {
        Rule::Exact(comparisons) => {
            let values: Vec<BTreeSet<String>> = comparisons.iter().map(texts).collect();
            let many = values
                .iter()
                .try_fold(1_usize, |many, texts| many.checked_mul(texts.len()));
            if many.is_none_or(|many| many > KEYS_MAX) {
                return Vec::new();
            }
            let mut keys = vec![started(slot, rule, 0)];
            for texts in &values {
                keys = keys
                    .iter()
                    .flat_map(|begun| texts.iter().map(|text| with(begun.clone(), text)))
                    .collect();
            }
            vec![keys.into_iter().map(short).collect()]
        }
        Rule::Weighted { comparisons, .. } => comparisons
            .iter()
            .enumerate()
            .map(|(place, (comparison, _))| {
                let begun = started(slot, rule, place);
                texts(comparison)
                    .iter()
                    .map(|text| short(with(begun.clone(), text)))
                    .collect()
            })
            .collect(),
    }
}

fn started(slot: usize, rule: usize, comparison: usize) -> Sha256 {
    [slot, rule, comparison]
        .iter()
        .fold(Sha256::new(), |begun, place| {
            begun.chain_update(place.to_le_bytes())
        })
}

/// With its length before it, so that two texts cannot be split elsewhere.
fn with(begun: Sha256, text: &str) -> Sha256 {
    begun.chain_update(text.len().to_le_bytes()).chain_update(text)
}

fn short(hasher: Sha256) -> Key {
    let full = hasher.finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&full[..16]);
    key
}
