//! Random policies and lives: a plan that was carried out leaves nothing to do, and nobody loses what a rule gives.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::expr::Scope;

const SLOTS: [&str; 3] = ["app", "app/admin", "dir"];

/// A policy as text: roles that include earlier ones, overlaps, and separations over what there is.
fn any_policy() -> impl Strategy<Value = String> {
    let when = prop::sample::select(vec![
        "",
        "true",
        "identity.job == 'a'",
        "identity.job == 'b'",
        "identity.job != 'a'",
    ]);
    let entitlement = (0..3_usize, 0..3_u8, prop::option::of(0..3_u8));
    let role = (
        when,
        prop::collection::vec(any::<bool>(), 5),
        prop::sample::select(vec![0, 0, 3, 10]),
        prop::collection::vec(prop::bool::weighted(0.4), 3),
        prop::collection::vec(entitlement, 0..4),
    );
    let duty = prop_oneof![
        (0..5_usize).prop_map(|place| format!("role:r{place}")),
        (0..3_usize, 0..3_u8).prop_map(|(slot, id)| format!("entitlement:{}:e{id}", SLOTS[slot])),
    ];
    let separation = prop::collection::vec(duty, 2..4);
    (prop::collection::vec(role, 5), prop::collection::vec(separation, 0..3)).prop_map(|(roles, separations)| {
        let mut text = SOURCE.to_owned();
        for (place, (when, includes, overlap, accounts, entitlements)) in roles.into_iter().enumerate() {
            let includes: Vec<String> =
                (0..place).filter(|earlier| includes[*earlier]).map(|earlier| format!("'r{earlier}'")).collect();
            let accounts: Vec<String> =
                SLOTS.iter().zip(accounts).filter(|(_, gives)| *gives).map(|(slot, _)| format!("'{slot}'")).collect();
            let mut given: BTreeMap<&str, BTreeMap<u8, Option<u8>>> = BTreeMap::new();
            for (slot, id, level) in entitlements {
                given.entry(SLOTS[slot]).or_default().insert(id, level);
            }
            writeln!(text, "[[roles]]\nname = 'r{place}'\nincludes = [{}]\noverlap-days = {overlap}\naccounts = [{}]", includes.join(","), accounts.join(",")).unwrap();
            if !when.is_empty() {
                writeln!(text, "when = \"{when}\"").unwrap();
            }
            writeln!(text, "[roles.entitlements]").unwrap();
            for (slot, ids) in given {
                let ids: Vec<String> = ids
                    .into_iter()
                    .map(|(id, level)| match level {
                        None => format!("'e{id}'"),
                        Some(level) => format!("{{ id = 'e{id}', parameters = {{ level = {level} }} }}"),
                    })
                    .collect();
                writeln!(text, "'{slot}' = [{}]", ids.join(",")).unwrap();
            }
        }
        text.push_str("[mappings.app]\nlogin = { value = 'identity.name', unique = true, follow-name = true }\ntag = { value = 'identity.job', strength = 'weak' }\n");
        text.push_str("[mappings.'app/admin']\nlogin = { candidates = ['identity.name', 'identity.id'], unique = true }\n");
        text.push_str("[mappings.dir]\nid = 'identity.id'\nfirst = { value = 'identity.job', strength = 'initial' }\n");
        // A separation that cannot be (of what one role gives) is left out.
        for (number, of) in separations.into_iter().enumerate() {
            let of: Vec<String> = of.into_iter().map(|duty| format!("'{duty}'")).collect();
            let more = format!("{text}[[separation]]\nname = 's{number}'\nof = [{}]\n", of.join(","));
            if policy::parse("policy.toml", &more).is_ok() {
                text = more;
            }
        }
        text
    })
}

