//! What is new in a step: facts, what is found in targets, another policy.

use jiff::Timestamp;
use serde_json::{Map, Value};
use toml::Table;
use usher_lifecycle::account::{AccountSlot, AccountState, ObservedAccount};
use usher_lifecycle::assignment::{Assignment, SeparationException};
use usher_lifecycle::cause::Actor;
use usher_lifecycle::connector::Capabilities;
use usher_lifecycle::facts::{Hold, SourceRecord};
use usher_lifecycle::name::Name;
use usher_lifecycle::plan::TargetFacts;
use usher_lifecycle::schema::AccountSchema;
use usher_lifecycle::targets::{self, ApplyMode, Protection};

use crate::document::{Can, Facts, Observed};
use crate::world::{World, read_policy};

/// The key of a record where a scenario names only its source.
const KEY: &str = "1001";

impl World {
    /// Every target the policy names can do everything, unless a scenario says otherwise.
    pub(crate) fn find_targets(&mut self) {
        let of_roles = self
            .policy
            .roles
            .iter()
            .flat_map(|role| role.accounts.iter().chain(role.entitlements.keys()));
        let slots = of_roles.chain(self.policy.mappings.keys());
        for slot in slots.filter(|slot| !self.without.contains(&slot.target)) {
            let everything = || target(&[Can::Disable, Can::Delete, Can::Entitlements]);
            self.targets.entry(slot.target.clone()).or_insert_with(everything);
        }
    }

    /// New facts at a moment. A name that nothing has is a mistake.
    pub(crate) fn take(&mut self, facts: &Facts, now: Timestamp) -> Result<(), String> {
        if let Some(name) = &facts.new_policy {
            self.policy = read_policy(name)?;
        }
        self.without.extend(facts.without_target.iter().cloned());
        for (name, can) in &facts.targets {
            self.without.remove(name);
            self.targets.insert(name.clone(), target(can));
        }
        self.targets.retain(|name, _| !self.without.contains(name));
        self.find_targets();
        for (name, on) in &facts.depends_on {
            let target = self.targets.get_mut(name);
            target
                .ok_or_else(|| format!("there is no target {name}"))?
                .depends_on
                .clone_from(on);
        }
        for (name, protected) in &facts.protected {
            let protection = protection(protected)?;
            let target = self
                .targets
                .get_mut(name)
                .ok_or_else(|| format!("there is no target {name}"))?;
            target.protection = protection;
        }
        facts
            .records
            .iter()
            .try_for_each(|(name, says)| self.says(name, says))?;
        for name in &facts.gone {
            self.record(name)?.absent_since = Some(now);
        }
        for name in &facts.back {
            self.record(name)?.absent_since = None;
        }
        let ada = || Actor::Person("ada".to_owned());
        self.assignments
            .extend(facts.assign.iter().map(|assign| Assignment {
                role: assign.role.clone(),
                origin: assign.origin,
                reason: assign.reason.clone(),
                valid_from: assign.from,
                valid_until: assign.until,
                by: ada(),
            }));
        for role in &facts.unassign {
            let before = self.assignments.len();
            self.assignments.retain(|assignment| assignment.role != *role);
            if before == self.assignments.len() {
                return Err(format!("role {role} is not assigned"));
            }
        }
        if facts.lift_holds {
            self.holds.clear();
        }
        self.holds.extend(facts.hold.iter().map(|hold| Hold {
            kind: hold.kind,
            from: hold.from.unwrap_or(now),
            until: hold.until,
            reason: hold.reason.clone(),
            by: ada(),
        }));
        self.exceptions
            .extend(facts.except.iter().map(|except| SeparationException {
                separation: except.separation.clone(),
                until: except.until,
                reason: "agreed".to_owned(),
            }));
        self.taken.extend(facts.taken.iter().cloned());
        facts
            .observed
            .iter()
            .try_for_each(|(name, observed)| self.observe(name, observed))
    }

    fn record(&mut self, name: &str) -> Result<&mut SourceRecord, String> {
        let (source, key) = name.split_once('/').unwrap_or((name, KEY));
        let mut records = self.records.iter_mut();
        records
            .find(|record| record.source.as_str() == source && record.key == key)
            .ok_or_else(|| format!("there is no record `{name}`"))
    }

