//! The world of a scenario: one person's facts, their accounts in targets that do what they are told, and a store that keeps what a plan
//! leaves for the next one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use serde_json::Value;
use usher_lifecycle::account::{AccountSlot, AccountState, ObservedAccount, after_work};
use usher_lifecycle::assignment::{Assignment, HeldRole, SeparationException};
use usher_lifecycle::connector::AccountRecord;
use usher_lifecycle::facts::{Hold, SourceRecord};
use usher_lifecycle::name::TargetName;
use usher_lifecycle::operation::Work;
use usher_lifecycle::plan::{IdentityPlan, PlanInput, TargetFacts, plan_identity};
use usher_lifecycle::policy::{self, Policy};
use usher_lifecycle::reservation::Reservation;
use usher_lifecycle::state::IdentityState;

use crate::told::slot;

pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) targets: BTreeMap<TargetName, TargetFacts>,
    pub(crate) without: BTreeSet<TargetName>,
    pub(crate) records: Vec<SourceRecord>,
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) exceptions: Vec<SeparationException>,
    pub(crate) accounts: Vec<(AccountSlot, ObservedAccount)>,
    pub(crate) really: BTreeMap<AccountSlot, AccountState>,
    reservations: Vec<Reservation>,
    pub(crate) taken: BTreeSet<String>,
    held: Vec<HeldRole>,
    pub(crate) recorded: Option<IdentityState>,
    pub(crate) made: u32,
}

impl World {
    pub(crate) fn new(policy: &str) -> Result<Self, String> {
        let mut world = Self {
            policy: read_policy(policy)?,
            targets: BTreeMap::new(),
            without: BTreeSet::new(),
            records: Vec::new(),
            assignments: Vec::new(),
            holds: Vec::new(),
            exceptions: Vec::new(),
            accounts: Vec::new(),
            really: BTreeMap::new(),
            reservations: Vec::new(),
            taken: BTreeSet::new(),
            held: Vec::new(),
            recorded: None,
            made: 0,
        };
        world.find_targets();
        Ok(world)
    }

    /// The plan, after every name it asks for is reserved: the first that nobody has.
    pub(crate) fn plan(&mut self, now: Timestamp) -> Result<IdentityPlan, String> {
        let mut plan = self.plan_once(now);
        if plan.wanted_names.is_empty() {
            return Ok(plan);
        }
        for wanted in std::mem::take(&mut plan.wanted_names) {
            let mut candidates = wanted.candidates.iter();
            let value = candidates.find(|name| !self.taken.contains(*name));
            let value = value
                .ok_or_else(|| format!("all names are taken for {}", wanted.attribute))?
                .clone();
            self.reservations
                .retain(|one| one.slot != wanted.slot || one.attribute != wanted.attribute);
            self.reservations.push(Reservation {
                slot: wanted.slot,
                attribute: wanted.attribute,
                value,
            });
        }
        let plan = self.plan_once(now);
        match plan.wanted_names.first() {
            Some(again) => Err(format!(
                "{} is asked for again after it was reserved",
                again.attribute
            )),
            None => Ok(plan),
        }
    }

    fn plan_once(&self, now: Timestamp) -> IdentityPlan {
        let input = PlanInput {
            records: &self.records,
            accounts: &self.accounts,
            recorded: self.recorded,
            assignments: &self.assignments,
            held: &self.held,
            exceptions: &self.exceptions,
            reservations: &self.reservations,
            holds: &self.holds,
            missing: &[],
        };
        plan_identity(
            &input,
            &self.policy,
            &self.targets,
            &TimeZoneDatabase::bundled(),
            now,
        )
    }

    /// Keeps what a plan leaves for the next one.
    pub(crate) fn keep(&mut self, plan: &IdentityPlan) {
        self.recorded = Some(plan.state.state);
        self.held.clone_from(&plan.held);
    }

    /// The target does as it is told.
    pub(crate) fn carry_out(&mut self, slot: &AccountSlot, work: &Work) -> Result<(), String> {
        if !self.accounts.iter().any(|(known, _)| known == slot) {
            self.accounts.push((slot.clone(), ObservedAccount::absent()));
        }
        self.made += u32::from(matches!(work, Work::Create { .. }));
        let really = self.really.get(slot).copied().unwrap_or(AccountState::Enabled);
        let found = self.accounts.iter_mut().find(|(known, _)| known == slot);
        let (_, account) = found.ok_or("no such account")?;
        let record = |id: String, attributes: &serde_json::Map<String, Value>, state| AccountRecord {
            id,
            attributes: attributes.clone(),
            state,
            version: None,
            marker: None,
        };
        let answer = match work {
            Work::Create { attributes } => Some(record(
                format!("id-{}", self.made),
                attributes,
                AccountState::Enabled,
            )),
            Work::Read if really != AccountState::Absent => {
                let id = account
                    .external_id
                    .clone()
                    .ok_or("an account without a link is read")?;
                Some(record(id, &account.attributes, really))
            }
            Work::Read
            | Work::Update { .. }
            | Work::Disable
            | Work::Enable
            | Work::Delete
            | Work::Grant { .. }
            | Work::Revoke { .. } => None,
        };
        *account = after_work(account, work, answer.as_ref());
        Ok(())
    }

    /// An attribute of an account; `null` when it has none.
    pub(crate) fn attribute(&self, account: &str, name: &str) -> Result<Value, String> {
        let slot = slot(account)?;
        let found = self.accounts.iter().find(|(known, _)| *known == slot);
        let (_, observed) = found.ok_or_else(|| format!("there is no account {account}"))?;
        Ok(observed.attributes.get(name).cloned().unwrap_or(Value::Null))
    }
}

pub(crate) fn read_policy(name: &str) -> Result<Policy, String> {
    let file = format!(
        "{}/tests/scenarios/policies/{name}.toml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&file).map_err(|error| format!("policy `{name}`: {error}"))?;
    policy::parse(&file, &text).map_err(|errors| errors.to_string())
}
