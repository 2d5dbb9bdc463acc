//! The whole way of one account from what is observed to what is wanted, printed for the docs: [`crate::table`] says the next step, this
//! says all of them with their order and urgency.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::steps::{AccountInput, AccountSteps, account_steps};
use super::{Note, SecurityHold, TargetFacts};
use crate::account::{AccountSlot, AccountState, DesiredAccount, Entitlements, ObservedAccount};
use crate::attributes::Attributes;
use crate::cause::Cause;
use crate::connector::Capabilities;
use crate::diff::{Managed, Strength};
use crate::name::Name;
use crate::operation::{Priority, Work};
use crate::schema::AccountSchema;
use crate::table::DesiredKind;
use crate::targets::ApplyMode;

/// The table as Markdown: for an account whose attributes and entitlements all differ from what is wanted, in a target that can do all.
pub fn work_markdown() -> String {
    let capabilities = Capabilities {
        disable: true,
        delete: true,
        entitlements: true,
    };
    let mut text = String::from(
        "| observed | wanted | what is done, in order | under a security hold |\n|---|---|---|---|\n",
    );
    let slot = AccountSlot {
        target: Name::primary(),
        kind: Name::primary(),
    };
    for observed in AccountState::ALL {
        for desired in DesiredKind::ALL {
            let held = match desired {
                DesiredKind::Enabled => "*never wanted then*".to_owned(),
                DesiredKind::Suspended | DesiredKind::Retained | DesiredKind::Absent => {
                    shown(&sample(&slot, observed, desired, capabilities, true))
                }
            };
            let plain = shown(&sample(&slot, observed, desired, capabilities, false));
            text += &format!("| {observed} | {} | {plain} | {held} |\n", desired.as_str());
        }
    }
    text
}

/// The steps of an account that holds one entitlement and one attribute, and should have others.
fn sample(
    slot: &AccountSlot,
    state: AccountState,
    desired: DesiredKind,
    capabilities: Capabilities,
    held: bool,
) -> AccountSteps {
    let one = |value: &str| -> Attributes { Map::from_iter([("name".to_owned(), Value::from(value))]) };
    let entitlement = |id: &str| Entitlements::from([(id.to_owned(), Value::Null)]);
    let observed = match state {
        AccountState::Absent => ObservedAccount::absent(),
        AccountState::Enabled | AccountState::Disabled | AccountState::Unknown => ObservedAccount {
            state,
            external_id: Some("1".to_owned()),
            attributes: one("old"),
            entitlements: entitlement("old"),
            ..ObservedAccount::absent()
        },
    };
    let desired = match desired {
        DesiredKind::Enabled => DesiredAccount::Enabled {
            attributes: one("new"),
            entitlements: entitlement("new"),
        },
        DesiredKind::Suspended => DesiredAccount::Suspended,
        DesiredKind::Retained => DesiredAccount::Retained,
        DesiredKind::Absent => DesiredAccount::Absent,
    };
    let hold = SecurityHold {
        phrase: "security hold".to_owned(),
        decides: false,
    };
    account_steps(&AccountInput {
        slot,
        desired: &desired,
        managed: &Managed::from([("name".to_owned(), Strength::Normal)]),
        observed: &observed,
        facts: &TargetFacts {
            capabilities,
            schema: AccountSchema::default(),
            apply: ApplyMode::Auto,
            depends_on: Vec::new(),
            pilot: None,
            protection: Default::default(),
        },
        cause: &Cause::new("facts"),
        security_hold: held.then_some(&hold),
        entitlement_causes: &BTreeMap::new(),
    })
}

/// `disable · revoke each · delete (deprovision)`: the urgency stands behind the last step that has it.
fn shown(done: &AccountSteps) -> String {
    let mut text: Vec<String> = Vec::new();
    for (index, step) in done.steps.iter().enumerate() {
        let next = done.steps.get(index + 1).map(|next| next.priority);
        let urgency = if next == Some(step.priority) {
            String::new()
        } else {
            format!(" ({})", urgency(step.priority))
        };
        text.push(format!("{}{urgency}", deed(&step.work)));
    }
    text.extend(done.notes.iter().map(Note::to_string));
    if text.is_empty() {
        return "–".to_owned();
    }
    text.join(" · ")
}

