//! Random policies and targets, and changes of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use usher_lifecycle::connector::Capabilities;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::plan::TargetFacts;
use usher_lifecycle::policy::{self, Policy};
use usher_lifecycle::schema::AccountSchema;
use usher_lifecycle::targets::ApplyMode;

pub(crate) const SLOTS: [&str; 4] = ["app", "app/admin", "dir", "old"];
const TARGETS: [&str; 3] = ["app", "dir", "old"];
const ROLES: usize = 4;

/// What a policy is made of.
#[derive(Clone, Debug)]
struct Model {
    comment: usize,
    retention_days: u32,
    deletes: bool,
    /// The first has authority.
    sources: [&'static str; 2],
    roles: Vec<RoleModel>,
    mapping: usize,
}

#[derive(Clone, Debug)]
struct RoleModel {
    when: Option<usize>,
    overlap_days: u32,
    includes_next: bool,
    accounts: Vec<bool>,
    /// Account, entitlement, parameter.
    entitlements: Vec<(usize, u8, Option<u8>)>,
}

/// The two documents.
#[derive(Clone, Debug)]
pub(crate) struct Documents {
    model: Model,
    pub(crate) policy: Policy,
    pub(crate) targets: BTreeMap<TargetName, TargetFacts>,
}

/// A change of one of them.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Comment(usize),
    Retention(u32),
    Unassigned,
    SwapSources,
    Role(usize, RoleModelChange),
    Mapping(usize),
    Target(usize, TargetChange),
}

#[derive(Clone, Debug)]
pub(crate) enum RoleModelChange {
    When(Option<usize>),
    Overlap(u32),
    Include,
    Account(usize),
    Entitlement(usize, u8),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum TargetChange {
    Apply,
    Gone,
    CannotDelete,
}

/// The rules roles may have.
pub(crate) fn whens() -> Vec<&'static str> {
    vec![
        "true",
        "identity.?job.orValue('') == 'a'",
        "identity.?job.orValue('') != 'a'",
        "identity.?site.orValue('x') == 'x' && identity.?job.orValue('b') == 'b'",
        "state == 'active'",
        "identity.level > 1",
        "has(identity.level) && identity.level > 2",
    ]
}

const MAPPINGS: [&str; 4] = [
    "login = 'identity.id'\nmail = \"identity.id + '@example.org'\"\n",
    "login = { value = 'identity.name', unique = true, follow-name = true }\nmail = \"identity.id + '@example.org'\"\n",
    "login = { candidates = ['identity.name', 'identity.id'], unique = true }\nsite = { value = 'identity.?site', strength = 'weak' }\n",
    "login = 'identity.id'\nlevel = 'identity.level'\nfirst = { value = 'identity.?job', strength = 'initial' }\n",
];

pub(crate) fn any_documents() -> impl Strategy<Value = Documents> {
    let role = (
        prop::option::weighted(0.8, 0..whens().len()),
        prop::sample::select(vec![0, 0, 0, 3, 10]),
        prop::bool::weighted(0.2),
        prop::collection::vec(prop::bool::weighted(0.4), SLOTS.len()),
        prop::collection::vec((0..SLOTS.len(), 0..3_u8, prop::option::of(0..2_u8)), 0..4),
    );
    let role = role.prop_map(
        |(when, overlap_days, includes_next, accounts, entitlements)| RoleModel {
            when,
            overlap_days,
            includes_next,
            accounts,
            entitlements,
        },
    );
    let able = |weight| prop::bool::weighted(weight);
    let capabilities = prop::collection::vec((able(0.8), able(0.8), able(0.9)), TARGETS.len());
    let roles = prop::collection::vec(role, ROLES);
    (roles, 0..40_u32, any::<bool>(), 0..MAPPINGS.len(), capabilities).prop_map(
        |(roles, retention_days, deletes, mapping, capabilities)| {
            let model = Model {
                comment: 0,
                retention_days,
                deletes,
                sources: ["hr", "ext"],
                roles,
                mapping,
            };
            let facts = |(disable, delete, entitlements)| TargetFacts {
                capabilities: Capabilities {
                    disable,
                    delete,
                    entitlements,
                },
                schema: AccountSchema::parse(&serde_json::json!({ "type": "object" })).unwrap(),
                apply: ApplyMode::Auto,
                depends_on: Vec::new(),
                pilot: None,
                protection: Default::default(),
            };
            let names = TARGETS.iter().map(|name| name.parse().unwrap());
            Documents {
                policy: model.policy(),
                model,
                targets: names.zip(capabilities.into_iter().map(facts)).collect(),
            }
        },
    )
}

pub(crate) fn any_change() -> impl Strategy<Value = Change> {
    let role = prop_oneof![
        prop::option::of(0..whens().len()).prop_map(RoleModelChange::When),
        (0..12_u32).prop_map(RoleModelChange::Overlap),
        Just(RoleModelChange::Include),
        (0..SLOTS.len()).prop_map(RoleModelChange::Account),
        (0..SLOTS.len(), 0..3_u8).prop_map(|(slot, id)| RoleModelChange::Entitlement(slot, id)),
    ];
    let target = prop::sample::select(vec![
        TargetChange::Apply,
        TargetChange::Gone,
        TargetChange::CannotDelete,
    ]);
    prop_oneof![
        2 => (1..9_usize).prop_map(Change::Comment),
        1 => (0..40_u32).prop_map(Change::Retention),
        1 => Just(Change::Unassigned),
        1 => Just(Change::SwapSources),
        4 => (0..ROLES, role).prop_map(|(place, change)| Change::Role(place, change)),
        2 => (0..MAPPINGS.len()).prop_map(Change::Mapping),
        2 => (0..TARGETS.len(), target).prop_map(|(place, change)| Change::Target(place, change)),
    ]
}

