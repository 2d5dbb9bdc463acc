//! Accounts: what policy wants, what the target last told us.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attributes::{Attributes, Digest, digest};
use crate::connector::{AccountRecord, AttributeChange};
use crate::name::{AccountKind, TargetName};
use crate::operation::Work;

/// What is known of an account in its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountState {
    /// There is none.
    Absent,
    /// Can be used to sign in.
    Enabled,
    /// Cannot be used to sign in.
    Disabled,
    /// It must be read before anything is decided.
    Unknown,
}

impl AccountState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Absent, Self::Enabled, Self::Disabled, Self::Unknown];
}

impl fmt::Display for AccountState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Absent => "absent",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
        })
    }
}

/// Entitlements held: id → parameters (`null` when it takes none).
pub type Entitlements = BTreeMap<String, Value>;

/// Which account of a person: one per target and kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountSlot {
    /// The target.
    pub target: TargetName,
    /// The kind, `primary` unless said.
    pub kind: AccountKind,
}

impl fmt::Display for AccountSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind.as_str() == "primary" {
            write!(f, "{}", self.target)
        } else {
            write!(f, "{}/{}", self.target, self.kind)
        }
    }
}

/// What the target last told us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedAccount {
    /// Its state.
    pub state: AccountState,
    /// The target's own id: the link. Kept after a delete (state `absent`) only for the record.
    pub external_id: Option<String>,
    /// All attributes seen.
    pub attributes: Attributes,
    /// What it holds.
    pub entitlements: Entitlements,
    /// The target's version of the record.
    pub version: Option<String>,
    /// What was last written, and what the target then held: guards against writing the same value for ever to a
    /// target that stores it differently. See [`Written`].
    pub written: Option<Written>,
}

/// The managed attributes last written with success and what the target then held of them, as digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Digest of the desired managed attributes that were written.
    pub desired: Digest,
    /// Digest of what the target answered with, of the same attributes.
    pub observed: Digest,
}

impl ObservedAccount {
    /// An account that does not exist and never did.
    pub fn absent() -> Self {
        Self {
            state: AccountState::Absent,
            external_id: None,
            attributes: Attributes::new(),
            entitlements: Entitlements::new(),
            version: None,
            written: None,
        }
    }
}

/// What policy wants of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredAccount {
    /// Exists and is enabled, with exactly these managed attributes and entitlements.
    Enabled {
        /// Managed attributes. Others in the target are left alone.
        attributes: Attributes,
        /// Exactly these.
        entitlements: Entitlements,
    },
    /// If it exists: disabled, entitlements as they are (leave, hold).
    Suspended,
    /// If it exists: disabled and stripped of entitlements (ended, in retention; or no role gives it any more).
    Retained,
    /// Does not exist.
    Absent,
}

impl Written {
    /// What was written, and what the target then held of the same attributes. Others do not matter: a target's own `lastModified` must
    /// not look like drift of what we manage.
    pub fn of(desired: &Attributes, answered: &Attributes) -> Self {
        let same: Attributes = desired
            .keys()
            .filter_map(|name| answered.get(name).map(|value| (name.clone(), value.clone())))
            .collect();
        Self {
            desired: digest(desired),
            observed: digest(&same),
        }
    }
}

/// Whether an entitlement held with `has` satisfies a grant with `wanted` parameters. `null` wants none in particular, and a target may
/// then show its defaults.
pub fn entitlement_matches(wanted: &Value, has: &Value) -> bool {
    wanted.is_null() || wanted == has
}

