//! What a reconcile learns of an account that is linked: what is known of it now, and what of it is drift.

use serde::{Deserialize, Serialize};

use crate::account::{AccountState, Entitlements, ObservedAccount, after_work};
use crate::connector::AccountRecord;
use crate::operation::Work;
use crate::schema::AccountSchema;

/// What differs from what was known although nobody here changed it. Names and ids only, never a value: one may be a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Drift {
    /// The state it was thought to have, and the one it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<(AccountState, AccountState)>,
    /// Attributes of interest that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
    /// Entitlements it holds that were not known, or with other parameters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<String>,
    /// Entitlements it was thought to hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
}

impl Drift {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of an account after it was listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// All of it.
    pub observed: ObservedAccount,
    /// What of it is drift.
    pub drift: Drift,
    /// Its identity must be planned again: it drifted, or it was not known before how the account is.
    pub plan_again: bool,
}

/// Takes in an account as it was listed, and what it holds where the target has entitlements. `matters` says of an attribute whether anything is
/// decided by it: a target's own `lastLogin` is remembered, but is no drift.
pub fn learned(
    before: &ObservedAccount,
    record: &AccountRecord,
    held: Option<&Entitlements>,
    schema: &AccountSchema,
    matters: impl Fn(&str) -> bool,
) -> Learned {
    let mut observed = after_work(before, &Work::Read, Some(record));
    if let Some(held) = held {
        observed.entitlements.clone_from(held);
    }
    let unknown = before.state == AccountState::Unknown;
    let mut drift = Drift::default();
    if !unknown && observed.state != before.state {
        drift.state = Some((before.state, observed.state));
    }
    let names = before.attributes.keys().chain(observed.attributes.keys());
    for name in names.filter(|name| matters(name)) {
        let same = schema
            .attribute(name)
            .same(before.attributes.get(name), observed.attributes.get(name));
        // A secret cannot be read, so that it is not there says nothing.
        let unread = schema.attribute(name).secret && !observed.attributes.contains_key(name);
        if !same && !unread && !drift.attributes.contains(name) {
            drift.attributes.push(name.clone());
        }
    }
    drift.attributes.sort_unstable();
    if held.is_some() {
        let differs = |(id, has): &(&String, &serde_json::Value)| {
            let known = before.entitlements.get(*id);
            // What was given without parameters may be shown with the target's defaults.
            known.is_none_or(|known| !known.is_null() && known != *has)
        };
        let holds = observed.entitlements.iter().filter(differs);
        drift.holds = holds.map(|(id, _)| id.clone()).collect();
        let lost = before.entitlements.keys();
        drift.lost = lost
            .filter(|id| !observed.entitlements.contains_key(*id))
            .cloned()
            .collect();
    }
    Learned {
        plan_again: unknown || !drift.is_empty(),
        observed,
        drift,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::attributes::Attributes;

    fn object(value: &Value) -> Attributes {
        value.as_object().unwrap().clone()
    }

    fn schema() -> AccountSchema {
        AccountSchema::parse(&json!({"properties": {
            "mail": {"x-usher-case": "ignore"}, "pin": {"x-usher-secret": true}, "seen": {}, "title": {}
        }}))
        .unwrap()
    }

    fn before(state: AccountState) -> ObservedAccount {
        ObservedAccount {
            state,
            external_id: Some("7".to_owned()),
            attributes: object(&json!({"mail": "a@x", "title": "Chief", "pin": "1", "seen": 1})),
            entitlements: [
                ("staff".to_owned(), Value::Null),
                ("vpn".to_owned(), json!({"level": 1})),
            ]
            .into_iter()
            .collect(),
            ..ObservedAccount::absent()
        }
    }

    fn record(state: AccountState, attributes: &Value) -> AccountRecord {
        AccountRecord {
            id: "7".to_owned(),
            attributes: object(attributes),
            state,
            version: Some("v2".to_owned()),
            marker: None,
        }
    }

    fn learn(before: &ObservedAccount, record: &AccountRecord, held: Option<&Value>) -> Learned {
        let held = held.map(|held| object(held).into_iter().collect());
        learned(before, record, held.as_ref(), &schema(), |name| name != "seen")
    }

    #[test]
    fn what_nobody_decides_by_is_remembered_and_is_no_drift() {
        let seen = record(
            AccountState::Enabled,
            &json!({"mail": "A@x", "title": "Chief", "seen": 2}),
        );
        let learned = learn(&before(AccountState::Enabled), &seen, None);
        assert_eq!((&learned.drift, learned.plan_again), (&Drift::default(), false));
        assert_eq!(learned.observed.attributes["seen"], 2);
        assert_eq!(learned.observed.version.as_deref(), Some("v2"));
        assert_eq!(
            learned.observed.entitlements.len(),
            2,
            "what it holds was not read"
        );
    }

    #[test]
    fn drift_names_what_differs_and_no_value() {
        let seen = record(
            AccountState::Disabled,
            &json!({"mail": "b@x", "extra": "new", "title": "Chief", "pin": "2"}),
        );
        let learned = learn(
            &before(AccountState::Enabled),
            &seen,
            Some(&json!({"staff": {"by": "default"}, "admins": null})),
        );
        assert_eq!(
            serde_json::to_value(&learned.drift).unwrap(),
            json!({
                "state": ["enabled", "disabled"], "attributes": ["extra", "mail", "pin"],
                "holds": ["admins"], "lost": ["vpn"]
            })
        );
        assert!(learned.plan_again);
        assert_eq!(learned.observed.state, AccountState::Disabled);
    }

    #[test]
    fn an_account_that_was_not_known_is_planned_again_and_has_not_drifted() {
        let seen = record(
            AccountState::Enabled,
            &json!({"mail": "a@x", "title": "Chief", "pin": "1"}),
        );
        let learned = learn(&before(AccountState::Unknown), &seen, None);
        assert!(learned.drift.is_empty() && learned.plan_again);
    }

    #[test]
    fn a_target_that_does_not_tell_the_state_leaves_it_as_it_was() {
        let seen = record(
            AccountState::Unknown,
            &json!({"mail": "a@x", "title": "Chief", "pin": "1"}),
        );
        for state in [AccountState::Enabled, AccountState::Disabled] {
            let learned = learn(&before(state), &seen, None);
            assert_eq!((learned.observed.state, learned.plan_again), (state, false));
        }
    }
}
