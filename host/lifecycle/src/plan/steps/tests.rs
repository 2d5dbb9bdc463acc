use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::account::after_work;
use crate::connector::{AccountRecord, AttributeChange, Capabilities};
use crate::diff::Strength;
use crate::name::Name;
use crate::schema::AccountSchema;
use crate::targets::ApplyMode;

/// A target that does what it is told, as far as it can, and nothing else.
#[derive(Clone, Debug)]
struct Target {
    capabilities: Capabilities,
    account: Option<Account>,
    /// Stores texts in upper case, as some do.
    shouts: bool,
    /// Does not tell whether an account is enabled.
    silent: bool,
    calls: Vec<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
struct Account {
    enabled: bool,
    attributes: Attributes,
    held: Entitlements,
}

impl Target {
    fn stored(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if self.shouts => Value::String(text.to_uppercase()),
            other => other.clone(),
        }
    }

    fn record(&self) -> Option<AccountRecord> {
        let account = self.account.as_ref()?;
        let state = match (self.silent, account.enabled) {
            (true, _) => AccountState::Unknown,
            (false, true) => AccountState::Enabled,
            (false, false) => AccountState::Disabled,
        };
        let attributes = account.attributes.clone();
        Some(AccountRecord {
            id: "1".to_owned(),
            attributes,
            state,
            version: None,
            marker: None,
        })
    }

    /// Carries the work out; panics where the plan asks for what cannot be.
    fn perform(&mut self, work: &Work) -> Option<AccountRecord> {
        self.calls.push(work.verb());
        let shouted: Attributes = match work {
            Work::Create { attributes } => attributes
                .iter()
                .map(|(name, value)| (name.clone(), self.stored(value)))
                .collect(),
            _ => Attributes::new(),
        };
        let shouts = self.clone();
        let capabilities = self.capabilities;
        match (work, &mut self.account) {
            (Work::Create { .. }, account @ None) => {
                *account = Some(Account {
                    enabled: true,
                    attributes: shouted,
                    held: Entitlements::new(),
                });
            }
            (Work::Create { .. }, Some(_)) => panic!("created what exists"),
            (Work::Read, _) => {}
            (Work::Delete, account) => {
                assert!(capabilities.delete, "delete asked of a target that cannot");
                *account = None;
            }
            (_, None) => panic!("{} without an account", work.verb()),
            (Work::Enable | Work::Disable, Some(account)) => {
                assert!(
                    capabilities.disable,
                    "{} asked of a target that cannot",
                    work.verb()
                );
                account.enabled = *work == Work::Enable;
            }
            (Work::Update { changes, .. }, Some(account)) => {
                for change in changes {
                    let old = account.attributes.remove(change.name());
                    let new = match change {
                        AttributeChange::Replace { value, .. } => shouts.stored(value),
                        AttributeChange::Members { add, remove, .. } => {
                            let mut members = old.unwrap().as_array().unwrap().clone();
                            assert!(remove.iter().all(|member| members.contains(member)));
                            assert!(add.iter().all(|member| !members.contains(member)));
                            members.retain(|member| !remove.contains(member));
                            members.extend(add.iter().cloned());
                            Value::Array(members)
                        }
                    };
                    if !new.is_null() {
                        account.attributes.insert(change.name().to_owned(), new);
                    }
                }
            }
            (
                Work::Grant {
                    entitlement,
                    parameters,
                },
                Some(account),
            ) => {
                assert!(capabilities.entitlements);
                account.held.insert(entitlement.clone(), parameters.clone());
            }
            (Work::Revoke { entitlement }, Some(account)) => {
                assert!(capabilities.entitlements);
                assert!(
                    account.held.remove(entitlement).is_some(),
                    "revoked what is not held"
                );
            }
        }
        self.record()
    }
}

struct Case {
    slot: AccountSlot,
    desired: DesiredAccount,
    facts: TargetFacts,
}

const MANAGED: [&str; 3] = ["mails", "manager", "name"];

impl Case {
    fn new(desired: DesiredAccount, capabilities: Capabilities) -> Self {
        let slot = AccountSlot {
            target: "app".parse().unwrap(),
            kind: Name::primary(),
        };
        let facts = TargetFacts {
            capabilities,
            schema: AccountSchema::default(),
            apply: ApplyMode::Auto,
            depends_on: Vec::new(),
            pilot: None,
            protection: Default::default(),
        };
        Self { slot, desired, facts }
    }