/// What is known of an account after work on it succeeded. `answer` is the account as the target returned it; a `Read` without one found
/// no account.
pub fn after_work(
    observed: &ObservedAccount,
    work: &Work,
    answer: Option<&AccountRecord>,
) -> ObservedAccount {
    let mut after = observed.clone();
    if let Some(record) = answer {
        after.external_id = Some(record.id.clone());
        after.attributes.clone_from(&record.attributes);
        after.version.clone_from(&record.version);
    }
    let told = answer
        .map(|record| record.state)
        .filter(|state| *state != AccountState::Unknown);
    match work {
        Work::Create { attributes } => {
            after.state = told.unwrap_or(AccountState::Enabled);
            after.entitlements = Entitlements::new();
            after.written = Some(Written::of(attributes, &after.attributes));
        }
        Work::Update { changes, desired } => {
            after.state = told.unwrap_or(after.state);
            if answer.is_none() {
                changes
                    .iter()
                    .for_each(|change| apply_change(&mut after.attributes, change));
            }
            after.written = Some(Written::of(desired, &after.attributes));
        }
        Work::Enable => after.state = told.unwrap_or(AccountState::Enabled),
        Work::Disable => after.state = told.unwrap_or(AccountState::Disabled),
        Work::Delete => {
            after = ObservedAccount {
                external_id: after.external_id,
                ..ObservedAccount::absent()
            };
        }
        Work::Grant {
            entitlement,
            parameters,
        } => {
            after.state = told.unwrap_or(after.state);
            after.entitlements.insert(entitlement.clone(), parameters.clone());
        }
        Work::Revoke { entitlement } => {
            after.state = told.unwrap_or(after.state);
            after.entitlements.remove(entitlement);
        }
        Work::Read => match answer {
            None => {
                after = ObservedAccount {
                    external_id: after.external_id,
                    ..ObservedAccount::absent()
                }
            }
            Some(_) => after.state = told.unwrap_or_else(|| state_when_not_told(observed.state)),
        },
    }
    after
}

/// A target that does not tell whether an account is enabled: what we last made it stands. Without that it counts as enabled, so that
/// taking access away is never skipped.
const fn state_when_not_told(before: AccountState) -> AccountState {
    match before {
        AccountState::Enabled | AccountState::Absent | AccountState::Unknown => AccountState::Enabled,
        AccountState::Disabled => AccountState::Disabled,
    }
}

/// What an answer to a successful write says against it, if it does: such an answer is to be handled as a failed attempt (its effect
/// unknown), or the same write would be planned again at once, for ever.
pub fn contradiction(work: &Work, answer: &AccountRecord) -> Option<&'static str> {
    match (work, answer.state) {
        (Work::Disable, AccountState::Enabled) => {
            Some("the target answered that the account is still enabled")
        }
        (Work::Enable, AccountState::Disabled) => {
            Some("the target answered that the account is still disabled")
        }
        (
            Work::Create { .. }
            | Work::Update { .. }
            | Work::Disable
            | Work::Enable
            | Work::Delete
            | Work::Grant { .. }
            | Work::Revoke { .. }
            | Work::Read,
            AccountState::Absent | AccountState::Enabled | AccountState::Disabled | AccountState::Unknown,
        ) => None,
    }
}

