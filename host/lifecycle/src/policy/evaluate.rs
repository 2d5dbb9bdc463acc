//! What the policy says about one person: merged attributes, roles, account attributes.

use serde_json::Value;

use super::{ExpressionError, Make, Person, Policy, Role};
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

    /// The roles a person has by a rule of the role itself, in the order of the document. What those include, and what is assigned, is worked
    /// out when the person is planned.
    ///
    /// # Errors
    /// The first rule that cannot be evaluated for this person.
    pub fn roles_of(&self, person: &Person<'_>) -> Result<Vec<&Role>, ExpressionError> {
        let places = self.by_rule(&Scope::new(person.attributes, person.state))?;
        Ok(self
            .roles
            .iter()
            .zip(places)
            .filter(|(_, holds)| *holds)
            .map(|(role, _)| role)
            .collect())
    }

    /// For each role whether its rule holds.
    pub(crate) fn by_rule(&self, scope: &Scope<'_>) -> Result<Vec<bool>, ExpressionError> {
        let holds = |role: &Role| role.when.as_ref().map_or(Ok(false), |when| when.holds(scope));
        self.roles.iter().map(holds).collect()
    }

    /// Whether a role gives an account, by itself or through a role it includes.
    pub fn gives_account(&self, role: &Role, slot: &AccountSlot) -> bool {
        let mut reached = vec![false; self.roles.len()];
        self.reach(&role.included, &mut reached);
        let mut included = self.roles.iter().zip(reached).filter(|(_, reached)| *reached);
        role.accounts.contains(slot) || included.any(|(role, _)| role.accounts.contains(slot))
    }

    /// Marks these roles and all they include.
    pub(crate) fn reach(&self, from: &[usize], reached: &mut [bool]) {
        let mut open = from.to_vec();
        while let Some(place) = open.pop() {
            if let (Some(reached), Some(role)) = (reached.get_mut(place), self.roles.get(place))
                && !std::mem::replace(reached, true)
            {
                open.extend(&role.included);
            }
        }
    }

    /// The managed attributes of an account that are made from an expression; names that must be unique are facts, not made here. `null`
    /// results are left out. A slot without a mapping has none.
    ///
    /// # Errors
    /// The first mapping that cannot be evaluated for this person.
    pub fn map(&self, slot: &AccountSlot, person: &Person<'_>) -> Result<Attributes, ExpressionError> {
        self.map_in(slot, &Scope::new(person.attributes, person.state))
    }

    /// The same, for variables that are made already.
    pub(crate) fn map_in(
        &self,
        slot: &AccountSlot,
        scope: &Scope<'_>,
    ) -> Result<Attributes, ExpressionError> {
        let mut attributes = Attributes::new();
        let mapped = self.mappings.get(slot).map(|mapping| &mapping.attributes);
        for (name, mapping) in mapped.into_iter().flatten() {
            let Make::Value(mapper) = &mapping.make else {
                continue;
            };
            let value = mapper.value(scope)?;
            if value != Value::Null {
                attributes.insert(name.clone(), value);
            }
        }
        Ok(attributes)
    }
}
