//! One person: what is said of them, their accounts in targets that do as they are told, and what a store keeps between two plans.

use jiff::tz::TimeZoneDatabase;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use usher_lifecycle::account::{AccountSlot, AccountState, ObservedAccount, after_work};
use usher_lifecycle::assignment::{Assignment, HeldRole, Origin};
use usher_lifecycle::cause::Actor;
use usher_lifecycle::connector::AccountRecord;
use usher_lifecycle::facts::{Hold, HoldKind, SourceRecord};
use usher_lifecycle::operation::Work;
use usher_lifecycle::plan::{IdentityPlan, PlanInput, Planner, plan_identity};
use usher_lifecycle::reservation::{NameWanted, Reservation};
use usher_lifecycle::state::IdentityState;

use crate::documents::Documents;

/// Records a person may have: two contracts with one source, one record of another.
const RECORDS: [(&str, &str); 3] = [("hr", "1"), ("hr", "2"), ("ext", "9")];

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A source says another value, or none.
    Says(usize, &'static str, Option<Value>),
    /// A source knows one more record, or no more.
    Knows(usize, bool),
    /// A record is missing from its source, or there again.
    Missing(usize, Option<i64>),
    Hold(HoldKind, i64, Option<i64>),
    Assign(usize, Option<i64>, Option<i64>),
    Unassign,
    /// Somebody changes an account in its target.
    Drift(usize),
    /// Somebody deletes it there.
    Vanishes(usize),
    /// Nobody knows what an account is like now.
    Forgotten(usize),
}

pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    let date = || prop::option::of((0..200_i64).prop_map(date_of));
    let text =
        |values: Vec<&'static str>| prop::option::of(prop::sample::select(values).prop_map(Value::from));
    let record = || 0..RECORDS.len();
    let day = || prop::option::of(0..200_i64);
    let said = prop_oneof![
        3 => text(vec!["a", "b", "c"]).prop_map(|value| ("job", value)),
        1 => text(vec!["x", "y"]).prop_map(|value| ("site", value)),
        1 => text(vec!["Jo", "Mo"]).prop_map(|value| ("name", value)),
        1 => prop::option::of((0..4_i64).prop_map(Value::from)).prop_map(|value| ("level", value)),
        1 => date().prop_map(|value| ("start", value)),
        2 => date().prop_map(|value| ("end", value)),
        1 => date().prop_map(|value| ("away", value)),
        1 => date().prop_map(|value| ("back", value)),
        // A date that is none.
        1 => Just(("end", Some(json!("soon")))),
    ];
    let kind = prop::sample::select(vec![HoldKind::Security, HoldKind::Manual]);
    prop_oneof![
        8 => (record(), said).prop_map(|(record, (name, value))| Event::Says(record, name, value)),
        2 => (record(), any::<bool>()).prop_map(|(record, known)| Event::Knows(record, known)),
        1 => (record(), day()).prop_map(|(record, since)| Event::Missing(record, since)),
        1 => (kind, 0..200_i64, day()).prop_map(|(kind, from, until)| Event::Hold(kind, from, until)),
        2 => (0..5_usize, day(), day()).prop_map(|(role, from, until)| Event::Assign(role, from, until)),
        1 => Just(Event::Unassign),
        1 => (0..4_usize).prop_map(Event::Drift),
        1 => (0..4_usize).prop_map(Event::Vanishes),
        1 => (0..4_usize).prop_map(Event::Forgotten),
    ]
}

pub(crate) fn day(number: i64) -> Timestamp {
    "2026-02-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(24 * number)
}

fn date_of(number: i64) -> Value {
    json!(day(number).to_string()[..10])
}

/// A person.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) documents: Documents,
    records: Vec<SourceRecord>,
    assignments: Vec<Assignment>,
    holds: Vec<Hold>,
    pub(crate) accounts: Vec<(AccountSlot, ObservedAccount)>,
    reservations: Vec<Reservation>,
    held: Vec<HeldRole>,
    recorded: Option<IdentityState>,
    made: u32,
    zones: TimeZoneDatabase,
}

impl Life {
    /// Somebody with one contract.
    pub(crate) fn new(documents: Documents) -> Self {
        let mut life = Self {
            documents,
            records: Vec::new(),
            assignments: Vec::new(),
            holds: Vec::new(),
            accounts: Vec::new(),
            reservations: Vec::new(),
            held: Vec::new(),
            recorded: None,
            made: 0,
            zones: TimeZoneDatabase::bundled(),
        };
        life.happens(&Event::Knows(0, true));
        life
    }