    fn plan(&self, observed: &ObservedAccount) -> AccountSteps {
        account_steps(&AccountInput {
            slot: &self.slot,
            desired: &self.desired,
            managed: &MANAGED.map(|name| (name.to_owned(), Strength::Normal)).into(),
            observed,
            facts: &self.facts,
            cause: &Cause::new("hr: start 2026-03-02 has come")
                .then("active")
                .then("role employee"),
            security_hold: None,
            entitlement_causes: &BTreeMap::new(),
        })
    }
}

fn any_text() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![json!("Ann"), json!("BOB"), json!("żółw")])
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    let mails = prop::collection::btree_set(0..4_u8, 1..4).prop_map(|set| {
        Value::Array(
            set.into_iter()
                .map(|number| json!(format!("{number}@X")))
                .collect(),
        )
    });
    (
        prop::option::of(any_text()),
        prop::option::of(any_text()),
        prop::option::of(mails),
        any::<bool>(),
    )
        .prop_map(|(name, manager, mails, own)| {
            [
                ("name", name),
                ("manager", manager),
                ("mails", mails),
                ("shoeSize", own.then(|| json!(43))),
            ]
            .into_iter()
            .filter_map(|(key, value)| value.map(|value| (key.to_owned(), value)))
            .collect()
        })
}

fn any_entitlements() -> impl Strategy<Value = Entitlements> {
    let parameters = prop::sample::select(vec![json!(null), json!({"level": 1}), json!({"level": 2})]);
    prop::collection::btree_map(
        prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned),
        parameters,
        0..3,
    )
}

fn any_desired() -> impl Strategy<Value = DesiredAccount> {
    prop_oneof![
        3 => (any_attributes(), any_entitlements()).prop_map(|(mut attributes, entitlements)| {
            attributes.remove("shoeSize");
            DesiredAccount::Enabled { attributes, entitlements }
        }),
        1 => Just(DesiredAccount::Suspended),
        1 => Just(DesiredAccount::Retained),
        1 => Just(DesiredAccount::Absent),
    ]
}

fn any_target() -> impl Strategy<Value = Target> {
    let account = (any::<bool>(), any_attributes(), any_entitlements());
    (prop::option::weighted(0.8, account), any::<[bool; 5]>()).prop_map(
        |(account, [disable, delete, holds, shouts, silent])| {
            let account = account.map(|(enabled, attributes, held)| Account {
                enabled,
                attributes,
                held: if holds { held } else { Entitlements::new() },
            });
            let capabilities = Capabilities {
                disable,
                delete,
                entitlements: holds,
            };
            Target {
                capabilities,
                account,
                shouts,
                silent,
                calls: Vec::new(),
            }
        },
    )
}