    fn says(&mut self, name: &str, says: &Table) -> Result<(), String> {
        let (source, key) = name.split_once('/').unwrap_or((name, KEY));
        let unknown = || format!("`{name}` is neither a word of scenarios nor a source of the policy");
        let source: Name = source.parse().map_err(|_| unknown())?;
        let columns = &self.policy.source(&source).ok_or_else(unknown)?.columns;
        if let Some(attribute) = says
            .keys()
            .find(|name| !columns.iter().any(|column| column.attribute == **name))
        {
            return Err(format!("source {source} has no attribute `{attribute}`"));
        }
        if self.record(name).is_err() {
            self.records.push(SourceRecord {
                source,
                key: key.to_owned(),
                attributes: Map::new(),
                absent_since: None,
            });
        }
        set(&mut self.record(name)?.attributes, says);
        Ok(())
    }

    fn observe(&mut self, name: &str, observed: &Observed) -> Result<(), String> {
        let slot = slot(name)?;
        self.really
            .extend(observed.really.map(|state| (slot.clone(), state)));
        if !self.accounts.iter().any(|(known, _)| *known == slot) {
            self.accounts.push((slot.clone(), ObservedAccount::absent()));
        }
        let found = self.accounts.iter_mut().find(|(known, _)| *known == slot);
        let (_, account) = found.ok_or_else(|| format!("there is no account {name}"))?;
        if let Some(state) = observed.state {
            if state == AccountState::Absent {
                *account = ObservedAccount {
                    external_id: account.external_id.clone(),
                    ..ObservedAccount::absent()
                };
            } else if account.external_id.is_none() {
                self.made += 1;
                account.external_id = Some(format!("id-{}", self.made));
            }
            account.state = state;
        }
        set(&mut account.attributes, &observed.attributes);
        if let Some(held) = &observed.entitlements {
            let kept = std::mem::take(&mut account.entitlements);
            let parameters = |id: &String| kept.get(id).cloned().unwrap_or(Value::Null);
            account.entitlements = held.iter().map(|id| (id.clone(), parameters(id))).collect();
        }
        Ok(())
    }
}

/// An empty text is nothing.
fn set(attributes: &mut Map<String, Value>, says: &Table) {
    for (name, value) in says {
        match json(value) {
            Value::Null => drop(attributes.remove(name)),
            value => drop(attributes.insert(name.clone(), value)),
        }
    }
}

pub(crate) fn json(value: &toml::Value) -> Value {
    let value = serde_json::to_value(value).unwrap_or_default();
    if value == "" { Value::Null } else { value }
}

/// Read as the targets document has it.
fn protection(protected: &Table) -> Result<Protection, String> {
    let target = Table::from_iter([
        ("connector".to_owned(), "sim".into()),
        ("protected".to_owned(), protected.clone().into()),
    ]);
    let document = Table::from_iter([(
        "targets".to_owned(),
        Table::from_iter([("app".to_owned(), target.into())]).into(),
    )]);
    let targets =
        targets::parse_strictly("targets", &document.to_string()).map_err(|errors| errors.to_string())?;
    let target = targets.targets.values().next().ok_or("no target")?;
    Ok(target.protection(&[]))
}

fn target(can: &[Can]) -> TargetFacts {
    TargetFacts {
        capabilities: Capabilities {
            disable: can.contains(&Can::Disable),
            delete: can.contains(&Can::Delete),
            entitlements: can.contains(&Can::Entitlements),
        },
        schema: AccountSchema::default(),
        apply: ApplyMode::Auto,
        depends_on: Vec::new(),
        pilot: None,
        protection: Default::default(),
    }
}

pub(crate) fn slot(text: &str) -> Result<AccountSlot, String> {
    let (target, kind) = text.split_once('/').unwrap_or((text, "primary"));
    let name = |text: &str| text.parse::<Name>().map_err(|error| error.to_string());
    Ok(AccountSlot {
        target: name(target)?,
        kind: name(kind)?,
    })
}