    pub(crate) fn happens(&mut self, event: &Event) {
        match event {
            Event::Says(record, name, value) => {
                if let Some(record) = self.record(*record) {
                    match value {
                        Some(value) => drop(record.attributes.insert((*name).to_owned(), value.clone())),
                        None => drop(record.attributes.remove(*name)),
                    }
                }
            }
            Event::Knows(record, true) if self.record(*record).is_none() => {
                let (source, key) = RECORDS[*record];
                let attributes = json!({ "id": key, "name": "Jo", "job": "a", "start": "2026-01-01" });
                self.records.push(SourceRecord {
                    source: source.parse().unwrap(),
                    key: key.to_owned(),
                    attributes: attributes.as_object().unwrap().clone(),
                    absent_since: None,
                });
            }
            Event::Knows(_, true) => {}
            Event::Knows(record, false) => {
                let (source, key) = RECORDS[*record];
                self.records
                    .retain(|one| (one.source.as_str(), one.key.as_str()) != (source, key));
            }
            Event::Missing(record, since) => {
                if let Some(record) = self.record(*record) {
                    record.absent_since = since.map(day);
                }
            }
            Event::Hold(kind, from, until) => self.holds.push(Hold {
                kind: *kind,
                from: day(*from),
                until: until.map(day),
                reason: "asked for".to_owned(),
                by: Actor::Person("ann".to_owned()),
            }),
            Event::Assign(role, from, until) => self.assignments.push(Assignment {
                role: format!("r{role}").parse().unwrap(),
                origin: Origin::Manual,
                valid_from: from.map(day),
                valid_until: until.map(day),
                reason: "asked for".to_owned(),
                by: Actor::Person("ann".to_owned()),
            }),
            Event::Unassign => {
                self.assignments.pop();
                self.holds.clear();
            }
            Event::Drift(place) => self.touch(*place, |account| {
                account.attributes.clear();
                account.entitlements.insert("stray".to_owned(), Value::Null);
                account.state = AccountState::Enabled;
            }),
            Event::Vanishes(place) => self.touch(*place, |account| *account = ObservedAccount::absent()),
            Event::Forgotten(place) => self.touch(*place, |account| account.state = AccountState::Unknown),
        }
    }

    fn record(&mut self, place: usize) -> Option<&mut SourceRecord> {
        let (source, key) = RECORDS[place];
        self.records
            .iter_mut()
            .find(|one| (one.source.as_str(), one.key.as_str()) == (source, key))
    }

    fn touch(&mut self, place: usize, change: impl FnOnce(&mut ObservedAccount)) {
        if let Some((_, account)) = self.accounts.get_mut(place)
            && account.state != AccountState::Absent
        {
            change(account);
        }
    }

    /// Some source knows them, or did.
    pub(crate) fn is_known(&self) -> bool {
        !self.records.is_empty()
    }

    /// The same facts in another order.
    pub(crate) fn shuffle(&mut self, turn: usize) {
        fn turned<T>(list: &mut [T], by: usize) {
            list.reverse();
            if !list.is_empty() {
                list.rotate_left(by % list.len());
            }
        }
        turned(&mut self.records, turn);
        turned(&mut self.assignments, turn);
        turned(&mut self.holds, turn);
        turned(&mut self.accounts, turn);
        turned(&mut self.reservations, turn);
    }

    fn input(&self) -> PlanInput<'_> {
        PlanInput {
            records: &self.records,
            accounts: &self.accounts,
            recorded: self.recorded,
            assignments: &self.assignments,
            held: &self.held,
            exceptions: &[],
            reservations: &self.reservations,
            holds: &self.holds,
            missing: &[],
        }
    }

    pub(crate) fn plan(&self, now: Timestamp) -> IdentityPlan {
        let (policy, targets) = (&self.documents.policy, &self.documents.targets);
        plan_identity(&self.input(), policy, targets, &self.zones, now)
    }

    pub(crate) fn plan_by(&self, planner: &mut Planner, now: Timestamp) -> IdentityPlan {
        planner.plan(&self.input(), &self.documents.targets, &self.zones, now)
    }

    /// Reserves what is asked for: the first candidate, or for every other the second.
    pub(crate) fn reserve(&mut self, wanted: &[NameWanted]) {
        for (number, wanted) in wanted.iter().enumerate() {
            self.reservations
                .retain(|one| (&one.slot, &one.attribute) != (&wanted.slot, &wanted.attribute));
            self.reservations.push(Reservation {
                slot: wanted.slot.clone(),
                attribute: wanted.attribute.clone(),
                value: wanted.candidates[number % 2 % wanted.candidates.len()].clone(),
            });
        }
    }

    /// The state of an account.
    pub(crate) fn state_of(&self, slot: &AccountSlot) -> AccountState {
        let found = self.accounts.iter().find(|(known, _)| known == slot);
        found.map_or(AccountState::Absent, |(_, account)| account.state)
    }

    /// The targets do the first so many steps, and the store keeps what the plan leaves for the next one.
    pub(crate) fn carry_out(&mut self, plan: &IdentityPlan, most: usize) {
        let steps = plan.accounts.iter().flat_map(|account| {
            let steps = account.steps.iter();
            steps.map(|step| (account.slot.clone(), step.work.clone()))
        });
        let steps: Vec<(AccountSlot, Work)> = steps.take(most).collect();
        for (slot, work) in &steps {
            self.perform(slot, work);
        }
        self.recorded = Some(plan.state.state);
        self.held.clone_from(&plan.held);
    }

    fn perform(&mut self, slot: &AccountSlot, work: &Work) {
        if !self.accounts.iter().any(|(known, _)| known == slot) {
            self.accounts.push((slot.clone(), ObservedAccount::absent()));
        }
        self.made += u32::from(matches!(work, Work::Create { .. }));
        let (_, account) = self.accounts.iter_mut().find(|(known, _)| known == slot).unwrap();
        let record = |id: String, attributes: &serde_json::Map<String, Value>| AccountRecord {
            id,
            attributes: attributes.clone(),
            state: AccountState::Enabled,
            version: None,
            marker: None,
        };
        let answer = match work {
            Work::Create { attributes } => Some(record(format!("id-{}", self.made), attributes)),
            Work::Read => account
                .external_id
                .clone()
                .map(|id| record(id, &account.attributes)),
            Work::Update { .. }
            | Work::Disable
            | Work::Enable
            | Work::Delete
            | Work::Grant { .. }
            | Work::Revoke { .. } => None,
        };
        *account = after_work(account, work, answer.as_ref());
    }
}
