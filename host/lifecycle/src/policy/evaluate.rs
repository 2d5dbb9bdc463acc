//! What the policy says about one person: merged attributes, roles, account attributes.

use serde_json::Value;

use super::{ExpressionError, Person, Policy, Role};
use crate::account::AccountSlot;
use crate::attributes::Attributes;
use crate::expr::Scope;
use crate::facts::SourceRecord;

impl Policy {
    /// The attributes of a person: of several source records the one whose source comes first in the document has authority,
    /// attribute by attribute. A record that is absent from its source counts only when all are: a leaver keeps a name, but
    /// what a source no longer says gives nobody a role.
    pub fn merge(&self, records: &[SourceRecord]) -> Attributes {
        let mut merged = Attributes::new();
        for record in self.by_authority(records) {
            for (name, value) in &record.attributes {
                if !value.is_null() && !merged.contains_key(name) {
                    merged.insert(name.clone(), value.clone());
                }
            }
        }
        merged
    }

    /// The records that count: of sources in the policy, and only the present ones if there are any. In the order of authority,
    /// then of the key, so that the answer never depends on the order they came in.
    pub(super) fn by_authority<'r>(&self, records: &'r [SourceRecord]) -> Vec<&'r SourceRecord> {
        let rank = |record: &SourceRecord| {
            self.sources
                .iter()
                .position(|source| source.name == record.source)
        };
        let mut known: Vec<(usize, &SourceRecord)> = records
            .iter()
            .filter_map(|record| rank(record).map(|rank| (rank, record)))
            .collect();
        if known.iter().any(|(_, record)| record.absent_since.is_none()) {
            known.retain(|(_, record)| record.absent_since.is_none());
        }
        known.sort_by(|(left_rank, left), (right_rank, right)| {
            (left_rank, &left.key).cmp(&(right_rank, &right.key))
        });
        known.into_iter().map(|(_, record)| record).collect()
    }

    /// The roles a person has by rule, in the order of the document.
    ///
    /// # Errors
    /// The first rule that cannot be evaluated for this person.
    pub fn roles_of(&self, person: &Person<'_>) -> Result<Vec<&Role>, ExpressionError> {
        let scope = Scope::new(person.attributes, person.state);
        let mut roles = Vec::new();
        for role in &self.roles {
            if role.when.holds(&scope)? {
                roles.push(role);
            }
        }
        Ok(roles)
    }

    /// The managed attributes of an account. `null` results are left out. A slot without a mapping has none.
    ///
    /// # Errors
    /// The first mapping that cannot be evaluated for this person.
    pub fn map(&self, slot: &AccountSlot, person: &Person<'_>) -> Result<Attributes, ExpressionError> {
        let scope = Scope::new(person.attributes, person.state);
        let mut attributes = Attributes::new();
        let mapped = self.mappings.get(slot).map(|mapping| &mapping.attributes);
        for (name, mapper) in mapped.into_iter().flatten() {
            let value = mapper.value(&scope)?;
            if value != Value::Null {
                attributes.insert(name.clone(), value);
            }
        }
        Ok(attributes)
    }
}