const fn deed(work: &Work) -> &'static str {
    match work {
        Work::Grant { .. } => "grant each missing",
        Work::Revoke { .. } => "revoke each",
        Work::Create { .. }
        | Work::Update { .. }
        | Work::Disable
        | Work::Enable
        | Work::Delete
        | Work::Read => work.verb(),
    }
}

const fn urgency(priority: Priority) -> &'static str {
    match priority {
        Priority::SecurityHold => "security hold",
        Priority::Deprovision => "deprovision",
        Priority::Change => "change",
        Priority::Onboarding => "onboarding",
        Priority::Reconcile => "reconcile",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{TableStep, next_step};

    /// Where in the order of taking away a work stands.
    fn rank(work: &Work) -> usize {
        match work {
            Work::Read => 0,
            Work::Disable => 1,
            Work::Revoke { .. } => 2,
            Work::Delete => 3,
            Work::Create { .. } | Work::Enable | Work::Update { .. } | Work::Grant { .. } => 4,
        }
    }

    fn check(state: AccountState, desired: DesiredKind, capabilities: Capabilities, held: bool) {
        let slot = AccountSlot {
            target: Name::primary(),
            kind: Name::primary(),
        };
        let done = sample(&slot, state, desired, capabilities, held);
        let cell = format!("{state} {desired:?} {capabilities:?} held: {held}: {done:?}");
        let next = next_step(state, desired, capabilities);
        let verbs: Vec<&str> = done.steps.iter().map(|step| step.work.verb()).collect();
        // What the table says is done, and before anything else but what is revoked from one that stays.
        let said = match next {
            TableStep::Create => Some("create"),
            TableStep::Enable => Some("enable"),
            TableStep::Disable => Some("disable"),
            TableStep::Delete => Some("delete"),
            TableStep::Read => Some("read"),
            TableStep::Nothing | TableStep::Blocked(_) => None,
        };
        match said {
            Some(verb) => assert_eq!(
                verbs.iter().find(|known| **known != "revoke"),
                Some(&verb),
                "{cell}"
            ),
            None => assert!(
                verbs
                    .iter()
                    .all(|verb| ["revoke", "update", "grant"].contains(verb)),
                "{cell}"
            ),
        }
        let blocked = done.notes.iter().any(|note| matches!(note, Note::Blocked { .. }));
        if matches!(next, TableStep::Blocked(_)) {
            assert!(blocked, "{cell}");
        }
        for step in &done.steps {
            let urgent = match (&step.work, desired, held) {
                (_, DesiredKind::Enabled, _) => continue,
                (Work::Disable | Work::Read, _, true) => Priority::SecurityHold,
                (_, _, _) => Priority::Deprovision,
            };
            assert_eq!(step.priority, urgent, "{cell}");
            assert!(rank(&step.work) < 4, "nothing is given: {cell}");
        }
        if desired != DesiredKind::Enabled {
            assert!(
                done.steps.is_sorted_by_key(|step| rank(&step.work)),
                "disable, revoke, delete: {cell}"
            );
        }
        let strips = verbs.contains(&"revoke");
        assert!(!strips || capabilities.entitlements, "{cell}");
        assert!(
            !strips || desired != DesiredKind::Suspended,
            "leave and holds strip nothing: {cell}"
        );
    }

    #[test]
    fn every_cell_goes_the_way_of_the_table() {
        for state in AccountState::ALL {
            for desired in DesiredKind::ALL {
                for bits in 0..16_u8 {
                    let capabilities = Capabilities {
                        disable: bits & 1 != 0,
                        delete: bits & 2 != 0,
                        entitlements: bits & 4 != 0,
                    };
                    check(state, desired, capabilities, bits & 8 != 0);
                }
            }
        }
    }
}
