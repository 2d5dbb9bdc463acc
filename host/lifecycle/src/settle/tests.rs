use serde_json::json;

use super::*;
use crate::account::AccountState;

const INTENT: &str = "op_1";
const SETTLE_MS: u32 = 2_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_772_438_400 + second).unwrap()
}

fn record(id: &str, state: AccountState, marker: Option<&str>) -> AccountRecord {
    let attributes = json!({"name": id}).as_object().unwrap().clone();
    AccountRecord {
        id: id.to_owned(),
        attributes,
        state,
        version: Some("v2".to_owned()),
        marker: marker.map(str::to_owned),
    }
}

fn found(id: &str, marker: Option<&str>) -> AccountRecord {
    record(id, AccountState::Enabled, marker)
}

/// The attempt began at 0; asked `second` seconds later.
fn decide(creation: &Creation, found: &[AccountRecord], absence_seen: bool, second: i64) -> SettledCreate {
    after_find(&UnknownCreate {
        creation,
        intent_id: INTENT,
        found,
        absence_seen_at: absence_seen.then(|| at(-1)),
        unknown_since: at(0),
        settle_ms: SETTLE_MS,
        now: at(second),
    })
}

fn is_held(decision: &SettledCreate) -> bool {
    matches!(decision, SettledCreate::Hold(_))
}

fn adopts(decision: &SettledCreate, id: &str) -> bool {
    matches!(decision, SettledCreate::Adopt(record) if record.id == id)
}

const EARLY: i64 = 1;
const LATE: i64 = 2;

#[test]
fn a_marker_adopts_at_once_whatever_the_kind() {
    for creation in every_kind() {
        for absence in [true, false] {
            for second in [EARLY, LATE] {
                let records = [found("other", None), found("ours", Some(INTENT))];
                assert!(
                    adopts(&decide(&creation, &records, absence, second), "ours"),
                    "{creation:?}"
                );
            }
        }
    }
}

#[test]
fn two_accounts_with_our_marker_ask_a_person() {
    for creation in every_kind() {
        assert!(is_held(&decide(
            &creation,
            &[found("a", Some(INTENT)), found("b", Some(INTENT))],
            true,
            LATE
        )));
    }
}

#[test]
fn nothing_found_waits_for_the_settle_time_and_then_creates_again() {
    for creation in [Creation::Marker, Creation::ClientId("name".into()), unique()] {
        for absence in [true, false] {
            assert_eq!(
                decide(&creation, &[], absence, EARLY),
                SettledCreate::WaitUntil(at(LATE))
            );
            assert_eq!(decide(&creation, &[], absence, LATE), SettledCreate::CreateAgain);
        }
    }
}

#[test]
fn an_account_without_our_marker_is_never_adopted_where_there_are_markers() {
    for marker in [None, Some("op_2")] {
        for second in [EARLY, LATE] {
            assert!(is_held(&decide(
                &Creation::Marker,
                &[found("admin", marker)],
                true,
                second
            )));
        }
    }
}

#[test]
fn a_unique_key_adopts_only_with_recorded_absence_and_after_the_settle_time() {
    for creation in [Creation::ClientId("name".into()), unique()] {
        let one = [found("jdoe", None)];
        assert!(
            is_held(&decide(&creation, &one, false, EARLY)),
            "it may have been there before"
        );
        assert!(
            is_held(&decide(&creation, &one, false, LATE)),
            "it may have been there before"
        );
        assert_eq!(
            decide(&creation, &one, true, EARLY),
            SettledCreate::WaitUntil(at(LATE))
        );
        assert!(adopts(&decide(&creation, &one, true, LATE), "jdoe"));
        assert!(
            is_held(&decide(&creation, &[found("jdoe", Some("op_2"))], true, LATE)),
            "another creation's"
        );
        assert!(
            is_held(&decide(
                &creation,
                &[found("a", None), found("b", None)],
                true,
                LATE
            )),
            "ambiguous"
        );
    }
}

#[test]
fn a_creation_that_cannot_be_recognised_asks_a_person() {
    for (records, absence, second) in [
        (vec![], true, LATE),
        (vec![found("a", None)], true, LATE),
        (vec![], false, EARLY),
    ] {
        assert!(is_held(&decide(&Creation::None, &records, absence, second)));
    }
}

#[test]
fn a_settle_time_beyond_the_calendar_does_not_panic() {
    let decision = after_find(&UnknownCreate {
        creation: &Creation::Marker,
        intent_id: INTENT,
        found: &[],
        absence_seen_at: None,
        unknown_since: Timestamp::MAX,
        settle_ms: u32::MAX,
        now: at(0),
    });
    assert_eq!(decision, SettledCreate::WaitUntil(Timestamp::MAX));
}

fn unique() -> Creation {
    Creation::UniqueKey(vec!["name".to_owned()])
}

fn every_kind() -> [Creation; 4] {
    [
        Creation::Marker,
        Creation::ClientId("name".to_owned()),
        unique(),
        Creation::None,
    ]
}

fn observed() -> ObservedAccount {
    ObservedAccount {
        state: AccountState::Enabled,
        external_id: Some("7".to_owned()),
        entitlements: [("old".to_owned(), json!(null))].into_iter().collect(),
        ..ObservedAccount::absent()
    }
}

fn update(changes: Vec<AttributeChange>) -> Work {
    Work::Update {
        changes,
        desired: json!({"name": "7", "title": null}).as_object().unwrap().clone(),
    }
}

fn replace(name: &str, value: serde_json::Value) -> AttributeChange {
    AttributeChange::Replace {
        name: name.to_owned(),
        value,
    }
}