/// What is known of it at first: all, or only the link.
fn first_look(target: &Target, known: bool) -> ObservedAccount {
    let linked = ObservedAccount {
        external_id: Some("1".to_owned()),
        ..ObservedAccount::absent()
    };
    match (&target.account, known) {
        (_, false) => ObservedAccount {
            state: AccountState::Unknown,
            ..linked
        },
        (None, true) => ObservedAccount::absent(),
        (Some(account), true) => ObservedAccount {
            state: if account.enabled {
                AccountState::Enabled
            } else {
                AccountState::Disabled
            },
            attributes: account.attributes.clone(),
            entitlements: account.held.clone(),
            ..linked
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn planning_and_doing_ends_with_nothing_left_to_do(
        desired in any_desired(),
        mut target in any_target(),
        known: bool,
    ) {
        let case = Case::new(desired, target.capabilities);
        let before = target.account.clone();
        let mut observed = first_look(&target, known);
        let mut rounds = 0;
        let notes = loop {
            let plan = case.plan(&observed);
            for step in &plan.steps {
                let links = step.cause.links();
                prop_assert!(links.len() == 4 || links.len() == 5, "{}", step.cause);
                prop_assert!(links.last().unwrap().starts_with(&format!("app: {}", step.work.verb())), "{}", step.cause);
                let answer = target.perform(&step.work);
                let answer = if matches!(step.work, Work::Grant { .. } | Work::Revoke { .. }) { None } else { answer };
                observed = after_work(&observed, &step.work, answer.as_ref());
                if step.work == Work::Read && let Some(account) = &target.account {
                    observed.entitlements.clone_from(&account.held);
                }
            }
            if plan.steps.is_empty() {
                break plan.notes;
            }
            rounds += 1;
            prop_assert!(rounds <= 2, "{:?}", target.calls);
        };
        let blocked = notes.iter().any(|note| matches!(note, Note::Blocked { .. }));
        let Capabilities { disable, delete, entitlements: holds } = target.capabilities;
        match (&case.desired, &target.account) {
            (DesiredAccount::Enabled { attributes, entitlements }, Some(account)) if account.enabled => {
                for name in MANAGED {
                    let wanted = attributes.get(name);
                    let kept = wanted.map(|value| target.stored(value));
                    let rules = case.facts.schema.attribute(name);
                    let same = rules.same(account.attributes.get(name), wanted)
                        || rules.same(account.attributes.get(name), kept.as_ref());
                    prop_assert!(same, "{name}: {:?}", account.attributes);
                }
                let own = before.and_then(|account| account.attributes.get("shoeSize").cloned());
                prop_assert_eq!(account.attributes.get("shoeSize"), own.as_ref(), "not ours");
                if holds {
                    prop_assert_eq!(account.held.keys().collect::<Vec<_>>(), entitlements.keys().collect::<Vec<_>>());
                    prop_assert!(entitlements.iter().all(|(id, wanted)| entitlement_matches(wanted, &account.held[id])));
                } else {
                    prop_assert_eq!(blocked, !entitlements.is_empty());
                }
            }
            // A silent target whose account we never saw disabled counts as enabled; a target that cannot enable is blocked.
            (DesiredAccount::Enabled { .. }, Some(_)) => prop_assert!(blocked || (target.silent && !known)),
            (DesiredAccount::Enabled { .. }, None) => prop_assert!(false, "not made"),
            (DesiredAccount::Suspended, account) => {
                prop_assert_eq!(
                    account.as_ref().map(|account| (&account.attributes, &account.held)),
                    before.as_ref().map(|account| (&account.attributes, &account.held))
                );
                prop_assert!(!account.as_ref().is_some_and(|account| account.enabled) || (!disable && blocked));
            }
            (DesiredAccount::Retained, Some(account)) => {
                prop_assert!(account.held.is_empty());
                prop_assert!(!account.enabled || (!disable && blocked));
                prop_assert_eq!(&account.attributes, &before.unwrap().attributes);
            }
            (DesiredAccount::Retained | DesiredAccount::Absent, None) => prop_assert!(before.is_none() || delete),
            // A departed person keeps nothing but what the target cannot take away.
            (DesiredAccount::Absent, Some(account)) => {
                prop_assert!(blocked && !delete && account.held.is_empty());
                prop_assert!(!account.enabled || !disable);
            }
        }
        if let DesiredAccount::Retained = case.desired {
            prop_assert!(!target.calls.contains(&"delete"), "a delete is never early");
        }
    }

    #[test]
    fn access_is_taken_away_before_anything_else(desired in any_desired(), target in any_target()) {
        let case = Case::new(desired, target.capabilities);
        let verbs: Vec<&str> = case.plan(&first_look(&target, true)).steps.iter().map(|step| step.work.verb()).collect();
        let rank = |verb: &str| match verb {
            "disable" => 0,
            "revoke" => 1,
            "delete" | "create" | "enable" => 2,
            "update" => 3,
            "grant" => 4,
            other => panic!("{other}"),
        };
        prop_assert!(verbs.is_sorted_by_key(|verb| rank(verb)), "{verbs:?}");
    }
}

#[test]
fn a_cause_stays_short_whatever_the_target_calls_things() {
    let work = Work::Revoke {
        entitlement: "x".repeat(1_000),
    };
    assert_eq!(
        deed(&work).chars().count(),
        "revoke ".len() + CAUSE_NAME_CHARS_MAX + 1
    );
    let changes = (0..9)
        .map(|n| AttributeChange::Replace {
            name: format!("a{n}"),
            value: Value::Null,
        })
        .collect();
    assert_eq!(
        deed(&Work::Update {
            changes,
            desired: Attributes::new()
        }),
        "update a0, a1, a2, a3, a4, 4 more"
    );
}
