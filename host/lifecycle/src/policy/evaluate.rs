//! What the policy says about one person: merged attributes, roles, account attributes.

use jiff::Timestamp;
use serde_json::Value;

use super::{AttributeMapping, ExpressionError, Make, Person, Policy, Role};
use crate::account::AccountSlot;
use crate::attributes::Attributes;
use crate::expr::{Scope, Tables};
use crate::facts::{Employment, SourceRecord};
use crate::name::SourceName;
use crate::state::{Standing, standings};

impl Policy {
    /// The attributes of a person: of several source records the one whose source comes first has authority, attribute by attribute: first
    /// in `[authority]`, then in the document. Within a source contracts that run count before those that have ended, and those before the
    /// ones to come; while any contract that decides runs, only those that run count: what is over or to come fills no gap, which would give
    /// roles. A record that is
    /// absent from its source counts only when all are: a leaver keeps a name, but what a source no longer says gives nobody a role.
    ///
    /// Without an employment (its dates cannot be read) the key decides within a source.
    pub fn merge(
        &self,
        records: &[SourceRecord],
        employment: Option<&Employment>,
        now: Timestamp,
    ) -> Attributes {
        let mut counting = self.by_authority(records);
        if counting.len() > 1
            && let Some(employment) = employment
        {
            self.sort_by_standing(&mut counting, employment, now);
        }
        let mut merged = Attributes::new();
        for record in &counting {
            for (name, value) in &record.attributes {
                if !value.is_null() && !merged.contains_key(name) {
                    merged.insert(name.clone(), value.clone());
                }
            }
        }
        if counting.len() > 1 {
            for (name, order) in &self.authority {
                let says = |source: &usize| {
                    let source = &self.sources.get(*source)?.name;
                    let mut records = counting.iter().filter(|record| record.source == *source);
                    records.find_map(|record| record.attributes.get(name).filter(|value| !value.is_null()))
                };
                if let Some(value) = order.iter().find_map(says) {
                    merged.insert(name.clone(), value.clone());
                }
            }
        }
        merged
    }

    fn sort_by_standing(&self, records: &mut Vec<&SourceRecord>, employment: &Employment, now: Timestamp) {
        let standings = standings(employment, now);
        let standing = |record: &SourceRecord| {
            let all = employment.contracts.iter().chain(&employment.others);
            all.zip(&standings)
                .find(|(contract, _)| contract.source == record.source && contract.key == record.key)
                .map_or(Standing::None, |(_, standing)| *standing)
        };
        records.sort_by_cached_key(|record| {
            (
                self.source_rank(&record.source),
                standing(record),
                record.key.clone(),
            )
        });
        let mut deciding = standings.iter().take(employment.contracts.len());
        if deciding.any(|one| matches!(one, Standing::Running(_))) {
            records.retain(|record| matches!(standing(record), Standing::Running(_) | Standing::None));
        }
    }

    /// All records of sources in the policy, in the order of authority, then of the key, so that the answer never depends on the order
    /// they came in.
    pub(super) fn known<'r>(&self, records: &'r [SourceRecord]) -> Vec<&'r SourceRecord> {
        let mut known: Vec<(usize, &SourceRecord)> = records
            .iter()
            .filter_map(|record| Some((self.source_rank(&record.source)?, record)))
            .collect();
        known.sort_by(|(left_rank, left), (right_rank, right)| {
            (left_rank, &left.key).cmp(&(right_rank, &right.key))
        });
        known.into_iter().map(|(_, record)| record).collect()
    }

    /// The records that count: of those known only the present ones if there are any.
    pub(super) fn by_authority<'r>(&self, records: &'r [SourceRecord]) -> Vec<&'r SourceRecord> {
        let mut known = self.known(records);
        if known.iter().any(|record| record.absent_since.is_none()) {
            known.retain(|record| record.absent_since.is_none());
        }
        known
    }

    fn source_rank(&self, name: &SourceName) -> Option<usize> {
        self.sources.iter().position(|source| source.name == *name)
    }

    /// The place of a source among those that give an attribute; the first has authority.
    pub(super) fn rank(&self, attribute: &str, source: &SourceName) -> usize {
        let place = self.source_rank(source).unwrap_or(usize::MAX);
        let order = self.authority.get(attribute);
        let in_order = order.and_then(|order| order.iter().position(|index| *index == place));
        in_order.unwrap_or(place)
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
        if let Some(known) = scope.hold() {
            return known;
        }
        let holds = |role: &Role| role.when.as_ref().map_or(Ok(false), |when| when.holds(scope));
        self.roles.iter().map(holds).collect()
    }

    /// Empty tables for the rules and mappings of this policy.
    pub(crate) fn tables(&self) -> Tables {
        let mappings = self
            .mappings
            .values()
            .flat_map(|mapping| mapping.attributes.values());
        let mappers = mappings.flat_map(|attribute| match &attribute.make {
            Make::Value(mapper) => std::slice::from_ref(mapper),
            Make::Unique { candidates, .. } => candidates.as_slice(),
        });
        Tables::new(self.roles.iter().map(|role| role.when.as_ref()), mappers)
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
        self.map_in(slot, &Scope::new(person.attributes, person.state), |_| false)
    }

    /// The same, for variables that are made already, and without attributes that cannot be said yet.
    pub(crate) fn map_in(
        &self,
        slot: &AccountSlot,
        scope: &Scope<'_>,
        is_hidden: impl Fn(&AttributeMapping) -> bool,
    ) -> Result<Attributes, ExpressionError> {
        let mut attributes = Attributes::new();
        let mapped = self.mappings.get(slot).map(|mapping| &mapping.attributes);
        for (name, mapping) in mapped.into_iter().flatten() {
            let Make::Value(mapper) = &mapping.make else {
                continue;
            };
            if is_hidden(mapping) {
                continue;
            }
            let value = mapper.value(scope)?;
            if value != Value::Null {
                attributes.insert(name.clone(), value);
            }
        }
        Ok(attributes)
    }
}