#[derive(Clone, Debug)]
enum Event {
    Job(&'static str),
    Name(&'static str),
    End(Option<i64>),
    Away(Option<i64>),
    Assign {
        role: usize,
        request: bool,
        from: Option<i64>,
        until: Option<i64>,
    },
    Unassign,
    Except {
        separation: usize,
        until: i64,
    },
    /// Another policy is activated: only this many of its separations.
    Separations(usize),
    /// Only so many of the next steps are carried out before something else happens.
    Lag(usize),
    /// Somebody changes an account in its target.
    Drift(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    let day = || prop::option::of(0..200_i64);
    prop_oneof![
        3 => prop::sample::select(vec!["a", "b", "c"]).prop_map(Event::Job),
        1 => prop::sample::select(vec!["Jo", "Mo"]).prop_map(Event::Name),
        1 => day().prop_map(Event::End),
        1 => day().prop_map(Event::Away),
        3 => (0..6_usize, any::<bool>(), day(), day())
            .prop_map(|(role, request, from, until)| Event::Assign { role, request, from, until }),
        1 => Just(Event::Unassign),
        1 => (0..3_usize, 0..200_i64).prop_map(|(separation, until)| Event::Except { separation, until }),
        1 => (0..3_usize).prop_map(Event::Separations),
        1 => (0..4_usize).prop_map(Event::Lag),
        1 => (0..3_usize).prop_map(Event::Drift),
    ]
}

fn day(number: i64) -> Timestamp {
    at("2026-02-01") + SignedDuration::from_hours(24 * number)
}

fn date(number: i64) -> Value {
    json!(day(number).to_string()[..10])
}

impl Life {
    fn happens(&mut self, event: &Event, full: &Policy) {
        let attributes = &mut self.record.attributes;
        let mut set = |name: &str, value: Option<Value>| match value {
            Some(value) => drop(attributes.insert(name.to_owned(), value)),
            None => drop(attributes.remove(name)),
        };
        match event {
            Event::Job(job) => set("job", Some(json!(job))),
            Event::Name(name) => set("name", Some(json!(name))),
            Event::End(end) => set("end", end.map(date)),
            Event::Away(from) => set("away", from.map(date)),
            Event::Assign {
                role,
                request,
                from,
                until,
            } => self.assignments.push(Assignment {
                origin: if *request { Origin::Request } else { Origin::Manual },
                valid_from: from.map(day),
                valid_until: until.map(day),
                ..assigned(&format!("r{role}"), "", "")
            }),
            Event::Unassign => drop(self.assignments.pop()),
            Event::Except { separation, until } => self.exceptions.push(SeparationException {
                separation: format!("s{separation}").parse().unwrap(),
                until: day(*until),
                reason: "audited".to_owned(),
            }),
            Event::Separations(count) => {
                self.policy.separations = full.separations.iter().take(*count).cloned().collect();
            }
            Event::Drift(slot) => {
                if let Some((_, account)) = self.accounts.get_mut(*slot)
                    && account.state != AccountState::Absent
                {
                    account.attributes.clear();
                    account.entitlements.insert("stray".to_owned(), Value::Null);
                    account.state = AccountState::Enabled;
                }
            }
            Event::Lag(_) => {}
        }
    }

    /// Reserves what is asked for: the first candidate, or for every other the second.
    fn reserve(&mut self, wanted: &[NameWanted]) {
        for (number, wanted) in wanted.iter().enumerate() {
            self.reservations
                .retain(|one| (&one.slot, &one.attribute) != (&wanted.slot, &wanted.attribute));
            self.reservations.push(Reservation {
                slot: wanted.slot.clone(),
                attribute: wanted.attribute.clone(),
                value: wanted.candidates[number % 2].clone(),
            });
        }
    }

    /// What the rules give, whatever else: slots, and entitlements of those.
    fn ruled(&self, plan: &IdentityPlan) -> (Vec<AccountSlot>, Vec<(AccountSlot, String)>) {
        let places = self
            .policy
            .by_rule(&Scope::new(&plan.attributes, plan.state.state))
            .unwrap();
        let from: Vec<usize> = (0..places.len()).filter(|place| places[*place]).collect();
        let mut reached = vec![false; places.len()];
        self.policy.reach(&from, &mut reached);
        let roles = || {
            self.policy
                .roles
                .iter()
                .zip(&reached)
                .filter(|(_, reached)| **reached)
                .map(|(role, _)| role)
        };
        let entitlements = roles().flat_map(|role| {
            let ids = |(slot, ids): (&AccountSlot, &crate::account::Entitlements)| {
                ids.keys()
                    .map(|id| (slot.clone(), id.clone()))
                    .collect::<Vec<_>>()
            };
            role.entitlements.iter().flat_map(ids).collect::<Vec<_>>()
        });
        (
            roles().flat_map(|role| role.accounts.clone()).collect(),
            entitlements.collect(),
        )
    }

    fn check(&self, plan: &IdentityPlan) -> Result<(), TestCaseError> {
        for step in plan.accounts.iter().flat_map(|account| &account.steps) {
            prop_assert!(step.cause.links().len() >= 3, "{}", step.cause);
            prop_assert!(step.cause.links().iter().all(|link| !link.is_empty()));
        }
        if plan.state.state != IdentityState::Active {
            return Ok(());
        }
        let (slots, entitlements) = self.ruled(plan);
        for account in &plan.accounts {
            let observed = self.accounts.iter().find(|(slot, _)| *slot == account.slot);
            let usable = observed.is_some_and(|(_, observed)| observed.state == AccountState::Enabled);
            for step in &account.steps {
                let loses = match &step.work {
                    Work::Disable | Work::Delete => usable && slots.contains(&account.slot),
                    Work::Revoke { entitlement } => {
                        usable
                            && slots.contains(&account.slot)
                            && entitlements.contains(&(account.slot.clone(), entitlement.clone()))
                    }
                    Work::Create { .. }
                    | Work::Update { .. }
                    | Work::Enable
                    | Work::Grant { .. }
                    | Work::Read => false,
                };
                prop_assert!(!loses, "{}", step.cause);
            }
        }
        Ok(())
    }

    fn has_now(&self, slot: &AccountSlot, id: &str) -> bool {
        let mut accounts = self.accounts.iter().filter(|(known, _)| known == slot);
        accounts.any(|(_, account)| {
            account.state != AccountState::Absent && account.entitlements.contains_key(id)
        })
    }

    /// Of what excludes each other nothing comes that was not there before.
    fn check_duties(
        &self,
        plan: &IdentityPlan,
        before: &[RoleName],
        now: Timestamp,
    ) -> Result<(), TestCaseError> {
        if plan.state.state != IdentityState::Active {
            return Ok(());
        }
        let gives = |slot: &AccountSlot, id: &str| {
            plan.accounts.iter().any(|account| {
                let wanted = match &account.desired {
                    Some(DesiredAccount::Enabled { entitlements, .. }) => entitlements.contains_key(id),
                    _ => false,
                };
                account.slot == *slot && wanted
            })
        };
        for separation in &self.policy.separations {
            let excepted = |one: &SeparationException| one.separation == separation.name && now < one.until;
            if self.exceptions.iter().any(excepted) {
                continue;
            }
            let present = |duty: &&Duty| match duty {
                Duty::Role(_, name) => plan.roles.contains(name),
                Duty::Entitlement(slot, id) => gives(slot, id),
            };
            let present: Vec<&Duty> = separation.of.iter().filter(present).collect();
            for duty in present.iter().filter(|_| present.len() > 1) {
                let was = match duty {
                    Duty::Role(place, name) => before.contains(name) || self.is_there(*place),
                    Duty::Entitlement(slot, id) => self.has_now(slot, id),
                };
                prop_assert!(was, "{} is new beside {:?}", duty, present);
            }
        }
        Ok(())
    }

    /// All a role gives is there.
    fn is_there(&self, place: usize) -> bool {
        let mut reached = vec![false; self.policy.roles.len()];
        self.policy.reach(&[place], &mut reached);
        let mut roles = self
            .policy
            .roles
            .iter()
            .zip(reached)
            .filter(|(_, reached)| *reached)
            .map(|(role, _)| role);
        roles.all(|role| {
            let enabled = |slot: &AccountSlot| {
                self.accounts
                    .iter()
                    .any(|(known, account)| known == slot && account.state == AccountState::Enabled)
            };
            let mut ids = role
                .entitlements
                .iter()
                .flat_map(|(slot, ids)| ids.keys().map(move |id| (slot, id)));
            role.accounts.iter().all(enabled) && ids.all(|(slot, id)| self.has_now(slot, id))
        })
    }

    fn carry_out(&mut self, plan: &IdentityPlan, most: usize) {
        let steps: Vec<(AccountSlot, Work)> = plan
            .accounts
            .iter()
            .flat_map(|account| {
                account
                    .steps
                    .iter()
                    .map(|step| (account.slot.clone(), step.work.clone()))
            })
            .collect();
        for (slot, work) in steps.into_iter().take(most) {
            self.perform(&slot, &work);
        }
        self.recorded = Some(plan.state.state);
        self.held.clone_from(&plan.held);
    }
}

fn steps(plan: &IdentityPlan) -> Vec<&Step> {
    plan.accounts.iter().flat_map(|account| &account.steps).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(
        policy in any_policy(),
        events in prop::collection::vec((any_event(), 0..20_i64), 1..25),
    ) {
        let policy = policy::parse("policy.toml", &policy).unwrap_or_else(|errors| panic!("{errors}\n{policy}"));
        let mut life = Life::new("a");
        life.policy = policy.clone();
        let mut today = 0;
        let mut before: Vec<RoleName> = Vec::new();
        for (event, days) in events {
            life.happens(&event, &policy);
            today += days;
            let now = day(today);
            let first = life.plan_at(now);
            life.check(&first)?;
            life.check_duties(&first, &before, now)?;
            before.clone_from(&first.roles);

            life.assignments.reverse();
            prop_assert_eq!(&life.plan_at(now), &first, "the order of assignments does not matter");

            if let Event::Lag(most) = event {
                life.carry_out(&first, most);
                continue;
            }
            life.reserve(&first.wanted_names);
            life.carry_out(&first, usize::MAX);
            let named = life.plan_at(now);
            life.check(&named)?;
            prop_assert_eq!(&named.wanted_names, &vec![]);
            life.carry_out(&named, usize::MAX);

            let settled = life.plan_at(now);
            prop_assert_eq!(steps(&settled), Vec::<&Step>::new());
            prop_assert_eq!((&settled.held, &settled.next_change), (&named.held, &named.next_change));

            if matches!(settled.state.state, IdentityState::Leaving | IdentityState::Departed) {
                let keeps = |account: &ObservedAccount| account.state == AccountState::Enabled || !account.entitlements.is_empty();
                prop_assert!(!life.accounts.iter().any(|(_, account)| keeps(account)), "a leaver keeps nothing");
                prop_assert_eq!(&settled.held, &vec![]);
            }

            // Nothing happens before the next change, or ever.
            let before = match settled.next_change {
                Some(at) => at - SignedDuration::from_nanos(1),
                None => now + SignedDuration::from_hours(24 * 4_000),
            };
            prop_assert!(before >= now, "{:?}", settled.next_change);
            let quiet = life.plan_at(before);
            prop_assert_eq!(steps(&quiet), Vec::<&Step>::new());
            prop_assert_eq!((&quiet.roles, &quiet.held, &quiet.next_change), (&settled.roles, &settled.held, &settled.next_change));
        }
    }
}