/// Every work but creation, with what a missing account, an account as wanted and one that is not make of it.
fn cells() -> Vec<(
    Work,
    SettledWork,
    AccountRecord,
    AccountRecord,
    Entitlements,
    Entitlements,
)> {
    let enabled = record("7", AccountState::Enabled, None);
    let disabled = record("7", AccountState::Disabled, None);
    let gone = || SettledWork::Overtaken("the account is gone".to_owned());
    let holds: Entitlements = [("g".to_owned(), json!({"level": 1}))].into_iter().collect();
    let grant = Work::Grant {
        entitlement: "g".to_owned(),
        parameters: json!({"level": 1}),
    };
    let revoke = Work::Revoke {
        entitlement: "g".to_owned(),
    };
    let none = Entitlements::new();
    let renamed = update(vec![replace("name", json!("7")), replace("title", json!(null))]);
    let other = record("8", AccountState::Enabled, None);
    vec![
        (
            Work::Disable,
            SettledWork::Applied,
            disabled.clone(),
            enabled.clone(),
            none.clone(),
            none.clone(),
        ),
        (
            Work::Enable,
            gone(),
            enabled.clone(),
            disabled,
            none.clone(),
            none.clone(),
        ),
        (
            renamed,
            gone(),
            enabled.clone(),
            other,
            none.clone(),
            none.clone(),
        ),
        (
            grant,
            gone(),
            enabled.clone(),
            enabled.clone(),
            holds.clone(),
            none.clone(),
        ),
        (
            revoke,
            SettledWork::Applied,
            enabled.clone(),
            enabled,
            none,
            holds,
        ),
    ]
}

#[test]
fn reading_back_tells_whether_the_work_is_done() {
    let schema = AccountSchema::default();
    for (work, when_gone, done, not_done, held_done, held_not_done) in cells() {
        let gone = after_get(&observed(), &work, None, None, &schema);
        assert_eq!(gone.work, when_gone, "{work:?}");
        assert_eq!(gone.observed.state, AccountState::Absent);
        assert!(gone.observed.entitlements.is_empty());

        let applied = after_get(&observed(), &work, Some(&done), Some(&held_done), &schema);
        assert_eq!(applied.work, SettledWork::Applied, "{work:?}");
        assert_eq!(applied.observed.state, done.state);
        assert_eq!(applied.observed.entitlements, held_done);
        assert_eq!(applied.observed.version.as_deref(), Some("v2"));
        assert_eq!(
            applied.observed.written.is_some(),
            matches!(work, Work::Update { .. })
        );

        let not_applied = after_get(&observed(), &work, Some(&not_done), Some(&held_not_done), &schema);
        assert_eq!(not_applied.work, SettledWork::WriteAgain, "{work:?}");
        assert_eq!(not_applied.observed.state, not_done.state);
        assert_eq!(not_applied.observed.written, None);
    }
}

#[test]
fn a_delete_is_done_exactly_when_the_account_is_gone() {
    let schema = AccountSchema::default();
    assert_eq!(
        after_get(&observed(), &Work::Delete, None, None, &schema).work,
        SettledWork::Applied
    );
    for state in [AccountState::Enabled, AccountState::Disabled] {
        let there = record("7", state, None);
        assert_eq!(
            after_get(&observed(), &Work::Delete, Some(&there), None, &schema).work,
            SettledWork::WriteAgain
        );
    }
}

#[test]
fn a_read_is_done_by_reading_and_a_creation_is_never_settled_by_get() {
    let schema = AccountSchema::default();
    let there = record("7", AccountState::Enabled, None);
    let create = Work::Create {
        attributes: Default::default(),
    };
    for record in [None, Some(&there)] {
        assert_eq!(
            after_get(&observed(), &Work::Read, record, None, &schema).work,
            SettledWork::Applied
        );
        assert!(matches!(
            after_get(&observed(), &create, record, None, &schema).work,
            SettledWork::Overtaken(_)
        ));
    }
}

#[test]
fn what_was_not_read_is_written_again() {
    let schema = AccountSchema::default();
    let there = record("7", AccountState::Unknown, None);
    for work in [
        Work::Enable,
        Work::Disable,
        Work::Grant {
            entitlement: "g".to_owned(),
            parameters: json!(null),
        },
        Work::Revoke {
            entitlement: "g".to_owned(),
        },
    ] {
        let after = after_get(&observed(), &work, Some(&there), None, &schema);
        assert_eq!(after.work, SettledWork::WriteAgain, "{work:?}");
        assert_eq!(
            after.observed.entitlements,
            observed().entitlements,
            "as last known"
        );
    }
}

#[test]
fn members_of_a_set_are_looked_up_by_the_schema() {
    let schema =
        AccountSchema::parse(&json!({"properties": {"mail": {"type": "array", "x-usher-case": "ignore"}}}))
            .unwrap();
    let mut there = record("7", AccountState::Enabled, None);
    there.attributes.insert("mail".to_owned(), json!(["A@x", "b@x"]));
    let members = |add: serde_json::Value, remove: serde_json::Value| AttributeChange::Members {
        name: "mail".to_owned(),
        add: add.as_array().unwrap().clone(),
        remove: remove.as_array().unwrap().clone(),
    };
    for (change, expected) in [
        (members(json!(["a@X"]), json!(["c@x"])), SettledWork::Applied),
        (members(json!(["c@x"]), json!([])), SettledWork::WriteAgain),
        (members(json!([]), json!(["B@x"])), SettledWork::WriteAgain),
    ] {
        assert_eq!(
            after_get(&observed(), &update(vec![change]), Some(&there), None, &schema).work,
            expected
        );
    }
}