/// What a change makes of attributes, for a target that gave no answer.
fn apply_change(attributes: &mut Attributes, change: &AttributeChange) {
    match change {
        AttributeChange::Replace { name, value } if value.is_null() => {
            attributes.remove(name);
        }
        AttributeChange::Replace { name, value } => {
            attributes.insert(name.clone(), value.clone());
        }
        AttributeChange::Members { name, add, remove } => {
            let mut members = match attributes.remove(name) {
                Some(Value::Array(members)) => members,
                _ => Vec::new(),
            };
            members.retain(|member| !remove.contains(member));
            for member in add {
                if !members.contains(member) {
                    members.push(member.clone());
                }
            }
            attributes.insert(name.clone(), Value::Array(members));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(state: AccountState) -> AccountRecord {
        AccountRecord {
            id: "7".to_owned(),
            attributes: json!({"name": "new"}).as_object().unwrap().clone(),
            state,
            version: Some("v2".to_owned()),
            marker: None,
        }
    }

    fn before(state: AccountState) -> ObservedAccount {
        ObservedAccount {
            state,
            external_id: Some("7".to_owned()),
            attributes: json!({"name": "old", "groups": ["a", "b"]})
                .as_object()
                .unwrap()
                .clone(),
            entitlements: [("staff".to_owned(), Value::Null)].into_iter().collect(),
            version: Some("v1".to_owned()),
            written: None,
        }
    }

    fn works() -> Vec<Work> {
        vec![
            Work::Create {
                attributes: Attributes::new(),
            },
            Work::Update {
                changes: vec![],
                desired: Attributes::new(),
            },
            Work::Disable,
            Work::Enable,
            Work::Delete,
            Work::Grant {
                entitlement: "vpn".to_owned(),
                parameters: json!({"level": 1}),
            },
            Work::Revoke {
                entitlement: "staff".to_owned(),
            },
            Work::Read,
        ]
    }

    /// For each work: the state after it by what the target told, from enabled, disabled and unknown before.
    #[test]
    fn the_state_after_every_work() {
        use AccountState::{Absent, Disabled, Enabled, Unknown};
        let not_told: [(&str, [AccountState; 3]); 8] = [
            ("create", [Enabled, Enabled, Enabled]),
            ("update", [Enabled, Disabled, Unknown]),
            ("disable", [Disabled, Disabled, Disabled]),
            ("enable", [Enabled, Enabled, Enabled]),
            ("delete", [Absent, Absent, Absent]),
            ("grant", [Enabled, Disabled, Unknown]),
            ("revoke", [Enabled, Disabled, Unknown]),
            // What we last made it stands; without that it counts as enabled.
            ("read", [Enabled, Disabled, Enabled]),
        ];
        for (work, (verb, expected)) in works().into_iter().zip(not_told) {
            assert_eq!(work.verb(), verb);
            for (state, expected) in [Enabled, Disabled, Unknown].into_iter().zip(expected) {
                let untold = after_work(&before(state), &work, Some(&record(Unknown)));
                assert_eq!(untold.state, expected, "{verb} from {state}");
                for told in [Enabled, Disabled] {
                    let after = after_work(&before(state), &work, Some(&record(told)));
                    let expected = if work == Work::Delete { Absent } else { told };
                    assert_eq!(after.state, expected, "{verb} from {state}, told {told}");
                }
            }
        }
    }

    #[test]
    fn an_answer_replaces_what_was_known_but_not_what_is_held() {
        let after = after_work(
            &before(AccountState::Enabled),
            &Work::Read,
            Some(&record(AccountState::Enabled)),
        );
        assert_eq!(after.attributes, record(AccountState::Enabled).attributes);
        assert_eq!(after.version.as_deref(), Some("v2"));
        assert_eq!(after.entitlements, before(AccountState::Enabled).entitlements);
    }

    #[test]
    fn a_deleted_account_and_one_not_found_leave_only_the_link() {
        for work in [Work::Delete, Work::Read] {
            let after = after_work(&before(AccountState::Disabled), &work, None);
            assert_eq!(
                after,
                ObservedAccount {
                    external_id: Some("7".to_owned()),
                    ..ObservedAccount::absent()
                },
                "{work:?}"
            );
        }
    }

    #[test]
    fn grants_and_revokes_change_what_is_held() {
        let grant = Work::Grant {
            entitlement: "vpn".to_owned(),
            parameters: json!({"level": 1}),
        };
        let revoke = Work::Revoke {
            entitlement: "staff".to_owned(),
        };
        let granted = after_work(&before(AccountState::Enabled), &grant, None);
        assert_eq!(granted.entitlements["vpn"], json!({"level": 1}));
        let revoked = after_work(&granted, &revoke, None);
        assert_eq!(revoked.entitlements.keys().collect::<Vec<_>>(), ["vpn"]);
    }

    #[test]
    fn without_an_answer_the_changes_count_as_made() {
        let work = Work::Update {
            changes: vec![
                AttributeChange::Replace {
                    name: "name".to_owned(),
                    value: Value::Null,
                },
                AttributeChange::Members {
                    name: "groups".to_owned(),
                    add: vec![json!("c"), json!("b")],
                    remove: vec![json!("a")],
                },
            ],
            desired: Attributes::new(),
        };
        let after = after_work(&before(AccountState::Enabled), &work, None);
        assert_eq!(Value::Object(after.attributes), json!({"groups": ["b", "c"]}));
    }

    #[test]
    fn an_answer_that_contradicts_its_success_is_seen() {
        for work in works() {
            for state in [
                AccountState::Enabled,
                AccountState::Disabled,
                AccountState::Unknown,
            ] {
                let expected = matches!(
                    (&work, state),
                    (Work::Disable, AccountState::Enabled) | (Work::Enable, AccountState::Disabled)
                );
                assert_eq!(
                    contradiction(&work, &record(state)).is_some(),
                    expected,
                    "{work:?} {state}"
                );
            }
        }
    }
}