impl Documents {
    /// The documents after a change.
    pub(crate) fn changed(&self, change: &Change) -> Self {
        let mut new = self.clone();
        match change {
            Change::Comment(number) => new.model.comment = *number,
            Change::Retention(days) => new.model.retention_days = *days,
            Change::Unassigned => new.model.deletes = !new.model.deletes,
            Change::SwapSources => new.model.sources.swap(0, 1),
            Change::Role(place, change) => new.model.roles[*place].change(change),
            Change::Mapping(number) => new.model.mapping = *number,
            Change::Target(place, change) => new.change_target(TARGETS[*place], *change),
        }
        new.policy = new.model.policy();
        new
    }

    fn change_target(&mut self, name: &str, change: TargetChange) {
        let name: TargetName = name.parse().unwrap();
        match change {
            TargetChange::Gone => drop(self.targets.remove(&name)),
            TargetChange::Apply => {
                if let Some(facts) = self.targets.get_mut(&name) {
                    facts.apply = ApplyMode::Observe;
                }
            }
            TargetChange::CannotDelete => {
                if let Some(facts) = self.targets.get_mut(&name) {
                    facts.capabilities.delete = false;
                }
            }
        }
    }
}

impl RoleModel {
    fn change(&mut self, change: &RoleModelChange) {
        match change {
            RoleModelChange::When(when) => self.when = *when,
            RoleModelChange::Overlap(days) => self.overlap_days = *days,
            RoleModelChange::Include => self.includes_next = !self.includes_next,
            RoleModelChange::Account(slot) => self.accounts[*slot] = !self.accounts[*slot],
            RoleModelChange::Entitlement(slot, id) => self.entitlements.push((*slot, *id, None)),
        }
    }
}

impl Model {
    fn policy(&self) -> Policy {
        let text = self.text();
        policy::parse("policy.toml", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
    }

    fn text(&self) -> String {
        let unassigned = if self.deletes { "delete" } else { "disable" };
        let mut text = format!(
            "# {}\nzone = 'UTC'\nretention-days = {}\nunassigned = '{unassigned}'\n",
            self.comment, self.retention_days
        );
        for source in self.sources {
            write!(
                text,
                "[sources.{source}]\nkey = 'id'\n[sources.{source}.columns]\nid = {{ attribute = 'id' }}\nname = {{ attribute = 'name' }}\n\
                 job = {{ attribute = 'job' }}\nsite = {{ attribute = 'site' }}\nlevel = {{ attribute = 'level', type = 'integer' }}\n\
                 start = {{ attribute = 'start', type = 'date' }}\nend = {{ attribute = 'end', type = 'date' }}\n\
                 away = {{ attribute = 'away', type = 'date' }}\nback = {{ attribute = 'back', type = 'date' }}\n\
                 [sources.{source}.lifecycle]\nstart = 'start'\nend = 'end'\nleave-from = 'away'\nleave-until = 'back'\n"
            )
            .unwrap();
        }
        for (place, role) in self.roles.iter().enumerate() {
            let accounts: Vec<String> = role
                .accounts
                .iter()
                .zip(SLOTS)
                .filter(|(gives, _)| **gives)
                .map(|(_, slot)| format!("'{slot}'"))
                .collect();
            write!(
                text,
                "[[roles]]\nname = 'r{place}'\noverlap-days = {}\naccounts = [{}]\n",
                role.overlap_days,
                accounts.join(",")
            )
            .unwrap();
            if let Some(when) = role.when {
                writeln!(text, "when = \"{}\"", whens()[when]).unwrap();
            }
            if role.includes_next && place + 1 < ROLES {
                writeln!(text, "includes = ['r{}']", place + 1).unwrap();
            }
            let mut given: BTreeMap<usize, BTreeMap<u8, Option<u8>>> = BTreeMap::new();
            for (slot, id, parameter) in &role.entitlements {
                given.entry(*slot).or_default().insert(*id, *parameter);
            }
            text.push_str("[roles.entitlements]\n");
            for (slot, ids) in given {
                let ids: Vec<String> = ids
                    .into_iter()
                    .map(|(id, parameter)| match parameter {
                        None => format!("'e{id}'"),
                        Some(n) => format!("{{ id = 'e{id}', parameters = {{ n = {n} }} }}"),
                    })
                    .collect();
                writeln!(text, "'{}' = [{}]", SLOTS[slot], ids.join(",")).unwrap();
            }
        }
        for (place, slot) in SLOTS.iter().enumerate() {
            let mapping = MAPPINGS[(self.mapping + place) % MAPPINGS.len()];
            write!(text, "[mappings.'{slot}']\n{mapping}").unwrap();
        }
        text
    }
}
